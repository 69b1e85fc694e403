//! The command line: one file for each command with its arguments, and files for what several commands share.
//!
//! | module | job |
//! |---|---|
//! | [`args`] | the list of commands |
//! | [`selection`] | which scenarios, in which variants |
//! | [`cluster`], [`pods`] | where they are played, and how the probers' pods are made |
//! | [`play`] | what `run`, `check` and `watch` have in common |
//! | [`session`] | a session: signals, and waiting until everything is removed |
//! | [`given`] | where `explain`, `generate` and `map` read policies |
//! | [`outputs`] | where results go |
//! | [`values`] | how the values of options are read |
//! | [`console`], [`failure`], [`exits`] | everything that is printed, what ends the program, exit codes |

mod args;
mod check;
mod clean;
mod cluster;
mod compare;
mod console;
mod diagnose;
mod exits;
mod explain;
mod failure;
mod faults;
mod generate;
mod given;
mod image;
mod lint;
mod manifest;
mod map;
mod mutate;
mod outputs;
mod play;
mod pods;
mod report;
mod run;
mod selection;
mod session;
mod values;
mod watch;

pub use args::Cli;
pub use failure::Failure;

use args::Command;
use clap::{CommandFactory, Parser};
use console::say;
use flowproof_core::outcome::Exit;
use std::process::ExitCode;

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::set_up(format!("no threads can be started: {error}")).show(),
    };
    let exit = match runtime.block_on(dispatch(cli)) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.show(),
    };
    // A thread that still reads stdin, or a hanging connection, must not keep the process alive.
    runtime.shutdown_background();
    exit
}

async fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        Command::Run(args) => run::run(args).await,
        Command::Check(args) => check::check(args).await,
        Command::Watch(args) => watch::watch(args).await,
        Command::Report(args) => report::report(&args),
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
