//! Watches the interfaces for packets of attempts. It is off by default, and the only thing here that needs a privilege.
//!
//! A thread of its own reads packets ([`socket`]) and parses headers ([`packet`]). The owner decides which attempt a packet belongs
//! to ([`trail`]) and keeps sightings until the next report. All queues are bounded: what finds no room leaves a gap in the
//! numbers.

mod packet;
mod socket;
mod trail;

pub(crate) use packet::Packet;
pub(crate) use trail::Ports;

use flowproof_wire::{Capture, Listener, Sighting};
use pnet_datalink::DataLinkReceiver;
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};
use tokio::sync::mpsc;
use trail::Own;

/// The most packets that may wait to be judged.
const QUEUE: usize = 8192;

/// The most sightings that are kept for the next report.
const MOST_KEPT: usize = 32_768;

/// The most sightings in one report.
const MOST_TOLD: usize = 8192;

/// After this many failed reads in a row, it is not a temporary problem of an interface.
const MOST_FAILURES: u32 = 64;

#[derive(Debug)]
pub(crate) struct Captures {
    packets: mpsc::Receiver<Packet>,
    /// How many packets were not judged; `counted` of them are already in the numbers.
    lost: Arc<AtomicU64>,
    counted: u64,
    own: Own,
    /// Number of the first sighting that is kept.
    first: u64,
    kept: VecDeque<Sighting>,
}

impl Captures {
    /// Begins to capture. The error is a message for people.
    pub(crate) fn start() -> Result<Self, String> {
        let receiver = socket::open().map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "capturing packets is not permitted here: it needs the capability NET_RAW".to_owned()
            }
            _ => format!("cannot capture packets: {error}"),
        })?;
        let (sender, packets) = mpsc::channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || read(receiver, &sender, &counter))
            .map_err(|error| format!("cannot capture packets: {error}"))?;
        let mut captures =
            Self { packets, lost, counted: 0, own: Own::default(), first: 1, kept: VecDeque::new() };
        captures.look_around();
        Ok(captures)
    }

    /// Reads the interfaces' addresses again.
    pub(crate) fn look_around(&mut self) {
        self.own.addresses.clear();
        for network in pnet_datalink::interfaces().into_iter().flat_map(|interface| interface.ips) {
            if !network.ip().is_loopback() {
                self.own.addresses.insert(network.ip());
            }
        }
    }

    /// Begins a run, which nonces carry from now on.
    pub(crate) fn begin_run(&mut self, run: u64) {
        self.own.run = run;
        self.look_around();
    }

    /// Sets the listeners.
    pub(crate) fn listens(&mut self, listeners: &[Listener]) {
        self.own.listens(listeners);
        self.look_around();
    }

    /// Waits for packets and keeps those that belong to attempts. May be dropped at any point.
    pub(crate) async fn watch(&mut self) -> Packet {
        match self.packets.recv().await {
            Some(packet) => packet,
            None => std::future::pending().await,
        }
    }

    /// Keeps a packet, and those that wait behind it, if they belong to attempts.
    pub(crate) fn take(&mut self, packet: &Packet, ports: &Ports) {
        self.keep(packet, ports);
        for _ in 0..QUEUE {
            let Ok(packet) = self.packets.try_recv() else { break };
            self.keep(&packet, ports);
        }
    }

    fn keep(&mut self, packet: &Packet, ports: &Ports) {
        let Some(sighting) = self.own.judge(packet, ports) else { return };
        if self.kept.len() == MOST_KEPT {
            self.kept.pop_front();
            self.first += 1;
        }
        self.kept.push_back(sighting);
    }

    /// Takes the sightings to report.
    pub(crate) fn report(&mut self) -> Capture {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > self.counted {
            // It is unknown which ones, so everything up to here has a gap before it.
            self.first += lost - self.counted;
            self.counted = lost;
        }
        if self.packets.is_closed() {
            // Reading has ended, so every report has a gap before it.
            self.first += 1;
        }
        let first = self.first;
        let sightings: Vec<Sighting> = self.kept.drain(..self.kept.len().min(MOST_TOLD)).collect();
        self.first += sightings.len() as u64;
        Capture { first, sightings }
    }
}

/// Reads packets until the owner is gone.
fn read(mut receiver: Box<dyn DataLinkReceiver>, packets: &mpsc::Sender<Packet>, lost: &AtomicU64) {
    let mut failures = 0;
    while failures < MOST_FAILURES {
        match receiver.next() {
            Ok(bytes) => {
                failures = 0;
                let Some(packet) = packet::read(bytes) else { continue };
                match packets.try_send(packet) {
                    Ok(()) => {}
                    Err(mpsc::error::TrySendError::Full(_)) => {
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(mpsc::error::TrySendError::Closed(_)) => return,
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => {
                failures += 1;
                lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
