//! Which packets belong to which attempts: by the ports that attempts take, the listeners' ports, and nonces. Pure.

use super::packet::{Ends, Flags, Packet, Quoted};
use flowproof_wire::{Attempt, FlowId, Listener, Nonce, Packet as Is, Sighting, Transport, Way};
use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

/// Where the first label of the first question of a DNS message begins: after the header (RFC 1035, 4.1.1) and the label's length.
const LABEL: usize = 13;

/// The protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Layer {
    Tcp,
    Udp,
}

impl From<Transport> for Layer {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp | Transport::DnsTcp => Self::Tcp,
            Transport::Udp | Transport::DnsUdp => Self::Udp,
        }
    }
}

/// The ports that the last attempts took. There are at most as many entries as ports, because the next attempt replaces the oldest.
#[derive(Debug, Default)]
pub(crate) struct Ports(HashMap<(Layer, u16), (FlowId, Attempt)>);

impl Ports {
    /// Records that an attempt took a port.
    pub(crate) fn took(&mut self, transport: Transport, port: u16, flow: FlowId, attempt: Attempt) {
        self.0.insert((transport.into(), port), (flow, attempt));
    }

    /// Forgets all attempts: their run is over.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }

    fn of(&self, layer: Layer, end: SocketAddr) -> Option<(FlowId, Attempt)> {
        self.0.get(&(layer, end.port())).copied()
    }
}

/// What the prober knows about itself.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// The addresses of its interfaces, except loopback.
    pub(super) addresses: HashSet<IpAddr>,
    /// The ports that it listens on.
    pub(super) listeners: HashSet<(Layer, u16)>,
    /// The run that its nonces must carry.
    pub(super) run: u64,
}

impl Own {
    pub(super) fn listens(&mut self, listeners: &[Listener]) {
        self.listeners =
            listeners.iter().map(|listener| (listener.transport.into(), listener.port)).collect();
    }

    /// Says what a packet is to the attempts that start or arrive here; `None` for other packets.
    pub(super) fn judge(&self, packet: &Packet, ports: &Ports) -> Option<Sighting> {
        match packet {
            Packet::Tcp { ends, flags, sequence, acknowledged } => {
                self.tcp(*ends, *flags, *sequence, acknowledged.wrapping_sub(1), ports)
            }
            Packet::Udp { ends, payload } => self.udp(*ends, payload, ports),
            Packet::IcmpError { from, to, icmp_type, icmp_code, about } => {
                let is = Is::IcmpError { icmp_type: *icmp_type, icmp_code: *icmp_code };
                self.icmp_error(*from, *to, is, about, ports)
            }
        }
    }

    fn is_own(&self, end: SocketAddr) -> bool {
        self.addresses.contains(&end.ip())
    }

    fn is_listener(&self, layer: Layer, end: SocketAddr) -> bool {
        self.is_own(end) && self.listeners.contains(&(layer, end.port()))
    }

    fn tcp(&self, ends: Ends, flags: Flags, own: u32, answered: u32, ports: &Ports) -> Option<Sighting> {
        let Ends { from, to } = ends;
        let sighting = |attempt, sequence, packet, way| {
            Some(Sighting { attempt, sequence, packet, way, from: from.ip() })
        };
        let leaves = ports.of(Layer::Tcp, from).filter(|_| self.is_own(from));
        let comes = ports.of(Layer::Tcp, to).filter(|_| self.is_own(to));
        match flags {
            Flags::Syn if leaves.is_some() => sighting(leaves, Some(own), Is::Request, Way::Out),
            Flags::Syn if self.is_listener(Layer::Tcp, to) => sighting(None, Some(own), Is::Request, Way::In),
            Flags::SynAck if comes.is_some() => sighting(comes, Some(answered), Is::Answer, Way::In),
            Flags::SynAck if self.is_listener(Layer::Tcp, from) => {
                sighting(None, Some(answered), Is::Answer, Way::Out)
            }
            Flags::ResetOfSyn | Flags::Reset if comes.is_some() => sighting(comes, None, Is::Reset, Way::In),
            Flags::ResetOfSyn if self.is_listener(Layer::Tcp, from) => {
                sighting(None, Some(answered), Is::Reset, Way::Out)
            }
            // A source ends its connections with a RST, which means nothing.
            _ => None,
        }
    }

    fn udp(&self, Ends { from, to }: Ends, payload: &[u8], ports: &Ports) -> Option<Sighting> {
        let sighting = |attempt, packet, way| {
            Some(Sighting { attempt: Some(attempt), sequence: None, packet, way, from: from.ip() })
        };
        if let Some(attempt) = ports.of(Layer::Udp, from).filter(|_| self.is_own(from)) {
            sighting(attempt, Is::Request, Way::Out)
        } else if let Some(attempt) = ports.of(Layer::Udp, to).filter(|_| self.is_own(to)) {
            sighting(attempt, Is::Answer, Way::In)
        } else if self.is_listener(Layer::Udp, to) {
            sighting(self.named(payload)?, Is::Request, Way::In)
        } else if self.is_listener(Layer::Udp, from) {
            sighting(self.named(payload)?, Is::Answer, Way::Out)
        } else {
            None
        }
    }

    fn icmp_error(
        &self,
        from: IpAddr,
        to: IpAddr,
        packet: Is,
        about: &Quoted,
        ports: &Ports,
    ) -> Option<Sighting> {
        let (layer, ends, sequence) = match about {
            Quoted::Tcp { ends, sequence } => (Layer::Tcp, ends, Some(*sequence)),
            Quoted::Udp { ends, .. } => (Layer::Udp, ends, None),
        };
        let sighting = |attempt, way| Some(Sighting { attempt, sequence, packet, way, from });
        let ours = ports.of(layer, ends.from).filter(|_| self.is_own(ends.from));
        if ours.is_some() && self.addresses.contains(&to) {
            return sighting(ours, Way::In);
        }
        if !self.is_listener(layer, ends.to) || !self.addresses.contains(&from) {
            return None;
        }
        match about {
            Quoted::Tcp { .. } => sighting(None, Way::Out),
            Quoted::Udp { payload, .. } => sighting(Some(self.named(payload)?), Way::Out),
        }
    }

    /// The attempt of this run that a datagram names: by its nonce, or that of its DNS question.
    fn named(&self, payload: &[u8]) -> Option<(FlowId, Attempt)> {
        let nonce = payload.get(..Nonce::LENGTH).and_then(|bytes| Nonce::decode(bytes).ok());
        let nonce = nonce.or_else(|| {
            let length = usize::from(*payload.get(LABEL - 1)?);
            Nonce::from_label(payload.get(LABEL..LABEL + length)?).ok()
        })?;
        (nonce.run == self.run).then_some((nonce.flow, nonce.attempt))
    }
}

#[cfg(test)]
mod tests;
