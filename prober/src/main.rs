//! The prober's entry point.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowproof_prober::run(std::env::args_os().skip(1))
}
