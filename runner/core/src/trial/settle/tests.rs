//! Steps in virtual time: reports in, looks out. The flow is `a/x -> a/y tcp/80`, tried every 100 ms; a change is accepted at 1 s.

use super::*;
use crate::{
    evidence::record::{ArrivalRun, SourceRun},
    place::{plan::Planned, rewrite::Names},
    policy::Answer,
    scenario::{
        Wanted,
        flow::{Family, Flow, Target},
    },
    text::Position,
    trial::{
        control::{Keys, Proven},
        limits::tests::limits,
        news::{News, Report},
        pulse::{Beat, Heart},
        site::Pod,
    },
};
use flowproof_wire::{Attempt, FlowId, Listener, ListenerState, ListenerStatus, Observation, Transport};
use std::collections::BTreeMap;

const LISTENER: Listener = Listener { transport: Transport::Tcp, port: 80 };
const ACCEPTED: i64 = 1_000;

fn ms(at: i64) -> Moment {
    Moment(at * 1_000)
}

struct Lane {
    book: Book,
    site: Site,
    key: Key,
    expected: Expected,
    next: u32,
}

impl Lane {
    fn new(wanted: Expectation) -> Self {
        Self::to(wanted, |y| [(y.clone(), LISTENER)].into())
    }

    /// Like [`new`](Self::new), with a server at `a/y` that is not a prober.
    fn to_a_server_without_a_prober(wanted: Expectation) -> Self {
        Self::to(wanted, |_| BTreeMap::new())
    }

    fn to(wanted: Expectation, witnesses: fn(&Workload) -> BTreeMap<Workload, Listener>) -> Self {
        let [x, y] = ["x", "y"].map(|name| Workload::new("a", name));
        let mut book = Book::default();
        for (index, workload) in [&x, &y].into_iter().enumerate() {
            book.add_prober(workload.clone());
            book.take(index, News::Attached { instance: 1, name_servers: vec![], search: vec![] });
        }
        let target = Target::Workload(y.clone());
        let flow =
            Flow { source: x.clone(), target, transport: Transport::Tcp, port: 80, established: false };
        let key = book.track(Planned {
            flow: flow.clone(),
            family: Family::V4,
            to: "192.0.2.2:80".parse().expect("an address"),
            question: None,
            witnesses: witnesses(&y),
        });
        let pod = |node: &str| Pod { addresses: vec![], node: node.to_owned() };
        let site = Site {
            names: Names::new("run-0", ["a".to_owned()]),
            pods: [(x, pod("node1")), (y, pod("node2"))].into(),
            services: [].into(),
            nodes: [].into(),
            live_namespaces: [].into(),
            snapshot: None,
        };
        let expected = Expected { flow, wanted: Wanted::Written(wanted), at: Position::default() };
        Self { book, site, key, expected, next: 1 }
    }

    /// This many more attempts, each of which was either answered, or was silent and did not arrive.
    fn attempts(&mut self, count: u32, answered: bool) -> &mut Self {
        let (first, last) = (self.next, self.next + count - 1);
        self.next += count;
        let at = |number: u32| ms(i64::from(number - 1) * 100);
        let observation =
            if answered { Observation::Answered { answers: vec![] } } else { Observation::Silent };
        let took = Duration::from_millis(if answered { 1 } else { 50 });
        let (first_at, last_at) = (at(first), at(last));
        let (first, last) = (Attempt(first), Attempt(last));
        let source = SourceRun { first, last, first_at, last_at, min: took, max: took, observation };
        let peer = "192.0.2.1:4000".parse().expect("an address");
        let arrival = ArrivalRun { first, last, first_at, last_at, peer };
        let until = last_at + Duration::from_millis(200);
        self.report(0, until, Duration::ZERO, vec![(FlowId(0), source)], vec![]);
        let arrivals = if answered { vec![(FlowId(0), arrival)] } else { vec![] };
        self.report(1, until, Duration::ZERO, vec![], arrivals);
        self
    }

    fn report(
        &mut self,
        prober: usize,
        at: Moment,
        lag: Duration,
        source: Vec<(FlowId, SourceRun)>,
        arrivals: Vec<(FlowId, ArrivalRun)>,
    ) {
        let status = ListenerStatus {
            listener: LISTENER,
            status: ListenerState::Alive,
            since_us: Some(0),
            alive_us: Some(at.0.unsigned_abs()),
        };
        let listeners = vec![(status, Some((ms(0), at)))];
        let report =
            Report { at, steady: ms(0), lag, source, arrivals, listeners, dropped: 0, capture: None };
        self.book.take(prober, News::Reported(Box::new(report)));
    }

    fn settle(&self, after: After) -> Settle<'_> {
        let Wanted::Written(expectation) = self.expected.wanted else { panic!("it is written") };
        let awaited = Awaited {
            key: self.key,
            expected: &self.expected,
            expectation,
            known: None,
            says: PoliciesSay { answer: expectation, reason: Answer::Deny.word().to_owned(), rules: vec![] },
            until: Last::StartedBy(ms(0)),
            settled: false,
            from_start: false,
            chance: Chance::Open,
            captured: None,
        };
        let times = Times {
            began: ms(0),
            accepted: ms(ACCEPTED),
            begun: ms(ACCEPTED),
            timeout: Duration::from_millis(250),
            interval: Duration::from_millis(100),
        };
        Settle::new(vec![awaited], after, Subject::Policies, &times, &limits())
    }

    fn look(&self, settle: &mut Settle<'_>, at: i64, limits: &Limits, pulses: &Pulses) -> Look {
        let keys: Keys<'_> = [((&self.expected.flow, Family::V4), self.key)].into();
        let controls = Controls::read(&self.book, &keys, ms(0), &Proven::default());
        let around = Around { book: &self.book, site: &self.site, controls: &controls, limits, pulses };
        settle.look(ms(at), &around)
    }
}

fn changes() -> After {
    After::Changes { sent: ms(ACCEPTED - 50) }
}

/// Pulses that begin at these seconds, and that both nodes enforce within a second.
fn pulses(begun: &[i64]) -> Pulses {
    let mut pulses = Pulses::default();
    pulses.heart = Heart::Ready;
    for second in begun {
        let accepted = ms(second * 1_000);
        let nodes = ["node1", "node2"].map(str::to_owned).into();
        pulses.begin(Beat { subject: Subject::Policies, accepted, nodes, through: [].into() });
        for node in ["node1", "node2"] {
            pulses.through(node, accepted + Duration::from_secs(1));
        }
    }
    pulses
}

fn seen() -> Limits {
    Limits { slowest_policies: Some(Duration::from_millis(200)), ..limits() }
}

#[test]
fn a_denied_flow_settles_when_it_was_denied_for_the_hold_window() {
    let mut lane = Lane::new(Expectation::Deny);
    lane.attempts(15, true).attempts(8, false);
    let mut settle = lane.settle(changes());
    let none = Pulses::default();
    assert_eq!(lane.look(&mut settle, 2_300, &seen(), &none), Look::Wait { agree: 0, late: false });
    drop(settle);
    lane.attempts(8, false);
    let mut settle = lane.settle(changes());
    let after = Duration::from_millis(500);
    assert_eq!(
        lane.look(&mut settle, 3_300, &seen(), &none),
        Look::Settled { after: Some(after), measured: Some(after), agree: 1 }
    );
}

#[test]
fn a_change_that_nothing_shows_is_held_for_twice_the_slowest_seen() {
    let slow = Limits { slowest_policies: Some(Duration::from_secs(2)), ..limits() };
    let mut lane = Lane::new(Expectation::Allow);
    lane.attempts(40, true);
    let none = Pulses::default();
    let mut settle = lane.settle(changes());
    assert!(matches!(lane.look(&mut settle, 4_200, &slow, &none), Look::Wait { agree: 1, .. }));
    drop(settle);
    lane.attempts(20, true);
    let mut settle = lane.settle(changes());
    lane.look(&mut settle, 4_200, &slow, &none);
    let settled = Look::Settled { after: Some(Duration::ZERO), measured: None, agree: 1 };
    assert_eq!(lane.look(&mut settle, 6_000, &slow, &none), settled);
    let mut unchanged = lane.settle(After::Nothing);
    assert_eq!(lane.look(&mut unchanged, 4_200, &slow, &none), settled, "without a change nothing need show");
}

#[test]
fn after_a_deletion_a_few_answers_are_enough() {
    let mut lane = Lane::new(Expectation::Allow);
    lane.attempts(12, false).attempts(3, true);
    let mut settle = lane.settle(After::Deletion);
    let look = lane.look(&mut settle, 1_500, &seen(), &Pulses::default());
    assert!(matches!(look, Look::Settled { agree: 0 | 1, .. }), "{look:?}");
}

#[test]
fn what_is_wrong_after_later_pulses_stays_wrong_and_says_so() {
    let mut lane = Lane::new(Expectation::Deny);
    lane.attempts(200, true);
    let mut settle = lane.settle(changes());
    let waits = Look::Wait { agree: 0, late: true };
    assert_eq!(
        lane.look(&mut settle, 15_900, &seen(), &pulses(&[4, 6, 8])),
        waits,
        "the settle limit comes first"
    );
    assert_eq!(lane.look(&mut settle, 16_100, &seen(), &pulses(&[4, 6])), waits, "two pulses are not enough");
    lane.look(&mut settle, 16_200, &seen(), &pulses(&[4, 6, 8]));
    let look = lane.look(&mut settle, 16_600, &seen(), &pulses(&[4, 6, 8]));
    assert_eq!(look, Look::OutOfTime { agree: 0 });
    let shown = "node1 and node2 enforced 3 later changes within 1.0 s";
    assert_eq!(settle.expected[0].chance, Chance::Had(shown.into()));
}

#[test]
fn as_long_as_no_pulse_comes_through_late_is_not_never() {
    let mut lane = Lane::new(Expectation::Deny);
    lane.attempts(1_300, true);
    let mut settle = lane.settle(changes());
    let begun = |second: i64| {
        let mut pulses = pulses(&[]);
        let nodes = ["node1", "node2"].map(str::to_owned).into();
        pulses.begin(Beat {
            subject: Subject::Policies,
            accepted: ms(second * 1_000),
            nodes,
            through: [].into(),
        });
        pulses
    };
    for at in [17_000, 60_000, 120_000] {
        assert_eq!(
            lane.look(&mut settle, at, &seen(), &begun(5)),
            Look::Wait { agree: 0, late: true },
            "{at}"
        );
    }
    lane.look(&mut settle, 121_100, &seen(), &begun(5));
    assert_eq!(lane.look(&mut settle, 121_500, &seen(), &begun(5)), Look::OutOfTime { agree: 0 });
    assert!(
        matches!(&settle.expected[0].chance, Chance::Had(shown) if shown.contains("has enforced nothing for 120"))
    );
}

#[test]
fn a_late_flow_settles_as_soon_as_it_does() {
    let mut lane = Lane::new(Expectation::Deny);
    lane.attempts(300, true).attempts(20, false);
    let mut settle = lane.settle(changes());
    let after = Some(Duration::from_secs(29));
    let look = lane.look(&mut settle, 32_200, &seen(), &pulses(&[]));
    assert_eq!(look, Look::Settled { after, measured: after, agree: 1 });
}

#[test]
fn nobody_waits_for_an_end_that_is_gone() {
    let mut lane = Lane::new(Expectation::Deny);
    lane.attempts(15, true);
    lane.book.take(1, News::Gone("its pod is gone".into()));
    let mut settle = lane.settle(changes());
    assert_eq!(lane.look(&mut settle, 1_700, &seen(), &Pulses::default()), Look::OutOfTime { agree: 0 });
}

#[test]
fn a_flow_that_never_worked_is_given_up() {
    let mut lane = Lane::new(Expectation::Allow);
    lane.attempts(40, false);
    let mut settle = lane.settle(changes());
    let look = lane.look(&mut settle, 4_100, &seen(), &Pulses::default());
    assert_eq!(look, Look::Settled { after: None, measured: None, agree: 0 });
}

#[test]
fn a_prober_that_lags_makes_a_step_wait_where_there_are_no_pulses() {
    let mut lane = Lane::new(Expectation::Deny);
    lane.attempts(200, true);
    lane.report(0, ms(20_200), Duration::from_secs(2), vec![], vec![]);
    let mut settle = lane.settle(changes());
    let none = Pulses::default();
    assert!(matches!(lane.look(&mut settle, 20_300, &seen(), &none), Look::Wait { .. }));
    assert_eq!(
        lane.look(&mut settle, 31_000, &seen(), &none),
        Look::OutOfTime { agree: 0 },
        "no lag for 10 s"
    );
}

#[test]
fn an_answer_before_silence_that_proves_nothing_is_not_judged_alone() {
    let mut lane = Lane::to_a_server_without_a_prober(Expectation::Deny);
    // One attempt is answered just after the change was accepted; then all are silent, while the source gets no CPU.
    lane.attempts(11, true).attempts(20, false);
    lane.report(0, ms(3_200), Duration::from_millis(2_150), vec![], vec![]);
    let mut settle = lane.settle(changes());
    lane.look(&mut settle, 3_400, &limits(), &Pulses::default());
    let window = Window { from: ms(ACCEPTED), to: settle.expected[0].until };
    let judged = lane.book.assess(lane.key, Expectation::Deny, window, settle.hold);
    assert_eq!((judged.attempts, judged.hindered_since), (21, 20), "{judged:?}");
}
