//! What the probers of a lane say about one another.

use super::*;
use crate::{
    evidence::record::SourceRun,
    scenario::flow::{Family, Flow, Target},
};

const STEADY: Moment = Moment(0);

/// A book of three probers and a flow from the first one. The third one reported at 2 s that it was late by 300 ms.
fn book(target: Target, transport: Transport) -> (Book, Key) {
    let mut book = Book::default();
    let [source, _, late] = ["source", "other", "late"].map(|name| Workload::new("a", name));
    for workload in [source.clone(), Workload::new("a", "other"), late] {
        book.add_prober(workload);
    }
    for prober in &mut book.probers {
        prober.life.alive(STEADY, Moment(10_000_000));
    }
    book.probers[2].was_late(None, Moment(2_000_000), Duration::from_millis(300));
    let witnesses = match &target {
        Target::Workload(workload) => {
            let listener = Listener { transport, port: 53 };
            BTreeMap::from([(workload.clone(), listener)])
        }
        _ => BTreeMap::new(),
    };
    let flow = Flow { source, target, transport, port: 53, established: false };
    let to = "192.0.2.1:53".parse().expect("an address");
    let key = book.track(Planned { flow, family: Family::V4, to, question: None, witnesses });
    (book, key)
}

#[test]
fn a_prober_that_could_not_report_was_late_at_any_time_since_the_report_before() {
    let (mut book, key) = book(Target::ClusterDns, Transport::DnsUdp);
    let late = |book: &Book, at_ms: i64| {
        let at = Moment(at_ms * 1000);
        matches!(EndsOf { book, key }.unhindered(at, at), Life::Broken(_))
    };
    book.probers[2].was_late(Some(Moment(5_000_000)), Moment(8_000_000), Duration::from_millis(300));
    assert!(late(&book, 4_800) && late(&book, 6_000) && late(&book, 8_000));
    assert!(!late(&book, 4_600) && !late(&book, 8_100));
}

fn unhindered(target: Target, transport: Transport, from_ms: i64) -> Life {
    let (book, key) = book(target, transport);
    EndsOf { book: &book, key }.unhindered(Moment(from_ms * 1000), Moment((from_ms + 100) * 1000))
}

#[test]
fn a_server_without_a_prober_is_hindered_when_any_prober_of_the_lane_is() {
    let hindered = |from_ms| matches!(unhindered(Target::ClusterDns, Transport::DnsUdp, from_ms), Life::Broken(why) if why.contains("a/late"));
    assert!(hindered(1_800), "it was late from 1.6 s on");
    assert!(!hindered(2_100), "and not after 2 s");
    assert!(!hindered(1_400), "nor before");
}

#[test]
fn of_a_flow_between_probers_only_its_ends_count() {
    let to = |name| Target::Workload(Workload::new("a", name));
    let hindered = |name| matches!(unhindered(to(name), Transport::Udp, 1_800), Life::Broken(why) if why.contains("a/late"));
    assert!(hindered("late"));
    assert!(!hindered("other"));
}

/// The hindrance of a silent flow from `at_s` on, if its server took this long to answer another flow at 3 s.
fn of_silence(target: Target, transport: Transport, answered: (Transport, u64), at_s: i64) -> Hindrance {
    let (mut book, silent) = book(target, transport);
    let answered_in = Duration::from_millis(answered.1);
    let planned = Planned {
        flow: Flow { transport: answered.0, ..book.flow(silent).planned.flow.clone() },
        ..book.flow(silent).planned.clone()
    };
    let other = book.track(planned);
    book.flows[other.0].record.source(SourceRun {
        first: Attempt(1),
        last: Attempt(1),
        first_at: Moment(3_000_000),
        last_at: Moment(3_000_000),
        min: answered_in,
        max: answered_in,
        observation: Observation::Answered { answers: Vec::new() },
    });
    book.hindrance(silent, Moment(at_s * 1_000_000), Moment((at_s + 10) * 1_000_000))
}

#[test]
fn the_silence_of_a_slow_server_without_a_prober_proves_nothing() {
    let dns = |transport, answered, at_s| of_silence(Target::ClusterDns, transport, answered, at_s).share;
    for transport in [Transport::DnsUdp, Transport::DnsTcp] {
        assert!(dns(transport, (Transport::DnsUdp, 700), 4) > 0.99, "{transport:?}");
        assert!(dns(transport, (Transport::DnsUdp, 300), 4) < 0.01, "{transport:?}: it is quick");
        assert!(
            dns(transport, (Transport::DnsTcp, 1_010), 4) < 0.01,
            "{transport:?}: a handshake was repeated"
        );
        assert!(dns(transport, (Transport::DnsUdp, 700), 70) < 0.01, "{transport:?}: that was long ago");
    }
    let prober = Target::Workload(Workload::new("a", "other"));
    assert!(
        of_silence(prober, Transport::Udp, (Transport::Udp, 700), 4).share < 0.01,
        "a prober says so itself"
    );
}
