//! The command line: three subcommands, read by hand to keep the program small.

use crate::{relay, serve};
use flowproof_wire::{First, LEASE_MS};
use std::{ffi::OsString, io::Write, process::ExitCode, time::Duration};

const HELP: &str = "\
Listens, tries flows, and says what happened at its end: the pod's half of flowproof.

Usage:
  flowproof-prober serve --socket NAME [OPTIONS]        be driven over the abstract Unix socket NAME
  flowproof-prober serve --stdio [OPTIONS]              be driven over standard input and output, until they end
  flowproof-prober relay --socket NAME                  join standard input and output to a prober's socket
  flowproof-prober --help | --version

Options:
  --lease-ms N   go on trying flows for so long when no runner is attached (default 120000)
  --first JSON   try these flows from the start, before a runner is attached
  --capture      also tell which packets of attempts passed the interfaces; needs the capability NET_RAW

Exit codes: 0 ended as told, 1 failed (the reason is on standard error), 2 wrong usage.
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Invocation {
    Serve(serve::Options),
    Relay { socket: String },
    Help,
    Version,
}

/// Runs the program with these arguments, without the program's name.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let outcome = match parse(arguments) {
        Ok(Invocation::Serve(options)) => serve::serve(&options),
        Ok(Invocation::Relay { socket }) => relay::relay(&socket),
        Ok(Invocation::Help) => {
            std::io::stdout().write_all(HELP.as_bytes()).map_err(|error| error.to_string())
        }
        Ok(Invocation::Version) => {
            writeln!(std::io::stdout(), "flowproof-prober {}", env!("CARGO_PKG_VERSION"))
                .map_err(|error| error.to_string())
        }
        Err(wrong) => {
            complain(&format!("{wrong}; see `flowproof-prober --help`"));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            ExitCode::FAILURE
        }
    }
}

/// Writes one line to standard error. If that is closed, too, nobody is left to read it.
fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "flowproof-prober: {message}");
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Invocation, String> {
    let mut arguments = arguments.map(|argument| {
        argument.into_string().map_err(|argument| format!("argument {} is not UTF-8", argument.display()))
    });
    let command = arguments.next().ok_or("a subcommand is missing")??;
    let (mut socket, mut stdio, mut lease) = (None, false, Duration::from_millis(LEASE_MS));
    let mut first: Option<First> = None;
    let mut capture = false;
    let value_of = |option: &str, arguments: &mut dyn Iterator<Item = Result<String, String>>| {
        arguments.next().ok_or_else(|| format!("{option} needs a value"))?
    };
    match command.as_str() {
        "--help" | "-h" | "help" => return Ok(Invocation::Help),
        "--version" | "-V" => return Ok(Invocation::Version),
        "serve" | "relay" => {}
        other => return Err(format!("unknown subcommand {other:?}")),
    }
    while let Some(argument) = arguments.next() {
        match (argument?.as_str(), command.as_str()) {
            ("--socket", _) => socket = Some(checked_name(value_of("--socket", &mut arguments)?)?),
            ("--stdio", "serve") => stdio = true,
            ("--capture", "serve") => capture = true,
            ("--lease-ms", "serve") => {
                let value = value_of("--lease-ms", &mut arguments)?;
                let ms = value
                    .parse()
                    .map_err(|_| format!("--lease-ms {value:?} is not a number of milliseconds"))?;
                lease = Duration::from_millis(ms);
            }
            ("--first", "serve") => {
                let value = value_of("--first", &mut arguments)?;
                first = Some(serde_json::from_str(&value).map_err(|error| format!("--first: {error}"))?);
            }
            ("--help" | "-h", _) => return Ok(Invocation::Help),
            (other, command) => return Err(format!("{command} does not know {other:?}")),
        }
    }
    match (command.as_str(), socket, stdio) {
        ("relay", Some(socket), _) => Ok(Invocation::Relay { socket }),
        ("relay", None, _) => Err("relay needs --socket NAME".to_owned()),
        (_, Some(_), true) => Err("serve takes --socket or --stdio, not both".to_owned()),
        (_, Some(name), false) => Ok(Invocation::Serve(serve::Options {
            stream: serve::Streams::Socket(name),
            lease,
            first,
            capture,
        })),
        (_, None, true) => {
            Ok(Invocation::Serve(serve::Options { stream: serve::Streams::Stdio, lease, first, capture }))
        }
        (_, None, false) => Err("serve needs --socket NAME or --stdio".to_owned()),
    }
}

/// Refuses names that an abstract socket cannot have: `sun_path` has 108 bytes, and the first is NUL (unix(7)).
fn checked_name(name: String) -> Result<String, String> {
    match name.len() {
        0 => Err("the name of the socket is empty".to_owned()),
        1..=107 => Ok(name),
        length => Err(format!("the name of the socket has {length} bytes; at most 107 fit")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Invocation, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn each_form_is_read() {
        let options = |stream, ms| serve::Options {
            stream,
            lease: Duration::from_millis(ms),
            first: None,
            capture: false,
        };
        let socket = || serve::Streams::Socket("a".to_owned());
        assert_eq!(parsed("serve --socket a"), Ok(Invocation::Serve(options(socket(), LEASE_MS))));
        assert_eq!(parsed("serve --lease-ms 5 --socket a"), Ok(Invocation::Serve(options(socket(), 5))));
        assert_eq!(parsed("serve --stdio"), Ok(Invocation::Serve(options(serve::Streams::Stdio, LEASE_MS))));
        let captures = serve::Options { capture: true, ..options(serve::Streams::Stdio, LEASE_MS) };
        assert_eq!(parsed("serve --stdio --capture"), Ok(Invocation::Serve(captures)));
        let first = r#"{"run":7,"flows":[],"pace":{"interval_ms":5,"timeout_ms":250,"report_ms":100}}"#;
        let pace = flowproof_wire::Pace { interval_ms: 5, timeout_ms: 250, report_ms: 100 };
        let tries = serve::Options {
            first: Some(First { run: 7, flows: vec![], pace }),
            ..options(socket(), LEASE_MS)
        };
        assert_eq!(parsed(&format!("serve --socket a --first {first}")), Ok(Invocation::Serve(tries)));
        assert_eq!(parsed("relay --socket a"), Ok(Invocation::Relay { socket: "a".to_owned() }));
        assert_eq!(parsed("--version"), Ok(Invocation::Version));
        assert_eq!(parsed("serve --help"), Ok(Invocation::Help));
    }

    #[test]
    fn wrong_usage_says_what_is_wrong() {
        for (line, message) in [
            ("", "a subcommand is missing"),
            ("swerve", "unknown subcommand \"swerve\""),
            ("serve", "serve needs --socket NAME or --stdio"),
            ("serve --stdio --socket a", "serve takes --socket or --stdio, not both"),
            ("serve --socket", "--socket needs a value"),
            ("serve --stdio --lease-ms soon", "--lease-ms \"soon\" is not a number of milliseconds"),
            ("serve --stdio --first {}", "--first: missing field `run` at line 1 column 2"),
            ("relay", "relay needs --socket NAME"),
            ("relay --stdio", "relay does not know \"--stdio\""),
        ] {
            assert_eq!(parsed(line), Err(message.to_owned()), "{line}");
        }
        let long = format!("relay --socket {}", "x".repeat(108));
        assert_eq!(parsed(&long), Err("the name of the socket has 108 bytes; at most 107 fit".to_owned()));
    }
}
