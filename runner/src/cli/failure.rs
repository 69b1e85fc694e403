//! What ends the program without an outcome: one message, a hint, an exit code.

use super::console;
use crate::{cluster::ClusterError, problems::FileProblems, report::counted};
use flowproof_core::outcome::Exit;
use std::{path::Path, process::ExitCode};

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

    /// A file cannot be written.
    pub fn cannot_write(path: &Path, error: &std::io::Error) -> Self {
        Self::usage(format!("{} cannot be written: {error}", path.display()))
    }

    /// Shows all problems of all files. The failure says how many there are.
    pub fn problems(files: &[FileProblems]) -> Self {
        for file in files {
            console::show(format_args!("{file}\n"));
        }
        let of = |count: fn(&FileProblems) -> usize| files.iter().map(count).sum::<usize>();
        let errors = of(FileProblems::errors);
        let warnings = of(FileProblems::count) - errors;
        let warned = match warnings {
            0 => String::new(),
            some => format!(" and {}", counted(some, "warning", "warnings")),
        };
        Self::usage(format!(
            "{}{warned} in {}",
            counted(errors, "problem", "problems"),
            counted(files.len(), "file", "files")
        ))
    }

    /// Adds what would help.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Shows it on stderr and returns the exit code.
    pub fn show(&self) -> ExitCode {
        console::error(&self.message);
        if let Some(hint) = &self.hint {
            console::hint(hint);
        }
        self.exit.into()
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        let hint = match &error {
            ClusterError::Forbidden { .. } => Some(
                "flowproof manifest rbac | kubectl apply -f - creates the ClusterRole that flowproof needs, and \
                 binds it to a service account"
                    .to_owned(),
            ),
            _ => error.hint().map(str::to_owned),
        };
        Self { exit: Exit::SetUpFailed, message: error.to_string(), hint }
    }
}
