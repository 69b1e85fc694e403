//! Compares two outcomes flow by flow: what changed between them, the most important first. Pure.

mod flows;
mod pair;
mod words;

pub use words::{counted, headline};

use crate::{
    outcome::{Conclusion, Outcome, Tally},
    scenario::flow::{Expectation, Family},
    verdict::{Kind, Reason},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Name and version of the comparison's JSON; the version follows the same rule as that of outcomes.
pub const SCHEMA: &str = "flowproof.compare/1";

/// What is tolerated.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tolerance {
    /// How many times longer enforcement may take; `None` if time is only reported.
    pub slower: Option<f64>,
}

/// Times to enforcement that differ by less than this differ by chance: attempts are 100 ms apart, and a busy machine adds as
/// much.
pub const NOISE: Duration = Duration::from_millis(500);

/// Without a tolerance, enforcement that takes this many times longer is reported.
pub const NOTABLY_SLOWER: f64 = 2.0;

/// What changed between two outcomes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: String,
    /// The comparison in one sentence.
    pub headline: String,
    /// The earlier run.
    pub before: Side,
    /// The later run.
    pub after: Side,
    /// What differs in the clusters and in how they were tested.
    pub surroundings: Vec<Difference>,
    /// What changed, the most important first.
    pub changes: Vec<Change>,
    /// How many of the changes are regressions.
    pub regressions: usize,
    /// How many flows came out as before.
    pub unchanged: usize,
}

/// One of the two runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The run's id.
    pub run: String,
    /// When it began (RFC 3339, UTC).
    pub started: String,
    /// Its conclusion.
    pub conclusion: Conclusion,
    /// Its verdicts.
    pub tally: Tally,
}

/// Something about the surroundings that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What it is.
    pub what: String,
    /// How it was.
    pub before: String,
    /// How it is.
    pub after: String,
}

/// How a flow changed, the most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It was denied as expected, and now it gets through.
    Leaks,
    /// It was allowed as expected, and now it does not get through.
    Blocked,
    /// It matched, and now it is mismatched for another reason.
    Broken,
    /// It matched, and now nothing is proven.
    Unclear,
    /// It matched, and was not tried again.
    NotTried,
    /// It is enforced later than the tolerance allows, or notably later if there is no tolerance.
    Slower,
    /// It still does not match, for another reason.
    OtherReason,
    /// It was not tried before.
    New,
    /// It did not match, and was not tried again.
    Gone,
    /// Something else is expected of it.
    OtherExpectation,
    /// It is still denied, in another way: dropped where it was rejected, or the other way round.
    OtherDenial,
    /// It did not match, and now it does.
    Fixed,
    /// It is enforced notably sooner.
    Sooner,
    /// An end of it is on another node.
    Moved,
}

/// A flow that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// How.
    pub effect: Effect,
    /// Whether something that matched no longer does, or a tolerance is exceeded.
    pub regression: bool,
    /// The claim of its scenario.
    pub scenario: String,
    /// The title of its step.
    pub step: String,
    /// The flow; `canary NODE -> NODE` for a pair of the canary.
    pub flow: String,
    /// Its families that changed alike; empty for the canary.
    pub families: Vec<Family>,
    /// How it was; `None` if it was not tried.
    pub before: Option<Seen>,
    /// How it is; `None` if it was not tried.
    pub after: Option<Seen>,
}

/// How a flow came out in one of the runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// What was expected.
    pub expectation: Expectation,
    /// The verdict.
    pub verdict: Kind,
    /// Its reason.
    pub reason: Reason,
    /// The reason in words.
    pub text: String,
    /// Time to enforcement.
    pub enforced_after_ms: Option<u64>,
    /// Node of the source.
    pub source_node: String,
    /// Node of the destination, if it is a pod.
    pub destination_node: Option<String>,
}

/// Compares two outcomes.
#[must_use]
pub fn compare(before: &Outcome, after: &Outcome, tolerance: Tolerance) -> Comparison {
    let (mut changes, unchanged) = flows::changes(before, after, tolerance);
    changes.sort_by(|a, b| {
        let rank = |c: &Change| (!c.regression, c.effect);
        rank(a).cmp(&rank(b)).then_with(|| (&a.scenario, &a.step).cmp(&(&b.scenario, &b.step)))
    });
    let mut comparison = Comparison {
        schema: SCHEMA.to_owned(),
        headline: String::new(),
        before: side(before),
        after: side(after),
        surroundings: pair::surroundings(before, after),
        regressions: changes.iter().filter(|change| change.regression).count(),
        changes,
        unchanged,
    };
    comparison.headline = headline(&comparison);
    comparison
}

fn side(outcome: &Outcome) -> Side {
    Side {
        run: outcome.run.clone(),
        started: outcome.started.clone(),
        conclusion: outcome.conclusion(),
        tally: outcome.tally(),
    }
}

impl Comparison {
    /// Whether the later run is worse, because of a regression, or because nothing is enforced any more. The exit code is then 1.
    #[must_use]
    pub fn worse(&self) -> bool {
        self.regressions > 0
            || (self.after.conclusion == Conclusion::NothingEnforced
                && self.before.conclusion != Conclusion::NothingEnforced)
    }

    /// Whether no flow was tried in both runs.
    #[must_use]
    pub fn compared_nothing(&self) -> bool {
        self.unchanged == 0
            && !self.changes.iter().any(|change| change.before.is_some() && change.after.is_some())
    }
}

#[cfg(test)]
mod tests;
