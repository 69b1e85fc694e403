//! The attempts that were started and not decided: a slab, whose keys also identify the sockets in the epoll set.

use super::{
    dns, echo, icmp,
    ports::Ports,
    socket::{self, Refusal},
};
use crate::record::Continuity;
use flowproof_wire::{Attempt, FlowSpec, Nonce, Observation, Transport};
use nix::sys::epoll::EpollFlags;
use socket2::{Socket, Type};

/// An attempt that waits for the network.
#[derive(Debug)]
pub(super) struct InFlight {
    /// Index of the flow.
    pub(super) flow: usize,
    pub(super) attempt: Attempt,
    pub(super) started_us: u64,
    pub(super) continuity: Continuity,
    pub(super) socket: Socket,
    pub(super) exchange: Exchange,
}

/// The attempt's protocol, and how far it has come.
#[derive(Debug)]
pub(super) enum Exchange {
    Tcp(echo::Connection),
    Udp,
    DnsUdp(Box<dns::Exchange>),
    DnsTcp(Box<dns::Exchange>),
}

impl Exchange {
    /// Starts an attempt: opens a socket and sends what can be sent.
    pub(super) fn start(
        spec: &FlowSpec,
        asked: &dns::Asked,
        nonce: Nonce,
        ports: &mut Ports,
    ) -> Result<(Socket, Self), Observation> {
        let exchange = || {
            // A checked name and a nonce can always be encoded.
            let exchange = dns::Exchange::new(asked, nonce).map_err(|_| unencodable())?;
            let message = exchange.message().map_err(|_| unencodable())?;
            Ok::<_, Observation>((Box::new(exchange), message))
        };
        let socket = open(spec, ports)?;
        let exchange = match spec.transport {
            Transport::Tcp => Self::Tcp(echo::Connection::new(spec.bare)),
            Transport::Udp => {
                echo::send_datagram(&socket, &nonce.encode())?;
                Self::Udp
            }
            Transport::DnsUdp => {
                let (exchange, message) = exchange()?;
                echo::send_datagram(&socket, &message)?;
                Self::DnsUdp(exchange)
            }
            Transport::DnsTcp => Self::DnsTcp(exchange()?.0),
        };
        Ok((socket, exchange))
    }

    /// Goes on after the socket became ready; returns what was seen once that is certain.
    pub(super) fn go_on(&mut self, socket: &Socket, ready: EpollFlags, nonce: Nonce) -> Option<Observation> {
        match self {
            Self::Tcp(connection) => connection.go_on(socket, ready, nonce),
            Self::Udp => echo::receive(socket, ready, nonce),
            Self::DnsUdp(exchange) => exchange.receive(socket, ready),
            Self::DnsTcp(exchange) => exchange.go_on(socket, ready),
        }
    }

    /// Says what was seen when the time is up.
    pub(super) fn too_late(&self) -> Observation {
        match self {
            Self::Tcp(connection) => connection.too_late(),
            Self::Udp | Self::DnsUdp(_) => Observation::Silent,
            Self::DnsTcp(exchange) => exchange.too_late(),
        }
    }
}

/// Opens a socket to the destination of a flow, and begins to connect it.
pub(super) fn open(spec: &FlowSpec, ports: &mut Ports) -> Result<Socket, Observation> {
    let kind = match spec.transport {
        Transport::Tcp | Transport::DnsTcp => Type::STREAM,
        Transport::Udp | Transport::DnsUdp => Type::DGRAM,
    };
    let mut open_one = || {
        let socket = socket::open(kind, spec.to, ports)?;
        if kind == Type::STREAM && !spec.bare {
            socket::acknowledge_with_data(&socket);
        }
        Ok::<_, Refusal>(socket)
    };
    let mut socket = open_one()?;
    if let Err(refusal) = socket::connect(&socket, spec.to) {
        if refusal.is_taken() {
            // Another connection has the same five-tuple; with the next port it is a different one.
            socket = open_one()?;
            socket::connect(&socket, spec.to)?;
        } else {
            return Err(of_failed_connect(&socket, refusal));
        }
    }
    Ok(socket)
}

/// Says what a failed `connect` means: the network's refusal may have come before the call returned.
fn of_failed_connect(socket: &Socket, refusal: Refusal) -> Observation {
    if refusal.is_from_network() {
        icmp::of_failed_read(socket, &refusal.error).of_connecting()
    } else {
        refusal.into()
    }
}

fn unencodable() -> Observation {
    Observation::LocalError { errno: nix::libc::EINVAL, call: "encode".to_owned() }
}

/// Identifies an attempt in flight: index and generation, so that an event for a closed socket finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub(super) u64);

#[derive(Debug, Default)]
pub(super) struct Slab {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    held: Option<InFlight>,
}

impl Slab {
    /// Returns the key that the next [`Slab::insert`] will use.
    pub(super) fn next_key(&self) -> Key {
        match self.free.last() {
            Some(index) => key(*index, self.slots[*index as usize].generation),
            None => key(self.slots.len() as u32, 0),
        }
    }

    /// Keeps an attempt under [`Slab::next_key`].
    pub(super) fn insert(&mut self, attempt: InFlight) {
        match self.free.pop() {
            Some(index) => self.slots[index as usize].held = Some(attempt),
            None => self.slots.push(Slot { generation: 0, held: Some(attempt) }),
        }
    }

    /// Returns the attempt of that key if it is still in flight.
    pub(super) fn get(&mut self, Key(key): Key) -> Option<&mut InFlight> {
        let slot = self.slots.get_mut((key & u64::from(u32::MAX)) as usize)?;
        slot.held.as_mut().filter(|_| slot.generation == (key >> 32) as u32)
    }

    /// Returns how many attempts are in flight.
    pub(super) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Returns all attempts with their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &InFlight)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(index, slot)| Some((key(index as u32, slot.generation), slot.held.as_ref()?)))
    }

    pub(super) fn clear(&mut self) {
        for index in 0..self.slots.len() as u32 {
            self.remove(key(index, self.slots[index as usize].generation));
        }
    }

    /// Takes the attempt of that key out; the key is not used again before 2^32 others.
    pub(super) fn remove(&mut self, key: Key) -> Option<InFlight> {
        self.get(key)?;
        let index = (key.0 & u64::from(u32::MAX)) as u32;
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        slot.held.take()
    }
}

fn key(index: u32, generation: u32) -> Key {
    Key(u64::from(generation) << 32 | u64::from(index))
}
