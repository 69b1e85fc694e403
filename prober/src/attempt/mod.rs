//! Tries flows: starts attempts when they are due, follows them to their outcome, and adds the outcomes to the record.
//!
//! All sockets are in one epoll set and all attempts in one slab. An attempt costs a few system calls and about a hundred
//! bytes, so a thousand silent flows do not matter. Nothing waits in here: the owner waits for [`Attempts::readable`]
//! and [`Attempts::next_us`], and then calls [`Attempts::turn`].

mod dns;
mod echo;
mod epoll;
mod icmp;
mod in_flight;
mod kept;
mod ports;
mod schedule;
mod socket;

pub(crate) use dns::framed;

use crate::{
    capture,
    clock::Clock,
    record::{Continuity, Outcome, Record, Window},
    surroundings,
};
use epoll::Sockets;
use flowproof_wire::{Attempt, Connection, FlowId, FlowSpec, Nonce, Observation, Pace, REPORT_EVERY_MS};
use in_flight::{Exchange, InFlight, Key, Slab};
use kept::{Decided, Kept, Waiting};
use nix::sys::epoll::EpollEvent;
use ports::Ports;
use schedule::Schedule;
use socket2::Socket;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io,
};

/// The most attempts that are started, and the most events that are handled, in one turn: the runner must not wait long for a pong.
const MOST_PER_TURN: usize = 512;

/// Open files that attempts leave to the rest of the program, so that a runner can come back while all attempts are silent.
const FILES_FOR_OTHERS: u64 = 256;

/// A flow that was tried in this run. If it comes back, its attempt numbers continue, so that no nonce is used twice.
#[derive(Debug)]
struct Flow {
    spec: FlowSpec,
    asked: dns::Asked,
    window: Window,
    continuity: Continuity,
    /// Number of the last list of flows that included it.
    named_by: u64,
}

/// All attempts of this prober.
#[derive(Debug)]
pub(crate) struct Attempts {
    clock: Clock,
    run: u64,
    flows: Vec<Flow>,
    places: HashMap<FlowId, usize>,
    /// Indexes of the flows to try, in the runner's order.
    wanted: Vec<usize>,
    /// How many times the flows were set.
    orders: u64,
    pace: Pace,
    activity: Activity,
    schedule: Schedule,
    slab: Slab,
    kept: Kept,
    most_in_flight: usize,
    deadlines: BinaryHeap<Reverse<(u64, Key)>>,
    ports: Ports,
    /// The ports that attempts took, for a capture.
    taken: Option<capture::Ports>,
    sockets: Sockets,
    /// Whether the last turn left events behind.
    backlog: bool,
}

/// Whether flows are tried at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Trying,
    Paused,
}

impl Attempts {
    /// Starts without flows. Must be called within the runtime.
    ///
    /// `open_files` is the limit of open files. Attempts leave [`FILES_FOR_OTHERS`] of them, or half if there are few.
    pub(crate) fn new(clock: Clock, open_files: u64) -> io::Result<Self> {
        Ok(Self {
            clock,
            run: 0,
            flows: Vec::new(),
            places: HashMap::new(),
            wanted: Vec::new(),
            orders: 0,
            pace: Pace { interval_ms: 1, timeout_ms: 1, report_ms: REPORT_EVERY_MS },
            activity: Activity::Trying,
            schedule: Schedule::default(),
            slab: Slab::default(),
            kept: Kept::default(),
            most_in_flight: (open_files - FILES_FOR_OTHERS.min(open_files / 2)) as usize,
            deadlines: BinaryHeap::new(),
            ports: Ports::starting_at(surroundings::random()),
            taken: None,
            sockets: Sockets::new()?,
            backlog: false,
        })
    }

    /// Records from now on which ports attempts take.
    pub(crate) fn note_ports(&mut self) {
        self.taken = Some(capture::Ports::default());
    }

    /// The ports that attempts took, if they are recorded.
    pub(crate) fn ports(&self) -> Option<&capture::Ports> {
        self.taken.as_ref()
    }

    /// Forgets all flows and abandons the attempts in flight; from now on nonces carry this run.
    pub(crate) fn begin_run(&mut self, run: u64) {
        self.run = run;
        self.flows.clear();
        self.places.clear();
        self.wanted.clear();
        self.slab.clear();
        self.kept = Kept::default();
        self.deadlines.clear();
        if let Some(taken) = &mut self.taken {
            taken.forget();
        }
        self.reschedule();
    }

    /// Replaces the flows to try. Attempts in flight continue to their outcome.
    ///
    /// A flow that cannot be tried is left out, and the error says why, for people.
    pub(crate) fn set(&mut self, flows: Vec<FlowSpec>, pace: Pace) -> Result<(), String> {
        if pace.interval_ms == 0 || pace.timeout_ms == 0 || pace.report_ms == 0 {
            return Err("flows not changed: interval, timeout and report must be at least 1 ms".to_owned());
        }
        let mut wrong = Vec::new();
        self.orders += 1;
        self.wanted.clear();
        let same_pace = self.pace == pace;
        if pace.timeout_ms != self.pace.timeout_ms {
            // A report promises that every attempt older than the timeout is decided, so the new timeout applies to all attempts.
            let timeout_us = pace.timeout_ms.saturating_mul(1000);
            let in_flight = self.slab.iter().map(|(key, in_flight)| (in_flight.started_us, key));
            let waiting = self.kept.waiting().map(|(key, waiting)| (waiting.started_us, key));
            let anew = in_flight.chain(waiting);
            let deadline =
                |(started_us, key): (u64, Key)| Reverse((started_us.saturating_add(timeout_us), key));
            self.deadlines.extend(anew.map(deadline));
        }
        self.pace = pace;
        for spec in flows {
            let id = spec.flow;
            let asked = match dns::Asked::check(spec.question.as_ref()) {
                Ok(asked) => asked,
                Err(error) => {
                    wrong.push(format!("flow {}: {error}", id.0));
                    continue;
                }
            };
            let at = *self.places.entry(id).or_insert(self.flows.len());
            if self.flows.get(at).is_some_and(|flow| flow.named_by == self.orders) {
                wrong.push(format!("flow {} a second time", id.0));
                continue;
            }
            match self.flows.get_mut(at) {
                Some(flow) if flow.spec != spec && self.kept.key(at).is_some() => {
                    wrong.push(format!("flow {}: its connection is kept, and leads where it leads", id.0));
                    continue;
                }
                Some(flow) => {
                    let unchanged = flow.spec == spec && same_pace && flow.named_by + 1 == self.orders;
                    if !unchanged {
                        (flow.spec, flow.asked, flow.continuity) = (spec, asked, Continuity::Resumed);
                    }
                    flow.named_by = self.orders;
                }
                None => self.flows.push(Flow {
                    spec,
                    asked,
                    window: Window::new(),
                    continuity: Continuity::Resumed,
                    named_by: self.orders,
                }),
            }
            self.wanted.push(at);
        }
        let (flows, orders) = (&self.flows, self.orders);
        self.kept.retain(|at| flows[at].named_by == orders);
        self.reschedule();
        if wrong.is_empty() { Ok(()) } else { Err(format!("not tried: {}", wrong.join("; "))) }
    }

    /// Stops starting attempts until [`Attempts::resume`].
    pub(crate) fn pause(&mut self) {
        if self.activity == Activity::Trying {
            self.activity = Activity::Paused;
            self.reschedule();
        }
    }

    /// Starts attempts again.
    pub(crate) fn resume(&mut self) {
        if self.activity == Activity::Paused {
            self.activity = Activity::Trying;
            for place in &self.wanted {
                self.flows[*place].continuity = Continuity::Resumed;
            }
            self.reschedule();
        }
    }

    fn reschedule(&mut self) {
        let flows = if self.activity == Activity::Trying { &self.wanted[..] } else { &[] };
        self.schedule.set(flows, self.pace.interval_ms.saturating_mul(1000), self.clock.now_us());
    }

    /// How often to report, in microseconds.
    pub(crate) fn report_every_us(&self) -> u64 {
        self.pace.report_ms.saturating_mul(1000)
    }

    /// Waits until a socket of an attempt is ready.
    pub(crate) async fn readable(&self) {
        self.sockets.readable().await;
    }

    /// Returns when the next turn is needed, whatever the network does.
    pub(crate) fn next_us(&self) -> Option<u64> {
        if self.backlog {
            return Some(0);
        }
        let deadline = self.deadlines.peek().map(|Reverse((deadline, _))| *deadline);
        [deadline, self.schedule.next_us()].into_iter().flatten().min()
    }

    /// Says whether every attempt that is older than its timeout was decided by the last turn.
    pub(crate) fn is_settled(&self) -> bool {
        !self.backlog
    }

    /// Handles events of the network; when none are left, decides attempts whose time is up and starts those that are due. Returns
    /// the longest delay of a start after it was due, in microseconds.
    pub(crate) fn turn(&mut self, record: &mut Record) -> u64 {
        self.backlog = self.handle_events(record);
        if self.backlog {
            // With events left, nothing is started, or a prober that gets too little CPU would never get to its reports; and nothing
            // is decided, because an answer that waits in its socket is not late.
            return 0;
        }
        self.expire(record);
        self.start_due(record)
    }

    /// Handles events; returns whether some may be left.
    fn handle_events(&mut self, record: &mut Record) -> bool {
        if self.slab.count() == 0 && self.kept.is_empty() {
            return false;
        }
        let mut events = [EpollEvent::empty(); MOST_PER_TURN];
        let ready = self.sockets.ready(&mut events);
        for event in ready {
            let key = Key(event.data());
            let run = self.run;
            if let Some(place) = Kept::place(key) {
                let FlowSpec { flow, connection, .. } = self.flows[place].spec;
                let decided = self.kept.go_on((key, place), connection, event.events(), (run, flow));
                self.decide_all(place, decided, record);
                continue;
            }
            let Some(in_flight) = self.slab.get(key) else {
                continue;
            };
            let nonce = Nonce { run, flow: self.flows[in_flight.flow].spec.flow, attempt: in_flight.attempt };
            if let Some(observation) = in_flight.exchange.go_on(&in_flight.socket, event.events(), nonce) {
                self.end(key, observation, record);
            }
        }
        ready.len() == MOST_PER_TURN
    }

    fn expire(&mut self, record: &mut Record) {
        let now = self.clock.now_us();
        while let Some(&Reverse((deadline, key))) = self.deadlines.peek()
            && deadline <= now
        {
            self.deadlines.pop();
            if let Some(place) = Kept::place(key) {
                let timeout_us = self.pace.timeout_ms.saturating_mul(1000);
                let decided = self.kept.expire((key, place), now.saturating_sub(timeout_us));
                self.decide_all(place, decided, record);
            } else if let Some(observation) =
                self.slab.get(key).map(|in_flight| in_flight.exchange.too_late())
            {
                self.end(key, observation, record);
            }
        }
    }

    fn start_due(&mut self, record: &mut Record) -> u64 {
        let mut latest_us = 0;
        for _ in 0..MOST_PER_TURN {
            let Some(due) = self.schedule.take(self.clock.now_us()) else {
                break;
            };
            latest_us = latest_us.max(due.late_us);
            if due.continuity == Continuity::Resumed {
                self.flows[due.flow].continuity = Continuity::Resumed;
            }
            self.start(due.flow, record);
        }
        latest_us
    }

    fn start(&mut self, place: usize, record: &mut Record) {
        let flow = &mut self.flows[place];
        let started_us = self.clock.now_us();
        let Some(attempt) = flow.window.start() else {
            return;
        };
        let continuity = std::mem::replace(&mut flow.continuity, Continuity::Steady);
        let nonce = Nonce { run: self.run, flow: flow.spec.flow, attempt };
        if flow.spec.connection != Connection::Each {
            self.start_kept(place, (nonce, Waiting { attempt, started_us, continuity }), record);
            return;
        }
        let started = if self.slab.count() < self.most_in_flight {
            Exchange::start(&flow.spec, &flow.asked, nonce, &mut self.ports)
        } else {
            Err(Observation::LocalError { errno: nix::libc::EMFILE, call: "socket".to_owned() })
        };
        let key = self.slab.next_key();
        let started = started.and_then(|(socket, exchange)| {
            self.sockets.add(&socket, key)?;
            Ok(InFlight { flow: place, attempt, started_us, continuity, socket, exchange })
        });
        match started {
            Ok(in_flight) => {
                if let Some(taken) = &mut self.taken
                    && let Some(local) = in_flight.socket.local_addr().ok().and_then(|it| it.as_socket())
                {
                    taken.took(flow.spec.transport, local.port(), flow.spec.flow, attempt);
                }
                self.slab.insert(in_flight);
                let deadline = started_us.saturating_add(self.pace.timeout_ms.saturating_mul(1000));
                self.deadlines.push(Reverse((deadline, key)));
            }
            Err(observation) => {
                let took_us = self.clock.now_us() - started_us;
                let outcome = Outcome { started_us, took_us, continuity, observation };
                self.decide(place, attempt, outcome, record);
            }
        }
    }

    fn start_kept(&mut self, place: usize, of: (Nonce, Waiting), record: &mut Record) {
        let Self { kept, flows, ports, sockets, taken, .. } = self;
        let spec = &flows[place].spec;
        let Waiting { attempt, started_us, .. } = of.1;
        let watch = |socket: &Socket, key| {
            if let Some(taken) = taken
                && let Some(local) = socket.local_addr().ok().and_then(|it| it.as_socket())
            {
                taken.took(spec.transport, local.port(), spec.flow, attempt);
            }
            sockets.add(socket, key)
        };
        let decided = kept.start(place, spec, of, ports, watch);
        if let Some(key) = self.kept.key(place) {
            let deadline = started_us.saturating_add(self.pace.timeout_ms.saturating_mul(1000));
            self.deadlines.push(Reverse((deadline, key)));
        }
        self.decide_all(place, decided, record);
    }

    fn decide_all(&mut self, place: usize, decided: Vec<Decided>, record: &mut Record) {
        for (Waiting { attempt, started_us, continuity }, observation) in decided {
            let took_us = self.clock.now_us() - started_us;
            self.decide(place, attempt, Outcome { started_us, took_us, continuity, observation }, record);
        }
    }

    fn end(&mut self, key: Key, observation: Observation, record: &mut Record) {
        let Some(InFlight { flow, attempt, started_us, continuity, .. }) = self.slab.remove(key) else {
            return;
        };
        let took_us = self.clock.now_us() - started_us;
        self.decide(flow, attempt, Outcome { started_us, took_us, continuity, observation }, record);
    }

    fn decide(&mut self, place: usize, attempt: Attempt, outcome: Outcome, record: &mut Record) {
        let Flow { spec, window, .. } = &mut self.flows[place];
        window.decide(attempt, outcome);
        while let Some((attempt, outcome)) = window.next() {
            record.attempted(spec.flow, attempt, outcome);
        }
    }
}
