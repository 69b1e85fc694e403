//! `flowproof watch` while components of the lab stop and start, and `compare` before and after a failed upgrade.
//!
//! The truth is the lab's record of events, with times in milliseconds.

use super::network::{FLOWPROOF, Network, Ran};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use std::process::Command;

const SCENARIO: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/basics/database-from-app-namespace.yaml");
const TRUTH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/networks/truth.py");
const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/lab/lab");

/// Time from one attempt to the next; a prober that got too little CPU is late by its longest lag.
const INTERVAL_MS: i64 = 100;

/// Stops and starts every agent, one after the other, as a rolling upgrade does.
const ROLLING: &str = r#"for agent in $("$LAB" ps | grep -o 'node[0-9]*-agent'); do "$LAB" stop $agent; "$LAB" start $agent; done"#;

/// Ends the API server, and starts it 10 s later.
const API_SERVER: &str = r#""$LAB" kill apiserver; sleep 10; "$LAB" start apiserver"#;

/// Deletes the policy, stops both agents, applies the policy again, and starts the agents 5 s apart. Connections from another
/// pod's network show when denied flows got through, and when they no longer did.
const WITHOUT_AGENT: &str = r#"
now() { date +%s%3N; }
namespace=$("$LAB" kubectl get namespaces -l flowproof.dev/run -o name | sed -n 's,namespace/\(data-.*\),\1,p')
address() { "$LAB" kubectl -n $namespace get pod $1 -o jsonpath={.status.podIP}; }
to=$(address postgres) from=$(address backup) pod=
for file in $(grep -lsx backup /proc/[0-9]*/root/etc/hostname); do
  process=$(cut -d/ -f3 <<< "$file")
  ! nsenter -t $process -n ip -4 -o address 2>/dev/null | grep -q " $from/" || pod=$process
done
[ -n "$pod" ] || { echo "no process of the pod backup"; exit 9; }
truth() { nsenter -t $pod -n python3 "$TRUTH" $1 $to 5432; }
copy=$("$LAB" kubectl -n $namespace get networkpolicy postgres -o json | python3 -c '
import json, sys
policy = json.load(sys.stdin)
policy["metadata"] = {key: policy["metadata"][key] for key in ("name", "namespace", "labels")}
print(json.dumps(policy))')
echo "truth: deleting $(now)"
"$LAB" kubectl -n $namespace delete networkpolicy postgres
truth open
"$LAB" stop node1-agent; "$LAB" stop node2-agent
echo "$copy" | "$LAB" kubectl apply -f -
"$LAB" start node1-agent
sleep 5
echo "truth: starting $(now)"
"$LAB" start node2-agent
truth closed"#;

/// The trials on a network that enforces.
pub fn trials(network: &Network) -> Vec<Trial> {
    vec![
        trial(network, "agents that restart one by one leave no leak and no gap", rolling),
        trial(network, "a leak is reported with its nodes and its length", leak),
    ]
}

/// The trials of what is the same on every network: what a watch does without the API server, or without one of its probers.
pub fn trials_on_one_network(network: &Network) -> Vec<Trial> {
    vec![
        trial(network, "an API server that is gone for 10 s loses no sample", api_server),
        trial(network, "a prober that is deleted is replaced, and leaves a hole", replaced),
    ]
}

fn trial(network: &Network, what: &str, run: fn(&Network) -> Result<(), Failed>) -> Trial {
    let network = network.clone();
    Trial::test(format!("{}: watch: {what}", network.name), move || run(&network))
}

/// The trials that need a network that enforces and one that does not.
pub fn upgrade_trials(before: &Network, after: &Network) -> Vec<Trial> {
    let (before, after) = (before.clone(), after.clone());
    let name = format!("compare: from {} to {}: enforcement is gone", before.name, after.name);
    vec![Trial::test(name, move || failed_upgrade(&before, &after))]
}

fn watch(network: &Network, script: &str) -> Ran {
    let arguments = [
        "watch",
        SCENARIO,
        "--no-canary",
        "--settle",
        network.settle(),
        "--until-stable",
        "5s",
        "--progress",
        "none",
        "--save",
        "-",
        "--",
        "bash",
        "-c",
        script,
    ];
    let mut command = network.flowproof(&arguments);
    command.env("LAB", LAB).env("TRUTH", TRUTH).env("FLOWPROOF_LAB_INSTANCE", &network.name);
    Network::ran(command)
}

fn watched(ran: &Ran) -> Result<&Value, Failed> {
    let watched = &ran.outcome["scenarios"][0]["watched"];
    let command = &ran.outcome["watch"]["command"];
    if !watched.is_object() || command["exit_code"] != 0 {
        return Err(format!("code {:?}: {command}\n{}", ran.code, ran.stderr).into());
    }
    Ok(watched)
}

fn flows(watched: &Value) -> Vec<&Value> {
    watched["flows"].as_array().into_iter().flatten().collect()
}

fn episodes(flow: &Value) -> Vec<&Value> {
    flow["episodes"].as_array().into_iter().flatten().collect()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(i64::MIN)
}

fn longest_lag_ms(watched: &Value) -> i64 {
    let probers = watched["probers"].as_array().into_iter().flatten();
    probers.map(|prober| number(&prober["longest_lag_ms"])).max().unwrap_or(0)
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

fn rolling(network: &Network) -> Result<(), Failed> {
    let ran = watch(network, ROLLING);
    let watched = watched(&ran)?;
    let found: Vec<&Value> =
        flows(watched).into_iter().flat_map(episodes).filter(|e| e["what"] != "not-observed").collect();
    ensure(found.is_empty(), || format!("{found:#?}"))
}

fn api_server(network: &Network) -> Result<(), Failed> {
    let ran = watch(network, API_SERVER);
    let watched = watched(&ran)?;
    let intervals =
        (number(&watched["until_ms"]) - number(&watched["from_ms"])) / number(&watched["interval_ms"]);
    ensure(intervals > 100, || format!("{intervals} intervals"))?;
    for flow in flows(watched) {
        // A busy machine skips some attempts; those while the API server was down would be more than a third.
        let whole = number(&flow["attempts"]) * 100 >= intervals * 80 && episodes(flow).is_empty();
        ensure(whole, || format!("{intervals} intervals: {flow:#}"))?;
    }
    let lost =
        watched["probers"].as_array().into_iter().flatten().all(|prober| number(&prober["streams_lost"]) > 0);
    ensure(lost, || format!("the streams were not lost: {}", watched["probers"]))
}

fn leak(network: &Network) -> Result<(), Failed> {
    let ran = watch(network, WITHOUT_AGENT);
    let watched = watched(&ran)?;
    let truth = |what: &str| {
        let told = ran
            .stderr
            .lines()
            .find_map(|line| line.strip_prefix(&format!("truth: {what} "))?.parse::<i64>().ok());
        told.ok_or_else(|| Failed::from(format!("no '{what}': {}", ran.stderr)))
    };
    let (deleting, open) = (truth("deleting")?, truth("open")?);
    let (starting, closed) = (truth("starting")?, truth("closed")?);
    let started = ran.outcome["started"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let zero = started.ok_or("when it began is told")?.as_millisecond();
    let resolution = 2 * INTERVAL_MS + longest_lag_ms(watched);
    for flow in flows(watched).into_iter().filter(|flow| flow["expectation"] == "deny") {
        // A prober that got too little CPU may have missed a part of it.
        let mut leaks = episodes(flow);
        leaks.retain(|episode| episode["what"] == "leak");
        let (Some(first), Some(last)) = (leaks.first(), leaks.last()) else {
            return Err(format!("a leak was to be found: {flow:#}").into());
        };
        let (from, until) = (zero + number(&first["from_ms"]), zero + number(&last["until_ms"]));
        ensure((deleting - resolution..=open + resolution).contains(&from), || {
            format!("open between {deleting} and {open}, told at {from}, within {resolution}: {flow:#}")
        })?;
        ensure((starting - resolution..=closed + resolution).contains(&until), || {
            format!("closed between {starting} and {closed}, told at {until}, within {resolution}: {flow:#}")
        })?;
        ensure(last["destination_node"] == "node2", || format!("{flow:#}"))?;
    }
    ensure(ran.code == Some(1), || format!("exit code {:?}", ran.code))
}

fn replaced(network: &Network) -> Result<(), Failed> {
    let delete = r#"namespace=$("$LAB" kubectl get namespaces -l flowproof.dev/run -o name | sed -n 's,namespace/\(data-.*\),\1,p')
        "$LAB" kubectl -n $namespace delete pod postgres"#;
    let ran = watch(network, delete);
    let watched = watched(&ran)?;
    for flow in flows(watched) {
        let found = episodes(flow);
        let hole =
            found.iter().any(|e| e["what"] == "not-observed") && found.iter().all(|e| e["open"] == false);
        ensure(hole, || format!("a hole that ends was to be found: {flow:#}"))?;
        ensure(found.iter().all(|e| e["what"] != "leak"), || format!("{flow:#}"))?;
    }
    let probers = watched["probers"].as_array().into_iter().flatten();
    ensure(probers.clone().any(|prober| prober["replaced"] == 1), || format!("{}", watched["probers"]))
}

/// Saves a run on each network; the later one enforces nothing.
fn failed_upgrade(before: &Network, after: &Network) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let save = |network: &Network, file: &str| {
        let path = folder.path().join(file).display().to_string();
        let ran = Network::ran(network.flowproof(&[
            "run",
            SCENARIO,
            "--settle",
            network.settle(),
            "--progress",
            "none",
            "--save",
            &path,
        ]));
        (path, ran.code)
    };
    let ((before, matched), (after, open)) = (save(before, "before.json"), save(after, "after.json"));
    ensure(matched == Some(0) && open == Some(6), || format!("{matched:?}, {open:?}"))?;
    let output = Command::new(FLOWPROOF).args(["compare", &before, &after]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default();
    ensure(output.status.code() == Some(1) && first.starts_with("WORSE: enforcement is gone"), || {
        text.to_string()
    })?;
    ensure(text.contains("network plugin"), || text.to_string())
}
