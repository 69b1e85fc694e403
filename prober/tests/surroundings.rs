//! Bad surroundings: too few open files, a loopback that is down, being process number 1.
//!
//! Needs `sh`, and for some tests `unshare`, `nsenter` (util-linux), `ip` (iproute2) and a kernel that lets this user make
//! namespaces.

mod driver;

use driver::{DEADLINE, Guard, PACE, RUN, Runner, flow, free_port, program};
use flowproof_wire::{FlowId, ListenerState, Observation, PROTOCOL, Revision, Transport};
use std::{
    fs,
    net::UdpSocket,
    process::{Command, Stdio},
    thread,
    time::Instant,
};

/// Runs a script that ends by becoming the prober, whose command it gets as its arguments.
fn through_shell(mut around: Command, script: &str) -> Runner {
    around.args(["sh", "-c", script, "surroundings"]).arg(program().get_program()).args(["serve", "--stdio"]);
    let mut runner = Runner::open(around);
    runner.hello(PROTOCOL, RUN, Revision(0));
    runner
}

/// Returns the children of a process, as pid and state.
fn children(parent: u32) -> Vec<(u32, char)> {
    // A process that is gone has none.
    let pids = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let pids = pids.split_whitespace().map(|pid| pid.parse().expect("proc(5) has numbers"));
    pids.filter_map(|pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, stat[stat.rfind(')')? + 2..].chars().next()?))
    })
    .collect()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain until {what}");
        thread::yield_now();
    }
}

#[test]
fn running_out_of_files_is_a_local_error_and_never_silence() {
    let swallows = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let to = swallows.local_addr().expect("it is bound");
    let mut env = Command::new("env");
    env.arg("--");
    let mut runner = through_shell(env, "ulimit -n 40; exec \"$@\"");
    runner.try_flows((1..=60).map(|id| flow(id, Transport::Udp, to)).collect(), PACE);
    runner.until("every flow was tried", |record| (1..=60).all(|id| record.newest(FlowId(id)).is_some()));
    let errors = runner.record.source.values().filter(|span| match &span.observation {
        Observation::LocalError { errno, call } => {
            assert_eq!((*errno, call.as_str()), (nix::libc::EMFILE, "socket"));
            true
        }
        other => {
            assert_eq!(*other, Observation::Silent);
            assert!(span.min_us >= 300_000, "{span:?}");
            false
        }
    });
    assert!(errors.count() >= 40, "{:?}", runner.record.source);
    // It still opens what it needs itself.
    runner.serve(&[(Transport::Tcp, free_port())]);
}

#[test]
fn a_listener_that_does_not_answer_over_loopback_is_dead_until_it_does() {
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--net", "--pid", "--fork", "--kill-child"]);
    let mut runner = through_shell(unshare, "ip link set lo up; exec \"$@\"");
    let listeners =
        [(Transport::Tcp, 5000), (Transport::Udp, 5000), (Transport::DnsTcp, 53), (Transport::DnsUdp, 53)];
    runner.serve(&listeners);
    let alive = runner.listeners()[0].alive_us;
    let prober = children(runner.process.0.id())[0].0.to_string();
    let set_loopback = |state: &str| {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--user", "--net", "--target", &prober, "ip", "link", "set", "lo", state]);
        assert!(nsenter.status().expect("nsenter can be started").success());
    };
    set_loopback("down");
    runner.until("all are dead", |record| {
        record.last.listeners.iter().all(|listener| listener.status == ListenerState::Dead)
    });
    assert!(runner.listeners()[0].alive_us >= alive, "it is told when it was last alive");
    set_loopback("up");
    runner.serve(&listeners);
}

#[test]
fn process_number_one_takes_leave_of_orphans_and_ends_when_told() {
    let socket = format!("flowproof-test-{}-one", std::process::id());
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--pid", "--fork", "--kill-child", "sh", "-c"]);
    // The subshell ends at once and leaves an orphan that ends a little later.
    unshare.args(["(sleep 0.5 &); exec \"$@\"", "surroundings"]).arg(program().get_program());
    unshare.args(["serve", "--socket", &socket]).stdin(Stdio::null());
    let mut unshare = Guard(unshare.spawn().expect("unshare can be started"));
    let mut runner = Runner::relay(&socket);
    runner.hello(PROTOCOL, RUN, Revision(0));
    runner.until("it runs", |record| record.last.at_us > 0);
    let prober = children(unshare.0.id())[0].0;
    wait_until("there is an orphan", || !children(prober).is_empty());
    wait_until("there is none any more", || children(prober).is_empty());
    let pid = nix::unistd::Pid::from_raw(prober.cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it runs");
    wait_until("it ended", || unshare.0.try_wait().expect("it is ours").is_some());
}
