//! Sockets of attempts: opened on a source port of their own, with the kernel's error queue switched on.

use super::ports::Ports;
use flowproof_wire::Observation;
use nix::{
    libc,
    sys::socket::{setsockopt, sockopt},
};
use socket2::{Domain, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// The most ports that are tried for one attempt before it fails with `EADDRINUSE`: if this many in a row are taken, the
/// range is used up.
const MOST_TAKEN_PORTS: u16 = 1024;

/// A call of ours that the kernel refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) call: &'static str,
    pub(super) error: io::Error,
}

impl Refusal {
    /// Names the call that failed.
    pub(super) fn of(call: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self { call, error }
    }
}

impl Refusal {
    /// Says whether the five-tuple is in use by another connection of this host.
    pub(super) fn is_taken(&self) -> bool {
        matches!(self.error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE))
    }

    /// Says whether the network refused, at once.
    pub(super) fn is_from_network(&self) -> bool {
        matches!(self.error.raw_os_error(), Some(libc::ECONNREFUSED | libc::ECONNRESET))
    }
}

impl From<Refusal> for Observation {
    fn from(Refusal { call, error }: Refusal) -> Self {
        Self::LocalError { errno: error.raw_os_error().unwrap_or(libc::EIO), call: call.to_owned() }
    }
}

/// Opens a non-blocking socket for one attempt to that address, bound to the next free source port.
pub(super) fn open(kind: Type, to: SocketAddr, ports: &mut Ports) -> Result<Socket, Refusal> {
    let socket = Socket::new(Domain::for_address(to), kind.nonblocking().cloexec(), None)
        .map_err(Refusal::of("socket"))?;
    tell_icmp(&socket, to.is_ipv4(), true)
        .map_err(|errno| Refusal { call: "setsockopt", error: errno.into() })?;
    if kind == Type::STREAM {
        // Closing sends a RST, so there is no TIME_WAIT, which would block the port for a minute.
        socket.set_linger(Some(Duration::ZERO)).map_err(Refusal::of("setsockopt"))?;
    }
    let mut taken = 0;
    loop {
        let port = ports.next();
        let from: SocketAddr = if to.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, port).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, port).into()
        };
        match socket.bind(&from.into()) {
            Ok(()) => return Ok(socket),
            Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) && taken < MOST_TAKEN_PORTS => {
                taken += 1;
            }
            Err(error) => return Err(Refusal { call: "bind", error }),
        }
    }
}

fn tell_icmp(socket: &Socket, is_ipv4: bool, tell: bool) -> nix::Result<()> {
    if is_ipv4 {
        setsockopt(socket, sockopt::Ipv4RecvErr, &tell)
    } else {
        setsockopt(socket, sockopt::Ipv6RecvErr, &tell)
    }
}

/// Makes the handshake's last packet carry the first bytes, which are sent at once, and the end carry the acknowledgement of
/// the answer: five packets for an attempt instead of eight.
pub(super) fn acknowledge_with_data(socket: &Socket) {
    // A kernel that does not support this sends eight.
    let _ = socket.set_tcp_quickack(false);
}

/// Makes ICMP errors no longer end an established connection.
pub(super) fn leave_icmp_to_tcp(socket: &Socket) {
    let is_ipv4 = socket.domain().is_ok_and(|domain| domain == Domain::IPV4);
    // If a kernel refuses this, it keeps reporting them, and the first one ends the connection.
    let _ = tell_icmp(socket, is_ipv4, false);
}

/// Starts to connect. A refusal by the network (a RST that came at once) is left in the socket's error.
pub(super) fn connect(socket: &Socket, to: SocketAddr) -> Result<(), Refusal> {
    match socket.connect(&to.into()) {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
        Err(error) => Err(Refusal { call: "connect", error }),
    }
}
