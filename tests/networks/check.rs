//! `flowproof check` on a network in trouble: a node whose agent is down is named, and its neighbor is not blamed; a network on a
//! busy machine is slow, not wrong.

use super::network::Network;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use std::{
    fs,
    process::{Child, Command, Stdio},
};

/// How long the busy loop runs at most, in seconds, whatever happens to the trial.
const BUSY_AT_MOST: &str = "900";

/// How many flows are judged beside the busy loop, at least. A whole check takes four minutes there and finds no more;
/// `runner/benches/reds` plays that repeatedly.
const FEWEST: usize = 200;

/// The trials on a network that enforces.
pub fn trials(network: &Network) -> Vec<Trial> {
    let down = network.clone();
    let mut trials = vec![Trial::test(
        format!("{}: check: a node whose agent is down is named", network.name),
        move || agent_down(&down),
    )];
    if network.name == "cilium" {
        let busy = network.clone();
        trials.push(Trial::test(
            "cilium: check: a network beside a busy loop is slow and not wrong".to_owned(),
            move || busy_machine(&busy),
        ));
    }
    trials
}

/// Calico still starts pods on that node, which reach nobody; Cilium starts none.
fn agent_down(network: &Network) -> Result<(), Failed> {
    let arguments = ["check", "--nodes-only", "--progress", "none", "--settle", "30s", "--json", "-"];
    network.lab(&["stop", "node1-agent"]);
    let ran = Network::ran(network.flowproof(&arguments));
    network.lab(&["start", "node1-agent"]);
    let nodes = ran.outcome["nodes"].as_array();
    let states: Vec<&str> = nodes.into_iter().flatten().filter_map(|node| node["state"].as_str()).collect();
    let (state, code) = if network.name == "cilium" { ("failed", 4) } else { ("cut-off", 1) };
    if states != [state, "enforces"] || ran.code != Some(code) {
        return Err(format!("{states:?}, code {:?}: {:#}\n{}", ran.code, ran.outcome, ran.stderr).into());
    }
    Ok(())
}

/// A loop that uses one core until it is dropped.
struct BusyLoop(Child);

impl BusyLoop {
    fn start() -> Result<Self, Failed> {
        let mut command = Command::new("timeout");
        command.args([BUSY_AT_MOST, "sh", "-c", "while :; do :; done"]);
        let child = command.stdin(Stdio::null()).spawn();
        Ok(Self(child.map_err(|error| format!("no busy loop: {error}"))?))
    }
}

impl Drop for BusyLoop {
    fn drop(&mut self) {
        // `timeout` passes the signal on to the loop.
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

fn busy_machine(network: &Network) -> Result<(), Failed> {
    let saved = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let path = saved.path().to_str().ok_or("the temporary file has no name in UTF-8")?;
    let busy = BusyLoop::start()?;
    let arguments = ["check", "--progress", "none", "--save", path, "--json", "-"];
    let sample =
        ["--filter", "applications", "--filter", "basics", "--filter", "changes", "--filter", "paths"];
    let ran = Network::ran(network.flowproof(&[&arguments[..], &sample].concat()));
    drop(busy);
    let outcome: Value = serde_json::from_slice(&fs::read(saved.path()).map_err(|error| error.to_string())?)
        .map_err(|error| format!("no outcome: {error}\n{}", ran.stderr))?;
    let flows = outcome["scenarios"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|scenario| scenario["steps"].as_array().into_iter().flatten().chain([&scenario["restore"]]))
        .flat_map(|step| step["flows"].as_array().into_iter().flatten());
    let (mut judged, mut red) = (0, Vec::new());
    for flow in flows {
        judged += 1;
        if flow["verdict"] == "mismatched" && flow.get("deviation").is_none() {
            red.push(format!("{} at {}: {}", flow["flow"], flow["at"], flow["text"]));
        }
    }
    // On such a machine, exit code 3 (something could not be proven) is not a false alarm; 4 (a pod did not start) would be one.
    if judged < FEWEST || !red.is_empty() || !matches!(ran.code, Some(0 | 3)) {
        let red = red.join("\n");
        return Err(format!(
            "code {:?}, {judged} flows judged; mismatched:\n{red}\n{}",
            ran.code, ran.stderr
        )
        .into());
    }
    Ok(())
}
