//! What a thousand flows cost. Not part of the ordinary tests, because the figures are those of the program as it ships:
//!
//! ```text
//! RUSTFLAGS="-C target-feature=+crt-static" cargo build --profile prober -p flowproof-prober --target x86_64-unknown-linux-gnu
//! FLOWPROOF_PROBER=$PWD/target/x86_64-unknown-linux-gnu/prober/flowproof-prober \
//!   cargo test -p flowproof-prober --test load -- --ignored --nocapture --test-threads 1
//! ```

mod driver;

use driver::{Runner, flow, free_port, v4, v6};
use flowproof_wire::{FlowSpec, Observation, Pace, REPORT_EVERY_MS, Transport};
use std::{fs, io::Write, net::UdpSocket};

/// The most resident memory with 1,000 flows, which is the main promise.
const MOST_RESIDENT_KIB: u64 = 8 * 1024;

/// The largest size of the program.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

const FLOWS: u32 = 1000;

const PACE: Pace = Pace { interval_ms: 100, timeout_ms: 1000, report_ms: REPORT_EVERY_MS };

/// What a process has used.
struct Usage {
    resident_kib: u64,
    cpu_ms: u64,
}

fn usage(runner: &Runner) -> Usage {
    let process = format!("/proc/{}", runner.process.0.id());
    let status = fs::read_to_string(format!("{process}/status")).expect("the process runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("proc(5) has it");
    let stat = fs::read_to_string(format!("{process}/stat")).expect("the process runs");
    let fields: Vec<&str> = stat[stat.rfind(')').expect("proc(5) has it")..].split(' ').collect();
    let ticks: u64 =
        fields[12..14].iter().map(|field| field.parse::<u64>().expect("a number of ticks")).sum();
    Usage { resident_kib: peak.trim().trim_end_matches(" kB").parse().expect("a number"), cpu_ms: ticks * 10 }
}

/// Tries the flows until each has had 50 attempts (5 s), and reports what that cost each prober.
fn cost(
    what: &str,
    flows: &[FlowSpec],
    probers: &mut [&mut Runner],
    as_expected: impl Fn(&Observation) -> bool,
) {
    let source = &mut *probers[0];
    let start = source.record.last.at_us;
    source.try_flows(flows.to_vec(), PACE);
    source.until("50 attempts of each flow", |record| {
        flows.iter().all(|flow| record.newest(flow.flow).is_some_and(|span| span.last.0 >= 50))
    });
    let seconds = (source.record.last.at_us - start) as f64 / 1e6;
    let odd: Vec<_> = source.record.source.values().filter(|span| !as_expected(&span.observation)).collect();
    assert!(odd.is_empty(), "{odd:?}");
    assert_eq!(source.record.last.dropped_spans, 0);
    for (role, runner) in probers.iter().enumerate() {
        let Usage { resident_kib, cpu_ms } = usage(runner);
        let line = format!(
            "{what}, prober {role}: {resident_kib} KiB at most, {cpu_ms} ms of CPU in {seconds:.1} s\n"
        );
        std::io::stderr().write_all(line.as_bytes()).expect("standard error is open");
        assert!(resident_kib <= MOST_RESIDENT_KIB, "{line}");
    }
}

fn flows(port: u16, transports: &[Transport]) -> Vec<FlowSpec> {
    let to = |id: u32| if id.is_multiple_of(2) { v4(port) } else { v6(port) };
    (0..FLOWS).map(|id| flow(id, transports[id as usize / 2 % transports.len()], to(id))).collect()
}

#[test]
#[ignore = "measures the program as it ships; see the head of this file"]
fn a_thousand_answered_flows() {
    let port = free_port();
    let (mut source, mut destination) = (Runner::stdio(), Runner::stdio());
    destination.serve(&[(Transport::Tcp, port), (Transport::Udp, port)]);
    let flows = flows(port, &[Transport::Tcp, Transport::Udp]);
    cost("answered", &flows, &mut [&mut source, &mut destination], |observation| {
        matches!(observation, Observation::Answered { .. })
    });
}

#[test]
#[ignore = "measures the program as it ships; see the head of this file"]
fn a_thousand_silent_flows() {
    // Bound but never read: every datagram is swallowed, so that 10,000 attempts are in flight.
    let swallower = UdpSocket::bind("[::]:0").expect("a socket");
    let port = swallower.local_addr().expect("it is bound").port();
    let mut source = Runner::stdio();
    cost("silent", &flows(port, &[Transport::Udp]), &mut [&mut source], |observation| {
        *observation == Observation::Silent
    });
}

#[test]
#[ignore = "measures the program as it ships; see the head of this file"]
fn a_thousand_flows_that_ask_dns() {
    let port = free_port();
    let (mut source, mut destination) = (Runner::stdio(), Runner::stdio());
    destination.serve(&[(Transport::DnsTcp, port), (Transport::DnsUdp, port)]);
    let flows = flows(port, &[Transport::DnsUdp, Transport::DnsTcp]);
    cost("dns", &flows, &mut [&mut source, &mut destination], |observation| {
        matches!(observation, Observation::Answered { .. })
    });
}

#[test]
#[ignore = "measures the program as it ships; see the head of this file"]
fn the_program_is_small() {
    let program = driver::program();
    let size = fs::metadata(program.get_program()).expect("it exists").len();
    assert!(size <= MOST_BYTES, "{size} bytes");
}
