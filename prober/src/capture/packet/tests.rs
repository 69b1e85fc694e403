//! Packets as bytes, and any bytes at all.

use super::*;
use proptest::prelude::*;

/// An IPv4 header without options, or an IPv6 header; with what follows.
pub(in crate::capture) fn packet(protocol: u8, from: &str, to: &str, content: &[u8]) -> Vec<u8> {
    let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
    let length = content.len() as u16;
    match (parse(from), parse(to)) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut bytes = vec![0x45, 0];
            bytes.extend((20 + length).to_be_bytes());
            bytes.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
            bytes.extend(content);
            bytes
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut bytes = vec![0x60, 0, 0, 0];
            bytes.extend(length.to_be_bytes());
            bytes.extend([protocol, 64]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
            bytes.extend(content);
            bytes
        }
        _ => panic!("two families"),
    }
}

pub(in crate::capture) fn tcp(ports: (u16, u16), flags: u8, sequence: u32, acknowledged: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(acknowledged.to_be_bytes());
    bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
}

pub(in crate::capture) fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend((8 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

pub(in crate::capture) fn icmp(icmp_type: u8, icmp_code: u8, quoted: &[u8]) -> Vec<u8> {
    [&[icmp_type, icmp_code, 0, 0, 0, 0, 0, 0], quoted].concat()
}

const PAIRS: [(&str, &str); 2] = [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")];

fn ends(from: &str, to: &str, ports: (u16, u16)) -> Ends {
    let end = |text: &str, port| SocketAddr::new(text.parse().expect("an address"), port);
    Ends { from: end(from, ports.0), to: end(to, ports.1) }
}

#[test]
fn handshakes_are_told_from_other_segments() {
    for (from, to) in PAIRS {
        for (bits, sequence, expected) in [
            (0x02, 7, Some(Flags::Syn)),
            (0xc2, 7, Some(Flags::Syn)), // with ECN
            (0x12, 7, Some(Flags::SynAck)),
            (0x14, 0, Some(Flags::ResetOfSyn)),
            (0x14, 7, Some(Flags::Reset)),
            (0x04, 7, Some(Flags::Reset)),
            (0x10, 7, None),
            (0x18, 7, None),
            (0x11, 7, None),
        ] {
            let read = read(&packet(6, from, to, &tcp((40_000, 80), bits, sequence, 9)));
            let ends = ends(from, to, (40_000, 80));
            let expected = expected.map(|flags| Packet::Tcp { ends, flags, sequence, acknowledged: 9 });
            assert_eq!(read, expected, "{bits:#x}");
        }
    }
}

#[test]
fn datagrams_bring_what_they_carry() {
    for (from, to) in PAIRS {
        let payload = b"FLP1 and more".to_vec();
        let read = read(&packet(17, from, to, &udp((53, 40_000), &payload)));
        assert_eq!(read, Some(Packet::Udp { ends: ends(from, to, (53, 40_000)), payload }));
    }
}

#[test]
fn errors_of_icmp_quote_what_they_are_about() {
    for ((from, to), protocol, icmp_type, icmp_code) in [(PAIRS[0], 1, 3, 13), (PAIRS[1], 58, 1, 1)] {
        let syn = packet(6, from, to, &tcp((40_000, 80), 0x02, 77, 0));
        // A router need not quote more than eight octets after the IP header.
        let least = &syn[..syn.len() - 12];
        let datagram = packet(17, from, to, &udp((40_000, 80), b"nonce"));
        let ends = ends(from, to, (40_000, 80));
        for (quoted, about) in [
            (&syn[..], Quoted::Tcp { ends, sequence: 77 }),
            (least, Quoted::Tcp { ends, sequence: 77 }),
            (&datagram[..], Quoted::Udp { ends, payload: b"nonce".to_vec() }),
        ] {
            let read = read(&packet(protocol, to, from, &icmp(icmp_type, icmp_code, quoted)));
            let (from, to) = (to.parse().expect("an address"), from.parse().expect("an address"));
            assert_eq!(read, Some(Packet::IcmpError { from, to, icmp_type, icmp_code, about }));
        }
        let echo = if protocol == 1 { 8 } else { 128 };
        assert_eq!(read(&packet(protocol, to, from, &icmp(echo, 0, &syn))), None);
    }
}

#[test]
fn later_fragments_and_short_headers_are_passed_over() {
    let mut bytes = packet(17, "10.0.0.1", "10.0.0.2", &udp((1, 2), b""));
    assert!(read(&bytes).is_some());
    bytes[7] = 1;
    assert_eq!(read(&bytes), None, "a later fragment");
    bytes[7] = 0;
    bytes[0] = 0x41;
    assert_eq!(read(&bytes), None, "a header of four octets");
    bytes[0] = 0x4f;
    assert_eq!(read(&bytes), None, "a header beyond the packet");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = read(&bytes);
    }

    /// Bytes that pass the first checks: a valid beginning, cut and changed anywhere.
    #[test]
    fn no_damage_makes_it_panic(
        pair in 0..2_usize, protocol in prop::sample::select(vec![1_u8, 6, 17, 58]), kind in 0..16_u8,
        inner in prop::sample::select(vec![6_u8, 17]), length in 0..192_usize, changes in proptest::collection::vec((0..192_usize, any::<u8>()), 0..6),
    ) {
        let (from, to) = PAIRS[pair];
        let quoted = packet(inner, from, to, &tcp((40_000, 80), 0x02, 77, 0));
        let content = if matches!(protocol, 1 | 58) { icmp(kind, 3, &quoted) } else { tcp((1, 2), kind, 3, 4) };
        let mut bytes = packet(protocol, from, to, &content);
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(length);
        let _ = read(&bytes);
    }
}
