//! Whose packets are whose.

use super::*;
use crate::capture::packet::{
    read,
    tests::{icmp, packet, tcp, udp},
};

const OWN: &str = "10.0.0.1";
const OTHER: &str = "10.0.0.2";
const RUN: u64 = 9;
const ATTEMPT: (FlowId, Attempt) = (FlowId(3), Attempt(8));

/// A prober that listens on TCP 80 and UDP 80, with an attempt on port 40000.
fn judged(bytes: &[u8]) -> Option<Sighting> {
    let mut own = Own { run: RUN, ..Own::default() };
    own.addresses.insert(OWN.parse().expect("an address"));
    let listener = |transport| Listener { transport, port: 80 };
    own.listens(&[listener(Transport::Tcp), listener(Transport::Udp)]);
    let mut ports = Ports::default();
    ports.took(Transport::Tcp, 40_000, ATTEMPT.0, ATTEMPT.1);
    ports.took(Transport::DnsUdp, 40_001, ATTEMPT.0, ATTEMPT.1);
    own.judge(&read(bytes)?, &ports)
}

#[expect(clippy::unnecessary_wraps, reason = "what it is compared with is optional")]
fn sighting(
    attempt: Option<(FlowId, Attempt)>,
    sequence: Option<u32>,
    packet: Is,
    way: Way,
    from: &str,
) -> Option<Sighting> {
    Some(Sighting { attempt, sequence, packet, way, from: from.parse().expect("an address") })
}

fn nonce(run: u64) -> Nonce {
    Nonce { run, flow: ATTEMPT.0, attempt: ATTEMPT.1 }
}

#[test]
fn a_source_knows_the_packets_of_its_attempts_by_their_port() {
    let out = |flags| packet(6, OWN, OTHER, &tcp((40_000, 5432), flags, 76, 0));
    let back = |flags, sequence| packet(6, OTHER, OWN, &tcp((5432, 40_000), flags, sequence, 77));
    let own = Some(ATTEMPT);
    for (bytes, expected) in [
        (out(0x02), sighting(own, Some(76), Is::Request, Way::Out, OWN)),
        (back(0x12, 5), sighting(own, Some(76), Is::Answer, Way::In, OTHER)),
        (back(0x14, 0), sighting(own, None, Is::Reset, Way::In, OTHER)),
        (back(0x04, 5), sighting(own, None, Is::Reset, Way::In, OTHER)),
        (out(0x14), None), // its own end of a connection
    ] {
        assert_eq!(judged(&bytes), expected);
    }
    let query = packet(17, OWN, OTHER, &udp((40_001, 53), b"any"));
    assert_eq!(judged(&query), sighting(own, None, Is::Request, Way::Out, OWN));
    let reply = packet(17, OTHER, OWN, &udp((53, 40_001), b"any"));
    assert_eq!(judged(&reply), sighting(own, None, Is::Answer, Way::In, OTHER));
    let router = "10.9.9.9";
    for (quoted, sequence) in [(out(0x02), Some(76)), (query, None)] {
        let error = packet(1, router, OWN, &icmp(3, 13, &quoted));
        let is = Is::IcmpError { icmp_type: 3, icmp_code: 13 };
        assert_eq!(judged(&error), sighting(own, sequence, is, Way::In, router));
    }
}

#[test]
fn a_destination_knows_handshakes_by_their_sequence_and_datagrams_by_their_nonce() {
    let come = packet(6, OTHER, OWN, &tcp((50_000, 80), 0x02, 76, 0));
    assert_eq!(judged(&come), sighting(None, Some(76), Is::Request, Way::In, OTHER));
    let answer = packet(6, OWN, OTHER, &tcp((80, 50_000), 0x12, 5, 77));
    assert_eq!(judged(&answer), sighting(None, Some(76), Is::Answer, Way::Out, OWN));
    let refusal = packet(6, OWN, OTHER, &tcp((80, 50_000), 0x14, 0, 77));
    assert_eq!(judged(&refusal), sighting(None, Some(76), Is::Reset, Way::Out, OWN));
    let ended = packet(6, OWN, OTHER, &tcp((80, 50_000), 0x14, 5, 77));
    assert_eq!(judged(&ended), None, "an answered connection ends");

    let label = [&[0_u8; 12][..], &[40], nonce(RUN).to_label().to_uppercase().as_bytes(), &[5]].concat();
    for payload in [&nonce(RUN).encode()[..], &label] {
        let come = packet(17, OTHER, OWN, &udp((50_000, 80), payload));
        assert_eq!(judged(&come), sighting(Some(ATTEMPT), None, Is::Request, Way::In, OTHER));
        let answer = packet(17, OWN, OTHER, &udp((80, 50_000), payload));
        assert_eq!(judged(&answer), sighting(Some(ATTEMPT), None, Is::Answer, Way::Out, OWN));
        let error = packet(1, OWN, OTHER, &icmp(3, 3, &come));
        let is = Is::IcmpError { icmp_type: 3, icmp_code: 3 };
        assert_eq!(judged(&error), sighting(Some(ATTEMPT), None, is, Way::Out, OWN));
    }
    let error = packet(1, OWN, OTHER, &icmp(3, 3, &come));
    let is = Is::IcmpError { icmp_type: 3, icmp_code: 3 };
    assert_eq!(judged(&error), sighting(None, Some(76), is, Way::Out, OWN));
}

#[test]
fn everybody_elses_packets_are_nobodys() {
    let tcp = |from, to, ports| packet(6, from, to, &tcp(ports, 0x02, 76, 0));
    let udp = |from, to, ports, payload: &[u8]| packet(17, from, to, &udp(ports, payload));
    for bytes in [
        tcp(OWN, OTHER, (40_002, 80)),
        tcp(OTHER, OWN, (40_000, 81)),
        tcp(OTHER, "10.0.0.3", (50_000, 80)), // forwarded by a node
        tcp("10.0.0.3", OTHER, (40_000, 80)),
        udp(OTHER, OWN, (50_000, 80), b"short"),
        udp(OTHER, OWN, (50_000, 80), &nonce(RUN + 1).encode()),
        udp(OTHER, OWN, (50_000, 80), &[0; 60]),
        udp(OTHER, OWN, (50_000, 81), &nonce(RUN).encode()),
        packet(1, OTHER, OWN, &icmp(3, 3, &tcp(OWN, OTHER, (40_002, 80)))),
        packet(1, OWN, OTHER, &icmp(3, 3, &tcp(OTHER, OWN, (50_000, 81)))),
    ] {
        assert_eq!(judged(&bytes), None, "{:?}", read(&bytes));
    }
}
