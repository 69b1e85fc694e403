//! What is known about a lane: the lives of its probers, and the record of every flow that was ever tried in it.

use super::{
    chronicle::{Chronicle, Ends, Witnesses},
    news::{News, Report},
};
use crate::{
    evidence::{
        capture::{Coverage, Trace, Traces},
        hindrance::{ANSWERED_WITHIN, Hindered, Hindrance, STARVED},
        life::{Life, ProberLife},
        record::{FlowRecord, Heard, Last, Segment, Witness, WitnessId},
        time::Moment,
    },
    place::plan::Planned,
    scenario::{
        flow::{Expectation, Flow, Target},
        name::Workload,
    },
    verdict::assess::{Assessment, assess},
};
use flowproof_wire::{
    Attempt, Connection, FlowId, FlowSpec, Listener, ListenerState, Observation, Transport,
};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    time::Duration,
};

/// How many of the last attempts are looked at in captures.
const LOOKED_AT: u64 = 5;
/// The first of these attempts is taken to begin at most this long before the last one.
const STRETCH: Duration = Duration::from_secs(10);

/// A server that was slow counts as slow for this long: a step's time to settle, and the restoration after it.
const SLOW_FOR: Duration = Duration::from_secs(60);

/// The state of a lane, fed by the news of its links.
#[derive(Debug, Default)]
pub struct Book {
    probers: Vec<Prober>,
    index: HashMap<Workload, usize>,
    flows: Vec<Tracked>,
    by_id: HashMap<FlowId, usize>,
    next_id: u32,
    next_witness: u32,
    traces: Traces,
}

/// How much of what a prober captured is known.
#[derive(Debug, Clone, Copy)]
struct Capturing {
    /// Number of the next sighting.
    next: u64,
    /// Since when no sighting is missing.
    whole_since: Moment,
}

/// One prober of the lane.
#[derive(Debug)]
pub struct Prober {
    /// The workload that it plays.
    pub workload: Workload,
    /// Name servers and search list, once it has said hello.
    pub resolver: Option<(Vec<IpAddr>, Vec<String>)>,
    /// Why its pod is gone for good, if it is.
    pub gone: Option<String>,
    /// Why its stream is lost, if it is.
    pub lost: Option<String>,
    life: ProberLife,
    instance: Option<u64>,
    witness: WitnessId,
    listeners: BTreeMap<Listener, ListenerState>,
    heard_at: Moment,
    dropped: u64,
    longest_lag: Duration,
    /// When it got too little CPU; only the last times are kept.
    hindered: Hindered,
    streams_lost: u64,
    restarts: u64,
    /// `None` if it does not capture.
    capturing: Option<Capturing>,
}

/// A planned flow and what is known about it.
#[derive(Debug)]
pub struct Tracked {
    /// The plan.
    pub planned: Planned,
    /// Both ends' spans.
    pub record: FlowRecord,
    id: FlowId,
    connection: Connection,
    /// The prober that tries it.
    source: Option<usize>,
    /// The probers to which it leads, with their listeners. A pod that starts again gets another prober; what was tracked before
    /// stays with the old one.
    witnesses: Vec<(usize, Listener)>,
}

/// Identifies a tracked flow of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(usize);

/// A stretch of attempts of a flow.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Attempts that were started before this moment are left out.
    pub from: Moment,
    /// The last attempt.
    pub to: Last,
}

/// The ends of a flow, for its chronicle.
#[derive(Debug)]
pub struct EndsOf<'a> {
    /// The book.
    pub book: &'a Book,
    /// The flow.
    pub key: Key,
}

impl Witnesses for EndsOf<'_> {
    fn life(&self, from: Moment, to: Moment) -> Life {
        self.book.ends_alive(self.key, from, to)
    }

    fn unhindered(&self, from: Moment, to: Moment) -> Life {
        match self.book.telling_ends(self.key).find(|prober| prober.hindered.touches(from, to)) {
            Some(prober) => Life::Broken(format!("{}: it got too little CPU", prober.workload)),
            None => self.life(from, to),
        }
    }
}

impl Prober {
    /// Notes that its timer was late by this much at some time since the previous report. That may be long ago, because no report
    /// comes while the stream is lost.
    fn was_late(&mut self, before: Option<Moment>, at: Moment, lag: Duration) {
        if lag < STARVED {
            return;
        }
        let since = before.unwrap_or(at - Duration::from_millis(flowproof_wire::REPORT_EVERY_MS)) - lag;
        self.hindered.note(since, at, lag);
    }
}

impl Book {
    /// Adds a prober and returns its index, which its news must carry. A workload whose pod was replaced gets another prober; the
    /// record of the old one stays.
    pub fn add_prober(&mut self, workload: Workload) -> usize {
        let index = self.probers.len();
        let witness = self.witness();
        self.index.insert(workload.clone(), index);
        self.probers.push(Prober {
            workload,
            resolver: None,
            gone: None,
            lost: None,
            life: ProberLife::default(),
            instance: None,
            witness,
            listeners: BTreeMap::new(),
            heard_at: Moment(i64::MIN),
            dropped: 0,
            longest_lag: Duration::ZERO,
            hindered: Hindered::default(),
            streams_lost: 0,
            restarts: 0,
            capturing: None,
        });
        index
    }

    /// The probers that currently play the workloads.
    pub fn current(&self) -> impl Iterator<Item = &Prober> {
        self.index.values().map(|index| &self.probers[*index])
    }

    /// The prober that currently plays a workload.
    pub fn prober(&self, workload: &Workload) -> Option<&Prober> {
        self.index.get(workload).map(|index| &self.probers[*index])
    }

    /// Tracks a planned flow from now on.
    pub fn track(&mut self, planned: Planned) -> Key {
        let id = FlowId(self.next_id);
        self.next_id += 1;
        let key = Key(self.flows.len());
        self.by_id.insert(id, key.0);
        let source = self.index.get(&planned.flow.source).copied();
        let witness = |(end, listener): (&Workload, &Listener)| Some((*self.index.get(end)?, *listener));
        let witnesses = planned.witnesses.iter().filter_map(witness).collect();
        let connection = if planned.flow.established { Connection::Kept } else { Connection::Each };
        let record = FlowRecord::default();
        self.flows.push(Tracked { planned, record, id, connection, source, witnesses });
        key
    }

    /// Lets an established flow get a new connection after its own has ended. Must be called before the flow is tried.
    pub fn reopen(&mut self, key: Key) {
        self.flows[key.0].connection = Connection::Reopened;
    }

    /// The workload that a prober plays.
    pub fn workload(&self, prober: usize) -> Option<&Workload> {
        self.probers.get(prober).map(|prober| &prober.workload)
    }

    /// A tracked flow.
    pub fn flow(&self, key: Key) -> &Tracked {
        &self.flows[key.0]
    }

    /// What a prober has to try for these flows.
    pub fn specs<'a>(&self, workload: &Workload, keys: impl Iterator<Item = &'a Key>) -> Vec<FlowSpec> {
        keys.map(|key| &self.flows[key.0])
            .filter(|tracked| tracked.planned.flow.source == *workload)
            .map(|tracked| FlowSpec {
                flow: tracked.id,
                transport: tracked.planned.flow.transport,
                to: tracked.planned.to,
                question: tracked.planned.question.clone(),
                bare: matches!(tracked.planned.flow.target, Target::LiveService(_)),
                connection: tracked.connection,
            })
            .collect()
    }

    /// Takes in the news of a prober.
    pub fn take(&mut self, index: usize, news: News) {
        match news {
            News::Attached { instance, name_servers, search } => {
                let witness = self.witness();
                let prober = &mut self.probers[index];
                if prober.instance.is_some_and(|before| before != instance) {
                    prober.restarts += 1;
                    prober.witness = witness;
                    prober.heard_at = Moment(i64::MIN);
                    prober.capturing = None;
                }
                prober.instance = Some(instance);
                prober.resolver = Some((name_servers, search));
                prober.lost = None;
            }
            News::Reported(report) => self.hear(index, *report),
            News::Lost(why) => {
                let prober = &mut self.probers[index];
                prober.life.lost(why.clone());
                prober.streams_lost += u64::from(prober.lost.is_none());
                prober.lost = Some(why);
            }
            News::Gone(why) => {
                let prober = &mut self.probers[index];
                prober.life.lost(why.clone());
                prober.gone = Some(why);
            }
        }
    }

    fn hear(&mut self, index: usize, heard: Report) {
        let prober = &mut self.probers[index];
        prober.life.alive(heard.steady, heard.at);
        let before = (prober.heard_at != Moment(i64::MIN)).then_some(prober.heard_at);
        // A partial report carries the time of the last complete one.
        prober.heard_at = prober.heard_at.max(heard.at);
        prober.dropped = heard.dropped;
        prober.longest_lag = prober.longest_lag.max(heard.lag);
        prober.was_late(before, heard.at, heard.lag);
        for (status, period) in heard.listeners {
            if let Some((since, alive)) = period {
                prober.life.listening(status.listener, since, alive);
            }
            prober.listeners.insert(status.listener, status.status);
        }
        if let Some(capture) = heard.capture {
            let since = Capturing { next: 1, whole_since: Moment(i64::MIN) };
            let capturing = prober.capturing.get_or_insert(since);
            if capture.first != capturing.next {
                capturing.whole_since = heard.at;
            }
            capturing.next = capture.first + capture.sightings.len() as u64;
            for sighting in &capture.sightings {
                self.traces.add(index, sighting);
            }
        }
        let witness = prober.witness;
        for (flow, run) in heard.source {
            if let Some(&at) = self.by_id.get(&flow) {
                self.flows[at].record.source(run);
            }
        }
        for (flow, run) in heard.arrivals {
            if let Some(&at) = self.by_id.get(&flow) {
                self.flows[at].record.arrived(witness, &run);
            }
        }
    }

    /// What the attempts of a window show about a flow.
    pub fn assess(&self, key: Key, expectation: Expectation, window: Window, hold: Duration) -> Assessment {
        let tracked = &self.flows[key.0];
        let segments = tracked.record.segments(window.from, window.to, self.heard(tracked));
        let last = segments.last().map_or(window.from, |segment| segment.last_at);
        let alive_since = self.alive_since(key, last).unwrap_or(Moment::END);
        assess(expectation, &segments, alive_since, &self.hindered(key, window.from), hold)
    }

    /// The packets of the last attempts in a window that were not answered, and whether they are all. `None` if there is no
    /// capture or no such attempt. If the flow has settled, only the very last attempts count.
    pub fn captured(&self, key: Key, window: Window, settled: bool) -> Option<(Trace, Coverage)> {
        let tracked = &self.flows[key.0];
        let source = self.probers[tracked.source?].capturing?;
        let segments = tracked.record.segments(window.from, window.to, self.heard(tracked));
        let unanswered = |segment: &&Segment| {
            matches!(
                segment.observation,
                Observation::Silent
                    | Observation::Refused
                    | Observation::Unreachable { .. }
                    | Observation::Cut { .. }
            )
        };
        let last =
            if settled { segments.last().filter(unanswered) } else { segments.iter().rfind(unanswered) }?;
        let looked_at = last.attempts.min(LOOKED_AT);
        let from = Attempt(last.last.0 - (looked_at as u32 - 1));
        let mut trace = self.traces.furthest(tracked.id, from, last.last)?;
        // A proxy in between sends a SYN of its own, so the destination's capture may not know this attempt.
        trace.destination.request |= last.witness == Witness::Arrived;
        let witnesses = tracked.witnesses.iter().map(|(prober, _)| self.probers[*prober].capturing);
        let all: Option<Vec<Capturing>> = witnesses.collect();
        let begun = if looked_at == last.attempts {
            last.first_at
        } else {
            last.first_at.max(last.last_at - STRETCH)
        };
        let whole = |capturing: &Capturing| capturing.whole_since < begun;
        let coverage = match all {
            _ if !whole(&source) => Coverage::Holes,
            Some(all) if all.iter().any(|capturing| !whole(capturing)) => Coverage::Holes,
            Some(all) if !all.is_empty() => Coverage::Both,
            _ => Coverage::SourceOnly,
        };
        Some((trace, coverage))
    }

    /// When an end of a flow got too little CPU, from a moment on; all the time if its server is too slow.
    fn hindered(&self, key: Key, from: Moment) -> Hindered {
        let mut hindered = Hindered::default();
        if let Some(slowest) = self.slow_server(key, from) {
            hindered.note(Moment(i64::MIN), Moment::END, slowest);
            return hindered;
        }
        self.telling_ends(key).for_each(|prober| hindered.join(&prober.hindered));
        hindered
    }

    /// During how much of the time between two moments an end of a flow got too little CPU.
    pub fn hindrance(&self, key: Key, from: Moment, to: Moment) -> Hindrance {
        self.hindered(key, from).over(from, to)
    }

    /// The probers that can say whether an end of a flow got too little CPU. A server that is not a prober (the cluster's DNS)
    /// cannot say so itself, so all probers of the lane count.
    fn telling_ends(&self, key: Key) -> impl Iterator<Item = &Prober> {
        let has_witness = !self.flows[key.0].witnesses.is_empty();
        let others = self.probers.iter().filter(move |_| !has_witness);
        self.ends(key).map(|(prober, _)| prober).chain(others)
    }

    /// The longest time that a slow server took to answer anybody of the lane, from [`SLOW_FOR`] before a moment on. `None` if
    /// the target of the flow has a prober, or if it answered in time. A server is slow if other answers may come too late: it
    /// has more to do than it gets CPU for, so its silence proves nothing.
    ///
    /// Only answers over UDP count. A TCP handshake that a policy has dropped is repeated after a second, so its answer is as
    /// late on an idle machine.
    pub fn slow_server(&self, key: Key, from: Moment) -> Option<Duration> {
        let this = &self.flows[key.0];
        if !this.witnesses.is_empty() {
            return None;
        }
        let over_udp = |tracked: &&Tracked| {
            let Flow { target, transport, .. } = &tracked.planned.flow;
            matches!(transport, Transport::Udp | Transport::DnsUdp) && *target == this.planned.flow.target
        };
        let since = from - SLOW_FOR;
        let slowest = self
            .flows
            .iter()
            .filter(over_udp)
            .filter_map(|tracked| tracked.record.longest_answer_since(since))
            .max()?;
        (slowest >= ANSWERED_WITHIN).then_some(slowest)
    }

    /// The workloads at the ends of a flow.
    pub fn workloads(&self, key: Key) -> impl Iterator<Item = &Workload> {
        self.ends(key).map(|(prober, _)| &prober.workload)
    }

    /// Name servers and search list of every workload whose prober has said hello.
    pub fn resolvers(&self) -> BTreeMap<Workload, (Vec<IpAddr>, Vec<String>)> {
        self.current()
            .filter_map(|prober| Some((prober.workload.clone(), prober.resolver.clone()?)))
            .collect()
    }

    /// Since when all ends of a flow have been alive without a break until a moment; `None` if one of them was not alive then.
    fn alive_since(&self, key: Key, to: Moment) -> Option<Moment> {
        self.ends(key)
            .map(|(prober, listener)| prober.life.alive_since(listener, to))
            .try_fold(Moment(i64::MIN), |latest, since| Some(latest.max(since?)))
    }

    /// Whether a flow was answered by its destination at least `times` times in a window.
    pub fn worked(&self, key: Key, window: Window, times: u64) -> bool {
        let tracked = &self.flows[key.0];
        let segments = tracked.record.segments(window.from, window.to, self.heard(tracked));
        let answered = segments.iter().filter(|segment| {
            matches!(segment.observation, Observation::Answered { .. })
                && segment.witness != Witness::NotArrived
        });
        answered.map(|segment| segment.attempts).sum::<u64>() >= times
    }

    /// When the first attempt of a newly tracked flow began.
    pub fn first_attempt(&self, key: Key) -> Option<Moment> {
        let tracked = &self.flows[key.0];
        let all =
            tracked.record.segments(Moment(i64::MIN), Last::StartedBy(Moment::END), self.heard(tracked));
        all.first().map(|segment| segment.first_at)
    }

    fn heard(&self, tracked: &Tracked) -> Heard {
        let heard = tracked.witnesses.iter().map(|(prober, _)| self.probers[*prober].heard_at);
        heard.min().map_or(Heard::NoWitness, Heard::Until)
    }

    /// The moment until which both ends of a flow have been heard.
    pub fn heard_until(&self, key: Key) -> Moment {
        let tracked = &self.flows[key.0];
        let source = tracked.source.map_or(Moment(i64::MIN), |prober| self.probers[prober].heard_at);
        match self.heard(tracked) {
            Heard::NoWitness => source,
            Heard::Until(witness) => source.min(witness),
        }
    }

    /// Whether all ends of a flow, including the listeners at its destination, were alive from one moment to another, and their
    /// records are complete.
    pub fn life(&self, key: Key, from: Moment, to: Moment) -> Life {
        let hole = self.ends(key).find(|(prober, _)| prober.dropped > 0);
        match (self.ends_alive(key, from, to), hole) {
            (Life::Alive, Some((Prober { workload, dropped, .. }, _))) => {
                Life::Broken(format!("{workload}: its record has a hole of {dropped} spans"))
            }
            (life, _) => life,
        }
    }

    /// Whether all ends of a flow, including the listeners at its destination, were alive from one moment to another.
    pub fn ends_alive(&self, key: Key, from: Moment, to: Moment) -> Life {
        for (prober, listener) in self.ends(key) {
            let workload = &prober.workload;
            let life = match (prober.life.over(from, to), listener) {
                (Life::Alive, Some(listener)) => prober.life.listener_over(listener, from, to),
                (life, _) => life,
            };
            if let Life::Broken(why) = life {
                return Life::Broken(format!("{workload}: {why}"));
            }
        }
        Life::Alive
    }

    /// Takes those segments of a flow into its chronicle that are decided and were started by a moment, and forgets them.
    pub fn follow(&mut self, key: Key, chronicle: &mut Chronicle, to: Moment, ends: &Ends) {
        let tracked = &self.flows[key.0];
        let (heard, to) = (self.heard(tracked), Last::StartedBy(to));
        let segments = match chronicle.cursor() {
            None => tracked.record.segments(chronicle.seen_until(), to, heard),
            cursor => tracked.record.segments_after(cursor, to, heard),
        };
        chronicle.take(&segments, ends, &EndsOf { book: self, key });
        if let Some(cursor) = chronicle.cursor() {
            self.flows[key.0].record.forget(cursor);
        }
    }

    /// The instance of the prober that currently plays each workload, if the prober has said hello.
    pub fn instances(&self) -> BTreeMap<Workload, u64> {
        self.current().filter_map(|prober| Some((prober.workload.clone(), prober.instance?))).collect()
    }

    /// Returns everything that was decided about a flow until a moment, and empties its record.
    pub fn harvest(&mut self, key: Key, until: Moment) -> Vec<Segment> {
        let tracked = &self.flows[key.0];
        let segments = tracked.record.segments(Moment(i64::MIN), Last::StartedBy(until), self.heard(tracked));
        self.flows[key.0].record = FlowRecord::default();
        segments
    }

    /// The workloads whose pods are gone for good.
    pub fn gone_workloads(&self) -> Vec<Workload> {
        self.current().filter(|prober| prober.gone.is_some()).map(|prober| prober.workload.clone()).collect()
    }

    /// The longest lag of all probers; `None` if there are no probers.
    pub fn longest_lag(&self) -> Option<Duration> {
        self.probers.iter().map(|prober| prober.longest_lag).max()
    }

    /// Measures the lags of all probers anew from now on.
    pub fn forget_lags(&mut self) {
        self.probers.iter_mut().for_each(|prober| prober.longest_lag = Duration::ZERO);
    }

    /// What reports say about a workload's probers after a watch: longest lag, lost streams, replacements.
    pub fn hardships(&self, workload: &Workload) -> (Duration, u64, u64) {
        let of = self.probers.iter().filter(|prober| prober.workload == *workload);
        let lived = of.fold((Duration::ZERO, 0, 0), |(lag, lost, replaced), prober| {
            (lag.max(prober.longest_lag), lost + prober.streams_lost, replaced + 1 + prober.restarts)
        });
        (lived.0, lived.1, lived.2 - u64::from(lived.2 > 0))
    }

    /// Why an end of a flow is gone for good, if one is.
    pub fn gone(&self, key: Key) -> Option<String> {
        self.ends(key).find_map(|(prober, _)| Some(format!("{}: {}", prober.workload, prober.gone.as_ref()?)))
    }

    /// The probers at the ends of a flow. Those of its destination come with the listener that the flow leads to.
    fn ends(&self, key: Key) -> impl Iterator<Item = (&Prober, Option<Listener>)> {
        let Tracked { source, witnesses, .. } = &self.flows[key.0];
        let source = source.iter().map(|prober| (*prober, None));
        let witnesses = witnesses.iter().map(|(prober, listener)| (*prober, Some(*listener)));
        source.chain(witnesses).map(|(prober, listener)| (&self.probers[prober], listener))
    }

    /// Says which prober is not ready to be used, and why: the first one. `None` if all are attached and all listeners are alive.
    pub fn not_ready(&self) -> Option<String> {
        self.current().find_map(|prober| {
            let workload = &prober.workload;
            if let Some(why) = prober.gone.as_ref().or(prober.lost.as_ref()) {
                return Some(format!("{workload}: {why}"));
            }
            if prober.resolver.is_none() || prober.heard_at == Moment(i64::MIN) {
                return Some(format!("{workload}: its prober was not heard yet"));
            }
            prober.listeners.iter().find_map(|(listener, state)| match state {
                ListenerState::Alive => None,
                other => Some(format!("{workload}: its listener {listener:?} is {other:?}")),
            })
        })
    }

    /// How many listeners a prober has reported.
    pub fn listeners(&self, workload: &Workload) -> usize {
        self.prober(workload).map_or(0, |prober| prober.listeners.len())
    }

    fn witness(&mut self) -> WitnessId {
        self.next_witness += 1;
        WitnessId(self.next_witness)
    }
}

#[cfg(test)]
mod tests;
