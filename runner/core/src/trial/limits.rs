//! How long a step waits: the options of the run, and what the run has seen of its network so far.

use crate::scenario::{Scenario, Step};
use std::time::Duration;

/// On a network that enforces nothing, no later step waits longer than this: the answer would be the same.
const SETTLE_WHEN_NOTHING_IS_ENFORCED: Duration = Duration::from_secs(3);

/// What a step changes. Some network plugins follow labels much later than policies (Cilium waits five seconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Policies, or pods that start again.
    Policies,
    /// Labels of pods or namespaces, perhaps beside policies.
    Labels,
}

impl From<&Step> for Subject {
    fn from(step: &Step) -> Self {
        if step.relabels() { Self::Labels } else { Self::Policies }
    }
}

impl From<&Scenario> for Subject {
    fn from(scenario: &Scenario) -> Self {
        if scenario.relabels() { Self::Labels } else { Self::Policies }
    }
}

/// The limits that hold for a step right now.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long flows may take to settle after a change of policies, and to work in the control.
    pub settle: Duration,
    /// The same after a change of labels.
    pub settle_labels: Duration,
    /// How long a step waits at most while nothing shows that the network has had enough time ([`super::pulse`]).
    pub patience: Duration,
    /// How long a flow must have gone as expected before it counts as settled.
    pub hold: Duration,
    /// How long a step in which nothing visibly changes is held, as long as this run has not seen how quick the network is.
    pub quiet: Duration,
    /// Longest time to enforcement that still matches.
    pub budget: Option<Duration>,
    /// Longest time to enforcement of policies that this run has seen.
    pub slowest_policies: Option<Duration>,
    /// Longest time until changed labels were followed that this run has seen.
    pub slowest_labels: Option<Duration>,
    /// Whether the canary found that nothing is enforced at all.
    pub nothing_enforced: bool,
}

impl Limits {
    /// How long flows may take to settle in any case.
    #[must_use]
    pub fn settle(&self, subject: Subject) -> Duration {
        let limit = match subject {
            Subject::Policies => self.settle,
            Subject::Labels => self.settle_labels,
        };
        if self.nothing_enforced { limit.min(SETTLE_WHEN_NOTHING_IS_ENFORCED) } else { limit }
    }

    /// How long flows may take to settle as long as nothing shows that the network has had enough time.
    #[must_use]
    pub fn patience(&self, subject: Subject) -> Duration {
        let settle = self.settle(subject);
        if self.nothing_enforced { settle } else { self.patience.max(settle) }
    }

    /// How long a step in which nothing visibly changes is held: twice the time that enforcement was seen to take in this run,
    /// but at most half of the time to settle.
    #[must_use]
    pub fn quiet_hold(&self, subject: Subject) -> Duration {
        let slowest = match subject {
            Subject::Policies => self.slowest_policies,
            Subject::Labels => self.slowest_labels,
        };
        let wanted = slowest.map_or(self.quiet, |slowest| slowest * 2);
        wanted.min(self.settle(Subject::Policies) / 2).max(self.hold)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::trial) fn limits() -> Limits {
        Limits {
            settle: Duration::from_secs(15),
            settle_labels: Duration::from_secs(45),
            patience: Duration::from_secs(120),
            hold: Duration::from_secs(1),
            quiet: Duration::from_secs(2),
            budget: None,
            slowest_policies: None,
            slowest_labels: None,
            nothing_enforced: false,
        }
    }

    #[test]
    fn a_quiet_step_is_held_for_twice_the_slowest_enforcement_within_bounds() {
        let ms = Duration::from_millis;
        let hold = |slowest: Option<u64>| {
            Limits { slowest_policies: slowest.map(ms), ..limits() }.quiet_hold(Subject::Policies)
        };
        assert_eq!(hold(None), ms(2000), "nothing was seen yet");
        assert_eq!(hold(Some(100)), ms(1000), "not less than the hold window");
        assert_eq!(hold(Some(3000)), ms(6000));
        assert_eq!(hold(Some(9000)), ms(7500), "not more than half of the time to settle");
        let labels = Limits { slowest_policies: Some(ms(9000)), ..limits() };
        assert_eq!(labels.quiet_hold(Subject::Labels), ms(2000), "labels have a time of their own");
    }

    #[test]
    fn nobody_is_patient_with_a_network_that_enforces_nothing() {
        let limits = Limits { nothing_enforced: true, ..limits() };
        assert_eq!(limits.settle(Subject::Labels), Duration::from_secs(3));
        assert_eq!(limits.patience(Subject::Labels), Duration::from_secs(3));
    }
}
