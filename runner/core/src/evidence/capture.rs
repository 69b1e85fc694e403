//! Where an attempt died: joins the packets that both ends saw pass their interfaces, and says the answer in one sentence.
//!
//! A source knows the attempt of every packet. A destination knows it from the nonce in a datagram. Of a handshake, a destination
//! knows only the sequence number of the SYN; address translation keeps this number, so it joins the two ends.

use flowproof_wire::{Attempt, FlowId, Packet, Sighting, Transport, Way};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::IpAddr,
};

/// Most attempts of a flow whose packets are kept; the first ones are dropped. At ten attempts a second, this is far more than a
/// step judges by.
const MOST_ATTEMPTS: usize = 128;

/// Most handshakes that are kept for destinations until the source reports, and most sequence numbers until the destination
/// reports.
const MOST_HANDSHAKES: usize = 16_384;

/// The packets of one attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// At the source: the request leaves; answer, reset and error come.
    pub source: Seen,
    /// At the destination: the request comes; answer, reset and error leave.
    pub destination: Seen,
    /// The prober that saw the request come.
    pub arrived_at: Option<usize>,
}

/// What one end saw of an attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// A SYN, a datagram or a query.
    pub request: bool,
    /// A SYN-ACK or an answering datagram.
    pub answer: bool,
    /// A RST, and the address that it came from.
    pub reset: Option<IpAddr>,
    /// An ICMP error, and the address that it came from.
    pub icmp_error: Option<(u8, u8, IpAddr)>,
}

impl Seen {
    fn add(&mut self, sighting: &Sighting) {
        match sighting.packet {
            Packet::Request => self.request = true,
            Packet::Answer => self.answer = true,
            Packet::Reset => self.reset = Some(sighting.from),
            Packet::IcmpError { icmp_type, icmp_code } => {
                self.icmp_error = Some((icmp_type, icmp_code, sighting.from));
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.request |= other.request;
        self.answer |= other.answer;
        self.reset = self.reset.or(other.reset);
        self.icmp_error = self.icmp_error.or(other.icmp_error);
    }
}

/// The packets of a lane's attempts, with both ends joined; bounded.
#[derive(Debug, Default)]
pub struct Traces {
    flows: HashMap<FlowId, BTreeMap<Attempt, Trace>>,
    attempts: Recent<(FlowId, Attempt)>,
    /// What destinations saw of handshakes that no source has reported yet.
    unclaimed: Recent<(Seen, Option<usize>)>,
}

/// Values by the sequence number of their SYN; if there are too many, the oldest are dropped.
#[derive(Debug)]
struct Recent<T> {
    values: HashMap<u32, T>,
    order: VecDeque<u32>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Recent<T> {
    fn entry(&mut self, sequence: u32, value: impl FnOnce() -> T) -> &mut T {
        if !self.values.contains_key(&sequence) {
            if self.order.len() == MOST_HANDSHAKES
                && let Some(oldest) = self.order.pop_front()
            {
                self.values.remove(&oldest);
            }
            self.order.push_back(sequence);
        }
        self.values.entry(sequence).or_insert_with(value)
    }
}

impl Traces {
    /// Takes in what a prober saw. It does not matter which end reports first.
    pub fn add(&mut self, prober: usize, sighting: &Sighting) {
        let at_source = (sighting.packet == Packet::Request) == (sighting.way == Way::Out);
        if at_source {
            let Some((flow, attempt)) = sighting.attempt else { return };
            self.trace(flow, attempt).source.add(sighting);
            if let (Packet::Request, Some(sequence)) = (sighting.packet, sighting.sequence) {
                *self.attempts.entry(sequence, || (flow, attempt)) = (flow, attempt);
                if let Some((seen, arrived_at)) = self.unclaimed.values.remove(&sequence) {
                    let trace = self.trace(flow, attempt);
                    trace.destination.merge(seen);
                    trace.arrived_at = trace.arrived_at.or(arrived_at);
                }
            }
            return;
        }
        let arrived = (sighting.packet == Packet::Request).then_some(prober);
        let known = sighting.sequence.and_then(|sequence| self.attempts.values.get(&sequence).copied());
        match (sighting.attempt.or(known), sighting.sequence) {
            (Some((flow, attempt)), _) => {
                let trace = self.trace(flow, attempt);
                trace.destination.add(sighting);
                trace.arrived_at = trace.arrived_at.or(arrived);
            }
            (None, Some(sequence)) => {
                let (seen, arrived_at) = self.unclaimed.entry(sequence, Default::default);
                seen.add(sighting);
                *arrived_at = arrived_at.or(arrived);
            }
            (None, None) => {}
        }
    }

    /// The packets of the attempt that came furthest, of those from `from` to `to`. An attempt that lost a packet by chance, or
    /// whose last packets are not reported yet, does not speak for all. Of equals, the latest counts. `None` if they are
    /// forgotten.
    #[must_use]
    pub fn furthest(&self, flow: FlowId, from: Attempt, to: Attempt) -> Option<Trace> {
        let Some(attempts) = self.flows.get(&flow) else { return Some(Trace::default()) };
        if attempts.len() >= MOST_ATTEMPTS
            && attempts.first_key_value().is_some_and(|(first, _)| *first > from)
        {
            return None;
        }
        let traces = attempts.range(from..=to).map(|(_, trace)| trace);
        Some(traces.max_by_key(|trace| trace.progress()).cloned().unwrap_or_default())
    }

    fn trace(&mut self, flow: FlowId, attempt: Attempt) -> &mut Trace {
        let attempts = self.flows.entry(flow).or_default();
        if attempts.len() >= MOST_ATTEMPTS && !attempts.contains_key(&attempt) {
            attempts.pop_first();
        }
        attempts.entry(attempt).or_default()
    }
}

/// How an attempt that was not answered ended, according to its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// Nothing left the source's interface.
    NotSent,
    /// It left the source's interface, and the destination has no capture that would show more.
    Sent,
    /// It left the source's interface and never reached the destination's.
    NeverArrived,
    /// It reached the destination's interface and no answer left.
    NoAnswerLeft,
    /// The answer left the destination's interface and never reached the source's.
    AnswerLost,
    /// The answer reached the source's interface, but what followed did not come through.
    AnswerCame,
    /// A RST came.
    Reset,
    /// An ICMP error came.
    IcmpError,
    /// Some captured packets were lost, so a missing packet proves nothing.
    Unclear,
}

/// Whether a packet that is missing at the destination proves something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// The destination has no capture.
    SourceOnly,
    /// Both ends captured everything.
    Both,
    /// Some captured packets were lost.
    Holes,
}

impl Trace {
    /// How far the attempt came; a higher number is further.
    fn progress(&self) -> u8 {
        match self.found(Coverage::Both) {
            Found::NotSent => 0,
            Found::NeverArrived => 1,
            Found::NoAnswerLeft => 2,
            Found::AnswerLost => 3,
            _ => 4,
        }
    }

    /// How the attempt ended, if it was not answered.
    #[must_use]
    pub fn found(&self, coverage: Coverage) -> Found {
        let Self { source, destination, .. } = self;
        let answered = destination.answer || destination.reset.is_some() || destination.icmp_error.is_some();
        if source.icmp_error.is_some() {
            Found::IcmpError
        } else if source.reset.is_some() {
            Found::Reset
        } else if source.answer {
            Found::AnswerCame
        } else if coverage == Coverage::Holes {
            Found::Unclear
        } else if answered {
            Found::AnswerLost
        } else if destination.request {
            Found::NoAnswerLeft
        } else if !source.request {
            Found::NotSent
        } else if coverage == Coverage::SourceOnly {
            Found::Sent
        } else {
            Found::NeverArrived
        }
    }
}

/// Names for the sentence, and the transport.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The transport of the flow.
    pub transport: Transport,
    /// The source.
    pub source: &'a str,
    /// The target, or the pod that the request reached.
    pub destination: &'a str,
    /// Who has the address that a RST or an ICMP error came from, if that is known.
    pub sender: Option<&'a str>,
}

/// Says in one sentence how the attempt ended.
#[must_use]
pub fn sentence(trace: &Trace, coverage: Coverage, names: &Names<'_>) -> String {
    let Names { source, destination, .. } = names;
    let (request, answer) = words(names.transport);
    match trace.found(coverage) {
        Found::NotSent => format!("no {request} left {source}'s interface"),
        Found::Sent => format!("the {request} left {source}'s interface and nothing came back"),
        Found::NeverArrived => {
            format!("the {request} left {source}'s interface and never reached {destination}'s")
        }
        Found::NoAnswerLeft => {
            format!("the {request} reached {destination}'s interface and no answer left it")
        }
        Found::AnswerLost => {
            let answer = match trace.destination {
                Seen { reset: Some(_), .. } => "RST",
                Seen { icmp_error: Some(_), .. } => "ICMP error",
                _ => answer,
            };
            format!("the {answer} left {destination}'s interface and never reached {source}'s")
        }
        Found::AnswerCame if trace.arrived_at.is_some() || coverage == Coverage::SourceOnly => {
            format!("the {answer} reached {source}'s interface, and nothing of what followed came back")
        }
        Found::AnswerCame => {
            format!(
                "the {answer} reached {source}'s interface, and {destination}'s never saw the {request}: another answered"
            )
        }
        Found::Reset => {
            let from = address(trace.source.reset, names.sender);
            format!(
                "a RST came from {from}{}",
                whose(trace, trace.destination.reset.is_some(), coverage, names)
            )
        }
        Found::IcmpError => {
            let (icmp_type, icmp_code, from) = trace.source.icmp_error.unwrap_or((0, 0, [0; 4].into()));
            let version = if from.is_ipv4() { "ICMP" } else { "ICMPv6" };
            format!(
                "an {version} error (type {icmp_type}, code {icmp_code}{}) came from {}{}",
                meaning(from.is_ipv4(), icmp_type, icmp_code),
                address(Some(from), names.sender),
                whose(trace, trace.destination.icmp_error.is_some(), coverage, names)
            )
        }
        Found::Unclear => {
            "some captured packets were lost, so it is unknown where the attempt was lost".to_owned()
        }
    }
}

/// Says whether the destination itself sent the RST or the ICMP error.
fn whose(trace: &Trace, sent: bool, coverage: Coverage, names: &Names<'_>) -> String {
    let (request, _) = words(names.transport);
    let destination = names.destination;
    if sent {
        format!("; {destination} sent it")
    } else if coverage != Coverage::Both {
        String::new()
    } else if trace.destination.request {
        format!("; {destination}, which the {request} reached, did not send it")
    } else {
        format!("; the {request} never reached {destination}'s interface")
    }
}

fn address(address: Option<IpAddr>, whose: Option<&str>) -> String {
    let address = address.map_or_else(String::new, |address| address.to_string());
    whose.map_or_else(|| address.clone(), |whose| format!("{address} ({whose})"))
}

/// Request and answer of a transport, as people call them.
fn words(transport: Transport) -> (&'static str, &'static str) {
    match transport {
        Transport::Tcp | Transport::DnsTcp => ("SYN", "SYN-ACK"),
        Transport::Udp => ("datagram", "answer"),
        Transport::DnsUdp => ("query", "answer"),
    }
}

/// The meaning of the codes that filters and closed ports send (RFC 792, RFC 1812 5.2.7.1, RFC 4443 3.1).
fn meaning(v4: bool, icmp_type: u8, icmp_code: u8) -> &'static str {
    match (v4, icmp_type, icmp_code) {
        (true, 3, 0) => ": network unreachable",
        (true, 3, 1) => ": host unreachable",
        (true, 3, 3) | (false, 1, 4) => ": port unreachable",
        (true, 3, 9 | 10 | 13) | (false, 1, 1) => ": administratively prohibited",
        (true, 11, 0) | (false, 3, 0) => ": hop limit exceeded",
        (false, 1, 0) => ": no route",
        (false, 1, 3) => ": address unreachable",
        (false, 1, 5) => ": failed policy",
        (false, 1, 6) => ": route rejected",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
