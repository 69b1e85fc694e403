//! What ends the program before or beside an outcome: one message, hints, an exit code.

use crate::cluster::ClusterError;
use flowproof_core::outcome::Exit;
use std::{io::Write, process::ExitCode};

/// A message to the user and the exit code that goes with it.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What failed.
    pub message: String,
    /// What would help.
    pub hint: Option<String>,
}

impl Failure {
    /// The command line or a file is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into(), hint: None }
    }

    /// The cluster or the set-up failed.
    pub fn set_up(message: impl Into<String>) -> Self {
        Self { exit: Exit::SetUpFailed, message: message.into(), hint: None }
    }

    /// There is nothing to do.
    pub fn nothing(message: impl Into<String>) -> Self {
        Self { exit: Exit::Nothing, message: message.into(), hint: None }
    }

    /// Adds what would help.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Tells it on stderr and returns the exit code.
    pub fn tell(&self) -> ExitCode {
        let mut stderr = std::io::stderr().lock();
        let _ = writeln!(stderr, "error: {}", self.message);
        if let Some(hint) = &self.hint {
            let _ = writeln!(stderr, "hint: {hint}");
        }
        self.exit.into()
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        let hint = match &error {
            ClusterError::Forbidden { .. } => {
                Some("`flowproof manifest rbac` prints the ClusterRole that flowproof needs".to_owned())
            }
            _ => error.hint().map(str::to_owned),
        };
        Self { exit: Exit::SetUpFailed, message: error.to_string(), hint }
    }
}
