//! Reads the headers of a packet. Anybody may have sent it, so no bytes may cause a panic.

use pnet_packet::{
    icmp::{IcmpPacket, IcmpTypes},
    icmpv6::{Icmpv6Packet, Icmpv6Types},
    ip::{IpNextHeaderProtocol, IpNextHeaderProtocols},
    ipv4::Ipv4Packet,
    ipv6::Ipv6Packet,
    tcp::{TcpFlags, TcpPacket},
    udp::UdpPacket,
};
use std::net::{IpAddr, SocketAddr};

/// A transport header begins with its two ports; TCP's sequence number follows. ICMP errors quote at least this much (RFC 792).
const QUOTED: usize = 8;

/// A packet that may belong to an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    /// TCP, with a SYN or a RST in it.
    Tcp { ends: Ends, flags: Flags, sequence: u32, acknowledged: u32 },
    /// UDP and its payload, as far as it was read.
    Udp { ends: Ends, payload: Vec<u8> },
    /// An ICMP error.
    IcmpError { from: IpAddr, to: IpAddr, icmp_type: u8, icmp_code: u8, about: Quoted },
}

/// Where a packet comes from and goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
}

/// The flags of TCP that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flags {
    Syn,
    SynAck,
    /// A RST that acknowledges a SYN and has no sequence number of its own: it answers a SYN (RFC 9293, 3.10.7.1).
    ResetOfSyn,
    Reset,
}

/// What an ICMP error quotes of the packet that caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Quoted {
    Tcp { ends: Ends, sequence: u32 },
    Udp { ends: Ends, payload: Vec<u8> },
}

/// Addresses, protocol and what follows the header of IP.
struct Ip<'a> {
    from: IpAddr,
    to: IpAddr,
    protocol: IpNextHeaderProtocol,
    content: &'a [u8],
}

/// Reads a packet that begins with its IP header; `None` if it is not one of the kinds of [`Packet`].
pub(super) fn read(bytes: &[u8]) -> Option<Packet> {
    let ip = ip(bytes)?;
    match ip.protocol {
        IpNextHeaderProtocols::Tcp => tcp(&ip),
        IpNextHeaderProtocols::Udp => {
            let (ends, payload) = udp(&ip)?;
            Some(Packet::Udp { ends, payload: payload.to_vec() })
        }
        IpNextHeaderProtocols::Icmp => {
            let icmp = IcmpPacket::new(ip.content)?;
            let kind = icmp.get_icmp_type();
            let error = [
                IcmpTypes::DestinationUnreachable,
                IcmpTypes::SourceQuench,
                IcmpTypes::TimeExceeded,
                IcmpTypes::ParameterProblem,
            ];
            error.contains(&kind).then(|| icmp_error(&ip, kind.0, icmp.get_icmp_code().0))?
        }
        IpNextHeaderProtocols::Icmpv6 => {
            let icmp = Icmpv6Packet::new(ip.content)?;
            let kind = icmp.get_icmpv6_type();
            let error = [
                Icmpv6Types::DestinationUnreachable,
                Icmpv6Types::PacketTooBig,
                Icmpv6Types::TimeExceeded,
                Icmpv6Types::ParameterProblem,
            ];
            error.contains(&kind).then(|| icmp_error(&ip, kind.0, icmp.get_icmpv6_code().0))?
        }
        _ => None,
    }
}

/// Reads an IP header. `None` for later fragments, which have no transport header. Extension headers of IPv6 are not skipped,
/// because attempts do not use them.
fn ip(bytes: &[u8]) -> Option<Ip<'_>> {
    match bytes.first()? >> 4 {
        4 => {
            let header = Ipv4Packet::new(bytes)?;
            let length = usize::from(header.get_header_length()) * 4;
            let first = header.get_fragment_offset() == 0 && length >= Ipv4Packet::minimum_packet_size();
            first.then_some(())?;
            Some(Ip {
                from: header.get_source().into(),
                to: header.get_destination().into(),
                protocol: header.get_next_level_protocol(),
                content: bytes.get(length..)?,
            })
        }
        6 => {
            let header = Ipv6Packet::new(bytes)?;
            Some(Ip {
                from: header.get_source().into(),
                to: header.get_destination().into(),
                protocol: header.get_next_header(),
                content: bytes.get(Ipv6Packet::minimum_packet_size()..)?,
            })
        }
        _ => None,
    }
}

fn tcp(ip: &Ip<'_>) -> Option<Packet> {
    let tcp = TcpPacket::new(ip.content)?;
    let ends = ip.ends(tcp.get_source(), tcp.get_destination());
    let (sequence, acknowledged) = (tcp.get_sequence(), tcp.get_acknowledgement());
    let (flags, has) = (tcp.get_flags(), |flags: u8, wanted| flags & wanted != 0);
    let flags = match (has(flags, TcpFlags::RST), has(flags, TcpFlags::SYN), has(flags, TcpFlags::ACK)) {
        (true, _, true) if sequence == 0 => Flags::ResetOfSyn,
        (true, _, _) => Flags::Reset,
        (false, true, true) => Flags::SynAck,
        (false, true, false) => Flags::Syn,
        _ => return None,
    };
    Some(Packet::Tcp { ends, flags, sequence, acknowledged })
}

fn udp<'a>(ip: &Ip<'a>) -> Option<(Ends, &'a [u8])> {
    let udp = UdpPacket::new(ip.content)?;
    let payload = ip.content.get(UdpPacket::minimum_packet_size()..)?;
    Some((ip.ends(udp.get_source(), udp.get_destination()), payload))
}

fn icmp_error(outer: &Ip<'_>, icmp_type: u8, icmp_code: u8) -> Option<Packet> {
    // Both versions have eight octets before what they quote.
    let inner = ip(outer.content.get(8..)?)?;
    let about = match inner.protocol {
        IpNextHeaderProtocols::Tcp => {
            let quoted = inner.content.first_chunk::<QUOTED>()?;
            let port = |at: usize| u16::from_be_bytes([quoted[at], quoted[at + 1]]);
            let sequence = u32::from_be_bytes([quoted[4], quoted[5], quoted[6], quoted[7]]);
            Quoted::Tcp { ends: inner.ends(port(0), port(2)), sequence }
        }
        IpNextHeaderProtocols::Udp => {
            let (ends, payload) = udp(&inner)?;
            Quoted::Udp { ends, payload: payload.to_vec() }
        }
        _ => return None,
    };
    Some(Packet::IcmpError { from: outer.from, to: outer.to, icmp_type, icmp_code, about })
}

impl Ip<'_> {
    fn ends(&self, from: u16, to: u16) -> Ends {
        Ends { from: SocketAddr::new(self.from, from), to: SocketAddr::new(self.to, to) }
    }
}

#[cfg(test)]
pub(in crate::capture) mod tests;
