//! Decides when the flows of a step have settled, when one is given up, and when silence may only be slowness.

use super::{
    book::{Book, Key, Window},
    changed::Changed,
    control::Controls,
    limits::{Limits, Subject},
    pulse::{Asked, Chance, Pulses},
    site::Site,
};
use crate::{
    evidence::{record::Last, time::Moment},
    outcome::{Captured, PoliciesSay},
    parse::Deviation,
    scenario::{Expected, Labels, Manifest, flow::Expectation, name::Workload},
    verdict::assess::{Assessment, FEWEST_ATTEMPTS},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How late the last report that counts for a step may be: a stream may be slow, or may have to be resumed.
const LATE_REPORTS: Duration = Duration::from_secs(10);

/// How long the ends may take to report their last attempts.
pub const LAST_WORDS: Duration = Duration::from_secs(2);

/// Whether probers get the CPU that they need is read from this much time before now.
const LATELY: Duration = Duration::from_secs(10);

/// A step that was played and waits for judgment.
#[derive(Debug)]
pub struct Done<'a> {
    /// Its title.
    pub title: String,
    /// What its flows settled after.
    pub after: After,
    /// When its last change was accepted.
    pub accepted: Moment,
    /// When it ended.
    pub ended: Moment,
    /// How long its flows had to settle in any case.
    pub limit: Duration,
    /// From the change until all flows had settled; `None` if some did not.
    pub settled: Option<Duration>,
    /// The hold window that it ended with.
    pub hold: Duration,
    /// Its flows.
    pub expected: Vec<Awaited<'a>>,
    /// Manifests in force.
    pub policies: Vec<Manifest>,
    /// Labels of the pods.
    pub labels: BTreeMap<Workload, Labels>,
    /// What it changed, if it is a step of the scenario.
    pub changed: Option<Changed<'a>>,
}

/// A known deviation that covers a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known<'a> {
    /// The entry.
    pub entry: &'a Deviation,
    /// What this network does with the flow.
    pub observed: Expectation,
}

/// A flow of a step and the last of its attempts that is judged.
///
/// An attempt that was under way when the next change came may have been affected by that change. The record up to the last
/// attempt is judged again in the end, when late arrivals are known.
#[derive(Debug)]
pub struct Awaited<'a> {
    /// The flow in the book.
    pub key: Key,
    /// What is expected, as it is written.
    pub expected: &'a Expected,
    /// What it must do, according to the scenario or to the policies.
    pub expectation: Expectation,
    /// The known deviation that covers it; none once everything was deleted, because deviations are about policies.
    pub known: Option<Known<'a>>,
    /// What the policies say.
    pub says: PoliciesSay,
    /// The last attempt that is judged.
    pub until: Last,
    /// Whether it has settled.
    pub settled: bool,
    /// Whether its source is a pod that was started under policies that deny it, so that its very first attempt counts.
    pub from_start: bool,
    /// Whether the network has had enough time, for a flow that has not settled.
    pub chance: Chance,
    /// What captures show about it.
    pub captured: Option<Captured>,
}

impl Awaited<'_> {
    /// What it must do for its step to go on: what is expected, or what a known deviation does instead.
    #[must_use]
    pub fn waited_for(&self) -> Expectation {
        self.known.map_or(self.expectation, |known| known.observed)
    }
}

/// What the flows settle after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// No change, so it means nothing if nothing visibly changes.
    Nothing,
    /// Changes of a step. If nothing visibly changes, they may not be enforced yet.
    Changes {
        /// Before the first change was sent.
        sent: Moment,
    },
    /// Everything was deleted.
    Deletion,
}

/// What the run must do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Go on listening.
    Wait {
        /// This many flows are as they should be.
        agree: usize,
        /// Whether the step is late, so that pulses are wanted.
        late: bool,
    },
    /// All agree, or are given up.
    Settled {
        /// From the change until the slowest had settled; `None` if one was given up.
        after: Option<Duration>,
        /// What this shows about the time that enforcement takes here; `None` if nothing was seen to change.
        measured: Option<Duration>,
        /// This many flows are as they should be.
        agree: usize,
    },
    /// The network has had its time, and so have late reports; or an end is gone.
    OutOfTime {
        /// This many flows are as they should be.
        agree: usize,
    },
}

/// The flows of a step while they settle.
#[derive(Debug)]
pub struct Settle<'a> {
    /// The flows.
    pub expected: Vec<Awaited<'a>>,
    /// What they settle after.
    pub after: After,
    /// What was changed.
    pub subject: Subject,
    /// Since when the flows of the scenario have been tried.
    pub began: Moment,
    /// When the last change was accepted.
    pub accepted: Moment,
    /// When the waiting began.
    pub begun: Moment,
    /// How long an attempt waits for its answer.
    pub timeout: Duration,
    /// From one attempt of a flow to the next.
    pub interval: Duration,
    /// The hold window.
    pub hold: Duration,
    /// Since when it is known, for all flows that have not settled, that the network has had enough time.
    decided: Option<Moment>,
}

/// What is known besides the flows.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// The record of the lane.
    pub book: &'a Book,
    /// Where its pods are.
    pub site: &'a Site,
    /// Which flows worked without policies.
    pub controls: &'a Controls<'a>,
    /// The limits that hold right now.
    pub limits: &'a Limits,
    /// What pulses have shown.
    pub pulses: &'a Pulses,
}

/// What one look at all flows found.
#[derive(Default)]
struct Seen {
    agree: usize,
    given_up: usize,
    /// Whether some flow was seen to go against what is waited for.
    changed: bool,
    /// Whether some flow may still settle.
    may_yet: bool,
    /// Whether some end has not been heard up to the deadline yet.
    unheard: bool,
    slowest: Duration,
    /// How many flows have not settled while nothing shows that the network has had enough time.
    open: usize,
}

impl<'a> Settle<'a> {
    /// Begins to wait.
    #[must_use]
    pub fn new(
        expected: Vec<Awaited<'a>>,
        after: After,
        subject: Subject,
        times: &Times,
        limits: &Limits,
    ) -> Self {
        // An answer cannot be taken back, so a few in a row are enough in the end.
        let hold = if after == After::Deletion { Duration::ZERO } else { limits.hold };
        Self {
            expected,
            after,
            subject,
            began: times.began,
            accepted: times.accepted,
            begun: times.begun,
            timeout: times.timeout,
            interval: times.interval,
            hold,
            decided: None,
        }
    }

    /// Looks at all flows.
    pub fn look(&mut self, now: Moment, around: &Around<'_>) -> Look {
        // Attempts that are not older than the deny window are still under way.
        let under_way = if self.after == After::Deletion { Duration::ZERO } else { self.timeout };
        let window = Window { from: self.accepted, to: Last::StartedBy(now - under_way) };
        let deadline = self.decided.unwrap_or(self.begun + around.limits.settle(self.subject));
        let seen = self.look_at_all(window, now, deadline, around);
        let Seen { agree, given_up, .. } = seen;
        if agree + given_up == self.expected.len() {
            let after = (given_up == 0).then_some(seen.slowest);
            let After::Changes { sent } = self.after else {
                return Look::Settled { after, measured: None, agree };
            };
            if seen.changed || self.was_different(around.book, sent) {
                return Look::Settled { after, measured: (agree > 0).then_some(seen.slowest), agree };
            }
            // Nothing was seen to change. That proves something only after as much time as enforcement takes here.
            let wanted = around.limits.quiet_hold(self.subject);
            if self.hold >= wanted {
                return Look::Settled { after, measured: None, agree };
            }
            self.hold = wanted;
        }
        if self.expected.iter().any(|awaited| around.book.gone(awaited.key).is_some()) {
            return Look::OutOfTime { agree };
        }
        let late = now.since(self.accepted) > self.late_after(around.limits);
        if now <= deadline || seen.open > 0 {
            if seen.open > 0 {
                self.decided = None;
            }
            return Look::Wait { agree, late };
        }
        let decided = *self.decided.get_or_insert(deadline.max(now - self.interval));
        let grace = match (seen.unheard, seen.may_yet) {
            (true, _) => LATE_REPORTS,
            (false, true) => self.hold + self.until_next_is_decided(),
            (false, false) => Duration::ZERO,
        };
        if now > decided + grace { Look::OutOfTime { agree } } else { Look::Wait { agree, late } }
    }

    fn look_at_all(&mut self, window: Window, now: Moment, deadline: Moment, around: &Around<'_>) -> Seen {
        let mut seen = Seen::default();
        for awaited in &mut self.expected {
            let assessment = around.book.assess(awaited.key, awaited.waited_for(), window, self.hold);
            // If the last attempts prove nothing, they are judged, too: the flow may have changed while they were made.
            awaited.until = match assessment.until {
                Some((_, attempt)) if assessment.hindered_since == 0 => Last::Attempt(attempt),
                _ => window.to,
            };
            awaited.settled = assessment.settled(self.hold);
            seen.may_yet |= assessment.in_doubt
                || !awaited.settled && assessment.good_since.is_some_and(|since| since <= deadline);
            let looked_at = assessment.until.map_or(Duration::ZERO, |(last, _)| last.since(self.accepted));
            if looked_at >= self.hold && is_lost(awaited, &assessment, around) {
                seen.given_up += 1;
                continue;
            }
            seen.changed |= assessment.contradictions.is_some();
            if awaited.settled {
                seen.agree += 1;
                let since = assessment.good_since.unwrap_or(self.accepted);
                seen.slowest = seen.slowest.max(since.since(self.accepted));
                continue;
            }
            seen.unheard |= around.book.heard_until(awaited.key) < deadline;
            if now > deadline {
                awaited.chance = chance(awaited.key, (self.subject, self.accepted), now, around);
                seen.open += usize::from(awaited.chance == Chance::Open);
            }
        }
        seen
    }

    /// Whether the last attempt of some flow before a moment went against what is waited for. Then a change was seen since,
    /// however quick it was.
    fn was_different(&self, book: &Book, moment: Moment) -> bool {
        let window = Window { from: self.began, to: Last::StartedBy(moment) };
        self.expected.iter().any(|awaited| {
            let before = book.assess(awaited.key, awaited.waited_for(), window, Duration::ZERO);
            let last = before.until.map(|(started, _)| started);
            before.contradictions.is_some_and(|against| Some(against.last_at) == last)
        })
    }

    /// When a step that has not settled is late, so that pulses are wanted. Pulses are load: on Cilium, a change of labels took
    /// twice as long while pulses changed labels. So pulses wait until nothing else helps if the step changes labels.
    fn late_after(&self, limits: &Limits) -> Duration {
        match self.subject {
            Subject::Policies => limits.settle(self.subject) / 2,
            Subject::Labels => limits.settle(self.subject),
        }
    }

    /// Longest time until one more attempt of every flow is known, whatever its result.
    fn until_next_is_decided(&self) -> Duration {
        self.interval + 2 * self.timeout + LAST_WORDS
    }
}

/// The times of a step.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// As in [`Settle`].
    pub began: Moment,
    /// As in [`Settle`].
    pub accepted: Moment,
    /// As in [`Settle`].
    pub begun: Moment,
    /// As in [`Settle`].
    pub timeout: Duration,
    /// As in [`Settle`].
    pub interval: Duration,
}

/// Whether the network has had enough time for a flow.
fn chance(key: Key, (subject, accepted): (Subject, Moment), now: Moment, around: &Around<'_>) -> Chance {
    let ends: Vec<&Workload> = around.book.workloads(key).collect();
    let nodes: BTreeSet<String> =
        ends.iter().filter_map(|end| around.site.node(end)).map(str::to_owned).collect();
    let lately = (now - LATELY).max(accepted);
    let lag = around.book.hindrance(key, lately, now).lag;
    around.pulses.chance(&Asked { subject, accepted, nodes: &nodes, lag }, now, around.limits)
}

/// Whether there is no point in waiting for a flow: it never worked without a policy, so its silence proves nothing, and it does
/// not begin to work now.
fn is_lost(awaited: &Awaited<'_>, assessment: &Assessment, around: &Around<'_>) -> bool {
    let family = around.book.flow(awaited.key).planned.family;
    let never_worked = around.controls.never_worked(&awaited.expected.flow, family);
    let begins_to_work = !awaited.waited_for().denies() && assessment.good_since.is_some();
    never_worked && !begins_to_work && !awaited.settled && assessment.attempts >= FEWEST_ATTEMPTS
}

#[cfg(test)]
mod tests;
