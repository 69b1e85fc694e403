//! The entry point of `flowproof`.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowproof::local::become_world_if_asked().unwrap_or_else(flowproof::cli::main)
}
