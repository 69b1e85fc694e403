//! Faults that real network plugins had, and that the local cluster can have.
//!
//! The names, ids and references are data, in [`table`]. What a fault does is in the code that otherwise does the right thing: in
//! the compiler of policies, in the paths of a node, or in what the engine remembers.

mod table;

pub use table::{Fault, FaultInfo};

use std::{fmt, time::Duration};

/// How long [`Fault::LateByTenSeconds`] waits before it enforces a change.
pub(super) const LATE: Duration = Duration::from_secs(10);

/// How long [`Fault::StartupWindow`] leaves a new pod alone.
pub(super) const STARTUP_WINDOW: Duration = Duration::from_secs(5);

impl Fault {
    /// All faults, in the order of their ids.
    pub fn all() -> impl Iterator<Item = Self> {
        table::FAULTS.iter().map(|info| info.fault)
    }

    /// Finds a fault by its name.
    ///
    /// Fails for an unknown name; the error has the nearest one.
    pub fn named(name: &str) -> Result<Self, UnknownFault> {
        Self::all()
            .find(|fault| fault.info().name == name)
            .ok_or_else(|| UnknownFault { name: name.to_owned(), nearest: nearest(name) })
    }

    /// For how long after a change a flow may be wrong before the fault corrects itself; `None` if the flow stays wrong.
    pub fn lasts(self) -> Option<Duration> {
        match self {
            Self::LateByTenSeconds => Some(LATE),
            Self::StartupWindow => Some(STARTUP_WINDOW),
            _ => None,
        }
    }

    /// What is known about the fault.
    pub fn info(self) -> &'static FaultInfo {
        table::FAULTS
            .iter()
            .find(|info| info.fault == self)
            .expect("the table has every fault: a test sees to it")
    }
}

/// What a fault does to traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It lets through what must be denied.
    Opens,
    /// It denies what must get through.
    Closes,
    /// One or the other.
    Both,
    /// The API allows what it does.
    Neither,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Opens => "opens",
            Self::Closes => "closes",
            Self::Both => "both",
            Self::Neither => "neither",
        })
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Translation => "translation",
            Self::Path => "path",
            Self::Time => "time",
            Self::State => "state",
        })
    }
}

/// Where a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// In the translation of policies.
    Translation,
    /// In the path of packets.
    Path,
    /// In the moment at which something takes effect.
    Time,
    /// In what the engine remembers.
    State,
}

/// A name that no fault has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault named '{name}'")]
pub struct UnknownFault {
    /// As it was given.
    pub name: String,
    /// The fault whose name comes closest, if one is close.
    pub nearest: Option<&'static str>,
}

fn nearest(name: &str) -> Option<&'static str> {
    table::FAULTS
        .iter()
        .map(|info| (strsim::jaro_winkler(name, info.name), info.name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.info().name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_found() {
        let names: BTreeSet<_> = Fault::all().map(|fault| fault.info().name).collect();
        assert_eq!(names.len(), Fault::all().count());
        for fault in Fault::all() {
            assert_eq!(Fault::named(fault.info().name), Ok(fault));
        }
        assert!(names.len() >= 45);
        let unknown = Fault::named("nothing-enforcd").expect_err("it is misspelt");
        assert_eq!(unknown.nearest, Some("nothing-enforced"));
    }
}
