//! Runs the command of a watch. Its output goes to stderr, because stdout is for data.

use std::{io, os::fd::AsFd, process::Stdio};
use tokio::process::Command;

/// How a command ended: its exit code (`None` after a signal), or why it could not be started.
pub(super) type Ended = Result<Option<i32>, String>;

/// Runs a program to its end. If the watch ends earlier, the program goes on: an upgrade must not be killed halfway.
pub(super) async fn run(arguments: &[String]) -> Ended {
    let Some((program, rest)) = arguments.split_first() else { return Ok(Some(0)) };
    let stdout = io::stderr().as_fd().try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from);
    let started = Command::new(program).args(rest).stdout(stdout).spawn();
    let mut child = started.map_err(|error| format!("{program} could not be started: {error}"))?;
    let status = child.wait().await.map_err(|error| format!("{program} could not be waited for: {error}"))?;
    Ok(status.code())
}
