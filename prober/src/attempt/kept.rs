//! Connections that are kept: all attempts of a flow go over one connection, or from one port for UDP.
//!
//! A policy that denies a flow may or may not end its existing connections: the API leaves that open, and only a connection that
//! existed before can show it. An attempt is one nonce there and back, as on a connection of its own.

use super::{
    echo::{self, Phase},
    in_flight::{Key, open},
    ports::Ports,
    socket,
};
use crate::record::Continuity;
use flowproof_wire::{Attempt, Connection, FlowId, FlowSpec, Nonce, Observation, Transport};
use nix::sys::epoll::EpollFlags;
use socket2::Socket;
use std::collections::{BTreeMap, VecDeque};

/// Marks the keys of kept connections; the keys of attempts in flight are lower.
const MARK: u64 = 1 << 31;

/// The most bytes that wait for a connection to take them. An attempt that finds no room is silent, as its bytes would be.
const MOST_UNSENT: usize = 64 * Nonce::LENGTH;

/// An attempt that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub(super) attempt: Attempt,
    pub(super) started_us: u64,
    pub(super) continuity: Continuity,
}

/// The kept connections, by the index of their flow.
#[derive(Debug, Default)]
pub(super) struct Kept {
    lines: BTreeMap<usize, Line>,
    opened: u32,
}

/// What a flow has instead of a socket for each attempt.
#[derive(Debug)]
enum Line {
    Open(Box<Open>),
    /// Its connection ended in this way, and the next attempt will see that.
    Ended(Observation),
}

#[derive(Debug)]
struct Open {
    key: Key,
    socket: Socket,
    /// `None` for UDP, which has no connection to establish.
    tcp: Option<Phase>,
    /// Nonces that the connection has not taken yet.
    unsent: Vec<u8>,
    /// The beginning of a nonce that came back.
    got: Vec<u8>,
    /// The attempts that wait for an answer, in order.
    waiting: VecDeque<Waiting>,
    /// Whether the flow is not tried any more; the connection closes when nothing waits.
    closing: bool,
}

/// What became of an attempt.
pub(super) type Decided = (Waiting, Observation);

impl Kept {
    /// Makes an attempt on the flow's connection. If there is none, one is opened, and `watch` gets it with the key for its events.
    /// Returns what is already certain.
    pub(super) fn start(
        &mut self,
        place: usize,
        spec: &FlowSpec,
        (nonce, waiting): (Nonce, Waiting),
        ports: &mut Ports,
        watch: impl FnOnce(&Socket, Key) -> Result<(), Observation>,
    ) -> Vec<Decided> {
        match self.lines.get_mut(&place) {
            Some(Line::Ended(observation)) => {
                let decided = vec![(waiting, observation.clone())];
                if spec.connection == Connection::Reopened {
                    self.lines.remove(&place);
                }
                return decided;
            }
            Some(Line::Open(_)) => {}
            None => {
                let key = Key(u64::from(self.opened) << 32 | MARK | place as u64);
                self.opened = self.opened.wrapping_add(1);
                let opened = open(spec, ports).and_then(|socket| watch(&socket, key).map(|()| socket));
                let socket = match opened {
                    Ok(socket) => socket,
                    Err(observation) => return vec![(waiting, observation)],
                };
                let tcp = (spec.transport == Transport::Tcp).then(Phase::default);
                let (unsent, got, waiting) = (Vec::new(), Vec::new(), VecDeque::new());
                let open = Open { key, socket, tcp, unsent, got, waiting, closing: false };
                self.lines.insert(place, Line::Open(Box::new(open)));
            }
        }
        let Some(Line::Open(open)) = self.lines.get_mut(&place) else { return Vec::new() };
        open.waiting.push_back(waiting);
        let mut decided = Vec::new();
        let ended = open.send(nonce, &mut decided);
        self.note(place, spec.connection, ended, &mut decided);
        decided
    }

    /// The index of the flow whose connection has this key.
    pub(super) fn place(key: Key) -> Option<usize> {
        let low = key.0 & u64::from(u32::MAX);
        (low & MARK != 0).then_some((low & !MARK) as usize)
    }

    /// The key of a flow's connection, which its deadlines have, too.
    pub(super) fn key(&self, place: usize) -> Option<Key> {
        match self.lines.get(&place)? {
            Line::Open(open) => Some(open.key),
            Line::Ended(_) => None,
        }
    }

    /// Goes on after the connection became ready; returns what has become certain.
    pub(super) fn go_on(
        &mut self,
        (key, place): (Key, usize),
        connection: Connection,
        ready: EpollFlags,
        (run, flow): (u64, FlowId),
    ) -> Vec<Decided> {
        let Some(open) = self.open(key, place) else { return Vec::new() };
        let mut decided = Vec::new();
        let ended = open.go_on(ready, (run, flow), &mut decided);
        self.note(place, connection, ended, &mut decided);
        self.close_what_is_over(place);
        decided
    }

    /// Decides the attempts that were started by this moment and have no answer.
    pub(super) fn expire(&mut self, (key, place): (Key, usize), started_by_us: u64) -> Vec<Decided> {
        let Some(open) = self.open(key, place) else { return Vec::new() };
        let mut decided = Vec::new();
        while let Some(late) = open.waiting.pop_front_if(|waiting| waiting.started_us <= started_by_us) {
            decided.push((late, open.tcp.as_ref().map_or(Observation::Silent, Phase::too_late)));
        }
        // A handshake that failed is started again, instead of waiting for the kernel's ever longer pauses.
        if !decided.is_empty() && open.tcp == Some(Phase::Connecting) {
            decided.extend(open.waiting.drain(..).map(|waiting| (waiting, Observation::Silent)));
            open.closing = true;
        }
        self.close_what_is_over(place);
        decided
    }

    /// All attempts that wait, with the keys of their connections.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (Key, &Waiting)> {
        self.lines.values().filter_map(Line::open).flat_map(|open| open.waiting.iter().map(|w| (open.key, w)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Closes the connections of all other flows, each as soon as nothing waits for it.
    pub(super) fn retain(&mut self, wanted: impl Fn(usize) -> bool) {
        self.lines.retain(|place, line| match line {
            Line::Open(open) => {
                open.closing = !wanted(*place);
                !(open.closing && open.waiting.is_empty())
            }
            Line::Ended(_) => wanted(*place),
        });
    }

    fn close_what_is_over(&mut self, place: usize) {
        let is_over = |open: &Open| open.closing && open.waiting.is_empty();
        if self.lines.get(&place).and_then(Line::open).is_some_and(is_over) {
            self.lines.remove(&place);
        }
    }

    fn open(&mut self, key: Key, place: usize) -> Option<&mut Open> {
        match self.lines.get_mut(&place)? {
            Line::Open(open) if open.key == key => Some(open),
            _ => None,
        }
    }

    /// Closes a connection that has ended, and decides all attempts that wait for it.
    fn note(
        &mut self,
        place: usize,
        connection: Connection,
        ended: Option<Observation>,
        decided: &mut Vec<Decided>,
    ) {
        let Some(observation) = ended else { return };
        let Some(Line::Open(open)) = self.lines.remove(&place) else { return };
        decided.extend(open.waiting.iter().map(|waiting| (*waiting, observation.clone())));
        // If it ended between two attempts, the next one shows it.
        let seen = connection == Connection::Reopened && !open.waiting.is_empty();
        if open.tcp == Some(Phase::Connected) && !open.closing && !seen {
            self.lines.insert(place, Line::Ended(observation));
        }
    }
}

impl Line {
    fn open(&self) -> Option<&Open> {
        match self {
            Self::Open(open) => Some(open),
            Self::Ended(_) => None,
        }
    }
}

impl Open {
    /// Sends a nonce as soon as that is possible; returns how the connection ended, if it did.
    fn send(&mut self, nonce: Nonce, decided: &mut Vec<Decided>) -> Option<Observation> {
        if self.tcp.is_none() {
            let sent = echo::send_datagram(&self.socket, &nonce.encode());
            if let Err(refusal) = sent
                && let Some(waiting) = self.waiting.pop_back()
            {
                decided.push((waiting, refusal.into()));
            }
            return None;
        }
        if self.unsent.len() < MOST_UNSENT {
            self.unsent.extend(nonce.encode());
        }
        if self.tcp == Some(Phase::Connected) { self.flush() } else { None }
    }

    /// Sends what waits to be sent.
    fn flush(&mut self) -> Option<Observation> {
        match echo::send(&self.socket, &self.unsent) {
            Ok(count) => {
                self.unsent.drain(..count);
                None
            }
            Err(observation) => Some(observation),
        }
    }

    /// Sends and reads what is possible; returns how the connection ended, if it did.
    fn go_on(
        &mut self,
        ready: EpollFlags,
        of: (u64, FlowId),
        decided: &mut Vec<Decided>,
    ) -> Option<Observation> {
        let Some(phase) = &mut self.tcp else {
            self.read_datagrams(ready, of, decided);
            return None;
        };
        if *phase == Phase::Connecting {
            if let Err(observation) = phase.connect(&self.socket, ready, &self.unsent)? {
                return Some(observation);
            }
            self.unsent.clear();
            // With ICMP errors switched on, they would end a connection that TCP itself would continue (RFC 1122, 4.2.3.9).
            socket::leave_icmp_to_tcp(&self.socket);
        }
        if let Some(ended) = self.flush() {
            return Some(ended);
        }
        let mut buffer = [0; 16 * Nonce::LENGTH];
        loop {
            match echo::read_connected(&self.socket, ready, &mut buffer)? {
                Ok(count) => self.got.extend(&buffer[..count]),
                Err(observation) => return Some(observation),
            }
            let whole = self.got.len() - self.got.len() % Nonce::LENGTH;
            for bytes in self.got.drain(..whole).collect::<Vec<u8>>().chunks(Nonce::LENGTH) {
                if !self.answered(bytes, of, decided) {
                    return Some(Observation::Garbled);
                }
            }
        }
    }

    /// Reads the datagrams that came. An ICMP error counts for the attempt that has waited longest.
    fn read_datagrams(&mut self, ready: EpollFlags, of: (u64, FlowId), decided: &mut Vec<Decided>) {
        let mut buffer = [0; Nonce::LENGTH + 1];
        while let Some(read) = echo::read_datagram(&self.socket, ready, &mut buffer) {
            let fate = match read {
                Ok(count) if self.answered(&buffer[..count], of, decided) => continue,
                Ok(_) => Observation::Garbled,
                Err(observation) => observation,
            };
            // Without an attempt that the error could be about, nothing is left to read.
            let Some(waiting) = self.waiting.pop_front() else { return };
            decided.push((waiting, fate));
        }
    }

    /// Takes a nonce that came back; returns whether it belongs to this flow. A late one is ignored.
    fn answered(&mut self, bytes: &[u8], (run, flow): (u64, FlowId), decided: &mut Vec<Decided>) -> bool {
        let Ok(nonce) = Nonce::decode(bytes) else { return false };
        if (nonce.run, nonce.flow) != (run, flow) {
            return false;
        }
        if let Some(at) = self.waiting.iter().position(|waiting| waiting.attempt == nonce.attempt)
            && let Some(waiting) = self.waiting.remove(at)
        {
            decided.push((waiting, Observation::Answered { answers: Vec::new() }));
        }
        true
    }
}
