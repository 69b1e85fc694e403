//! Streams of runners: handshake, loss and resumption, replacement, lease, refusals, and how a prober ends.

mod driver;

use driver::{DEADLINE, Guard, PACE, RUN, Runner, flow, program};
use flowproof_wire::{
    Attempt, Command as Order, Event, FlowId, MAX_LINE_BYTES, Observation, PROTOCOL, Pace, Revision,
    Transport,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, UdpSocket},
    process::{Child, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// A prober behind a socket of its own.
struct Prober {
    process: Guard,
    socket: String,
}

impl Prober {
    fn start(test: &str, options: &[&str]) -> Self {
        let socket = format!("flowproof-test-{}-{test}", std::process::id());
        let mut command = program();
        command.args(["serve", "--socket", &socket]).args(options);
        Self { process: Guard(command.spawn().expect("the prober can be started")), socket }
    }

    fn attach(&self, run: u64, have: Revision) -> Runner {
        let mut runner = Runner::relay(&self.socket);
        runner.hello(PROTOCOL, run, have);
        runner
    }
}

/// Answers datagrams while it is switched on, and reports each.
struct Echo {
    address: SocketAddr,
    answering: Arc<AtomicBool>,
    heard: Receiver<()>,
}

impl Echo {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let address = socket.local_addr().expect("it is bound");
        let answering = Arc::new(AtomicBool::new(true));
        let (sender, heard) = channel();
        let told = Arc::clone(&answering);
        thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((count, peer)) = socket.recv_from(&mut buffer) {
                if told.load(Ordering::SeqCst) {
                    let _ = socket.send_to(&buffer[..count], peer);
                }
                if sender.send(()).is_err() {
                    return;
                }
            }
        });
        Self { address, answering, heard }
    }

    /// Waits until this many more attempts came.
    fn hear(&self, count: usize) {
        for _ in 0..count {
            self.heard.recv_timeout(DEADLINE).expect("attempts go on");
        }
    }

    /// Takes what was heard so far.
    fn clear(&self) {
        while self.heard.try_recv().is_ok() {}
    }
}

fn ended(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().expect("it is ours") {
            return status;
        }
        assert!(Instant::now() < deadline, "the process does not end");
        thread::yield_now();
    }
}

#[test]
fn a_lost_stream_loses_nothing() {
    let prober = Prober::start("lost", &[]);
    let echo = Echo::start();
    let mut runner = prober.attach(RUN, Revision(0));
    runner.try_flows(vec![flow(1, Transport::Udp, echo.address)], PACE);
    runner.until("some attempts", |record| {
        record.newest(FlowId(1)).is_some_and(|span| span.last >= Attempt(5))
    });
    let have = runner.record.last.revision;
    runner.send(&Order::Ack { have });
    let known = runner.record.clone();
    drop(runner);
    // No runner sees what happens now.
    echo.clear();
    echo.answering.store(false, Ordering::SeqCst);
    echo.hear(30);
    echo.answering.store(true, Ordering::SeqCst);
    echo.hear(30);
    let mut runner = prober.attach(RUN, have);
    runner.record = known;
    runner.until("the flow was silent for a while and is not any more", |record| {
        let silent = record.source.values().any(|span| span.observation == Observation::Silent);
        silent
            && record
                .newest(FlowId(1))
                .is_some_and(|span| span.observation == driver::answered() && span.last.0 > 70)
    });
    let mut next = 1;
    for span in runner.record.source.values() {
        assert_eq!(span.first, Attempt(next), "{:?}", runner.record.source);
        next = span.last.0 + 1;
    }
    let observations: Vec<_> = runner.record.source.values().map(|span| &span.observation).collect();
    assert_eq!(observations, [&driver::answered(), &Observation::Silent, &driver::answered()]);
}

#[test]
fn a_runner_that_acknowledged_nothing_gets_everything_again() {
    let prober = Prober::start("again", &[]);
    let echo = Echo::start();
    let mut runner = prober.attach(RUN, Revision(0));
    runner.try_flows(vec![flow(1, Transport::Udp, echo.address)], PACE);
    runner.until("some attempts", |record| {
        record.newest(FlowId(1)).is_some_and(|span| span.last >= Attempt(5))
    });
    drop(runner);
    let mut runner = prober.attach(RUN, Revision(0));
    runner.until("the first attempt is told again", |record| {
        record.newest(FlowId(1)).is_some_and(|span| span.first == Attempt(1) && span.last > Attempt(5))
    });
}

#[test]
fn a_newer_stream_replaces_the_older_one() {
    let prober = Prober::start("replaced", &[]);
    let mut older = prober.attach(RUN, Revision(0));
    older.until("it is attached", |record| record.last.at_us > 0);
    let mut newer = prober.attach(RUN, Revision(0));
    while older.event().is_some() {}
    assert!(ended(&mut older.process.0).success());
    newer.until("it is attached", |record| record.last.at_us > 0);
}

#[test]
fn the_prober_greets_first_and_tells_who_it_is() {
    let prober = Prober::start("greets", &[]);
    let greeting = |runner: &mut Runner| match runner.event() {
        Some(Event::Hello { protocol, version, instance, .. }) => (protocol, version, instance),
        other => panic!("{other:?}"),
    };
    let first = greeting(&mut Runner::relay(&prober.socket));
    assert_eq!((first.0, first.1.as_str()), (PROTOCOL, env!("CARGO_PKG_VERSION")));
    let second = greeting(&mut Runner::relay(&prober.socket));
    assert_eq!(first, second);
    let other = Prober::start("greets-too", &[]);
    assert_ne!(greeting(&mut Runner::relay(&other.socket)).2, first.2, "another process is another instance");
}

#[test]
fn another_protocol_is_refused_and_the_stream_closed() {
    let mut runner = Runner::open({
        let mut command = program();
        command.args(["serve", "--stdio"]);
        command
    });
    runner.hello(PROTOCOL + 1, RUN, Revision(0));
    let message = runner.refusal();
    assert_eq!(
        message,
        format!(
            "the runner speaks protocol {}, this prober (version {}) speaks {PROTOCOL}; both must come from the same build",
            PROTOCOL + 1,
            env!("CARGO_PKG_VERSION")
        )
    );
    while runner.event().is_some() {}
    assert!(ended(&mut runner.process.0).success());
}

#[test]
fn the_handshake_comes_first() {
    let prober = Prober::start("first", &[]);
    let mut runner = Runner::relay(&prober.socket);
    runner.send(&Order::Ping { id: 1 });
    assert_eq!(runner.refusal(), "the first command must be hello");
    assert!(runner.event().is_none(), "nothing is reported before the handshake");
}

#[test]
fn a_line_that_is_no_command_is_refused_and_the_stream_goes_on() {
    let mut runner = Runner::stdio();
    runner.send_line("{\"dance\":{}}");
    let message = runner.refusal();
    assert!(message.starts_with("not a command: unknown variant `dance`"), "{message}");
    let before = runner.record.last.at_us;
    runner.send(&Order::Ping { id: 42 });
    let at_us = runner
        .find("a pong", |event| if let Event::Pong { id: 42, at_us } = event { Some(at_us) } else { None });
    assert!(at_us >= before);
    runner.until("reports go on", |record| record.last.at_us > at_us);
}

#[test]
fn a_line_that_is_too_long_is_refused_and_the_stream_closed() {
    let mut runner = Runner::stdio();
    let mut stdin = runner.process.0.stdin.take().expect("it is piped");
    // The prober stops reading at some point.
    let writer = thread::spawn(move || stdin.write_all(&vec![b' '; MAX_LINE_BYTES + 2]).is_ok());
    assert_eq!(runner.refusal(), "the line is too long");
    while runner.event().is_some() {}
    assert!(ended(&mut runner.process.0).success());
    writer.join().expect("the writer does not panic");
}

#[test]
fn reports_come_in_rhythm_also_when_nothing_changes() {
    let mut runner = Runner::stdio();
    let mut times = Vec::new();
    runner.until("20 reports", |record| {
        times.push(record.last.at_us);
        times.len() > 20
    });
    let gaps: Vec<_> = times[1..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    let middle = {
        let mut sorted = gaps.clone();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    };
    assert!((80_000..150_000).contains(&middle), "{gaps:?}");
}

#[test]
fn reports_come_also_when_more_is_asked_than_can_be_tried() {
    let mut runner = Runner::stdio();
    // Two million refusals a second: no machine can try that many on one thread.
    let to = driver::v4(driver::free_port());
    let flows = (1..=2000).map(|id| flow(id, Transport::Tcp, to)).collect();
    runner.try_flows(flows, Pace { interval_ms: 1, timeout_ms: 1000, ..PACE });
    runner.until("every flow was tried", |record| {
        (1..=2000).all(|id| record.newest(FlowId(id)).is_some_and(|span| span.last.0 >= 3))
    });
    runner.try_flows(Vec::new(), PACE);
    let odd = runner.record.source.values().find(|span| span.observation != Observation::Refused);
    assert_eq!(odd, None);
}

#[test]
fn reports_come_as_often_as_asked() {
    let echo = Echo::start();
    let mut runner = Runner::stdio();
    runner.try_flows(vec![flow(1, Transport::Udp, echo.address)], Pace { report_ms: 400, ..PACE });
    runner.until("the order was taken up", |record| record.newest(FlowId(1)).is_some());
    let mut made = vec![runner.record.last.at_us];
    while made.len() < 4 {
        made.extend(match runner.event() {
            Some(Event::Report(report)) => Some(report.at_us),
            _ => None,
        });
    }
    // A late attempt is followed by one shorter pause, and not by more.
    assert!(made[3] - made[0] > 2 * 400_000, "{made:?}");
}

#[test]
fn without_a_runner_trying_stops_at_the_end_of_the_lease_and_goes_on_with_the_next_one() {
    let prober = Prober::start("lease", &["--lease-ms", "400"]);
    let echo = Echo::start();
    let mut runner = prober.attach(RUN, Revision(0));
    runner.try_flows(vec![flow(1, Transport::Udp, echo.address)], PACE);
    runner.until("some attempts", |record| record.newest(FlowId(1)).is_some());
    drop(runner);
    echo.clear();
    // Within the lease trying goes on.
    echo.hear(5);
    let quiet = Duration::from_secs(2);
    let start = Instant::now();
    while echo.heard.recv_timeout(quiet).is_ok() {
        assert!(start.elapsed() < DEADLINE, "trying never stops");
    }
    let mut runner = prober.attach(RUN, Revision(0));
    echo.hear(5);
    runner.until("two spans, parted by the time without a runner", |record| {
        let spans: Vec<_> = record.source.values().collect();
        spans.len() == 2
            && spans[1].first_us - spans[0].last_us > 1_500_000
            && spans[1].first.0 == spans[0].last.0 + 1
    });
}

#[test]
fn another_run_starts_from_nothing() {
    let prober = Prober::start("run", &[]);
    let echo = Echo::start();
    let port = driver::free_port();
    let mut runner = prober.attach(RUN, Revision(0));
    runner.serve(&[(Transport::Tcp, port)]);
    runner.try_flows(vec![flow(1, Transport::Udp, echo.address)], PACE);
    runner.until("some attempts", |record| record.newest(FlowId(1)).is_some());
    drop(runner);
    let mut runner = prober.attach(RUN + 1, Revision(0));
    runner.until("a report", |record| record.last.at_us > 0);
    assert_eq!((runner.record.source.len(), runner.listeners().len()), (0, 0));
    runner.try_flows(vec![flow(1, Transport::Udp, echo.address)], PACE);
    runner.until("some attempts", |record| record.newest(FlowId(1)).is_some());
    assert_eq!(runner.record.newest(FlowId(1)).expect("it was there").first, Attempt(1));
}

#[test]
fn a_runner_that_does_not_read_gets_one_report_for_all_that_it_missed() {
    const FLOWS: u32 = 1000;
    let swallows = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let to = swallows.local_addr().expect("it is bound");
    let mut command = program();
    command.args(["serve", "--stdio"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut prober = Guard(command.spawn().expect("the prober can be started"));
    let mut stdin = prober.0.stdin.take().expect("it is piped");
    let mut order = |order: &Order| {
        let line = serde_json::to_string(order).expect("an order is valid JSON");
        writeln!(stdin, "{line}").expect("the prober reads");
    };
    order(&Order::Hello { protocol: PROTOCOL, run: RUN, have: Revision(0) });
    let flows = (1..=FLOWS).map(|id| flow(id, Transport::Udp, to)).collect();
    order(&Order::Try { flows, pace: Pace { interval_ms: 100, timeout_ms: 50, ..PACE } });
    // Nothing is read from the prober in the time of 20 reports of 150 kB each, while the pipe holds 64 kB.
    let mut buffer = [0; 64];
    swallows.set_read_timeout(Some(DEADLINE)).expect("a valid timeout");
    for _ in 0..20 * FLOWS {
        swallows.recv(&mut buffer).expect("attempts go on");
    }
    order(&Order::Ping { id: 1 });
    let (mut reports, mut newest) = (0, 0);
    let stdout = BufReader::new(prober.0.stdout.take().expect("it is piped"));
    for line in stdout.lines() {
        match serde_json::from_str(&line.expect("UTF-8")).expect("an event") {
            Event::Report(report) => {
                reports += 1;
                newest = report.source.iter().map(|span| span.last.0).max().unwrap_or(newest);
            }
            Event::Pong { .. } => break,
            _ => {}
        }
    }
    // Small ones before the first attempts, one that waited in the pipe, one after it.
    assert!(reports < 10, "{reports} reports");
    assert!(newest < 15, "the report that waited is of its time: {newest}");
}

#[test]
fn every_way_to_end_is_taken_at_once() {
    let mut quit = Runner::stdio();
    quit.send(&Order::Quit);
    assert!(ended(&mut quit.process.0).success());

    let mut closed = Runner::stdio();
    drop(closed.process.0.stdin.take());
    assert!(ended(&mut closed.process.0).success());

    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut prober = Prober::start(signal.as_str(), &[]);
        let mut runner = prober.attach(RUN, Revision(0));
        runner.until("it runs", |record| record.last.at_us > 0);
        kill(Pid::from_raw(prober.process.0.id().cast_signed()), signal).expect("it runs");
        assert!(ended(&mut prober.process.0).success());
        // The relay ends with the prober.
        while runner.event().is_some() {}
        assert!(ended(&mut runner.process.0).success());
    }
}

#[test]
fn a_relay_ends_with_its_input() {
    let prober = Prober::start("input", &[]);
    let mut runner = prober.attach(RUN, Revision(0));
    runner.until("it is attached", |record| record.last.at_us > 0);
    drop(runner.process.0.stdin.take());
    assert!(ended(&mut runner.process.0).success());
}

#[test]
fn a_relay_without_a_prober_says_so() {
    let mut command = program();
    command.args(["relay", "--socket", "flowproof-test-nobody"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut relay = Guard(command.spawn().expect("the relay can be started"));
    assert_eq!(ended(&mut relay.0).code(), Some(1));
    let mut message = String::new();
    relay.0.stderr.take().expect("it is piped").read_to_string(&mut message).expect("UTF-8");
    assert_eq!(
        message,
        "flowproof-prober: no prober answers on the abstract socket @flowproof-test-nobody within 5 s: \
         Connection refused (os error 111)\n"
    );
}

#[test]
fn a_relay_may_come_before_its_prober() {
    let mut runner = Runner::relay(&format!("flowproof-test-{}-early", std::process::id()));
    let _prober = Prober::start("early", &[]);
    assert!(matches!(runner.event(), Some(Event::Hello { .. })));
}

#[test]
fn a_name_that_is_taken_is_an_error() {
    let prober = Prober::start("taken", &[]);
    Runner::relay(&prober.socket).event().expect("it greets");
    let mut command = program();
    command.args(["serve", "--socket", &prober.socket]).stderr(Stdio::piped());
    let mut second = Guard(command.spawn().expect("the prober can be started"));
    assert_eq!(ended(&mut second.0).code(), Some(1));
    let mut message = String::new();
    second.0.stderr.take().expect("it is piped").read_to_string(&mut message).expect("UTF-8");
    assert!(message.contains("cannot listen on @flowproof-test-"), "{message}");
}
