//! What is worked out on paper is what the kernel does: scenarios are played in the local cluster with a fault, and every flow that
//! was judged is compared. This plays a sample of the faults; with `FLOWPROOF_PAPER=all`, every fault against every shipped scenario
//! (half an hour).

use anyhow::{Context, Result, ensure};
use flowproof::{
    diagnose::{
        self, Observed,
        observed::Would,
        rank::diagnose_among,
        suspect::{Place, Suspect},
    },
    local::fault::Fault,
    scenarios,
};
use flowproof_core::{
    outcome::{self, Outcome},
    scenario::Scenario,
};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flowproof");

/// One fault for each place in the rules and in the paths, and the scenarios in which it shows.
const SAMPLE: &[(&str, &str)] = &[
    ("masqueraded-across-nodes", "paths/both-ends"),
    ("same-node-unpoliced", "paths/both-ends"),
    ("replies-dropped", "basics/default-deny-in"),
    ("replies-are-new-ingress", "basics/default-deny-in"),
    ("service-before-translation", "paths/services"),
    ("service-egress-unpoliced", "paths/services"),
    ("own-node-unpoliced", "paths/nodes"),
    ("own-node-blocked", "paths/nodes"),
    ("hairpin-blocked", "paths/itself"),
    ("v6-unpoliced", "addresses/ipblock"),
    ("named-port-on-source", "ports/named"),
    ("deletion-missed", "changes/policy-updated"),
    ("baseline-first", "tiers/baseline"),
];

/// Plays scenarios of the folder with a fault.
fn played(fault: &str, filter: Option<&str>) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let saved = folder.path().join("saved.json");
    let mut command = Command::new(PROGRAM);
    // The local engine enforces within milliseconds, so a flow that is wrong stays wrong.
    command.args(["run", "--cluster", "local", "--quiet", "--no-canary", "--settle", "2s"]);
    command.args(["--fault", fault, "--save"]);
    command.arg(&saved);
    if let Some(filter) = filter {
        command.args(["--filter", filter]);
    }
    let output = command.output()?;
    let text = fs::read_to_string(&saved).with_context(|| format!("{output:?}"))?;
    Ok(outcome::read(&text)?)
}

fn shipped() -> Result<Vec<Scenario>> {
    scenarios::load(&[]).map_err(|problems| anyhow::anyhow!("{}", problems[0]))
}

/// Compares each flow that was judged with what the fault does on paper; returns how many would be wrong.
fn compare(fault: &str, outcome: &Outcome, scenarios: &[Scenario]) -> Result<usize> {
    let suspect = Suspect { fault: Fault::named(fault)?, place: Place::Everywhere };
    let observed = Observed::of(outcome, scenarios);
    ensure!(observed.left_out.is_empty(), "{:?}", observed.left_out);
    let mut differ = 0;
    for played in &observed.scenarios {
        for (judged, would) in played.flows.iter().zip(played.would(suspect)) {
            // Nothing shows how much CPU the DNS server had.
            if judged.flow.target == "cluster-dns" {
                continue;
            }
            let agrees = match would {
                Would::Agree => !judged.wrong,
                Would::Differ => judged.wrong,
                Would::Flicker => true,
            };
            let flow = judged.flow;
            ensure!(
                agrees,
                "{fault}: {} step '{}': {} ({}): on paper {would:?}, in the kernel {:?} ({})",
                played.scenario.file,
                judged.title,
                flow.flow,
                flow.family,
                flow.verdict,
                flow.text
            );
            differ += usize::from(would == Would::Differ);
        }
    }
    Ok(differ)
}

#[test]
fn paper_and_kernel_agree() -> Result<()> {
    let scenarios = shipped()?;
    if std::env::var("FLOWPROOF_PAPER").is_ok_and(|which| which == "all") {
        for fault in Fault::all() {
            compare(fault.info().name, &played(fault.info().name, None)?, &scenarios)?;
        }
        return Ok(());
    }
    for (fault, filter) in SAMPLE {
        let differ = compare(fault, &played(fault, Some(filter))?, &scenarios)?;
        ensure!(differ > 0, "{fault} does not show in {filter}: nothing was compared");
    }
    Ok(())
}

#[test]
fn a_fault_is_named_and_without_it_nothing_is_named_for_certain() -> Result<()> {
    let (outcome, scenarios) = (played("end-port-ignored", Some("ports/"))?, shipped()?);
    let observed = Observed::of(&outcome, &scenarios);
    let diagnosis = diagnose::diagnose(&observed);
    let best = diagnosis.likenesses.first().context("nothing is named")?;
    ensure!(best.fits() && best.suspects.len() == 1, "{diagnosis:?}");
    ensure!(best.suspects[0][0].fault.name == "end-port-ignored", "{diagnosis:?}");

    let others: Vec<Suspect> =
        Suspect::everywhere().filter(|suspect| suspect.fault != Fault::EndPortIgnored).collect();
    let diagnosis = diagnose_among(&observed, &others);
    ensure!(!diagnosis.fits(), "another fault is named with certainty: {diagnosis:?}");
    Ok(())
}

fn flowproof(arguments: &[&str], folder: &Path) -> Result<Output> {
    Ok(Command::new(PROGRAM).args(arguments).current_dir(folder).output()?)
}

#[test]
fn the_command_says_what_it_looks_like_and_what_tells_it_apart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = [
        "run",
        "--cluster",
        "local",
        "--settle",
        "10s",
        "--filter",
        "default-deny",
        "--save",
        "red.json",
        "--html",
        "red.html",
        "--junit",
        "red.xml",
        "--diagnose",
    ];
    let output = flowproof(&[&run[..], &["--fault", "nothing-enforced"]].concat(), folder.path())?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.code() == Some(6), "the verdict stays: {:?} {text}", output.status);
    ensure!(text.contains("diagnosis: a known fault explains all of this"), "{text}");

    let output = flowproof(&["diagnose", "red.json"], folder.path())?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{:?} {text}", output.status);
    for part in ["nothing-enforced", "empty-policy-ignored", "To distinguish ", "a likeness, not a proof"] {
        ensure!(text.contains(part), "'{part}' is missing: {text}");
    }

    for (file, part) in [
        ("red.html", "data-explains=\"nothing-enforced\""),
        ("red.html", "data-fault=\"nothing-enforced\""),
        ("red.xml", "looks like: nothing-enforced"),
    ] {
        let written = fs::read_to_string(folder.path().join(file))?;
        ensure!(written.contains(part), "{part} is missing in {file}");
    }
    let shown = flowproof(&["report", "red.json"], folder.path())?;
    let text = String::from_utf8(shown.stdout)?;
    ensure!(text.contains("looks like   nothing-enforced"), "a saved run keeps its diagnosis: {text}");

    let alike = |arguments: &[&str]| -> Result<usize> {
        let output =
            flowproof(&[&["diagnose", "red.json", "--json", "-"], arguments].concat(), folder.path())?;
        let diagnosis: Value =
            serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
        Ok(diagnosis["likenesses"][0]["suspects"].as_array().map_or(0, Vec::len))
    };
    let (before, after) = (alike(&[])?, alike(&["--refine"])?);
    ensure!(after > 0 && after < before, "{before} faults look alike, and {after} after more was played");

    let output = flowproof(
        &["run", "--cluster", "local", "--filter", "default-deny", "--save", "green.json"],
        folder.path(),
    )?;
    ensure!(output.status.success(), "{output:?}");
    let output = flowproof(&["diagnose", "green.json"], folder.path())?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success() && text.contains("nothing to explain"), "{text}");
    Ok(())
}
