//! A comparison in words.

use super::{Comparison, Effect};
use crate::outcome::Conclusion;
use std::fmt;

/// The comparison in one line.
#[must_use]
pub fn headline(comparison: &Comparison) -> String {
    let lost: Vec<String> = Effect::ALL
        .into_iter()
        .filter_map(|effect| {
            let of = comparison.changes.iter().filter(|change| change.regression && change.effect == effect);
            let count: usize = of.map(|change| change.families.len().max(1)).sum();
            (count > 0).then(|| format!("{count} {}", effect.of_many(count)))
        })
        .collect();
    let lost = lost.join(", ");
    let nothing_enforced = |conclusion| conclusion == Conclusion::NothingEnforced;
    if nothing_enforced(comparison.after.conclusion) && !nothing_enforced(comparison.before.conclusion) {
        let flows = if lost.is_empty() { String::new() } else { format!(": {lost}") };
        return format!("WORSE: enforcement is gone, policies are accepted and none is enforced{flows}");
    }
    if comparison.compared_nothing() && comparison.regressions == 0 {
        return "no flow was tried in both runs: this compares nothing".to_owned();
    }
    match comparison.regressions {
        0 if comparison.changes.is_empty() => {
            format!("nothing changed: {} as before", counted(comparison.unchanged, "flow is", "flows are"))
        }
        0 => format!(
            "nothing got worse: {} as before, {}",
            counted(comparison.unchanged, "flow", "flows"),
            counted(comparison.changes.len(), "change", "changes")
        ),
        _ => format!("WORSE: {lost}"),
    }
}

/// `1 gap`, `2 gaps`.
#[must_use]
pub fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

impl Effect {
    /// All effects, the most important first.
    pub const ALL: [Self; 14] = [
        Self::Leaks,
        Self::Blocked,
        Self::Broken,
        Self::Unclear,
        Self::NotTried,
        Self::Slower,
        Self::OtherReason,
        Self::New,
        Self::Gone,
        Self::OtherExpectation,
        Self::OtherDenial,
        Self::Fixed,
        Self::Sooner,
        Self::Moved,
    ];

    fn of_many(self, count: usize) -> String {
        let (flows, verb) = if count == 1 { ("denied flow", "gets") } else { ("denied flows", "get") };
        match self {
            Self::Leaks => format!("{flows} {verb} through"),
            Self::Blocked => "allowed blocked".to_owned(),
            Self::Broken => "no longer as expected".to_owned(),
            Self::Unclear => "no longer proven".to_owned(),
            Self::NotTried => "no longer tried".to_owned(),
            Self::Slower => "enforced too late".to_owned(),
            other => other.to_string(),
        }
    }
}

/// The effect in a few words, as a heading.
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Leaks => "now leaks",
            Self::Blocked => "now blocked",
            Self::Broken => "no longer as expected",
            Self::Unclear => "no longer proven",
            Self::NotTried => "no longer tried",
            Self::Slower => "enforced later",
            Self::OtherReason => "does not match for another reason",
            Self::New => "new",
            Self::Gone => "gone",
            Self::OtherExpectation => "other expectation",
            Self::OtherDenial => "denied in another way",
            Self::Fixed => "matches now",
            Self::Sooner => "enforced sooner",
            Self::Moved => "on other nodes",
        })
    }
}
