//! Manifests modeled on well-known charts, on one network, with `run -f`: three of them in one run.
//!
//! The local cluster plays all of them: `runner/tests/local_applications.rs`.

use super::network::Network;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

/// Replication and a metrics sidecar; a native sidecar with a named port; an operator's webhook behind a Service.
const CHARTS: [&str; 3] = ["database-with-replicas", "native-sidecar", "operator-with-webhook"];

/// The trial on a network that enforces.
pub fn trials(network: &Network) -> Vec<Trial> {
    let network = network.clone();
    vec![Trial::test(format!("{}: charts are played with run -f", network.name), move || play(&network))]
}

/// They are in one namespace and in that of the operator, so they make one scenario.
fn play(network: &Network) -> Result<(), Failed> {
    let charts = CHARTS.map(|name| format!("{}/tests/charts/{name}.yaml", env!("CARGO_MANIFEST_DIR")));
    let mut arguments =
        vec!["--progress", "none", "--no-canary", "--settle", network.settle(), "--namespace", "app"];
    for chart in &charts {
        arguments.extend(["-f", chart]);
    }
    let ran = network.run(&arguments);
    let flows = ran.flows();
    // The lab's networks do not know the names of a native sidecar's ports, and the run says so.
    let known = |flow: &Value| flow["deviation"].as_str().is_some_and(|reason| reason.contains("sidecars"));
    let deviating = flows.iter().filter(|(_, flow)| known(flow)).count();
    let wrong: Vec<String> = flows
        .iter()
        .filter(|(_, flow)| flow["verdict"] != "matched" && !known(flow))
        .map(|(_, flow)| format!("{} {}: {}", flow["flow"], flow["family"], flow["text"]))
        .collect();
    if ran.code != Some(0) || !wrong.is_empty() || flows.len() < 100 || deviating != 4 {
        let wrong = wrong.join("\n");
        return Err(format!(
            "code {:?}, {} flows, {deviating} of a sidecar's port\n{wrong}\n{}",
            ran.code,
            flows.len(),
            ran.stderr
        )
        .into());
    }
    Ok(())
}
