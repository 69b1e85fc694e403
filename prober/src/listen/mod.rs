//! Answers on the ports that the runner asked for, and checks that they answer.

mod bind;
mod check;
mod dns;
mod modes;
mod tcp;
mod udp;

pub(crate) use check::{CHECK_EVERY, CHECK_FLOW, Found};

use crate::clock::Clock;
use check::Health;
use flowproof_wire::{Listener, ListenerStatus, Nonce, Transport};
use modes::Modes;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
};
use tokio::{sync::mpsc, task::JoinHandle};

/// A nonce that was read, of any run.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) nonce: Nonce,
    pub(crate) at_us: u64,
    /// The peer; an IPv4 address in its own form even if it came through a socket of both families.
    pub(crate) peer: SocketAddr,
}

/// What a check of a listener found.
#[derive(Debug)]
pub(crate) struct Checked {
    listener: Listener,
    found: Found,
    /// How long it took, in microseconds; over loopback, only too little CPU makes that long.
    pub(crate) took_us: u64,
}

/// The protocol of a socket: TCP or UDP. Echo and DNS on one port share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Tcp,
    Udp,
}

/// An open socket and the task that answers on it.
#[derive(Debug)]
struct Served {
    modes: Modes,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All listeners of this prober.
#[derive(Debug)]
pub(crate) struct Listeners {
    clock: Clock,
    received: mpsc::Sender<Received>,
    checked: mpsc::Sender<Checked>,
    wanted: BTreeMap<Listener, Health>,
    served: BTreeMap<(Layer, u16), Served>,
}

impl Listeners {
    /// Starts with none. Nonces and findings go to the channels.
    pub(crate) fn new(
        clock: Clock,
        received: mpsc::Sender<Received>,
        checked: mpsc::Sender<Checked>,
    ) -> Self {
        Self { clock, received, checked, wanted: BTreeMap::new(), served: BTreeMap::new() }
    }

    /// Replaces the set. A socket that stays is not touched; one that cannot be bound is reported and tried again later.
    pub(crate) fn set(&mut self, listeners: impl IntoIterator<Item = Listener>) {
        let wanted: BTreeSet<Listener> = listeners.into_iter().collect();
        self.wanted.retain(|listener, _| wanted.contains(listener));
        let sockets: BTreeSet<_> = wanted.iter().copied().map(socket_of).collect();
        self.served.retain(|socket, _| sockets.contains(socket));
        for listener in &wanted {
            if !self.wanted.contains_key(listener) {
                let bound = self.bind(*listener);
                self.wanted.insert(*listener, Health::after_bind(bound));
            }
        }
        self.set_modes();
    }

    /// Starts a check of every listener, and tries again to bind those that failed.
    pub(crate) fn check(&mut self, run: u64) {
        let (failed, bound): (Vec<_>, Vec<_>) = self
            .wanted
            .keys()
            .copied()
            .partition(|listener| !self.served.contains_key(&socket_of(*listener)));
        for listener in failed {
            let bound = self.bind(listener);
            self.wanted.insert(listener, Health::after_bind(bound));
        }
        self.set_modes();
        for listener in bound {
            let (clock, checked) = (self.clock, self.checked.clone());
            // The time until this task runs counts, because listeners wait for their turn as long.
            let asked_us = clock.now_us();
            tokio::spawn(async move {
                let found = if check::answers(listener, run).await {
                    Found::Answered { at_us: clock.now_us() }
                } else {
                    Found::Nothing { asked_us }
                };
                // The owner is gone only when the program ends.
                let _ = checked.send(Checked { listener, found, took_us: clock.now_us() - asked_us }).await;
            });
        }
    }

    /// Records what a check found.
    pub(crate) fn checked(&mut self, Checked { listener, found, .. }: &Checked) {
        if let Some(health) = self.wanted.get_mut(listener) {
            health.checked(*found);
        }
    }

    pub(crate) fn report(&self) -> Vec<ListenerStatus> {
        self.wanted.iter().map(|(listener, health)| health.report(*listener)).collect()
    }

    /// Opens the socket of a listener unless it is open; the error is an errno.
    fn bind(&mut self, listener: Listener) -> Result<(), i32> {
        let socket = socket_of(listener);
        if self.served.contains_key(&socket) {
            return Ok(());
        }
        let (modes, clock, received) = (Modes::default(), self.clock, self.received.clone());
        let task = match socket {
            (Layer::Tcp, port) => bind::tcp(port)
                .map(|listener| tokio::spawn(tcp::serve(listener, modes.clone(), clock, received))),
            (Layer::Udp, port) => {
                bind::udp(port).map(|socket| tokio::spawn(udp::serve(socket, modes.clone(), clock, received)))
            }
        };
        let task = task.map_err(|error: io::Error| error.raw_os_error().unwrap_or(nix::libc::EIO))?;
        self.served.insert(socket, Served { modes, task });
        Ok(())
    }

    fn set_modes(&self) {
        for (socket, served) in &self.served {
            let listeners = self.wanted.keys().filter(|listener| socket_of(**listener) == *socket);
            served.modes.set(listeners.map(|listener| listener.transport));
        }
    }
}

fn socket_of(listener: Listener) -> (Layer, u16) {
    match listener.transport {
        Transport::Tcp | Transport::DnsTcp => (Layer::Tcp, listener.port),
        Transport::Udp | Transport::DnsUdp => (Layer::Udp, listener.port),
    }
}

fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}
