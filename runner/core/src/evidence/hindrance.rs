//! When an end got too little CPU, and which attempts prove nothing because of it.

use super::{
    record::{Segment, Witness},
    time::Moment,
};
use crate::scenario::flow::Expectation;
use flowproof_wire::{Attempt, Observation};
use std::time::Duration;

/// A timer that is this late means too little CPU: an answer may then come too late although the network is not to blame.
pub const STARVED: Duration = Duration::from_millis(100);

/// An end that gets no CPU at some time between the start of an attempt and this much later may have missed the attempt.
/// Listeners are checked as often.
pub const ANSWERED_WITHIN: Duration = Duration::from_millis(500);

/// Most periods that are kept per prober. No step needs a period of ten minutes ago.
const MOST_PERIODS: usize = 1024;

/// Sorted periods in which a prober got too little CPU; they do not overlap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hindered {
    periods: Vec<Period>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Period {
    from: Moment,
    to: Moment,
    /// Longest delay of a timer in it.
    lag: Duration,
}

/// During how much of a window an end of a flow got too little CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Hindrance {
    /// The part of the window, from 0 to 1.
    pub share: f64,
    /// Longest delay of a timer in it.
    pub lag: Duration,
}

/// A part of one flow's attempts, in order: some that can prove something, or a number of some that cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Attempts that went the same way.
    Telling(Segment),
    /// This many attempts during which an end was hindered.
    Hindered(u64),
}

impl Hindered {
    /// Notes that a prober's timer was late by this much at some time between two moments.
    pub fn note(&mut self, from: Moment, to: Moment, lag: Duration) {
        match self.periods.last_mut() {
            Some(last) if last.to >= from => {
                last.to = to.max(last.to);
                last.from = from.min(last.from);
                last.lag = lag.max(last.lag);
            }
            _ => self.periods.push(Period { from, to, lag }),
        }
        if self.periods.len() > MOST_PERIODS {
            self.periods.remove(0);
        }
    }

    /// Whether the prober got too little CPU at some time between two moments.
    #[must_use]
    pub fn touches(&self, from: Moment, to: Moment) -> bool {
        self.between(from, to).next().is_some()
    }

    /// During how much of the time between two moments the prober got too little CPU.
    #[must_use]
    pub fn over(&self, from: Moment, to: Moment) -> Hindrance {
        let mut hindered = Duration::ZERO;
        let mut lag = Duration::ZERO;
        for period in self.between(from, to) {
            hindered += period.to.min(to).since(period.from.max(from));
            lag = lag.max(period.lag);
        }
        let whole = to.since(from).as_secs_f64();
        let share = if whole > 0.0 {
            hindered.as_secs_f64() / whole
        } else {
            f64::from(u8::from(lag > Duration::ZERO))
        };
        Hindrance { share: share.min(1.0), lag }
    }

    /// Adds the periods of another prober.
    pub fn join(&mut self, other: &Self) {
        if other.periods.is_empty() {
            return;
        }
        let mut all = std::mem::take(&mut self.periods);
        all.extend(&other.periods);
        all.sort_by_key(|period| period.from);
        for period in all {
            self.note(period.from, period.to, period.lag);
        }
    }

    fn between(&self, from: Moment, to: Moment) -> impl Iterator<Item = &Period> {
        let first = self.periods.partition_point(|period| period.to < from);
        self.periods[first..].iter().take_while(move |period| period.from <= to)
    }

    /// Separates the attempts that prove nothing, because an end may have missed them or their answer.
    ///
    /// What got through got through, and what did not arrive at a living prober never will: the kernel keeps it until it is read.
    /// But an answer may be late although the network is not to blame, and a server without a prober cannot report what arrived.
    #[must_use]
    pub(crate) fn sift(&self, expectation: Expectation, segments: &[Segment]) -> Vec<Part> {
        let mut parts = Vec::new();
        for segment in segments {
            if self.periods.is_empty() || !may_be_missed(expectation, segment) {
                parts.push(Part::Telling(segment.clone()));
            } else {
                self.split(segment, &mut parts);
            }
        }
        parts
    }

    fn split(&self, segment: &Segment, parts: &mut Vec<Part>) {
        let at = |index: u64| {
            let gaps = (segment.attempts - 1).max(1) as f64;
            segment.first_at + segment.last_at.since(segment.first_at).mul_f64(index as f64 / gaps)
        };
        let missed = |index: u64| self.touches(at(index), at(index) + ANSWERED_WITHIN);
        let mut from = 0;
        while from < segment.attempts {
            let hindered = missed(from);
            let to = (from + 1..segment.attempts)
                .find(|index| missed(*index) != hindered)
                .unwrap_or(segment.attempts);
            parts.push(if hindered {
                Part::Hindered(to - from)
            } else {
                Part::Telling(Segment {
                    attempts: to - from,
                    first_at: at(from),
                    last_at: at(to - 1),
                    last: Attempt(segment.last.0 - (segment.attempts - to) as u32),
                    observation: segment.observation.clone(),
                    witness: segment.witness,
                })
            });
            from = to;
        }
    }
}

/// Whether too little CPU at an end may be the reason for what was seen.
fn may_be_missed(expectation: Expectation, segment: &Segment) -> bool {
    let no_answer = matches!(segment.observation, Observation::Silent | Observation::Cut { reset: false });
    no_answer && (!expectation.denies() || segment.witness == Witness::Absent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(at: i64) -> Moment {
        Moment(at * 1000)
    }

    fn hindered(periods: &[(i64, i64)]) -> Hindered {
        let mut hindered = Hindered::default();
        for (from, to) in periods {
            hindered.note(ms(*from), ms(*to), Duration::from_millis(200));
        }
        hindered
    }

    /// Attempts every 100 ms from moment zero.
    fn segment(attempts: u64, observation: Observation, witness: Witness) -> Segment {
        let last_at = ms((attempts.cast_signed() - 1) * 100);
        Segment { attempts, first_at: ms(0), last_at, last: Attempt(attempts as u32), observation, witness }
    }

    fn shape(parts: &[Part]) -> Vec<(bool, u64)> {
        parts
            .iter()
            .map(|part| match part {
                Part::Telling(segment) => (true, segment.attempts),
                Part::Hindered(attempts) => (false, *attempts),
            })
            .collect()
    }

    #[test]
    fn attempts_that_an_end_may_have_missed_prove_nothing() {
        let silent = segment(20, Observation::Silent, Witness::NotArrived);
        // The attempts from 500 ms to 1,200 ms were started during the time from 1.0 s to 1.2 s, or at most 500 ms before it.
        let parts = hindered(&[(1_000, 1_200)]).sift(Expectation::Allow, &[silent]);
        assert_eq!(shape(&parts), [(true, 5), (false, 8), (true, 7)]);
        let Part::Telling(last) = &parts[2] else { panic!("the last ones tell") };
        assert_eq!((last.first_at, last.last_at, last.last), (ms(1_300), ms(1_900), Attempt(20)));
        let Part::Telling(first) = &parts[0] else { panic!("the first ones tell") };
        assert_eq!((first.last_at, first.last), (ms(400), Attempt(5)));
    }

    #[test]
    fn what_got_through_got_through() {
        let answered = segment(9, Observation::Answered { answers: vec![] }, Witness::Arrived);
        let always = hindered(&[(0, 9_000)]);
        for expectation in [Expectation::Allow, Expectation::Deny] {
            assert_eq!(shape(&always.sift(expectation, std::slice::from_ref(&answered))), [(true, 9)]);
        }
        let refused = segment(9, Observation::Refused, Witness::NotArrived);
        assert_eq!(shape(&always.sift(Expectation::Allow, &[refused])), [(true, 9)]);
    }

    #[test]
    fn a_deny_needs_a_witness_when_an_end_is_hindered() {
        let always = hindered(&[(0, 9_000)]);
        let sift =
            |witness| shape(&always.sift(Expectation::Deny, &[segment(9, Observation::Silent, witness)]));
        assert_eq!(sift(Witness::NotArrived), [(true, 9)], "its prober would have read it later");
        assert_eq!(
            sift(Witness::Absent),
            [(false, 9)],
            "a server without a prober cannot say that it was late"
        );
    }

    #[test]
    fn a_share_is_the_time_within_the_window() {
        let hindered = hindered(&[(0, 1_000), (4_000, 5_000), (8_000, 9_000)]);
        let over = hindered.over(ms(500), ms(4_500));
        assert!((over.share - 0.25).abs() < 1e-9, "{over:?}");
        assert_eq!(over.lag, Duration::from_millis(200));
        assert_eq!(hindered.over(ms(1_500), ms(3_500)), Hindrance::default());
    }

    #[test]
    fn periods_of_two_probers_are_joined() {
        let mut one = hindered(&[(0, 1_000), (4_000, 5_000)]);
        one.join(&hindered(&[(500, 2_000), (9_000, 9_500)]));
        assert_eq!(one, hindered(&[(0, 2_000), (4_000, 5_000), (9_000, 9_500)]));
    }
}
