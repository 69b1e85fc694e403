//! Listening sockets: one per protocol and port, for every address of both families.

use nix::{
    libc,
    sys::socket::{setsockopt, sockopt},
};
use socket2::{Domain, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// How many connections may wait to be accepted; the kernel uses the smaller of this and `somaxconn`.
const BACKLOG: i32 = 4096;

/// How many bytes of datagrams may wait to be read: as many as the kernel allows (`rmem_max`), because what overflows while the
/// prober gets no CPU looks as if the network had lost it.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

pub(super) fn tcp(port: u16) -> io::Result<tokio::net::TcpListener> {
    let socket = bind(Type::STREAM, port)?;
    socket.listen(BACKLOG)?;
    // The answer acknowledges the first bytes, so no packet is sent for that; a kernel that does not support this sends one.
    let _ = socket.set_tcp_quickack(false);
    tokio::net::TcpListener::from_std(socket.into())
}

/// Opens a UDP socket that reports for each datagram which address it was sent to.
pub(super) fn udp(port: u16) -> io::Result<tokio::net::UdpSocket> {
    let socket = bind(Type::DGRAM, port)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    if socket.local_addr()?.is_ipv6() {
        // Reports the destination of IPv4 datagrams, too, as a mapped address.
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    }
    tokio::net::UdpSocket::from_std(socket.into())
}

/// Binds `[::]` for both families, or `0.0.0.0` where there is no IPv6.
fn bind(kind: Type, port: u16) -> io::Result<Socket> {
    match bind_to(kind, (Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {
            bind_to(kind, (Ipv4Addr::UNSPECIFIED, port).into())
        }
        bound => bound,
    }
}

fn bind_to(kind: Type, address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking().cloexec(), None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}
