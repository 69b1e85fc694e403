//! The result of a run: counts of verdicts, and the conclusion, which has an exit code.

use super::{
    Canary, CanaryPair, End, Exit, FlowOutcome, Outcome, ScenarioOutcome, StepOutcome, Watched, What,
};
use crate::verdict::{Kind, Reason};
use serde::{Deserialize, Serialize};

/// How many flows got each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// As expected and proven.
    pub matched: usize,
    /// Not as expected.
    pub mismatched: usize,
    /// Not as expected, and a known deviation of the CNI.
    pub deviating: usize,
    /// Denied without a working control.
    pub unproven: usize,
    /// Nothing can be said about the flow.
    pub inconclusive: usize,
    /// The policies leave it open.
    #[serde(default)]
    pub unspecified: usize,
}

/// The conclusion of a run, worst first; each has an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// The user ended it.
    Interrupted,
    /// Policies are accepted and none is enforced.
    NothingEnforced,
    /// There is a mismatch.
    Mismatched,
    /// The cluster or the set-up failed.
    SetUpFailed,
    /// Something is unproven or inconclusive.
    Unclear,
    /// No flow was tried, or the policies leave all of them open.
    Nothing,
    /// Everything matched.
    Matched,
}

impl Conclusion {
    /// The exit code of a run with this conclusion.
    #[must_use]
    pub fn exit(self) -> Exit {
        match self {
            Self::Matched => Exit::Success,
            Self::Mismatched => Exit::Mismatched,
            Self::Unclear => Exit::Unclear,
            Self::SetUpFailed => Exit::SetUpFailed,
            Self::Nothing => Exit::Nothing,
            Self::NothingEnforced => Exit::NothingEnforced,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}

impl Tally {
    fn add(&mut self, flow: &FlowOutcome) {
        match (flow.verdict, &flow.deviation) {
            (Kind::Mismatched | Kind::Inconclusive | Kind::Unproven, Some(_)) => self.deviating += 1,
            (Kind::Matched, _) => self.matched += 1,
            (Kind::Unspecified, _) => self.unspecified += 1,
            (Kind::Mismatched, None) => self.mismatched += 1,
            (Kind::Unproven, None) => self.unproven += 1,
            (Kind::Inconclusive, None) => self.inconclusive += 1,
        }
    }

    /// All flows.
    #[must_use]
    pub fn total(self) -> usize {
        self.matched + self.mismatched + self.deviating + self.unproven + self.inconclusive + self.unspecified
    }
}

impl std::ops::Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            matched: self.matched + other.matched,
            mismatched: self.mismatched + other.mismatched,
            deviating: self.deviating + other.deviating,
            unproven: self.unproven + other.unproven,
            inconclusive: self.inconclusive + other.inconclusive,
            unspecified: self.unspecified + other.unspecified,
        }
    }
}

impl ScenarioOutcome {
    /// All its flows, including those of the restoration.
    pub fn flows(&self) -> impl Iterator<Item = (&StepOutcome, &FlowOutcome)> {
        self.steps
            .iter()
            .chain(&self.restore)
            .flat_map(|step| step.flows.iter().map(move |flow| (step, flow)))
    }

    /// Counts its verdicts.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.flows().for_each(|(_, flow)| tally.add(flow));
        tally
    }
}

impl Canary {
    /// Whether the denied flows of all pairs arrived. False if no pair was tried.
    #[must_use]
    pub fn nothing_enforced(&self) -> bool {
        let open = |pair: &CanaryPair| matches!(pair.reason, Reason::NotEnforced | Reason::OnlyAnswerBlocked);
        !self.pairs.is_empty() && self.pairs.iter().all(open)
    }

    /// Pairs of nodes between which the policy was not enforced.
    pub fn open(&self) -> impl Iterator<Item = &CanaryPair> {
        self.pairs.iter().filter(|pair| pair.verdict == Kind::Mismatched)
    }
}

impl Outcome {
    /// Counts all verdicts.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.scenarios.iter().map(ScenarioOutcome::tally).fold(Tally::default(), std::ops::Add::add)
    }

    /// Decides the conclusion of the run.
    #[must_use]
    pub fn conclusion(&self) -> Conclusion {
        let tally = self.tally();
        let denied = self
            .scenarios
            .iter()
            .flat_map(ScenarioOutcome::flows)
            .any(|(_, flow)| flow.expectation.denies() && flow.verdict == Kind::Matched);
        let failed = self.scenarios.iter().any(|scenario| matches!(scenario.end, End::Failed { .. }));
        let cut_short = self.scenarios.iter().any(|scenario| scenario.end == End::Interrupted);
        let canary_open = self.canary.as_ref().is_some_and(|canary| canary.open().next().is_some());
        let canary_unclear = self
            .canary
            .as_ref()
            .is_some_and(|canary| canary.pairs.iter().any(|pair| pair.verdict != Kind::Matched));
        let watched =
            |what| self.scenarios.iter().filter_map(|s| s.watched.as_ref()).any(|w: &Watched| w.any(what));
        let command_failed = self
            .watch
            .as_ref()
            .and_then(|watch| watch.command.as_ref())
            .is_some_and(|command| command.until_ms.is_some() && command.exit_code != Some(0));
        if self.interrupted {
            Conclusion::Interrupted
        } else if !denied && self.canary.as_ref().is_some_and(Canary::nothing_enforced) {
            Conclusion::NothingEnforced
        } else if tally.mismatched > 0 || canary_open || watched(What::Leak) || watched(What::Gap) {
            Conclusion::Mismatched
        } else if failed || command_failed {
            Conclusion::SetUpFailed
        } else if tally.unproven + tally.inconclusive > 0
            || canary_unclear
            || cut_short
            || watched(What::NotObserved)
        {
            Conclusion::Unclear
        } else if tally.total() == tally.unspecified {
            Conclusion::Nothing
        } else {
            Conclusion::Matched
        }
    }
}
