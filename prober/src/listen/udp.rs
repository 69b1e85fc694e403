//! Answers datagrams: nonces and DNS queries.
//!
//! A pod may be reachable at several addresses (a pod on its node's network always is). The answer must come from the address
//! that was asked, or the source will not accept it. So the kernel reports where each datagram was sent (ip(7), `IP_PKTINFO`;
//! RFC 3542, 6.2), and the answer has that address as its source.

use super::{Received, dns, modes::Modes};
use crate::clock::Clock;
use flowproof_wire::Nonce;
use nix::{
    cmsg_space, libc,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg,
        sendmsg,
    },
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd, RawFd},
};
use tokio::{io::Interest, net::UdpSocket, sync::mpsc};

/// The longest datagram that is read completely; a longer one is neither a nonce nor a plain query.
const LONGEST: usize = 4096;

/// Which address of ours a datagram was sent to.
#[derive(Debug, Clone, Copy)]
enum SentTo {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

/// A datagram: its length, where it came from, and where it was sent.
struct Datagram {
    length: usize,
    peer: SocketAddr,
    sent_to: Option<SentTo>,
}

/// Answers until it is aborted.
pub(super) async fn serve(socket: UdpSocket, modes: Modes, clock: Clock, received: mpsc::Sender<Received>) {
    let mut buffer = vec![0; LONGEST];
    let mut control = cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo);
    loop {
        // Errors of a socket that is bound but not connected are about single datagrams.
        let read =
            socket.async_io(Interest::READABLE, || read(socket.as_raw_fd(), &mut buffer, &mut control)).await;
        let Ok(datagram) = read else { continue };
        let bytes = &buffer[..datagram.length];
        let at_us = clock.now_us();
        let (nonce, answer) = match Nonce::decode(bytes) {
            Ok(nonce) if modes.echo() => (Some(nonce), bytes.to_vec()),
            _ if modes.dns() => match dns::answer(bytes) {
                Some(reply) => (reply.nonce, reply.message),
                None => continue,
            },
            _ => continue,
        };
        if let Some(nonce) = nonce
            && received.send(Received { nonce, at_us, peer: super::canonical(datagram.peer) }).await.is_err()
        {
            return;
        }
        // An answer that cannot be sent is like one that the network loses: the source sees silence.
        let _ = write(socket.as_raw_fd(), &answer, &datagram);
    }
}

fn read(fd: RawFd, buffer: &mut [u8], control: &mut [u8]) -> io::Result<Datagram> {
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(control), MsgFlags::MSG_DONTWAIT)?;
    let peer = message.address.as_ref().and_then(|address| {
        let v4 = address.as_sockaddr_in().map(|address| SocketAddr::from(*address));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::from(*address)))
    });
    let sent_to = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(SentTo::V4(info)),
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(SentTo::V6(info)),
        _ => None,
    });
    let peer = peer.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(Datagram { length: message.bytes, peer, sent_to })
}

fn write(fd: RawFd, answer: &[u8], to: &Datagram) -> io::Result<()> {
    let (v4, v6);
    let control = match to.sent_to {
        Some(SentTo::V4(mut info)) => {
            // The route decides by which interface the answer leaves, not the interface by which the request came.
            info.ipi_ifindex = 0;
            v4 = info;
            Some(ControlMessage::Ipv4PacketInfo(&v4))
        }
        Some(SentTo::V6(mut info)) => {
            if !Ipv6Addr::from(info.ipi6_addr.s6_addr).is_unicast_link_local() {
                info.ipi6_ifindex = 0;
            }
            v6 = info;
            Some(ControlMessage::Ipv6PacketInfo(&v6))
        }
        None => None,
    };
    let (parts, flags) = ([IoSlice::new(answer)], MsgFlags::MSG_DONTWAIT);
    match to.peer {
        SocketAddr::V4(peer) => {
            sendmsg(fd, &parts, control.as_slice(), flags, Some(&SockaddrIn::from(peer)))?
        }
        SocketAddr::V6(peer) => {
            sendmsg(fd, &parts, control.as_slice(), flags, Some(&SockaddrIn6::from(peer)))?
        }
    };
    Ok(())
}
