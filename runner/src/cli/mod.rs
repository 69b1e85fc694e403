//! The command line: arguments, what they lead to, exit codes.

mod args;
mod check;
mod clean;
mod compare;
mod diagnose;
mod exits;
mod explain;
mod failure;
mod faults;
mod generate;
mod image;
mod lint;
mod manifest;
mod map;
mod mutate;
mod output;
mod run;
mod session;

pub use args::Cli;
pub use failure::Failure;

use args::Command;
use clap::{CommandFactory, Parser};
use flowproof_core::outcome::Exit;
use std::{io::Write, process::ExitCode};

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::set_up(format!("no threads can be started: {error}")).tell(),
    };
    let exit = match runtime.block_on(dispatch(cli)) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.tell(),
    };
    // A thread that still reads stdin or a hanging connection must not keep the process.
    runtime.shutdown_background();
    exit
}

async fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        Command::Run(args) => run::run(args).await,
        Command::Check(args) => check::check(args).await,
        Command::Watch(args) => run::watch(args).await,
        Command::Report(args) => output::report(&args),
        Command::Compare(args) => compare::compare(&args),
        Command::Faults(args) => faults::faults(args).await,
        Command::Lint(args) => lint::lint(&args).await,
        Command::Explain(args) => explain::explain(&args).await,
        Command::Generate(args) => generate::generate(&args).await,
        Command::Diagnose(args) => diagnose::run(&args).await,
        Command::Mutate(args) => mutate::run(&args),
        Command::Map(args) => map::map(&args).await,
        Command::Clean(args) => clean::clean(args).await,
        Command::Image(args) => image::image(args).await,
        Command::Manifest(args) => manifest::manifest(args),
        Command::Schema => {
            let schema = serde_json::to_string_pretty(&flowproof_core::parse::json_schema())
                .expect("a schema is valid JSON");
            say(&(schema + "\n"))
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "flowproof", &mut script);
            say(&String::from_utf8_lossy(&script))
        }
    }
}

/// Writes data to stdout. A reader that went away (`| head`) is no error.
fn say(text: &str) -> Result<Exit, Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::set_up(format!("stdout cannot be written: {error}")))
        }
        _ => Ok(Exit::Success),
    }
}
