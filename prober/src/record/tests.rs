//! Laws of the record: spans say the same as the single attempts, and a runner that reads the changes from any
//! acknowledged revision ends up with the same record.

use super::*;
use proptest::{collection::vec, prelude::*, sample::Index};
use std::collections::BTreeSet;

const FLOW: FlowId = FlowId(4);

/// What may happen to a record.
#[derive(Debug, Clone)]
enum Happens {
    /// The next attempt of a flow went one of three ways.
    Attempted { flow: u32, way: u8, continuity: Continuity },
    /// An attempt arrived.
    Arrived { flow: u32, attempt: u32 },
    /// The runner received a report of at most this many spans, and acknowledged it or not.
    Reported { limit: usize, acknowledged: bool },
    /// The runner lost its stream: the next report starts from what it acknowledged.
    StreamLost,
}

fn happens() -> impl Strategy<Value = Happens> {
    let continuity = prop_oneof![9 => Just(Continuity::Steady), 1 => Just(Continuity::Resumed)];
    prop_oneof![
        4 => (0..3_u32, 0..3_u8, continuity)
            .prop_map(|(flow, way, continuity)| Happens::Attempted { flow, way, continuity }),
        4 => (0..3_u32, 1..40_u32).prop_map(|(flow, attempt)| Happens::Arrived { flow, attempt }),
        2 => (1..6_usize, any::<bool>()).prop_map(|(limit, acknowledged)| Happens::Reported { limit, acknowledged }),
        1 => Just(Happens::StreamLost),
    ]
}

fn outcome(started_us: u64, way: u8, continuity: Continuity) -> Outcome {
    let observation = match way {
        0 => Observation::Answered { answers: Vec::new() },
        1 => Observation::Silent,
        _ => Observation::Refused,
    };
    Outcome { started_us, took_us: started_us % 7, continuity, observation }
}

fn arrival(flow: FlowId, attempt: u32, at_us: u64) -> Arrival {
    Arrival { flow, attempt: Attempt(attempt), at_us, peer: ([10, 0, 0, 1], attempt as u16).into() }
}

/// What a runner knows: the latest version of every span.
#[derive(Default)]
struct Runner {
    source: BTreeMap<(FlowId, Attempt), SourceSpan>,
    arrivals: BTreeMap<(FlowId, Attempt), ArrivalSpan>,
    sent: Revision,
    have: Revision,
}

impl Runner {
    fn take(&mut self, changes: Changes) {
        for span in changes.source {
            self.source.insert((span.flow, span.first), span);
        }
        for span in changes.arrivals {
            // Arrivals add up: the span of a duplicate may be shorter than one that the prober has forgotten and the runner knows.
            let known = self.arrivals.entry((span.flow, span.first)).or_insert_with(|| span.clone());
            known.last = known.last.max(span.last);
        }
        self.sent = changes.revision;
    }

    /// Returns what each attempt of each flow was seen to do.
    fn seen(&self) -> BTreeMap<(FlowId, u32), Observation> {
        let spans = self.source.values();
        spans
            .flat_map(|span| {
                (span.first.0..=span.last.0).map(|attempt| ((span.flow, attempt), span.observation.clone()))
            })
            .collect()
    }

    fn arrived(&self) -> BTreeSet<(FlowId, u32)> {
        let spans = self.arrivals.values();
        spans.flat_map(|span| (span.first.0..=span.last.0).map(|attempt| (span.flow, attempt))).collect()
    }
}

proptest! {
    #[test]
    fn whatever_is_lost_or_sent_twice_the_runner_learns_every_attempt(history in vec(happens(), 0..200)) {
        let (mut record, mut runner) = (Record::default(), Runner::default());
        let (mut seen, mut arrived) = (BTreeMap::new(), BTreeSet::new());
        let mut next = BTreeMap::<u32, u32>::new();
        for (now, event) in history.into_iter().enumerate() {
            match event {
                Happens::Attempted { flow, way, continuity } => {
                    let attempt = next.entry(flow).or_insert(1);
                    let outcome = outcome(now as u64, way, continuity);
                    seen.insert((FlowId(flow), *attempt), outcome.observation.clone());
                    record.attempted(FlowId(flow), Attempt(*attempt), outcome);
                    *attempt += 1;
                }
                Happens::Arrived { flow, attempt } => {
                    arrived.insert((FlowId(flow), attempt));
                    record.arrived(&arrival(FlowId(flow), attempt, now as u64));
                }
                Happens::Reported { limit, acknowledged } => {
                    runner.take(record.changes(runner.sent, limit));
                    if acknowledged {
                        runner.have = runner.sent;
                        record.acknowledge(runner.have);
                    }
                }
                Happens::StreamLost => runner.sent = record.known(runner.have),
            }
        }
        let last = record.changes(runner.sent, usize::MAX);
        prop_assert_eq!(last.completeness, Completeness::Complete);
        runner.take(last);
        prop_assert_eq!(record.dropped(), 0);
        prop_assert_eq!(runner.seen(), seen);
        prop_assert_eq!(runner.arrived(), arrived);
    }

    #[test]
    fn spans_are_as_long_as_can_be(ways in vec(0..3_u8, 1..100)) {
        let mut record = Record::default();
        for (index, way) in ways.iter().enumerate() {
            let attempt = Attempt(index as u32 + 1);
            record.attempted(FLOW, attempt, outcome(index as u64 * 10, *way, Continuity::Steady));
        }
        let mut spans = record.changes(Revision(0), usize::MAX).source;
        spans.sort_by_key(|span| span.first);
        prop_assert_eq!(spans.len(), ways.chunk_by(|one, other| one == other).count());
        for span in spans {
            let inside = u64::from(span.first.0 - 1)..=u64::from(span.last.0 - 1);
            prop_assert_eq!((span.first_us, span.last_us), (inside.start() * 10, inside.end() * 10));
            prop_assert_eq!(Some(span.min_us), inside.clone().map(|index| index * 10 % 7).min());
            prop_assert_eq!(Some(span.max_us), inside.map(|index| index * 10 % 7).max());
        }
    }

    #[test]
    fn arrivals_in_any_order_make_the_same_spans(attempts in vec(1..60_u32, 1..80), at in any::<Index>()) {
        let mut record = Record::default();
        for (now, attempt) in attempts.iter().enumerate() {
            record.arrived(&arrival(FLOW, *attempt, now as u64));
        }
        let mut spans = record.changes(Revision(0), usize::MAX).arrivals;
        spans.sort_by_key(|span| span.first);
        let set: Vec<u32> = attempts.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let runs: Vec<_> = set.chunk_by(|one, next| one + 1 == *next).map(|run| (run[0], run[run.len() - 1])).collect();
        prop_assert_eq!(spans.iter().map(|span| (span.first.0, span.last.0)).collect::<Vec<_>>(), runs);
        let span = at.get(&spans);
        let times: Vec<_> = (0_u64..)
            .zip(&attempts)
            .filter(|(_, attempt)| (span.first.0..=span.last.0).contains(attempt))
            .collect();
        let (first, last) = (times[0], times[times.len() - 1]);
        prop_assert_eq!((span.first_us, span.last_us), (first.0, last.0));
        prop_assert_eq!(u32::from(span.peer.port()), *last.1);
    }

    #[test]
    fn outcomes_come_out_in_the_order_of_the_attempts(order in Just((1..=30_u32).collect::<Vec<_>>()).prop_shuffle()) {
        let mut window = Window::new();
        for attempt in 1..=30 {
            prop_assert_eq!(window.start(), Some(Attempt(attempt)));
        }
        let mut out = Vec::new();
        for (done, attempt) in order.iter().enumerate() {
            window.decide(Attempt(*attempt), outcome(u64::from(*attempt), 0, Continuity::Steady));
            // The first outcome counts; a deadline that passes later changes nothing.
            window.decide(Attempt(*attempt), outcome(0, 1, Continuity::Steady));
            while let Some((attempt, outcome)) = window.next() {
                prop_assert_eq!(u64::from(attempt.0), outcome.started_us);
                out.push(attempt.0);
            }
            let decided: BTreeSet<_> = order[..=done].iter().copied().collect();
            let prefix = (1..=30).take_while(|attempt| decided.contains(attempt)).count();
            prop_assert_eq!(out.len(), prefix);
        }
        prop_assert_eq!(out, (1..=30).collect::<Vec<_>>());
    }
}

#[test]
fn a_resumed_attempt_starts_a_span() {
    let mut record = Record::default();
    for (attempt, continuity) in [(1, Continuity::Resumed), (2, Continuity::Steady), (3, Continuity::Resumed)]
    {
        record.attempted(FLOW, Attempt(attempt), outcome(0, 0, continuity));
    }
    let spans: Vec<_> = record.source[&FLOW].changed(Revision(0)).map(|kept| kept.span.first.0).collect();
    assert_eq!(spans, [3, 1]);
}

#[test]
fn what_is_closed_and_acknowledged_is_forgotten_and_the_rest_stays() {
    let mut record = Record::default();
    for attempt in 1..=100 {
        record.attempted(FLOW, Attempt(attempt), outcome(0, (attempt % 2) as u8, Continuity::Steady));
        record.arrived(&arrival(FLOW, attempt * 2, 0));
    }
    let changes = record.changes(Revision(0), usize::MAX);
    assert_eq!((changes.source.len(), changes.arrivals.len()), (100, 100));
    record.acknowledge(changes.revision);
    let changes = record.changes(Revision(0), usize::MAX);
    assert_eq!((changes.source.len(), changes.arrivals.len()), (1, 1));
    assert_eq!((changes.source[0].first.0, changes.arrivals[0].first.0), (100, 200));
}

#[test]
fn memory_is_bounded_and_what_is_dropped_is_counted() {
    let mut record = Record::default();
    let count = MAX_SPANS as u32 + 10;
    for attempt in 1..=count {
        record.attempted(FLOW, Attempt(attempt), outcome(0, (attempt % 2) as u8, Continuity::Steady));
        record.arrived(&arrival(FLOW, attempt * 2, 0));
    }
    let changes = record.changes(Revision(0), usize::MAX);
    assert_eq!((changes.source.len(), changes.arrivals.len()), (MAX_SPANS, MAX_SPANS));
    assert_eq!(record.dropped(), 20);
    record.forget();
    assert_eq!(record.dropped(), 0);
    assert_eq!(record.changes(Revision(0), usize::MAX).source, []);
}

#[test]
fn a_revision_from_elsewhere_is_not_believed() {
    let mut record = Record::default();
    record.arrived(&arrival(FLOW, 1, 0));
    assert_eq!(record.known(Revision(1)), Revision(1));
    assert_eq!(record.known(Revision(2)), Revision(0));
    record.acknowledge(Revision(9));
    assert_eq!(record.progress.acknowledged, Revision(0));
}
