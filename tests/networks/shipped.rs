//! The shipped scenarios on one network: one run, one trial per scenario.

use super::network::{Network, Ran};
use flowproof::scenarios::SHIPPED;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

/// With few lanes, no prober starves, here and in the other clusters on this machine.
const JOBS: &str = "2";

/// A resource that only some networks serve, by its name in the API.
const CLUSTER_POLICIES: &str = "clusternetworkpolicies.policy.networking.k8s.io";

type Check = dyn Fn(&Network, &Ran) -> Result<(), Failed> + Send;

/// What is played: files and texts. Where nothing is enforced, every deny waits for as long as it may, so the first scenario of each
/// folder is enough.
fn played_on(network: &Network) -> Vec<(&'static str, &'static str)> {
    let mut folders = BTreeSet::new();
    let folder = |file: &'static str| file.split_once('/').map(|(folder, _)| folder);
    SHIPPED.iter().copied().filter(|(file, _)| network.enforces() || folders.insert(folder(file))).collect()
}

/// Plays them in one run.
fn play(network: &Network) -> Ran {
    let mut arguments = vec!["--progress", "none", "--settle", network.settle(), "--jobs", JOBS];
    arguments.extend(played_on(network).into_iter().flat_map(|(file, _)| ["--filter", file]));
    network.run(&arguments)
}

/// Makes a trial of each scenario, of the exit code, and of what is left behind. The first of them plays all scenarios.
pub fn trials(network: &Network) -> Vec<Trial> {
    let bridge = !network.enforces();
    let shared = Arc::new(OnceLock::new());
    let serves_cluster_policies = network.serves(CLUSTER_POLICIES);
    let trial = |what: String, check: Box<Check>| {
        let (network, shared) = (network.clone(), Arc::clone(&shared));
        Trial::test(format!("{}: {what}", network.name), move || {
            check(&network, shared.get_or_init(|| play(&network)))
        })
    };
    let expected = if bridge { 6 } else { 0 };
    let mut trials = vec![
        trial(
            format!("the exit code is {expected}"),
            Box::new(move |_, ran| {
                (ran.code == Some(expected)).then_some(()).ok_or_else(|| {
                    format!("it is {:?}; stderr: {}\n{}", ran.code, ran.stderr, mismatches(ran)).into()
                })
            }),
        ),
        trial(
            "every scenario was played that this cluster can play".to_owned(),
            Box::new(move |network, ran| all_played(network, ran, serves_cluster_policies)),
        ),
    ];
    for (name, text) in played_on(network) {
        let file = format!("scenarios/{name}");
        if !serves_cluster_policies && needs_cluster_policies(text) {
            let name = format!("{}: {file}", network.name);
            eprintln!("{name}: does not take part: this cluster does not serve {CLUSTER_POLICIES}");
            trials.push(Trial::test(name, || Ok(())).with_ignored_flag(true));
            continue;
        }
        trials.push(trial(
            file.clone(),
            Box::new(move |_, ran| {
                let flows = ran.flows().into_iter().filter(|(of, _)| *of == file).map(|(_, flow)| flow);
                let mut flows = flows.peekable();
                if flows.peek().is_none() {
                    return Err("no flow of it was tried".into());
                }
                flows.try_for_each(
                    |flow| if bridge { on_bridge(flow) } else { on_a_network_that_enforces(flow) },
                )
            }),
        ));
    }
    trials.push(trial(
        "nothing is left behind".to_owned(),
        Box::new(|network, _| {
            let left = network.namespaces();
            left.is_empty().then_some(()).ok_or_else(|| format!("{left:?}").into())
        }),
    ));
    trials
}

fn needs_cluster_policies(scenario: &str) -> bool {
    scenario.contains("kind: ClusterNetworkPolicy")
}

fn all_played(network: &Network, ran: &Ran, serves_cluster_policies: bool) -> Result<(), Failed> {
    let wanted = played_on(network).into_iter().map(|(name, text)| {
        let end = if needs_cluster_policies(text) && !serves_cluster_policies { "skipped" } else { "played" };
        (format!("scenarios/{name}"), end.to_owned())
    });
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let scenarios = ran.outcome["scenarios"].as_array().map_or(&[][..], Vec::as_slice);
    let ends = scenarios.iter().map(|scenario| (word(&scenario["file"]), word(&scenario["end"]["end"])));
    let (wanted, ends): (BTreeSet<_>, BTreeSet<_>) = (wanted.collect(), ends.collect());
    let wrong: Vec<_> = wanted.symmetric_difference(&ends).collect();
    (wrong.is_empty() && scenarios.len() == wanted.len())
        .then_some(())
        .ok_or_else(|| format!("{wrong:?} {}", ran.stderr).into())
}

/// Nothing is enforced: every deny is mismatched because something arrived; every allow matches.
fn on_bridge(flow: &Value) -> Result<(), Failed> {
    let (wanted, reason) = match flow["expectation"].as_str() {
        Some("allow") => ("matched", "answered"),
        Some("unspecified") => ("unspecified", "answered"),
        _ => ("mismatched", "not-enforced"),
    };
    let found = flow["verdict"] == wanted && flow["reason"] == reason;
    found.then_some(()).ok_or_else(|| format!("{wanted}, {reason} was to be found: {flow:#}").into())
}

/// Everything matches, is left open by the API, or is a known deviation.
fn on_a_network_that_enforces(flow: &Value) -> Result<(), Failed> {
    let known = flow["verdict"] == "mismatched" && flow["deviation"].is_string();
    (flow["verdict"] == "matched" || flow["verdict"] == "unspecified" || known)
        .then_some(())
        .ok_or_else(|| format!("{flow:#}").into())
}

fn mismatches(ran: &Ran) -> String {
    let wrong = ran
        .flows()
        .into_iter()
        .filter(|(_, flow)| flow["verdict"] != "matched" && flow["deviation"].is_null());
    let told =
        wrong.map(|(file, flow)| format!("{file}: {} {} {}", flow["flow"], flow["family"], flow["text"]));
    told.collect::<Vec<_>>().join("\n")
}
