//! `flowproof check` where the agent of one node is down: that node is named, and its neighbour is not blamed.

use super::network::Network;
use libtest_mimic::{Failed, Trial};

/// The trials on a network that enforces.
pub fn trials(network: &Network) -> Vec<Trial> {
    let name = format!("{}: check: a node whose agent is down is named", network.name);
    let network = network.clone();
    vec![Trial::test(name, move || agent_down(&network))]
}

/// Calico still starts pods there, which reach nobody; Cilium starts none.
fn agent_down(network: &Network) -> Result<(), Failed> {
    let arguments = ["check", "--nodes-only", "--progress", "none", "--settle", "30s", "--found", "-"];
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
