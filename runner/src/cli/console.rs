//! Everything that is printed: data on stdout; errors, warnings, notes and hints on stderr.

use super::Failure;
use flowproof_core::outcome::Exit;
use std::{
    fmt::Display,
    io::{ErrorKind, Write},
};

/// Writes data to stdout. A reader that has closed the pipe (`| head`) is not an error.
pub fn say(text: &str) -> Result<Exit, Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::set_up(format!("stdout cannot be written: {error}")))
        }
        _ => Ok(Exit::Success),
    }
}

/// Says what failed.
pub fn error(text: impl Display) {
    show(format_args!("error: {text}\n"));
}

/// Says what the user may not have wanted.
pub fn warning(text: impl Display) {
    show(format_args!("warning: {text}\n"));
}

/// Says what the user may want to know.
pub fn note(text: impl Display) {
    show(format_args!("note: {text}\n"));
}

/// Says what would help.
pub fn hint(text: impl Display) {
    show(format_args!("hint: {text}\n"));
}

/// Shows a text of several lines, such as the problems of a file.
pub fn show(text: impl Display) {
    // If stderr is closed, nobody wants to read this.
    let _ = write!(std::io::stderr(), "{text}");
}
