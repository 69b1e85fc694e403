//! The packet socket: every interface, and only what [`super::packet`] can read.

use nix::libc;
use pnet_datalink::{Channel, ChannelType, Config, DataLinkReceiver, NetworkInterface};
use socket2::{Domain, SockFilter, Socket, Type};
use std::{io, os::fd::IntoRawFd};

/// How many octets of a packet are read. A DNS query with its nonce (53) fits behind the longest IP and UDP headers (68), even
/// after the headers of an ICMP error that quotes it (48).
const LONGEST: u32 = 192;

/// How much the kernel may hold while the program gets no CPU; `net.core.rmem_max` limits it.
const BUFFER: usize = 4 * 1024 * 1024;

/// Opens the socket; reading from it blocks. It needs `CAP_NET_RAW` in the user namespace of the network namespace.
pub(super) fn open() -> io::Result<Box<dyn DataLinkReceiver>> {
    // Without a protocol, no packets come before the filter is set; then pnet binds the socket.
    let socket = Socket::new(Domain::PACKET, Type::DGRAM.cloexec(), None)?;
    socket.attach_filter(&filter())?;
    socket.set_recv_buffer_size(BUFFER)?;
    // Index 0 means every interface, including those that are added later.
    let every = NetworkInterface {
        name: String::new(),
        description: String::new(),
        index: 0,
        mac: None,
        ips: Vec::new(),
        flags: 0,
    };
    let config = Config {
        read_buffer_size: LONGEST as usize,
        channel_type: ChannelType::Layer3(libc::ETH_P_ALL as u16),
        promiscuous: false,
        // From here on pnet owns it, and closes it even if this fails.
        socket_fd: Some(socket.into_raw_fd()),
        ..Config::default()
    };
    match pnet_datalink::channel(&every, config)? {
        Channel::Ethernet(_, receiver) => Ok(receiver),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Keeps UDP, ICMP and those packets of TCP that have SYN or RST, of IPv4 and IPv6 (instructions: bpf(4) of the BSDs, Linux's
/// `networking/filter`).
fn filter() -> Vec<SockFilter> {
    const fn step(code: u32, then: u8, otherwise: u8, k: u32) -> SockFilter {
        SockFilter::new(code as u16, then, otherwise, k)
    }
    const BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    const HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
    const BYTE_BEHIND_X: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_IND;
    const X_IS_HEADER_LENGTH: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
    const RIGHT: u32 = libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    const SYN_OR_RST: u32 = 0x06;
    vec![
        /*  0 */ step(BYTE, 0, 0, 0),
        /*  1 */ step(RIGHT, 0, 0, 4),
        /*  2 */ step(EQUAL, 0, 9, 4), // not IPv4: 12
        /*  3 */ step(BYTE, 0, 0, 9), // protocol
        /*  4 */ step(EQUAL, 15, 0, 17), // UDP: keep
        /*  5 */ step(EQUAL, 14, 0, 1), // ICMP: keep
        /*  6 */ step(EQUAL, 0, 12, 6), // not TCP: leave
        /*  7 */ step(HALF, 0, 0, 6),
        /*  8 */ step(ANY_BIT, 10, 0, 0x1fff), // not the first fragment: leave
        /*  9 */ step(X_IS_HEADER_LENGTH, 0, 0, 0),
        /* 10 */ step(BYTE_BEHIND_X, 0, 0, 13), // flags
        /* 11 */ step(ANY_BIT, 8, 7, SYN_OR_RST), // keep or leave
        /* 12 */ step(EQUAL, 0, 6, 6), // not IPv6: leave
        /* 13 */ step(BYTE, 0, 0, 6), // next header
        /* 14 */ step(EQUAL, 5, 0, 17), // UDP: keep
        /* 15 */ step(EQUAL, 4, 0, 58), // ICMPv6: keep
        /* 16 */ step(EQUAL, 0, 2, 6), // not TCP: leave
        /* 17 */ step(BYTE, 0, 0, 53), // flags
        /* 18 */ step(ANY_BIT, 1, 0, SYN_OR_RST), // keep or leave
        /* 19 */ step(RETURN, 0, 0, 0),
        /* 20 */ step(RETURN, 0, 0, LONGEST),
    ]
}
