//! What the kernel knows about an attempt's failure: the socket's error queue (ip(7), `IP_RECVERR`) and its pending error.
//!
//! `connect` gives `ECONNREFUSED` for a RST and for ICMP port unreachable, and `EHOSTUNREACH` for a dozen ICMP codes; only
//! the error queue distinguishes them. UDP always has it, TCP since Linux 5.8. Before that, the errno is converted back to the
//! most common ICMP code that causes it.
//!
//! A host that cannot resolve its neighbor sends *itself* an ICMP host unreachable (or `ICMPv6` address unreachable). No packet
//! came from the network then, and nothing answers at that address: that is silence, and whether a pod sees the error at all
//! depends on the CNI's bridge or router. Every other ICMP error counts, even if this host's own filter sent it, because the
//! policies of a pod on the host's network are enforced there.

use flowproof_wire::Observation;
use nix::{
    cmsg_space, libc,
    sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, recvmsg},
};
use socket2::Socket;
use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    os::fd::AsRawFd,
};

/// What ended an attempt before an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// A RST in answer to the SYN.
    Rst,
    /// An ICMP port unreachable.
    Port { icmp_type: u8, icmp_code: u8 },
    /// Another ICMP error.
    Icmp { icmp_type: u8, icmp_code: u8 },
    /// The neighbor did not answer, or the kernel's own timer expired.
    Nobody,
    /// An established connection was reset.
    Reset,
    /// An error that no packet caused.
    Local { errno: i32 },
}

impl Failure {
    /// Says what a UDP source saw: a closed port answers with ICMP port unreachable (RFC 1122, 4.1.3.1).
    pub(super) fn of_datagram(self) -> Observation {
        match self {
            Self::Rst | Self::Reset | Self::Port { .. } => Observation::Refused,
            Self::Icmp { icmp_type, icmp_code } => Observation::Unreachable { icmp_type, icmp_code },
            Self::Nobody => Observation::Silent,
            Self::Local { errno } => Observation::LocalError { errno, call: "recv".to_owned() },
        }
    }

    /// Says what a TCP source saw before it was connected. [`Failure::Reset`] means that it was connected for a moment.
    pub(super) fn of_connecting(self) -> Observation {
        match self {
            Self::Rst => Observation::Refused,
            Self::Port { icmp_type, icmp_code } | Self::Icmp { icmp_type, icmp_code } => {
                Observation::Unreachable { icmp_type, icmp_code }
            }
            Self::Nobody => Observation::Silent,
            Self::Reset => Observation::Cut { reset: true },
            Self::Local { errno } => Observation::LocalError { errno, call: "connect".to_owned() },
        }
    }

    /// Says what a TCP source saw after it was connected: an ICMP error ends the connection as a RST does.
    pub(super) fn of_connected(self) -> Observation {
        Observation::Cut { reset: self != Self::Nobody }
    }
}

/// Takes the error of a socket, if there is one.
pub(super) fn take(socket: &Socket) -> Option<Failure> {
    let queued = from_queue(socket);
    // Read it in any case, because reading clears it.
    let pending = socket.take_error().ok().flatten().and_then(|error| error.raw_os_error());
    queued.or_else(|| pending.map(|errno| from_errno(errno, version_of(socket))))
}

/// Says why a read failed, which has cleared the pending error.
pub(super) fn of_failed_read(socket: &Socket, error: &io::Error) -> Failure {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    from_queue(socket).unwrap_or_else(|| from_errno(errno, version_of(socket)))
}

fn version_of(socket: &Socket) -> Version {
    if socket.local_addr().is_ok_and(|address| address.is_ipv6()) { Version::V6 } else { Version::V4 }
}

fn from_queue(socket: &Socket) -> Option<Failure> {
    let own = socket.local_addr().ok()?.as_socket()?.ip();
    let mut payload = [0; 64];
    let mut control = cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
    loop {
        let mut parts = [IoSliceMut::new(&mut payload)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let received = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).ok()?;
        for control in received.cmsgs().ok()? {
            let (error, offender) = match control {
                ControlMessageOwned::Ipv4RecvErr(error, offender) => {
                    (error, offender.map(|address| SocketAddr::from(SockaddrIn::from(address)).ip()))
                }
                ControlMessageOwned::Ipv6RecvErr(error, offender) => {
                    (error, offender.map(|address| SocketAddr::from(SockaddrIn6::from(address)).ip()))
                }
                _ => continue,
            };
            if matches!(error.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6) {
                return Some(from_icmp(Message {
                    version: if error.ee_origin == libc::SO_EE_ORIGIN_ICMP {
                        Version::V4
                    } else {
                        Version::V6
                    },
                    icmp_type: error.ee_type,
                    icmp_code: error.ee_code,
                    sender: if offender == Some(own) { Sender::Ourselves } else { Sender::Another },
                }));
            }
        }
    }
}

/// An ICMP error from the error queue.
#[derive(Debug, Clone, Copy)]
struct Message {
    version: Version,
    icmp_type: u8,
    icmp_code: u8,
    sender: Sender,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// The address that the attempt came from.
    Ourselves,
    Another,
}

/// Judges an ICMP error by RFC 792 (types 3 and its codes) or RFC 4443, 3.1 (type 1 and its codes).
fn from_icmp(Message { version, icmp_type, icmp_code, sender }: Message) -> Failure {
    match (version, icmp_type, icmp_code, sender) {
        (Version::V4, 3, 1, Sender::Ourselves) | (Version::V6, 1, 3, Sender::Ourselves) => Failure::Nobody,
        (Version::V4, 3, 3, _) | (Version::V6, 1, 4, _) => Failure::Port { icmp_type, icmp_code },
        _ => Failure::Icmp { icmp_type, icmp_code },
    }
}

/// Judges a pending error without an entry in the error queue.
fn from_errno(errno: i32, version: Version) -> Failure {
    let icmp = |v4: (u8, u8), v6: (u8, u8)| {
        let (icmp_type, icmp_code) = if version == Version::V4 { v4 } else { v6 };
        Failure::Icmp { icmp_type, icmp_code }
    };
    match errno {
        libc::ECONNREFUSED => Failure::Rst,
        libc::ECONNRESET | libc::EPIPE => Failure::Reset,
        libc::ETIMEDOUT => Failure::Nobody,
        libc::EHOSTUNREACH => icmp((3, 1), (1, 3)),
        libc::ENETUNREACH => icmp((3, 0), (1, 0)),
        // Linux converts the ICMPv6 codes 1 (prohibited), 5 and 6 to this errno; for IPv4, nothing does.
        libc::EACCES if version == Version::V6 => icmp((3, 13), (1, 1)),
        errno => Failure::Local { errno },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn icmp_errors_are_judged_by_version_type_code_and_sender() {
        let judged = |version, icmp_type, icmp_code, sender| {
            from_icmp(Message { version, icmp_type, icmp_code, sender })
        };
        let icmp = |icmp_type, icmp_code| Failure::Icmp { icmp_type, icmp_code };
        for ((version, icmp_type, icmp_code, sender), expected) in [
            ((Version::V4, 3, 1, Sender::Ourselves), Failure::Nobody),
            ((Version::V6, 1, 3, Sender::Ourselves), Failure::Nobody),
            ((Version::V4, 3, 1, Sender::Another), icmp(3, 1)),
            ((Version::V6, 1, 3, Sender::Another), icmp(1, 3)),
            ((Version::V4, 3, 3, Sender::Another), Failure::Port { icmp_type: 3, icmp_code: 3 }),
            ((Version::V6, 1, 4, Sender::Ourselves), Failure::Port { icmp_type: 1, icmp_code: 4 }),
            ((Version::V4, 3, 13, Sender::Ourselves), icmp(3, 13)),
            ((Version::V4, 11, 0, Sender::Another), icmp(11, 0)),
            ((Version::V6, 3, 3, Sender::Another), icmp(3, 3)),
        ] {
            assert_eq!(
                judged(version, icmp_type, icmp_code, sender),
                expected,
                "{version:?} {icmp_type}/{icmp_code}"
            );
        }
    }

    #[test]
    fn a_port_unreachable_refuses_a_datagram_and_is_unreachable_for_tcp() {
        let port = Failure::Port { icmp_type: 3, icmp_code: 3 };
        assert_eq!(port.of_datagram(), Observation::Refused);
        assert_eq!(port.of_connecting(), Observation::Unreachable { icmp_type: 3, icmp_code: 3 });
        assert_eq!(port.of_connected(), Observation::Cut { reset: true });
        assert_eq!(Failure::Nobody.of_connected(), Observation::Cut { reset: false });
    }

    #[test]
    fn an_errno_without_a_packet_is_local() {
        assert_eq!(from_errno(libc::EPERM, Version::V4), Failure::Local { errno: libc::EPERM });
        assert_eq!(from_errno(libc::EACCES, Version::V4), Failure::Local { errno: libc::EACCES });
        assert_eq!(from_errno(libc::EACCES, Version::V6), Failure::Icmp { icmp_type: 1, icmp_code: 1 });
    }
}
