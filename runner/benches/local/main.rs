//! The figures of the local cluster, each with its goal: `cargo bench -p flowproof --bench local [-- NAME…]`.
//!
//! | name | what is measured | goal |
//! |---|---|---|
//! | `shipped` | the shipped scenarios, from the start of the program to its end; the first verdict | 15 s; 1.5 s |
//! | `hundred` | 100 pods, 9,900 pairs, one TCP and one UDP port: deployment, settling under a deny-all, memory of all processes | 5 s; 10 s; 1 GiB |
//! | `enforced` | time to enforcement at an interval of 10 ms, compared with the engine's own time stamp: 99th percentile of the error | 20 ms |
//! | `startup` | start-up window of pods that are started while a policy is removed, compared with the time from its return to the kernel's confirmation: 99th percentile of the error | 10 ms |
//! | `faults` | the kill matrix of all faults and shipped scenarios | 300 s |
//!
//! The load of the machine is printed, too: figures of a busy machine are worth little. The exit code is 1 if a goal is missed.

#![expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]

mod truth;

use anyhow::{Context as _, Result, ensure};
use flowproof::{
    cluster::Cluster,
    local::{LocalCluster, LocalOptions},
    run::{
        self, Context, Live, Progress, Settings, Teller,
        watch::{Watch, WatchOptions},
    },
    scenarios,
};
use flowproof_core::{evidence::time::Moment, outcome::Outcome, scenario::Scenario};
use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use truth::Truth;

const PROGRAM: &str = env!("CARGO_BIN_EXE_flowproof");

/// How often the time to enforcement is measured.
const MEASUREMENTS: usize = 20;

/// How long fresh pods are started, one every six seconds or so.
const STARTS_FOR: Duration = Duration::from_secs(60);

fn main() -> Result<ExitCode> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|text| !text.starts_with('-')).collect();
    let load = fs::read_to_string("/proc/loadavg")?;
    println!("load before: {}", load.trim());
    let runtime = tokio::runtime::Runtime::new()?;
    let mut missed = 0;
    for name in ["shipped", "hundred", "enforced", "startup", "faults"] {
        if !wanted.is_empty() && !wanted.iter().any(|text| text == name) {
            continue;
        }
        let figures = match name {
            "shipped" => runtime.block_on(shipped())?,
            "hundred" => runtime.block_on(hundred())?,
            "enforced" => runtime.block_on(enforced())?,
            "startup" => runtime.block_on(startup())?,
            _ => faults()?,
        };
        for Figure { what, value, goal, unit } in figures {
            let verdict = if value <= goal { "reached" } else { "MISSED" };
            missed += u8::from(value > goal);
            println!("{name:<9} {what:<44} {value:>9.2} {unit:<4} goal {goal:>7.2}  {verdict}");
        }
    }
    Ok(ExitCode::from(u8::from(missed > 0)))
}

struct Figure {
    what: &'static str,
    value: f64,
    goal: f64,
    unit: &'static str,
}

fn seconds(what: &'static str, value: Duration, goal: f64) -> Figure {
    Figure { what, value: value.as_secs_f64(), goal, unit: "s" }
}

fn options() -> LocalOptions {
    LocalOptions { program: Some(PathBuf::from(PROGRAM)), ..LocalOptions::default() }
}

/// Runs scenarios in this process; returns the outcome and when progress was reported.
async fn play(
    cluster: Arc<dyn Cluster>,
    scenarios: Vec<Scenario>,
    settings: Settings,
    watch: Option<Watch>,
) -> Result<(Outcome, Vec<(Instant, Progress)>)> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let told = tokio::spawn(async move {
        let mut told = Vec::new();
        while let Some(progress) = receiver.recv().await {
            told.push((Instant::now(), progress));
        }
        told
    });
    let mut context = Context::new(settings, Teller(sender), CancellationToken::new());
    context.watch = watch.map(Arc::new);
    let outcome = run::run(cluster, scenarios, context, Live::default()).await?.cleaned().await;
    Ok((outcome, told.await?))
}

fn shipped_scenarios() -> Result<Vec<Scenario>> {
    scenarios::shipped().map_err(|problems| anyhow::anyhow!("{} shipped files are wrong", problems.len()))
}

async fn shipped() -> Result<Vec<Figure>> {
    let began = Instant::now();
    let status = Command::new(PROGRAM)
        .args(["run", "--cluster", "local", "--progress", "none", "--quiet"])
        .stdout(Stdio::null())
        .status()?;
    let whole = began.elapsed();
    ensure!(status.success(), "the shipped scenarios do not match: {status}");
    let began = Instant::now();
    let cluster = Arc::new(LocalCluster::start(&options()).await?);
    let (_, told) = play(cluster, shipped_scenarios()?, Settings::local(Duration::ZERO), None).await?;
    let first = told.iter().find(|(_, told)| matches!(told, Progress::FirstVerdict { .. }));
    let (first, _) = first.context("there was no verdict")?;
    Ok(vec![
        seconds("shipped scenarios, start to exit", whole, 15.0),
        seconds("first verdict", first.duration_since(began), 1.5),
    ])
}

/// 100 pods that all talk to one another, and a policy that denies it.
fn hundred_pods() -> String {
    use std::fmt::Write as _;
    let mut text =
        "scenario: a hundred pods under a deny-all\nfamilies: [4]\nnamespaces: { big: }\nworkloads:\n"
            .to_owned();
    for pod in 0..100 {
        let _ = writeln!(text, "  big/p{pod}: {{ listens: [tcp/8001, udp/8001] }}");
    }
    text + "steps:\n  - step: everything is denied\n    apply:\n      - apiVersion: networking.k8s.io/v1\n        \
            kind: NetworkPolicy\n        metadata: { name: deny, namespace: big }\n        spec:\n          \
            podSelector: {}\n          policyTypes: [Ingress, Egress]\n    \
            expect: { deny: [any -> any tcp/8001] }\n  \
            - step: over UDP as well\n    expect: { deny: [any -> any udp/8001] }\n"
}

async fn hundred() -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("hundred.yaml");
    fs::write(&file, hundred_pods())?;
    let scenarios = scenarios::load(std::slice::from_ref(&file))
        .map_err(|problems| anyhow::anyhow!("{}", problems[0]))?;
    let cluster = Arc::new(LocalCluster::start(&options()).await?);
    let memory = tokio::spawn(most_memory());
    let settings = Settings { canary: false, ..Settings::local(Duration::ZERO) };
    let (outcome, told) = play(cluster, scenarios, settings, None).await?;
    memory.abort();
    let memory = MOST.lock().map(|most| *most).unwrap_or_default();
    let at = |wanted: fn(&Progress) -> bool| {
        told.iter().find(|(_, told)| wanted(told)).map(|(at, _)| *at).context("some progress is missing")
    };
    let deploying = at(|told| matches!(told, Progress::Deploying { .. }))?;
    let deployed = at(|told| matches!(told, Progress::Playing { .. }))?;
    let steps = &outcome.scenarios[0].steps;
    let flows: usize = steps.iter().map(|step| step.flows.len()).sum();
    let tally = outcome.tally();
    ensure!(flows == 19_800 && tally.matched == flows, "{} of {flows} flows matched", tally.matched);
    let policed = at(|told| matches!(told, Progress::Playing { phase: run::Phase::Step { .. }, .. }))?;
    let judged = at(|told| matches!(told, Progress::Playing { phase: run::Phase::Restore, .. }))?;
    Ok(vec![
        seconds("100 pods deployed and listening", deployed - deploying, 5.0),
        seconds("19,800 flows settled after a deny-all", judged - policed, 10.0),
        Figure { what: "memory of all processes", value: memory, goal: 1024.0, unit: "MiB" },
    ])
}

static MOST: Mutex<f64> = Mutex::new(0.0);

/// Repeatedly measures the memory of this process and all that it started.
async fn most_memory() {
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    loop {
        ticks.tick().await;
        let now = tokio::task::spawn_blocking(memory).await.unwrap_or_default();
        if let Ok(mut most) = MOST.lock() {
            *most = most.max(now);
        }
    }
}

/// Proportional set size of this process and its descendants, in MiB (proc(5), `smaps_rollup`).
fn memory() -> f64 {
    let mut family = vec![std::process::id()];
    let mut kib = 0.0;
    while let Some(process) = family.pop() {
        let folder = format!("/proc/{process}");
        for task in fs::read_dir(format!("{folder}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
        let rollup = fs::read_to_string(format!("{folder}/smaps_rollup")).unwrap_or_default();
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        kib += pss.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0);
    }
    kib / 1024.0
}

/// The shipped scenario whose denied flows end at a pod of the policy. Without the policy, a new source gets through like any other.
fn denied_at_the_destination() -> Result<Scenario> {
    let scenario = shipped_scenarios()?.into_iter().find(|one| one.file.contains("default-deny-ingress"));
    scenario.context("there is no such shipped scenario")
}

async fn enforced() -> Result<Vec<Figure>> {
    let delay = Duration::from_millis(300);
    let scenario = denied_at_the_destination()?;
    let mut errors: Vec<f64> = Vec::new();
    for _ in 0..MEASUREMENTS {
        let cluster = LocalCluster::start(&LocalOptions { enforce_delay: delay, ..options() }).await?;
        let truth = Arc::new(Truth::of(cluster, None));
        let interval = Duration::from_millis(10);
        let settings = Settings { interval, canary: false, ..Settings::local(delay) };
        let zero = Instant::now();
        let (outcome, _) = play(Arc::clone(&truth) as _, vec![scenario.clone()], settings, None).await?;
        let (_, confirmed) = truth.enforced().first().copied().context("nothing was enforced")?;
        let enforced = confirmed.duration_since(zero);
        let step = &outcome.scenarios[0].steps[0];
        let denied = step.flows.iter().filter(|flow| flow.expectation.denies());
        errors.extend(denied.filter_map(|flow| {
            let measured =
                Moment(0) + Duration::from_millis(step.accepted_at_ms + flow.evidence.enforced_after_ms?);
            Some((measured.since(Moment(0)).as_secs_f64() - enforced.as_secs_f64()).abs() * 1000.0)
        }));
    }
    Ok(vec![Figure {
        what: "enforced-after, error at the 99th percentile",
        value: percentile(errors)?,
        goal: 20.0,
        unit: "ms",
    }])
}

async fn startup() -> Result<Vec<Figure>> {
    let open = Duration::from_millis(300);
    let truth = Arc::new(Truth::of(LocalCluster::start(&options()).await?, Some(open)));
    let settings = Settings { canary: false, ..Settings::local(Duration::ZERO) };
    let watch = WatchOptions { at_least: Some(STARTS_FOR), ..WatchOptions::default() };
    let watch = Watch::new(watch, CancellationToken::new());
    let scenarios = vec![denied_at_the_destination()?];
    let zero = Instant::now();
    let (outcome, _) = play(Arc::clone(&truth) as _, scenarios, settings, Some(watch)).await?;
    let watched = outcome.scenarios[0].watched.as_ref().context("it was not watched")?;
    let ms = |at: Instant| at.duration_since(zero).as_secs_f64() * 1000.0;
    let closed: Vec<(f64, f64)> =
        truth.enforced().into_iter().map(|(sent, confirmed)| (ms(sent), ms(confirmed))).collect();
    let denied = watched.starts.iter().flat_map(|start| {
        start.flows.iter().filter(|flow| flow.expectation.denies()).map(|flow| (start.from_ms, flow))
    });
    let errors = denied.map(|(from_ms, flow)| {
        let end = from_ms as f64 + flow.window_ms?;
        closed.iter().map(|(sent, done)| (sent - end).max(end - done).max(0.0)).min_by(f64::total_cmp)
    });
    let errors: Option<Vec<f64>> = errors.collect();
    Ok(vec![Figure {
        what: "start-up window, error at the 99th percentile",
        value: percentile(errors.context("a denied flow of a new pod stayed open")?)?,
        goal: 10.0,
        unit: "ms",
    }])
}

/// The 99th percentile.
fn percentile(mut errors: Vec<f64>) -> Result<f64> {
    errors.sort_by(f64::total_cmp);
    ensure!(!errors.is_empty(), "no time was measured");
    println!("{} measurements", errors.len());
    Ok(errors[(errors.len() * 99).div_ceil(100) - 1])
}

fn faults() -> Result<Vec<Figure>> {
    let began = Instant::now();
    let output = Command::new(PROGRAM).args(["faults", "--json", "-"]).stderr(Stdio::null()).output()?;
    let took = began.elapsed();
    let matrix: Value = serde_json::from_slice(&output.stdout).context("the matrix is no JSON")?;
    let faults = matrix["faults"].as_array().map_or(0, Vec::len);
    ensure!(faults >= 45, "only {faults} faults were played");
    Ok(vec![seconds("kill matrix of all faults and shipped scenarios", took, 300.0)])
}
