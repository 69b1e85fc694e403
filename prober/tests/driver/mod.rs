//! A small runner for tests: starts probers, speaks the protocol, and keeps the record as a runner does.
#![allow(dead_code, reason = "each test program uses its part of this module")]

use flowproof_wire::{
    ArrivalSpan, Attempt, Command as Order, Connection, Event, FlowId, FlowSpec, Listener, ListenerState,
    ListenerStatus, Observation, PROTOCOL, Pace, Question, REPORT_EVERY_MS, Report, Revision, SourceSpan,
    Transport,
};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// How long a test waits for anything: generous, for a busy machine. A test that passes never waits this long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const RUN: u64 = 0x5eed;

/// Frequent attempts with a short timeout.
pub(crate) const PACE: Pace = Pace { interval_ms: 20, timeout_ms: 300, report_ms: REPORT_EVERY_MS };

/// The program under test: the one that cargo built, or the one that `FLOWPROOF_PROBER` names.
pub(crate) fn program() -> Command {
    Command::new(
        std::env::var("FLOWPROOF_PROBER").unwrap_or(env!("CARGO_BIN_EXE_flowproof-prober").to_owned()),
    )
}

/// A process that ends with the test.
pub(crate) struct Guard(pub(crate) Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A stream to a prober, through the standard input and output of a process.
pub(crate) struct Runner {
    pub(crate) process: Guard,
    pub(crate) record: Record,
    events: Receiver<Event>,
}

/// What a runner remembers of a prober.
#[derive(Default, Clone)]
pub(crate) struct Record {
    pub(crate) source: BTreeMap<(FlowId, Attempt), SourceSpan>,
    pub(crate) arrivals: BTreeMap<(FlowId, Attempt), ArrivalSpan>,
    pub(crate) last: Report,
}

impl Runner {
    /// Starts `serve --stdio` and attaches.
    pub(crate) fn stdio() -> Self {
        let mut command = program();
        command.args(["serve", "--stdio"]);
        let mut runner = Self::open(command);
        runner.hello(PROTOCOL, RUN, Revision(0));
        runner
    }

    /// Attaches to a prober through `relay --socket`, without a handshake.
    pub(crate) fn relay(socket: &str) -> Self {
        let mut command = program();
        command.args(["relay", "--socket", socket]);
        Self::open(command)
    }

    pub(crate) fn open(mut command: Command) -> Self {
        let mut process = Guard(
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the prober can be started"),
        );
        let stdout = BufReader::new(process.0.stdout.take().expect("it is piped"));
        let (sender, events) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self { process, record: Record::default(), events }
    }

    pub(crate) fn send(&mut self, order: &Order) {
        let line = serde_json::to_string(order).expect("an order is valid JSON");
        self.send_line(&line);
    }

    pub(crate) fn send_line(&mut self, line: &str) {
        let stdin = self.process.0.stdin.as_mut().expect("it is piped");
        writeln!(stdin, "{line}").expect("the prober reads");
    }

    pub(crate) fn hello(&mut self, protocol: u32, run: u64, have: Revision) {
        self.send(&Order::Hello { protocol, run, have });
    }

    /// Returns the next event; `None` when the stream is over.
    pub(crate) fn event(&mut self) -> Option<Event> {
        match self.events.recv_timeout(DEADLINE) {
            Ok(event) => {
                if let Event::Report(report) = &event {
                    self.record.take(report);
                }
                Some(event)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no event for {DEADLINE:?}"),
        }
    }

    /// Takes events until the condition holds.
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut(&Record) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !holds(&self.record) {
            assert!(
                Instant::now() < deadline,
                "waited {DEADLINE:?} in vain until {what}; source {:?}; listeners {:?}",
                self.record.source.values(),
                self.record.last.listeners
            );
            let event = self.event().unwrap_or_else(|| panic!("the stream ended before {what}"));
            if let Event::Refused { message } = event {
                panic!("refused: {message}");
            }
        }
    }

    /// Takes events until one is chosen.
    pub(crate) fn find<T>(&mut self, what: &str, mut choose: impl FnMut(Event) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain for {what}");
            let event = self.event().unwrap_or_else(|| panic!("the stream ended before {what}"));
            if let Some(chosen) = choose(event) {
                return chosen;
            }
        }
    }

    /// Takes events up to the next refusal and returns its message.
    pub(crate) fn refusal(&mut self) -> String {
        self.find(
            "a refusal",
            |event| {
                if let Event::Refused { message } = event { Some(message) } else { None }
            },
        )
    }

    pub(crate) fn listen(&mut self, listeners: &[(Transport, u16)]) {
        let listeners =
            listeners.iter().map(|(transport, port)| Listener { transport: *transport, port: *port });
        self.send(&Order::Listen { listeners: listeners.collect() });
    }

    /// Listens and waits until every listener is alive.
    pub(crate) fn serve(&mut self, listeners: &[(Transport, u16)]) {
        self.listen(listeners);
        let count = listeners.len();
        self.until("all listeners are alive", |record| {
            record.last.listeners.len() == count
                && record.last.listeners.iter().all(|listener| listener.status == ListenerState::Alive)
        });
    }

    pub(crate) fn try_flows(&mut self, flows: Vec<FlowSpec>, pace: Pace) {
        self.send(&Order::Try { flows, pace });
    }

    /// Tries one flow at [`PACE`] until several attempts had the same result, and returns the result.
    pub(crate) fn observe(&mut self, flow: FlowSpec) -> Observation {
        let id = flow.flow;
        self.try_flows(vec![flow], PACE);
        self.until("three attempts agree", |record| {
            record.newest(id).is_some_and(|span| span.last.0 >= span.first.0 + 2)
        });
        let span = self.record.newest(id).expect("it was there").clone();
        self.try_flows(Vec::new(), PACE);
        assert_eq!(span.first, Attempt(1), "the first attempts went another way: {:?}", self.record.source);
        span.observation
    }

    /// Returns the state of all listeners, as last reported.
    pub(crate) fn listeners(&self) -> Vec<ListenerStatus> {
        self.record.last.listeners.clone()
    }
}

impl Record {
    pub(crate) fn take(&mut self, report: &Report) {
        for span in &report.source {
            self.source.insert((span.flow, span.first), span.clone());
        }
        for span in &report.arrivals {
            // Arrivals add up: a later span removes nothing.
            let known = self.arrivals.entry((span.flow, span.first)).or_insert_with(|| span.clone());
            known.last = known.last.max(span.last);
            known.last_us = known.last_us.max(span.last_us);
        }
        self.last = report.clone();
    }

    /// Returns the newest span of a flow.
    pub(crate) fn newest(&self, flow: FlowId) -> Option<&SourceSpan> {
        self.source.range((flow, Attempt(0))..=(flow, Attempt(u32::MAX))).next_back().map(|(_, span)| span)
    }

    /// Returns all arrival spans of a flow.
    pub(crate) fn arrived(&self, flow: FlowId) -> Vec<&ArrivalSpan> {
        self.arrivals.range((flow, Attempt(0))..=(flow, Attempt(u32::MAX))).map(|(_, span)| span).collect()
    }
}

pub(crate) fn flow(id: u32, transport: Transport, to: SocketAddr) -> FlowSpec {
    FlowSpec { flow: FlowId(id), transport, to, question: None, bare: false, connection: Connection::Each }
}

/// Describes a flow that asks a DNS server for a name.
pub(crate) fn question(id: u32, transport: Transport, to: SocketAddr, name: &str, record: &str) -> FlowSpec {
    let question = Question::Name { name: name.to_owned(), record: record.to_owned() };
    FlowSpec { question: Some(question), ..flow(id, transport, to) }
}

/// Returns ports that were free a moment ago, for TCP and UDP, outside the range of source ports.
///
/// Each comes from a range of this process, so that tests side by side do not take each other's.
pub(crate) fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 600) as u16 * 32;
    loop {
        let port = 10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let tcp = std::net::TcpListener::bind(("::", port));
        let udp = std::net::UdpSocket::bind(("::", port));
        if tcp.is_ok() && udp.is_ok() {
            return port;
        }
    }
}

pub(crate) fn v4(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub(crate) fn v6(port: u16) -> SocketAddr {
    SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port))
}

pub(crate) fn answered() -> Observation {
    Observation::Answered { answers: Vec::new() }
}
