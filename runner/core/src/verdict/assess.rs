//! Whether a flow has settled as expected, and what contradicted it: a pure function of its segments.

use crate::{
    evidence::{
        hindrance::{Hindered, Hindrance, Part},
        life::Life,
        record::{Segment, Witness},
        time::Moment,
    },
    scenario::flow::Expectation,
    verdict::{Case, Control, Kind, Reason, Verdict, judge},
};
use flowproof_wire::{Attempt, Observation};
use std::time::Duration;

/// Fewest attempts that must agree, whatever the hold window is.
pub const FEWEST_ATTEMPTS: u64 = 3;

/// What the attempts of a window show about a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// Decided attempts in the window.
    pub attempts: u64,
    /// How many of them prove nothing, because an end got too little CPU.
    pub hindered: u64,
    /// How many of those come after the last attempt that proves something.
    pub hindered_since: u64,
    /// Start of the first attempt of the last unbroken series that went as expected; `None` if the last attempt did not.
    pub good_since: Option<Moment>,
    /// Attempts in that series.
    pub series: u64,
    /// Set if the series may have begun earlier: why what was seen before it proves nothing.
    pub cut: Option<Reason>,
    /// Start and number of the last decided attempt that proves something.
    pub until: Option<(Moment, Attempt)>,
    /// Attempts that went against the expectation.
    pub contradictions: Option<Contradictions>,
    /// Single attempts of an allowed flow that failed between two that worked: packet loss, which is reported and not judged.
    pub losses: u64,
    /// Whether the last attempt of an allowed flow failed after one that worked: the next one shows whether it was a loss.
    pub in_doubt: bool,
    /// When a denied flow got through after it had settled; one moment for each time.
    pub flips: Vec<Moment>,
    /// What both ends saw of the last decided attempt that proves something; of the last attempt if none does.
    pub last: Option<(Observation, Witness)>,
}

/// Attempts that went against the expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradictions {
    /// How many.
    pub count: u64,
    /// Start of the first.
    pub first_at: Moment,
    /// Start of the last.
    pub last_at: Moment,
    /// What both ends saw of the last.
    pub last: (Observation, Witness),
}

/// What is known besides the segments when a flow is judged for a step.
#[derive(Debug, Clone)]
pub struct Circumstances {
    /// Whether the flow works without the policies.
    pub control: Control,
    /// Whether both ends were alive during the time that counts: from [`Assessment::judged_from`] to the last judged attempt if
    /// the flow has settled, otherwise to the end of the step.
    pub life: Life,
    /// As in [`Case::policed`].
    pub policed: bool,
    /// Whether it had settled when its step ended ([`Assessment::settled`]).
    pub settled: bool,
    /// How often a denied flow may get through after silence while the change takes effect
    /// ([`Scene::reopenings`](crate::policy::Scene::reopenings)).
    pub reopenings: usize,
    /// Latest time from the change to the first attempt of the series; `None` for no limit.
    pub budget: Option<Duration>,
    /// When the change was accepted.
    pub accepted: Moment,
    /// During how much of the step an end got too little CPU.
    pub hindrance: Hindrance,
    /// Whether the network has had enough time, if the flow did not settle.
    pub network: Network,
}

/// Whether the network has had as much time as it needs right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// It has, so what is wrong stays wrong.
    HadItsTime,
    /// Nothing shows that it has.
    PerhapsSlow,
}

/// How a segment compares with the expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// As expected.
    Good,
    /// Against it.
    Bad,
    /// Nothing can be said.
    Unclear,
}

/// Walks through the segments of a step's window in order.
///
/// `alive_since` is when the unbroken period began in which both ends were alive until the last attempt; [`Moment::END`] if one
/// of them was not. If a denied flow did not get through before then, that says nothing about a policy. Neither does what an end
/// missed while it was `hindered`. Such attempts neither make a series nor end one.
#[must_use]
pub fn assess(
    expectation: Expectation,
    segments: &[Segment],
    alive_since: Moment,
    hindered: &Hindered,
    hold: Duration,
) -> Assessment {
    let limited;
    let segments = match segments.iter().find(|segment| rejects(&segment.observation)) {
        Some(rejected) if expectation == Expectation::Reject => {
            limited = rate_limited(segments, &rejected.observation);
            &limited[..]
        }
        _ => segments,
    };
    let parts = hindered.sift(expectation, segments);
    let telling = |part: &Part| match part {
        Part::Telling(segment) => Some(segment.clone()),
        Part::Hindered(_) => None,
    };
    let last = parts.iter().rev().find_map(telling);
    let mut a = Assessment {
        attempts: segments.iter().map(|s| s.attempts).sum(),
        hindered: 0,
        hindered_since: 0,
        good_since: None,
        series: 0,
        cut: None,
        until: last.as_ref().map(|s| (s.last_at, s.last)),
        contradictions: None,
        losses: 0,
        in_doubt: false,
        flips: Vec::new(),
        last: last.as_ref().or(segments.last()).map(|s| (s.observation.clone(), s.witness)),
    };
    let mut good_until = None;
    for (index, part) in parts.iter().enumerate() {
        let segment = match part {
            Part::Telling(segment) => {
                a.hindered_since = 0;
                segment
            }
            Part::Hindered(attempts) => {
                a.hindered += attempts;
                a.hindered_since += attempts;
                if a.good_since.is_none() {
                    a.cut = Some(Reason::Hindered);
                }
                continue;
            }
        };
        let class = classify(expectation, segment);
        if class == Class::Good {
            let unproven = if expectation.denies() { before(segment, alive_since) } else { 0 };
            if unproven > 0 {
                (a.good_since, a.series, a.cut) = (None, 0, Some(Reason::EndNotAlive));
            }
            if unproven < segment.attempts {
                a.good_since.get_or_insert(if unproven > 0 { alive_since } else { segment.first_at });
                a.series += segment.attempts - unproven;
                good_until = Some(segment.last_at);
            }
            continue;
        }
        if !expectation.denies() && segment.attempts == 1 && a.good_since.is_some() {
            let next = parts[index + 1..].iter().find_map(telling);
            if next.as_ref().is_some_and(|next| classify(expectation, next) == Class::Good) {
                a.losses += 1;
                continue;
            }
            a.in_doubt = next.is_none();
        }
        if class == Class::Bad {
            let settled =
                matches!((a.good_since, good_until), (Some(from), Some(to)) if to.since(from) >= hold);
            if expectation.denies() && settled && a.series >= FEWEST_ATTEMPTS {
                a.flips.push(segment.first_at);
            }
            let known = a.contradictions.take();
            a.contradictions = Some(Contradictions {
                count: known.as_ref().map_or(0, |c| c.count) + segment.attempts,
                first_at: known.map_or(segment.first_at, |c| c.first_at),
                last_at: segment.last_at,
                last: (segment.observation.clone(), segment.witness),
            });
        }
        (a.good_since, a.series, a.cut) = (None, 0, None);
    }
    a
}

/// How many attempts of a segment were started before a moment, if they are evenly spread; rounded up.
fn before(segment: &Segment, moment: Moment) -> u64 {
    if moment <= segment.first_at {
        return 0;
    }
    if moment > segment.last_at {
        return segment.attempts;
    }
    let (part, whole) = (moment.since(segment.first_at), segment.last_at.since(segment.first_at));
    let gaps = (segment.attempts - 1) as f64 * part.as_secs_f64() / whole.as_secs_f64();
    (gaps.ceil() as u64).clamp(1, segment.attempts)
}

fn rejects(observation: &Observation) -> bool {
    matches!(observation, Observation::Refused | Observation::Unreachable { .. })
}

/// Kernels limit the rate of ICMP errors (Linux: `net.ipv4.icmp_ratelimit`, one a second). If a flow was rejected at all, its
/// silence counts as a rejection that was not sent.
fn rate_limited(segments: &[Segment], rejection: &Observation) -> Vec<Segment> {
    let mut segments = segments.to_vec();
    for segment in &mut segments {
        if segment.observation == Observation::Silent && segment.witness != Witness::Arrived {
            segment.observation = rejection.clone();
        }
    }
    segments
}

/// Compares one segment with the expectation, as if the control worked and both ends were alive.
#[must_use]
pub fn classify(expectation: Expectation, segment: &Segment) -> Class {
    let case = Case {
        expectation,
        saw: Some(&segment.observation),
        witness: segment.witness,
        control: Control::Works,
        life: Life::Alive,
        policed: true,
    };
    match judge(&case).kind {
        Kind::Matched | Kind::Unspecified => Class::Good,
        Kind::Mismatched => Class::Bad,
        Kind::Unproven | Kind::Inconclusive => Class::Unclear,
    }
}

impl Assessment {
    /// Whether the last attempts agreed with the expectation for the hold window.
    #[must_use]
    pub fn settled(&self, hold: Duration) -> bool {
        match (self.good_since, self.until) {
            (Some(from), Some((to, _))) => self.series >= FEWEST_ATTEMPTS && to.since(from) >= hold,
            _ => false,
        }
    }

    /// The moment from which both ends must have been alive for the verdict to count: the start of the series, or of the window.
    #[must_use]
    pub fn judged_from(&self, window: Moment) -> Moment {
        self.good_since.unwrap_or(window)
    }

    /// Decides the verdict for the step.
    #[must_use]
    pub fn verdict(&self, expectation: Expectation, around: &Circumstances) -> Verdict {
        let saw = self.last.as_ref().map(|(observation, _)| observation);
        let witness = self.last.as_ref().map_or(Witness::Absent, |(_, witness)| *witness);
        let case = Case {
            expectation,
            saw,
            witness,
            control: around.control,
            life: around.life.clone(),
            policed: around.policed,
        };
        let verdict = judge(&case);
        if verdict.kind == Kind::Unspecified {
            return verdict;
        }
        if self.flips.len() > around.reopenings {
            return Verdict { kind: Kind::Mismatched, reason: Reason::Unstable };
        }
        // If both ends had been alive, the flow might have settled.
        if !around.settled && around.life != Life::Alive {
            return Verdict { kind: Kind::Inconclusive, reason: Reason::EndNotAlive };
        }
        if verdict.kind != Kind::Matched {
            return self.proven(verdict, expectation, around);
        }
        let late = |from: Moment| around.budget.is_some_and(|budget| from.since(around.accepted) > budget);
        match self.good_since {
            // Fewer attempts may be in the window by now, because their times are known better than when the flow settled.
            Some(from) if around.settled && !late(from) => verdict,
            _ if self.attempts - self.hindered < FEWEST_ATTEMPTS => {
                let reason = if self.hindered > 0 { Reason::Hindered } else { Reason::NoAttempt };
                Verdict { kind: Kind::Inconclusive, reason }
            }
            // The series may have begun in time: what was seen before it proves nothing.
            Some(_) if self.cut.is_some() => {
                Verdict { kind: Kind::Inconclusive, reason: self.cut.unwrap_or(Reason::EndNotAlive) }
            }
            // Nothing went against the expectation, but too little went as expected.
            Some(from) if self.contradictions.is_none() && !late(from) => {
                Verdict { kind: Kind::Inconclusive, reason: Reason::NoAttempt }
            }
            _ => {
                self.proven(Verdict { kind: Kind::Mismatched, reason: Reason::TooLate }, expectation, around)
            }
        }
    }

    /// Makes a mismatch inconclusive unless it is proven: the ends had the CPU that they need, and the network had its time.
    fn proven(&self, verdict: Verdict, expectation: Expectation, around: &Circumstances) -> Verdict {
        let unclear = |reason| Verdict { kind: Kind::Inconclusive, reason };
        // If a denied flow got through, its ends are not at fault. But it may have been denied since, and nobody could see it.
        let ends_may_be_at_fault = !expectation.denies() || verdict.reason == Reason::TooLate;
        let perhaps_denied = expectation.denies() && self.hindered_since >= FEWEST_ATTEMPTS;
        match verdict.kind {
            Kind::Mismatched if perhaps_denied => unclear(Reason::Hindered),
            Kind::Mismatched
                if ends_may_be_at_fault
                    && (self.attempts == self.hindered || around.hindrance.share > MOSTLY) =>
            {
                unclear(Reason::Hindered)
            }
            Kind::Mismatched if !around.settled && around.network == Network::PerhapsSlow => {
                unclear(Reason::NetworkSlow)
            }
            _ => verdict,
        }
    }
}

/// If an end got too little CPU for more than this part of a window, the window proves no mismatch.
const MOSTLY: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_millis(500);
    const THROUGH: (Observation, Witness) = (Observation::Answered { answers: vec![] }, Witness::Arrived);
    const DROPPED: (Observation, Witness) = (Observation::Silent, Witness::NotArrived);
    const HALF: (Observation, Witness) = (Observation::Silent, Witness::Arrived);

    fn no_memory() -> (Observation, Witness) {
        (Observation::LocalError { errno: 12, call: "socket".into() }, Witness::NotArrived)
    }

    /// Segments of attempts every 100 ms from moment zero.
    fn segments(parts: &[(u64, (Observation, Witness))]) -> Vec<Segment> {
        let mut next = 0;
        let at = |n: u64| Moment(i64::try_from(n * 100_000).expect("small"));
        parts
            .iter()
            .map(|(attempts, (observation, witness))| {
                let (first_at, last_at) = (at(next), at(next + attempts - 1));
                next += attempts;
                Segment {
                    attempts: *attempts,
                    first_at,
                    last_at,
                    last: Attempt(u32::try_from(next).expect("small")),
                    observation: observation.clone(),
                    witness: *witness,
                }
            })
            .collect()
    }

    fn around() -> Circumstances {
        Circumstances {
            control: Control::Works,
            life: Life::Alive,
            policed: true,
            settled: true,
            reopenings: 0,
            budget: None,
            accepted: Moment(0),
            hindrance: Hindrance::default(),
            network: Network::HadItsTime,
        }
    }

    #[test]
    fn a_flow_settles_when_its_last_attempts_agree_for_the_hold_window() {
        use Expectation::{Allow, Deny};
        use Kind::{Inconclusive, Matched, Mismatched};
        #[rustfmt::skip]
        let rows = [
            // expected, attempts, settled, since (ms), verdict, reason
            (Deny,  vec![(3, THROUGH), (6, DROPPED)], true, Some(300), Matched, Reason::Dropped),
            (Deny,  vec![(3, THROUGH), (5, DROPPED)], false, Some(300), Mismatched, Reason::TooLate),
            (Deny,  vec![(4, DROPPED)], false, Some(0), Inconclusive, Reason::NoAttempt),
            (Deny,  vec![(9, THROUGH)], false, None, Mismatched, Reason::NotEnforced),
            (Deny,  vec![(9, HALF)], false, None, Mismatched, Reason::OnlyAnswerBlocked),
            (Deny,  vec![(6, DROPPED), (1, THROUGH), (6, DROPPED)], true, Some(700), Mismatched, Reason::Unstable),
            (Deny,  vec![(4, DROPPED), (1, THROUGH), (6, DROPPED)], true, Some(500), Matched, Reason::Dropped),
            (Deny,  vec![(6, DROPPED), (1, no_memory())], false, None, Inconclusive, Reason::LocalError),
            (Allow, vec![(6, THROUGH)], true, Some(0), Matched, Reason::Answered),
            (Allow, vec![(6, THROUGH), (1, DROPPED), (1, THROUGH)], true, Some(0), Matched, Reason::Answered),
            (Allow, vec![(6, THROUGH), (2, DROPPED), (6, THROUGH)], true, Some(800), Matched, Reason::Answered),
            (Allow, vec![(6, THROUGH), (1, DROPPED)], false, None, Mismatched, Reason::Blocked),
            (Allow, vec![], false, None, Inconclusive, Reason::NoAttempt),
        ];
        for (expectation, parts, settled, since, kind, reason) in rows {
            let a = assess(expectation, &segments(&parts), Moment(0), &Hindered::default(), HOLD);
            assert_eq!(a.settled(HOLD), settled, "{expectation} {parts:?}");
            assert_eq!(a.good_since.map(|at| at.0 / 1000), since, "{expectation} {parts:?}");
            let around = Circumstances { settled, ..around() };
            assert_eq!(a.verdict(expectation, &around), Verdict { kind, reason }, "{expectation} {parts:?}");
        }
    }

    #[test]
    fn a_flow_may_get_through_while_a_change_takes_effect_if_the_change_can_open_it() {
        let a = assess(
            Expectation::Deny,
            &segments(&[(8, DROPPED), (2, THROUGH), (6, DROPPED)]),
            Moment(0),
            &Hindered::default(),
            HOLD,
        );
        assert_eq!(a.verdict(Expectation::Deny, &around()).reason, Reason::Unstable);
        let reopening = Circumstances { reopenings: 1, ..around() };
        assert_eq!(a.verdict(Expectation::Deny, &reopening).kind, Kind::Matched);
        let unsettled = Circumstances { settled: false, ..reopening };
        let open = assess(
            Expectation::Deny,
            &segments(&[(8, DROPPED), (2, THROUGH)]),
            Moment(0),
            &Hindered::default(),
            HOLD,
        );
        assert_eq!(open.verdict(Expectation::Deny, &unsettled).reason, Reason::NotEnforced);
    }

    #[test]
    fn rejections_may_be_limited_in_rate() {
        let refused = (Observation::Refused, Witness::NotArrived);
        let mixed = segments(&[(1, refused.clone()), (4, DROPPED), (1, refused), (3, DROPPED)]);
        let reason = |expectation| {
            assess(expectation, &mixed, Moment(0), &Hindered::default(), HOLD)
                .verdict(expectation, &around())
                .reason
        };
        assert_eq!(reason(Expectation::Reject), Reason::Rejected);
        assert_eq!(reason(Expectation::Deny), Reason::Dropped);
        let silent = segments(&[(9, DROPPED)]);
        let a = assess(Expectation::Reject, &silent, Moment(0), &Hindered::default(), HOLD);
        assert_eq!(a.verdict(Expectation::Reject, &around()).reason, Reason::DroppedNotRejected);
    }

    #[test]
    fn contradictions_say_when() {
        let a = assess(
            Expectation::Deny,
            &segments(&[(2, THROUGH), (1, DROPPED), (2, HALF), (6, DROPPED)]),
            Moment(0),
            &Hindered::default(),
            HOLD,
        );
        let c = a.contradictions.expect("it was contradicted");
        assert_eq!((c.count, c.first_at, c.last_at, c.last), (4, Moment(0), Moment(400_000), HALF));
    }

    #[test]
    fn losses_of_an_allowed_flow_are_counted() {
        let a = assess(
            Expectation::Allow,
            &segments(&[(6, THROUGH), (1, DROPPED), (3, THROUGH)]),
            Moment(0),
            &Hindered::default(),
            HOLD,
        );
        assert_eq!((a.losses, a.contradictions), (1, None));
    }

    #[test]
    fn the_next_attempt_tells_whether_a_failure_was_a_loss() {
        use Expectation::{Allow, Deny};
        let in_doubt = |expectation, parts: &[_]| {
            assess(expectation, &segments(parts), Moment(0), &Hindered::default(), HOLD).in_doubt
        };
        assert!(in_doubt(Allow, &[(6, THROUGH), (1, HALF)]));
        assert!(!in_doubt(Allow, &[(6, THROUGH), (1, HALF), (1, THROUGH)]));
        assert!(!in_doubt(Allow, &[(6, THROUGH), (2, HALF)]), "two are no loss");
        assert!(
            !in_doubt(Allow, &[(6, THROUGH), (1, HALF), (1, DROPPED)]),
            "two are no loss, however they failed"
        );
        assert!(!in_doubt(Allow, &[(1, DROPPED)]), "it has never worked");
        assert!(!in_doubt(Deny, &[(6, DROPPED), (1, THROUGH)]), "nothing loses a packet into a destination");
    }

    #[test]
    fn the_budget_counts_from_the_change_to_the_first_good_attempt() {
        let a = assess(
            Expectation::Deny,
            &segments(&[(3, THROUGH), (6, DROPPED)]),
            Moment(0),
            &Hindered::default(),
            HOLD,
        );
        let within = Circumstances { budget: Some(Duration::from_millis(300)), ..around() };
        let beyond = Circumstances { budget: Some(Duration::from_millis(299)), ..around() };
        assert_eq!(a.verdict(Expectation::Deny, &within).kind, Kind::Matched);
        assert_eq!(
            a.verdict(Expectation::Deny, &beyond),
            Verdict { kind: Kind::Mismatched, reason: Reason::TooLate }
        );
    }

    #[test]
    fn an_end_that_died_before_the_flow_settled_leaves_it_open() {
        let broken = Circumstances { settled: false, life: Life::Broken("gone".into()), ..around() };
        for parts in [vec![(3, THROUGH)], vec![(3, THROUGH), (2, DROPPED)], vec![(1, HALF)], vec![]] {
            let a = assess(Expectation::Deny, &segments(&parts), Moment(0), &Hindered::default(), HOLD);
            let verdict = a.verdict(Expectation::Deny, &broken);
            assert_eq!(
                verdict,
                Verdict { kind: Kind::Inconclusive, reason: Reason::EndNotAlive },
                "{parts:?}"
            );
        }
    }

    #[test]
    fn what_failed_while_an_end_was_not_alive_proves_no_deny() {
        let parts = segments(&[(3, THROUGH), (12, DROPPED)]);
        let since =
            |ms: i64| assess(Expectation::Deny, &parts, Moment(ms * 1000), &Hindered::default(), HOLD);
        let ms = |at: Option<Moment>| at.map(|at| at.0 / 1000);
        assert_eq!((ms(since(0).good_since), since(0).series, since(0).cut), (Some(300), 12, None));
        assert_eq!(
            (ms(since(750).good_since), since(750).series, since(750).cut),
            (Some(750), 7, Some(Reason::EndNotAlive))
        );
        assert!(since(750).settled(HOLD));
        assert!(!since(1000).settled(HOLD), "four attempts in 400 ms are left");
        assert_eq!((since(5000).good_since, since(5000).series), (None, 0));
        let hurried = Circumstances { budget: Some(Duration::from_millis(400)), ..around() };
        let verdict = since(750).verdict(Expectation::Deny, &hurried);
        assert_eq!(verdict.kind, Kind::Inconclusive, "it may have been in time, unseen");
        let allowed =
            assess(Expectation::Allow, &segments(&[(9, THROUGH)]), Moment::END, &Hindered::default(), HOLD);
        assert!(allowed.settled(HOLD), "an answer proves that both ends lived");
    }

    #[test]
    fn two_attempts_are_not_enough_unless_more_had_settled_before_their_times_were_known_better() {
        let hold = Duration::from_millis(50);
        let a = assess(Expectation::Allow, &segments(&[(2, THROUGH)]), Moment(0), &Hindered::default(), hold);
        assert!(!a.settled(hold));
        let kind = |settled| a.verdict(Expectation::Allow, &Circumstances { settled, ..around() }).kind;
        assert_eq!((kind(false), kind(true)), (Kind::Inconclusive, Kind::Matched));
    }

    #[test]
    fn a_red_needs_ends_that_had_their_cpu() {
        let hindered = |from: i64, to: i64| {
            let mut hindered = Hindered::default();
            hindered.note(Moment(from * 1000), Moment(to * 1000), Duration::from_millis(400));
            hindered
        };
        let allow = |parts: &[_], hindered: &Hindered, share: f64| {
            let a = assess(Expectation::Allow, &segments(parts), Moment(0), hindered, HOLD);
            let settled = a.settled(HOLD);
            let hindrance = Hindrance { share, ..Hindrance::default() };
            a.verdict(Expectation::Allow, &Circumstances { settled, hindrance, ..around() }).reason
        };
        assert_eq!(allow(&[(9, THROUGH), (9, HALF)], &hindered(0, 0), 0.0), Reason::AnswerLost);
        assert_eq!(allow(&[(9, HALF)], &hindered(0, 900), 1.0), Reason::Hindered, "all of it is hindered");
        assert_eq!(
            allow(&[(9, HALF), (9, HALF)], &hindered(0, 900), 0.5),
            Reason::AnswerLost,
            "half of it proves it"
        );
        assert_eq!(
            allow(&[(9, HALF), (9, HALF)], &hindered(0, 1200), 0.7),
            Reason::Hindered,
            "most of it is hindered"
        );
        assert_eq!(
            allow(&[(9, THROUGH), (5, HALF), (9, THROUGH)], &hindered(900, 1400), 0.2),
            Reason::Answered,
            "what was missed ends no series"
        );
        let open = assess(Expectation::Deny, &segments(&[(9, THROUGH)]), Moment(0), &hindered(0, 900), HOLD);
        let hindrance = Hindrance { share: 1.0, ..Hindrance::default() };
        let verdict =
            open.verdict(Expectation::Deny, &Circumstances { settled: false, hindrance, ..around() });
        assert_eq!(verdict.reason, Reason::NotEnforced, "what got through got through");
        let unseen = (Observation::Silent, Witness::Absent);
        let deny = |silent: u64, until: i64| {
            let parts = segments(&[(9, THROUGH), (silent, unseen.clone())]);
            let a = assess(Expectation::Deny, &parts, Moment(0), &hindered(0, until), HOLD);
            a.verdict(Expectation::Deny, &Circumstances { settled: false, ..around() }).reason
        };
        assert_eq!(deny(9, 1_800), Reason::Hindered, "it may have been denied since");
        assert_eq!(deny(1, 1_800), Reason::NotEnforced, "one attempt more says nothing");
    }

    #[test]
    fn a_flow_that_may_have_been_in_time_is_not_too_late() {
        let mut hindered = Hindered::default();
        hindered.note(Moment(0), Moment(500_000), Duration::from_millis(400));
        let a =
            assess(Expectation::Allow, &segments(&[(6, DROPPED), (9, THROUGH)]), Moment(0), &hindered, HOLD);
        let hurried = Circumstances { budget: Some(Duration::from_millis(300)), ..around() };
        assert_eq!(a.verdict(Expectation::Allow, &hurried).reason, Reason::Hindered);
    }

    #[test]
    fn a_red_needs_a_network_that_had_its_time() {
        let a = assess(Expectation::Deny, &segments(&[(9, THROUGH)]), Moment(0), &Hindered::default(), HOLD);
        let reason = |network| {
            let around = Circumstances { settled: false, network, ..around() };
            a.verdict(Expectation::Deny, &around).reason
        };
        assert_eq!(reason(Network::HadItsTime), Reason::NotEnforced);
        assert_eq!(reason(Network::PerhapsSlow), Reason::NetworkSlow);
    }
}
