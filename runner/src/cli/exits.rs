//! The exit codes as `--help` shows them.

use flowproof_core::outcome::Exit;
use std::fmt::Write;

/// All exit codes, as of a run.
pub fn all() -> String {
    of(&Exit::ALL.map(|exit| (exit, exit.meaning())))
}

/// The exit codes of one command, and what each means there.
pub fn of(meanings: &[(Exit, &str)]) -> String {
    let mut text = "Exit codes:".to_owned();
    for (exit, meaning) in meanings {
        let _ = write!(text, "\n  {:>3}  {meaning}", exit.code());
    }
    text
}
