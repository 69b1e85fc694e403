//! What one socket answers: the same port may have to echo nonces and to speak DNS.

use flowproof_wire::Transport;
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

const ECHO: u8 = 1;
const DNS: u8 = 2;

/// The protocols of a socket. They can change while it is open, so that adding one does not disturb the other.
#[derive(Debug, Clone, Default)]
pub(super) struct Modes(Arc<AtomicU8>);

impl Modes {
    /// Answers these and nothing else from now on.
    pub(super) fn set(&self, transports: impl Iterator<Item = Transport>) {
        let bits = transports.fold(0, |bits, transport| {
            bits | match transport {
                Transport::Tcp | Transport::Udp => ECHO,
                Transport::DnsUdp | Transport::DnsTcp => DNS,
            }
        });
        self.0.store(bits, Ordering::Relaxed);
    }

    /// Says whether nonces are sent back.
    pub(super) fn echo(&self) -> bool {
        self.0.load(Ordering::Relaxed) & ECHO != 0
    }

    /// Says whether DNS queries are answered.
    pub(super) fn dns(&self) -> bool {
        self.0.load(Ordering::Relaxed) & DNS != 0
    }
}
