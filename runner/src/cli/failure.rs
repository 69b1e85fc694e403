//! What ends the program before or beside an outcome: one message, hints, an exit code.

use crate::cluster::ClusterError;
use std::{io::Write, process::ExitCode};

/// A message to the user and the exit code that goes with it.
#[derive(Debug)]
pub struct Failure {
    /// Exit code, as documented.
    pub code: u8,
    /// What failed.
    pub message: String,
    /// What would help.
    pub hint: Option<String>,
}

impl Failure {
    /// Exit code 2: usage, or a scenario that does not parse or check.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into(), hint: None }
    }

    /// Exit code 4: the cluster or the set-up failed.
    pub fn set_up(message: impl Into<String>) -> Self {
        Self { code: 4, message: message.into(), hint: None }
    }

    /// Exit code 5: nothing to run.
    pub fn nothing(message: impl Into<String>) -> Self {
        Self { code: 5, message: message.into(), hint: None }
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
        ExitCode::from(self.code)
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
        Self { code: 4, message: error.to_string(), hint }
    }
}
