//! Leaks, gaps, losses and holes, from segments of attempts every 100 ms.

use super::*;
use crate::evidence::record::Witness;

const INTERVAL: Duration = Duration::from_millis(100);
const THROUGH: (Observation, Witness) = (Observation::Answered { answers: vec![] }, Witness::Arrived);
const DROPPED: (Observation, Witness) = (Observation::Silent, Witness::NotArrived);

/// Ends that are in the same state all the time.
#[derive(Clone)]
struct Always {
    life: Life,
    unhindered: Life,
}

const ALIVE: Always = Always { life: Life::Alive, unhindered: Life::Alive };

impl Witnesses for Always {
    fn life(&self, _: Moment, _: Moment) -> Life {
        self.life.clone()
    }

    fn unhindered(&self, _: Moment, _: Moment) -> Life {
        self.unhindered.clone()
    }
}

/// Segments of this many attempts each; `None` for a pause of this many intervals.
fn segments(parts: &[(u32, Option<(Observation, Witness)>)]) -> Vec<Segment> {
    let (mut next, mut number) = (1_i64, 0);
    let mut segments = Vec::new();
    for (count, seen) in parts {
        if let Some((observation, witness)) = seen {
            number += count;
            segments.push(Segment {
                attempts: u64::from(*count),
                first_at: Moment(next * 100_000),
                last_at: Moment((next + i64::from(*count) - 1) * 100_000),
                last: Attempt(number),
                observation: observation.clone(),
                witness: *witness,
            });
        }
        next += i64::from(*count);
    }
    segments
}

fn told(expectation: Expectation, parts: &[(u32, Option<(Observation, Witness)>)], ends: &Always) -> Told {
    let mut chronicle = Chronicle::new(expectation, INTERVAL, Moment(0), MOST_EPISODES);
    let segments = segments(parts);
    let end = segments.last().map_or(Moment(0), |segment| segment.last_at + INTERVAL);
    // One by one, as they come.
    for segment in &segments {
        chronicle.take(std::slice::from_ref(segment), &Ends::default(), ends);
    }
    assert_eq!(chronicle.cursor(), segments.last().map(|segment| segment.last));
    chronicle.end(end, &Ends::default(), ends)
}

fn episodes(told: &Told) -> Vec<(What, u64, u64, u64, bool)> {
    told.episodes.iter().map(|e| (e.what, e.from_ms, e.until_ms, e.attempts, e.open)).collect()
}

#[test]
fn a_denied_flow_that_gets_through_is_a_leak_with_its_length() {
    let parts = [
        (10, Some(DROPPED)),
        (5, Some(THROUGH)),
        (10, Some(DROPPED)),
        (1, Some(THROUGH)),
        (1, Some(DROPPED)),
    ];
    let told = told(Expectation::Deny, &parts, &ALIVE);
    assert_eq!(episodes(&told), [(What::Leak, 1100, 1600, 5, false), (What::Leak, 2600, 2700, 1, false)]);
    assert_eq!((told.attempts, told.losses), (27, 0));
}

#[test]
fn an_allowed_flow_that_fails_is_a_gap_and_a_single_loss_is_not() {
    let parts =
        [(10, Some(THROUGH)), (1, Some(DROPPED)), (9, Some(THROUGH)), (2, Some(DROPPED)), (3, Some(THROUGH))];
    let told = told(Expectation::Allow, &parts, &ALIVE);
    assert_eq!(episodes(&told), [(What::Gap, 2100, 2300, 2, false)]);
    assert_eq!(told.losses, 1);
}

#[test]
fn a_connection_that_ended_is_told_even_if_the_next_one_works_at_once() {
    let cut = |reset| (Observation::Cut { reset }, Witness::NotArrived);
    let told = |parts: &[(u32, Option<(Observation, Witness)>)]| {
        let chronicle = Chronicle::new(Expectation::Allow, INTERVAL, Moment(0), MOST_EPISODES);
        let mut chronicle = chronicle.of_one_connection();
        let segments = segments(parts);
        chronicle.take(&segments, &Ends::default(), &ALIVE);
        let end = segments.last().map_or(Moment(0), |segment| segment.last_at + INTERVAL);
        chronicle.end(end, &Ends::default(), &ALIVE)
    };
    let ended = told(&[(9, Some(THROUGH)), (1, Some(cut(true))), (9, Some(THROUGH))]);
    assert_eq!(
        (ended.losses, ended.episodes.iter().map(Episode::is_cut).collect::<Vec<_>>()),
        (0, vec![true])
    );
    let late = told(&[(9, Some(THROUGH)), (1, Some(cut(false))), (9, Some(THROUGH))]);
    assert_eq!((late.losses, late.episodes.len()), (1, 0), "one late answer");
    let parts = [(9, Some(THROUGH)), (5, Some(cut(false))), (1, Some(cut(true))), (20, Some(DROPPED))];
    let shut = told(&parts);
    assert_eq!(episodes(&shut), [(What::Gap, 1000, 3600, 26, true)]);
    assert!(shut.episodes[0].is_cut(), "what came after the end does not hide it");
}

#[test]
fn what_nobody_saw_is_neither_good_nor_bad() {
    let stopped = Life::Broken("it was stopped".to_owned());
    let broken = &Always { life: stopped.clone(), unhindered: stopped.clone() };
    let denied = told(Expectation::Deny, &[(10, Some(DROPPED))], broken);
    assert_eq!(episodes(&denied), [(What::NotObserved, 100, 1100, 10, true)]);
    assert_eq!(denied.episodes[0].why.as_deref(), Some("it was stopped"));
    let allowed = told(Expectation::Allow, &[(10, Some(DROPPED))], broken);
    assert_eq!(episodes(&allowed), [(What::NotObserved, 100, 1100, 10, true)]);
    // What got through got through.
    assert_eq!(episodes(&told(Expectation::Deny, &[(3, Some(THROUGH))], broken))[0].0, What::Leak);
    assert_eq!(episodes(&told(Expectation::Allow, &[(3, Some(THROUGH))], broken)), []);
    // An end that got too little CPU may miss what arrives, but reports in the end that it arrived.
    let starved = &Always { life: Life::Alive, unhindered: stopped };
    assert_eq!(episodes(&told(Expectation::Allow, &[(3, Some(DROPPED))], starved))[0].0, What::NotObserved);
    assert_eq!(episodes(&told(Expectation::Deny, &[(3, Some(DROPPED))], starved)), []);
    let error = (Observation::LocalError { errno: 24, call: "socket".into() }, Witness::NotArrived);
    let own = told(Expectation::Deny, &[(3, Some(DROPPED)), (4, Some(error)), (3, Some(DROPPED))], &ALIVE);
    assert_eq!(episodes(&own), [(What::NotObserved, 400, 800, 4, false)]);
}

#[test]
fn a_pause_in_the_trying_is_a_hole() {
    let parts = [(10, Some(DROPPED)), (20, None), (10, Some(DROPPED))];
    let paused = told(Expectation::Deny, &parts, &ALIVE);
    assert_eq!(episodes(&paused), [(What::NotObserved, 1000, 3100, 0, false)]);
    let mut silent = Chronicle::new(Expectation::Deny, INTERVAL, Moment(0), MOST_EPISODES);
    assert_eq!(silent.disturbed(), Moment(0));
    silent.replaced();
    let told = silent.end(Moment(5_000_000), &Ends::default(), &ALIVE);
    assert_eq!(episodes(&told), [(What::NotObserved, 0, 5000, 0, true)]);
}

#[test]
fn many_flows_keep_fewer_episodes_each() {
    assert_eq!([1, 40, 100, 1_000, 100_000].map(episodes_each), [200, 125, 50, 5, 5]);
}

#[test]
fn a_leak_takes_the_place_of_a_hole_when_there_is_no_other() {
    let mut chronicle = Chronicle::new(Expectation::Deny, INTERVAL, Moment(0), 2);
    let hole = [(2, Some(DROPPED)), (20, None)];
    let parts =
        [&hole[..], &hole, &hole, &[(2, Some(DROPPED)), (2, Some(THROUGH)), (2, Some(DROPPED))]].concat();
    chronicle.take(&segments(&parts), &Ends::default(), &ALIVE);
    let told = chronicle.end(Moment(7_000_000), &Ends::default(), &ALIVE);
    let kinds: Vec<_> = told.episodes.iter().map(|episode| episode.what).collect();
    assert_eq!((kinds, told.untold), (vec![What::NotObserved, What::Leak], 2));
}

#[test]
fn a_flow_that_flaps_is_kept_in_bounded_memory() {
    let mut chronicle = Chronicle::new(Expectation::Deny, INTERVAL, Moment(0), MOST_EPISODES);
    let one = segments(&[(1, Some(THROUGH)), (1, Some(DROPPED))]);
    for _ in 0..MOST_EPISODES + 50 {
        chronicle.take(&one, &Ends::default(), &ALIVE);
    }
    let told = chronicle.end(Moment(300_000), &Ends::default(), &ALIVE);
    assert_eq!((told.episodes.len(), told.untold), (MOST_EPISODES, 50));
}
