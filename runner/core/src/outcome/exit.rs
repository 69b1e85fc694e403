//! The exit codes of the command line: name, number, meaning. Help, documentation and scripts rely on them.

use std::process::ExitCode;

/// What an exit code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Everything matched.
    Success,
    /// Something did not do what was expected.
    Mismatched,
    /// The command line or a file is wrong.
    Usage,
    /// Something is unproven or inconclusive.
    Unclear,
    /// The cluster or the set-up failed.
    SetUpFailed,
    /// There was nothing to do.
    Nothing,
    /// Policies are accepted and none is enforced.
    NothingEnforced,
    /// The user ended it; the number is 128 plus that of SIGINT, as in a shell.
    Interrupted,
}

impl Exit {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Success,
        Self::Mismatched,
        Self::Usage,
        Self::Unclear,
        Self::SetUpFailed,
        Self::Nothing,
        Self::NothingEnforced,
        Self::Interrupted,
    ];

    /// The number that the process exits with.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Mismatched => 1,
            Self::Usage => 2,
            Self::Unclear => 3,
            Self::SetUpFailed => 4,
            Self::Nothing => 5,
            Self::NothingEnforced => 6,
            Self::Interrupted => 130,
        }
    }

    /// What it means for a run, in words. Commands without flows describe it more narrowly in their help.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "everything matched",
            Self::Mismatched => "at least one mismatch",
            Self::Usage => "usage, or a scenario that does not parse or check",
            Self::Unclear => "no mismatch, but something unproven or inconclusive",
            Self::SetUpFailed => "the cluster is unreachable, forbids what is needed, or the set-up failed",
            Self::Nothing => "nothing to run: no scenario or flow selected",
            Self::NothingEnforced => "the cluster accepts policies and enforces none of them",
            Self::Interrupted => "interrupted; cleaned up",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn all_exit_codes_are_listed_once_and_by_number() {
        assert!(Exit::ALL.is_sorted_by(|one, next| one.code() < next.code() && one < next));
    }
}
