//! What a prober saw pass its interfaces, if it captures.

use crate::{Attempt, FlowId};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A series of sightings without a gap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// Number of the first sighting, counted from 1 since the start of the prober; of the next one if there is none here.
    pub first: u64,
    /// The sightings, in order.
    pub sightings: Vec<Sighting>,
}

/// A packet that passed an interface of the prober.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sighting {
    /// The attempt that it belongs to. The source always knows it; a destination knows it only from a nonce, which a handshake lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<(FlowId, Attempt)>,
    /// TCP: the sequence number of the SYN that it is or answers, which address translation does not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u32>,
    /// What it is.
    pub packet: Packet,
    /// Its direction.
    pub way: Way,
    /// The address that it came from, as in its header.
    pub from: IpAddr,
}

/// What a packet is to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Packet {
    /// A SYN, or a datagram with a nonce or a query.
    Request,
    /// A SYN-ACK, or a datagram that answers.
    Answer,
    /// A RST against the attempt.
    Reset,
    /// An ICMP error about it (RFC 792, RFC 4443).
    IcmpError {
        /// ICMP or `ICMPv6` type.
        icmp_type: u8,
        /// ICMP or `ICMPv6` code.
        icmp_code: u8,
    },
}

/// The direction in which a packet passed an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// From the prober's surroundings into the network.
    Out,
    /// From the network.
    In,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sighting_has_a_stable_shape() {
        let sighting = Sighting {
            attempt: Some((FlowId(3), Attempt(9))),
            sequence: Some(7),
            packet: Packet::IcmpError { icmp_type: 3, icmp_code: 13 },
            way: Way::In,
            from: [192, 0, 2, 1].into(),
        };
        let line = serde_json::to_string(&sighting).expect("it is valid JSON");
        assert_eq!(
            line,
            r#"{"attempt":[3,9],"sequence":7,"packet":{"is":"icmp-error","icmp_type":3,"icmp_code":13},"way":"in","from":"192.0.2.1"}"#
        );
        assert_eq!(serde_json::from_str::<Sighting>(&line).expect("it reads back"), sighting);
    }
}
