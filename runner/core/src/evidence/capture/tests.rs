//! The order in which packets are joined does not matter, and every way to die has its sentence.

use super::*;
use Way::{In, Out};

const A: FlowId = FlowId(1);
const N: Attempt = Attempt(5);

fn from(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn icmp(icmp_type: u8, icmp_code: u8) -> Packet {
    Packet::IcmpError { icmp_type, icmp_code }
}

/// What the source saw: it knows the attempt of every packet.
fn source(packet: Packet, way: Way, address: &str) -> (usize, Sighting) {
    let sequence = (packet == Packet::Request).then_some(77);
    (0, Sighting { attempt: Some((A, N)), sequence, packet, way, from: from(address) })
}

/// What the destination saw of a handshake.
fn destination(packet: Packet, way: Way) -> (usize, Sighting) {
    (1, Sighting { attempt: None, sequence: Some(77), packet, way, from: from("10.0.0.2") })
}

fn trace(sightings: &[(usize, Sighting)]) -> Trace {
    let joined = |sightings: Vec<&(usize, Sighting)>| {
        let mut traces = Traces::default();
        for (prober, sighting) in sightings {
            traces.add(*prober, sighting);
        }
        traces.furthest(A, N, N).expect("it is kept")
    };
    let forwards = joined(sightings.iter().collect());
    assert_eq!(joined(sightings.iter().rev().collect()), forwards, "the order does not matter");
    forwards
}

#[test]
fn every_way_to_die_has_its_sentence() {
    use Packet::{Answer, Request, Reset};
    let left = || source(Request, Out, "10.0.0.1");
    let arrived = || destination(Request, In);
    let table = [
        (vec![], Coverage::Both, "no SYN left app/api's interface"),
        (vec![left()], Coverage::Both, "the SYN left app/api's interface and never reached data/db's"),
        (vec![left()], Coverage::SourceOnly, "the SYN left app/api's interface and nothing came back"),
        (
            vec![left()],
            Coverage::Holes,
            "some captured packets were lost, so it is unknown where the attempt was lost",
        ),
        (
            vec![left(), arrived()],
            Coverage::Both,
            "the SYN reached data/db's interface and no answer left it",
        ),
        (
            vec![left(), arrived(), destination(Answer, Out)],
            Coverage::Both,
            "the SYN-ACK left data/db's interface and never reached app/api's",
        ),
        (
            vec![left(), arrived(), destination(Reset, Out)],
            Coverage::Both,
            "the RST left data/db's interface and never reached app/api's",
        ),
        (
            vec![left(), arrived(), destination(Answer, Out), source(Answer, In, "10.0.0.2")],
            Coverage::Both,
            "the SYN-ACK reached app/api's interface, and nothing of what followed came back",
        ),
        (
            vec![left(), source(Answer, In, "10.0.0.9")],
            Coverage::Both,
            "the SYN-ACK reached app/api's interface, and data/db's never saw the SYN: another answered",
        ),
        (
            vec![left(), arrived(), destination(Reset, Out), source(Reset, In, "10.0.0.2")],
            Coverage::Both,
            "a RST came from 10.0.0.2; data/db sent it",
        ),
        (
            vec![left(), source(Reset, In, "10.0.0.2")],
            Coverage::Both,
            "a RST came from 10.0.0.2; the SYN never reached data/db's interface",
        ),
        (
            vec![left(), arrived(), source(Reset, In, "10.0.0.2")],
            Coverage::Both,
            "a RST came from 10.0.0.2; data/db, which the SYN reached, did not send it",
        ),
        (vec![left(), source(Reset, In, "10.0.0.2")], Coverage::Holes, "a RST came from 10.0.0.2"),
        (
            vec![left(), source(icmp(3, 13), In, "172.18.0.3")],
            Coverage::Both,
            "an ICMP error (type 3, code 13: administratively prohibited) came from 172.18.0.3; the SYN never reached data/db's interface",
        ),
        (
            vec![left(), source(icmp(1, 4), In, "fd00::2")],
            Coverage::SourceOnly,
            "an ICMPv6 error (type 1, code 4: port unreachable) came from fd00::2",
        ),
    ];
    for (sightings, coverage, expected) in table {
        let names =
            Names { transport: Transport::Tcp, source: "app/api", destination: "data/db", sender: None };
        assert_eq!(sentence(&trace(&sightings), coverage, &names), expected, "{sightings:?}");
    }
}

#[test]
fn datagrams_are_joined_by_their_attempt_and_named_by_their_kind() {
    let datagram = |prober, packet, way| {
        let attempt = Some((A, N));
        (prober, Sighting { attempt, sequence: None, packet, way, from: from("10.0.0.1") })
    };
    let sightings = [
        datagram(0, Packet::Request, Out),
        datagram(4, Packet::Request, In),
        datagram(4, Packet::Answer, Out),
    ];
    let trace = trace(&sightings);
    assert_eq!((trace.arrived_at, trace.found(Coverage::Both)), (Some(4), Found::AnswerLost));
    for (transport, expected) in [
        (Transport::Udp, "the answer left data/db's interface and never reached app/api's"),
        (Transport::DnsUdp, "the answer left data/db's interface and never reached app/api's"),
        (Transport::DnsTcp, "the SYN-ACK left data/db's interface and never reached app/api's"),
    ] {
        let names = Names { transport, source: "app/api", destination: "data/db", sender: None };
        assert_eq!(sentence(&trace, Coverage::Both, &names), expected);
    }
}

#[test]
fn whoever_sent_an_error_is_named() {
    let trace = trace(&[
        source(Packet::Request, Out, "10.0.0.1"),
        source(icmp(3, 3), In, "10.0.0.9"),
        destination(Packet::Request, In),
        destination(icmp(3, 3), Out),
    ]);
    let names =
        Names { transport: Transport::Tcp, source: "app/api", destination: "data/db", sender: Some("node2") };
    assert_eq!(
        sentence(&trace, Coverage::Both, &names),
        "an ICMP error (type 3, code 3: port unreachable) came from 10.0.0.9 (node2); data/db sent it"
    );
}

#[test]
fn the_attempt_that_came_furthest_speaks() {
    let mut traces = Traces::default();
    for attempt in 1..=4 {
        let mut add = |prober, packet, way| {
            let sighting = Sighting {
                attempt: (prober == 0).then_some((A, Attempt(attempt))),
                sequence: Some(100 + attempt),
                packet,
                way,
                from: from("10.0.0.1"),
            };
            traces.add(prober, &sighting);
        };
        add(0, Packet::Request, Out);
        if attempt == 2 {
            add(1, Packet::Request, In);
        }
    }
    let found = |traces: &Traces, first, last| {
        Some(traces.furthest(A, Attempt(first), Attempt(last))?.found(Coverage::Both))
    };
    assert_eq!(found(&traces, 1, 4), Some(Found::NoAnswerLeft));
    assert_eq!(found(&traces, 3, 4), Some(Found::NeverArrived));
    assert_eq!(found(&traces, 5, 9), Some(Found::NotSent));
    for attempt in 5..5 + MOST_ATTEMPTS as u32 {
        let sighting = source(Packet::Request, Out, "10.0.0.1").1;
        traces.add(0, &Sighting { attempt: Some((A, Attempt(attempt))), ..sighting });
    }
    assert_eq!(traces.furthest(A, Attempt(4), Attempt(6)), None, "forgotten");
    assert_eq!(found(&traces, 5, 6), Some(Found::NeverArrived));
}

#[test]
fn memory_is_bounded() {
    let mut traces = Traces::default();
    for number in 0..MOST_HANDSHAKES as u32 + 100 {
        let sighting = |attempt, sequence, way| Sighting {
            attempt,
            sequence: Some(sequence),
            packet: Packet::Request,
            way,
            from: from("10.0.0.1"),
        };
        traces.add(1, &sighting(None, number, In));
        traces.add(0, &sighting(Some((A, Attempt(number))), u32::MAX - number, Out));
    }
    assert_eq!(traces.unclaimed.order.len(), MOST_HANDSHAKES);
    assert_eq!(traces.unclaimed.values.len(), MOST_HANDSHAKES);
    assert_eq!(traces.attempts.values.len(), MOST_HANDSHAKES);
    assert_eq!(traces.flows[&A].len(), MOST_ATTEMPTS);
}
