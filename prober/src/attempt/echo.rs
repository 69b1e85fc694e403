//! Attempts that send a nonce and expect it back, over TCP and UDP.

use super::{icmp, socket::Refusal};
use flowproof_wire::{Nonce, Observation};
use nix::{libc, sys::epoll::EpollFlags};
use socket2::Socket;
use std::io::{ErrorKind, Read};

/// How far a TCP attempt has come.
#[derive(Debug, Default)]
pub(super) struct Connection {
    phase: Phase,
    /// Whether the handshake is all, and nothing is sent.
    bare: bool,
    /// How many bytes of the nonce came back.
    got: usize,
}

/// Whether the three-way handshake is done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Connecting,
    Connected,
}

impl Connection {
    /// Begins an attempt; a bare one ends with the handshake.
    pub(super) fn new(bare: bool) -> Self {
        Self { bare, ..Self::default() }
    }

    /// Goes on after the socket became ready; returns what was seen once that is certain.
    pub(super) fn go_on(&mut self, socket: &Socket, ready: EpollFlags, nonce: Nonce) -> Option<Observation> {
        let nonce = nonce.encode();
        let first: &[u8] = if self.bare { &[] } else { &nonce };
        if let Err(observation) = self.phase.connect(socket, ready, first)? {
            return Some(observation);
        }
        if self.bare {
            return Some(Observation::Answered { answers: Vec::new() });
        }
        loop {
            let mut buffer = [0; Nonce::LENGTH + 1];
            match read_connected(socket, ready, &mut buffer)? {
                Ok(count) => {
                    if !nonce[self.got..].starts_with(&buffer[..count]) {
                        return Some(Observation::Garbled);
                    }
                    self.got += count;
                    if self.got == nonce.len() {
                        return Some(Observation::Answered { answers: Vec::new() });
                    }
                }
                Err(observation) => return Some(observation),
            }
        }
    }

    /// Says what was seen when the time is up.
    pub(super) fn too_late(&self) -> Observation {
        self.phase.too_late()
    }
}

impl Phase {
    /// Sends the first bytes as soon as the connection is established; `None` if it is not yet.
    pub(super) fn connect(
        &mut self,
        socket: &Socket,
        ready: EpollFlags,
        first: &[u8],
    ) -> Option<Result<(), Observation>> {
        if *self == Self::Connected {
            return Some(Ok(()));
        }
        if ready.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP)
            && let Some(failure) = icmp::take(socket)
        {
            return Some(Err(failure.of_connecting()));
        }
        // A fresh connection takes a few bytes at once; before it is established, the kernel returns EAGAIN.
        match socket.send_with_flags(first, libc::MSG_NOSIGNAL) {
            Ok(count) if count == first.len() => {
                *self = Self::Connected;
                Some(Ok(()))
            }
            Ok(_) => Some(Err(Observation::LocalError { errno: libc::ENOBUFS, call: "send".to_owned() })),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => None,
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                    Some(Err(Observation::Cut { reset: true }))
                }
                _ => Some(Err(Refusal { call: "send", error }.into())),
            },
        }
    }

    /// Says what was seen when the time is up.
    pub(super) fn too_late(&self) -> Observation {
        match self {
            Self::Connecting => Observation::Silent,
            Self::Connected => Observation::Cut { reset: false },
        }
    }
}

/// Reads from an established connection: how many bytes came, or how it ended; `None` if nothing has come yet.
pub(super) fn read_connected(
    mut socket: &Socket,
    ready: EpollFlags,
    buffer: &mut [u8],
) -> Option<Result<usize, Observation>> {
    match socket.read(buffer) {
        Ok(0) => Some(Err(Observation::Cut { reset: true })),
        Ok(count) => Some(Ok(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            // An ICMP error is in the error queue and does not end a read.
            let failure = if ready.contains(EpollFlags::EPOLLERR) { icmp::take(socket) } else { None };
            failure.map(|failure| Err(failure.of_connected()))
        }
        Err(error) => Some(Err(icmp::of_failed_read(socket, &error).of_connected())),
    }
}

/// Sends as much as an established connection takes: how many bytes it took, or how it ended.
pub(super) fn send(socket: &Socket, bytes: &[u8]) -> Result<usize, Observation> {
    if bytes.is_empty() {
        return Ok(0);
    }
    match socket.send_with_flags(bytes, libc::MSG_NOSIGNAL) {
        Ok(count) => Ok(count),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        Err(error) => Err(icmp::of_failed_read(socket, &error).of_connected()),
    }
}

pub(super) fn send_datagram(socket: &Socket, bytes: &[u8]) -> Result<(), Refusal> {
    socket.send(bytes).map(drop).map_err(Refusal::of("send"))
}

/// Reads one datagram; `None` if none has come yet.
pub(super) fn read_datagram(
    mut socket: &Socket,
    ready: EpollFlags,
    buffer: &mut [u8],
) -> Option<Result<usize, Observation>> {
    match socket.read(buffer) {
        Ok(count) => Some(Ok(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            let failure = if ready.contains(EpollFlags::EPOLLERR) { icmp::take(socket) } else { None };
            failure.map(|failure| Err(failure.of_datagram()))
        }
        Err(error) => Some(Err(icmp::of_failed_read(socket, &error).of_datagram())),
    }
}

/// Reads datagrams after the socket became ready; returns what was seen once that is certain.
///
/// A late answer to an earlier attempt of the same flow from the same port is ignored.
pub(super) fn receive(socket: &Socket, ready: EpollFlags, nonce: Nonce) -> Option<Observation> {
    let mut buffer = [0; Nonce::LENGTH + 1];
    loop {
        let count = match read_datagram(socket, ready, &mut buffer)? {
            Ok(count) => count,
            Err(observation) => return Some(observation),
        };
        match Nonce::decode(&buffer[..count]) {
            Ok(back) if back == nonce => return Some(Observation::Answered { answers: Vec::new() }),
            Ok(back) if back.run == nonce.run && back.flow == nonce.flow && back.attempt < nonce.attempt => {}
            _ => return Some(Observation::Garbled),
        }
    }
}
