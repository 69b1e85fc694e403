//! The oracle and real networks agree: random policies, judged by the oracle and by what arrives.
//!
//! Many small worlds share one deployment. Each step gives every world new policies, and expects what the oracle says about all
//! flows between its pods: to their addresses, through a Service in front of each, and from each pod back to itself.
//! `FLOWPROOF_AGREEMENT_STEPS` sets the number of steps, `FLOWPROOF_SEED` repeats a run,
//! `FLOWPROOF_AGREEMENT_KEEP=DIR` keeps the scenarios.

#[path = "../../runner/tests/local/random.rs"]
mod random;

use super::network::{Network, Ran};
use libtest_mimic::{Failed, Trial};
use proptest::{sample::select, test_runner::TestRunner};
use random::{APPS, NAMESPACES, TEAMS, draw, number};
use serde_json::{Map, Value, json};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Worlds in one deployment.
const WORLDS: usize = 10;
/// Namespaces of the pods of a world, by index.
const PODS: [usize; 4] = [0, 0, 1, 2];
/// Steps, so that there are at least 200 sets of `NetworkPolicies`.
const STEPS: usize = 20;
/// Steps with cluster policies: at least 100 sets.
const CLUSTER_STEPS: usize = 10;

/// Whether these trials were asked for.
pub fn is_wanted() -> bool {
    env::var_os("FLOWPROOF_AGREEMENT").is_some()
}

/// The trials on one network that enforces.
pub fn trials(network: &Network) -> Vec<Trial> {
    let mut trials = Vec::new();
    if network.name.contains("bridge") {
        return trials;
    }
    let mut add = |what: &str, steps: usize, scenario: fn(&Network, usize) -> Value| {
        let network = network.clone();
        let name =
            format!("{}: {} random sets of {what} agree with the oracle", network.name, steps * WORLDS);
        if !is_wanted() {
            eprintln!("{name}: does not take part: it is long, and FLOWPROOF_AGREEMENT asks for it");
        }
        let trial = Trial::test(name, move || agree(&network, &scenario(&network, steps)));
        trials.push(trial.with_ignored_flag(!is_wanted()));
    };
    let steps = number("FLOWPROOF_AGREEMENT_STEPS");
    add("NetworkPolicies", steps.unwrap_or(STEPS), namespaced);
    if is_cilium(network) {
        add("ClusterNetworkPolicies", steps.unwrap_or(CLUSTER_STEPS), clusterwide);
    }
    trials
}

/// Recognized by its API groups, because an instance may have any name.
fn is_cilium(network: &Network) -> bool {
    network.kubectl(&["api-resources", "--api-group", "cilium.io", "-o", "name"]).contains("cilium")
}

fn namespace(world: usize, index: usize) -> String {
    format!("w{world}-{}", NAMESPACES[index])
}

fn workload(world: usize, pod: usize) -> String {
    format!("{}/p{pod}", namespace(world, PODS[pod]))
}

/// Placeholders for a pod's addresses until the scenario is written; the lab uses no addresses of RFC 5737 and RFC 3849.
fn stand_ins(pod: usize) -> [String; 2] {
    [format!("203.0.113.{}", pod + 1), format!("2001:db8:113::{}", pod + 1)]
}

/// The worlds, without steps.
fn worlds(runner: &mut TestRunner) -> Value {
    let mut namespaces = Map::new();
    let mut workloads = Map::new();
    let mut services = Map::new();
    for world in 0..WORLDS {
        for (index, short) in NAMESPACES.iter().enumerate() {
            let mut labels = json!({"short": short, "world": format!("w{world}")});
            let team = draw(&select(&TEAMS[..]), runner);
            if !team.is_empty() {
                labels["team"] = team.into();
            }
            namespaces.insert(namespace(world, index), json!({"labels": labels}));
        }
        for pod in 0..PODS.len() {
            let mut labels = Map::from_iter([("pod".to_owned(), json!(format!("p{pod}")))]);
            let app = draw(&select(&APPS[..]), runner);
            if !app.is_empty() {
                labels.insert("app".to_owned(), app.into());
            }
            // The same name means different numbers, and is a native sidecar's in one pod.
            let mut one = match pod {
                0 => json!({"listens": [{"web": "tcp/80"}, {"alt": "tcp/81"}, "tcp/82", "udp/80"]}),
                1 => json!({"listens": ["tcp/80", {"web": "tcp/81"}, {"alt": "tcp/82"}, "udp/80"]}),
                2 => json!({"listens": ["tcp/80", "tcp/81", {"web": "tcp/82"}, "udp/80"]}),
                _ => {
                    json!({"listens": [{"web": "tcp/80"}, "tcp/82", "udp/80"], "sidecar": [{"alt": "tcp/81"}]})
                }
            };
            one["labels"] = labels.into();
            workloads.insert(workload(world, pod), one);
            // One port leads to a name, the other one to a number with a different name in each pod.
            services.insert(
                workload(world, pod),
                json!({"selector": {"pod": format!("p{pod}")}, "ports": ["tcp/8080 -> web", "tcp/8081 -> 81"]}),
            );
        }
    }
    json!({
        "scenario": "random policies do what the oracle says",
        "namespaces": namespaces, "workloads": workloads, "services": services,
    })
}

/// Adds a step that replaces the policies of the previous step. With `hairpins`, pods also try to reach themselves through their
/// Services.
fn step(number: usize, before: &[Value], apply: Vec<Value>, hairpins: bool) -> Value {
    let name = |manifest: &Value| {
        let metadata = &manifest["metadata"];
        let name = metadata["name"].as_str().unwrap_or_default();
        let kind = manifest["kind"].as_str().unwrap_or_default();
        match metadata["namespace"].as_str() {
            Some(namespace) => format!("{kind} {namespace}/{name}"),
            None => format!("{kind} {name}"),
        }
    };
    let of_world = |world: usize| {
        let all = format!("w{world}-*/*");
        let hairpin = move |pod| format!("{0} -> service {0}", workload(world, pod));
        [format!("{all} -> {all}"), format!("{all} -> service {all}"), format!("{all} -> self")]
            .into_iter()
            .chain((0..PODS.len()).filter(move |_| hairpins).map(hairpin))
    };
    let expect: Vec<String> = (0..WORLDS).flat_map(of_world).collect();
    let mut step = json!({"step": format!("set {number}"), "apply": apply, "expect": {"policy": expect}});
    if !before.is_empty() {
        step["delete"] = before.iter().map(name).collect();
    }
    step
}

fn manifest(api_version: &str, kind: &str, metadata: Value, spec: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec})
}

fn namespaced(network: &Network, steps: usize) -> Value {
    let mut runner = random::runner(number("FLOWPROOF_SEED").unwrap_or(1));
    let mut scenario = worlds(&mut runner);
    // Cilium does not match pods by address ranges, and applies rules for a direction that is not among the types. These are known
    // deviations, which have their own scenarios.
    let cilium = is_cilium(network);
    let blocks: Vec<String> = if cilium { Vec::new() } else { (0..PODS.len()).flat_map(stand_ins).collect() };
    let mut before = Vec::new();
    let mut all = Vec::new();
    for number in 0..steps {
        let mut apply = Vec::new();
        for world in 0..WORLDS {
            let policies = draw(&random::policies(blocks.clone()), &mut runner);
            for (index, (at, mut spec)) in policies.into_iter().enumerate() {
                let metadata =
                    json!({"namespace": namespace(world, at), "name": format!("s{number}-{index}")});
                keep_sure_holes(&mut spec);
                if cilium {
                    keep_typed_sections(&mut spec);
                }
                let spec = with_placeholders(&spec, world);
                apply.push(manifest("networking.k8s.io/v1", "NetworkPolicy", metadata, spec));
            }
        }
        // Without hairpins on Cilium: the SYN of a denied connection gets through after a hairpin's packet (docs/decisions/0019).
        all.push(step(number, &before, apply.clone(), !cilium));
        before = apply;
    }
    scenario["steps"] = all.into();
    scenario
}

/// Removes exceptions that are within their block only with some addresses of the cluster; an API server would reject them
/// otherwise.
fn keep_sure_holes(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let address = |text: &str| text.split('/').next().unwrap_or_default().to_owned();
            let cidr = fields.get("cidr").and_then(Value::as_str).unwrap_or_default().to_owned();
            if let Some(Value::Array(holes)) = fields.get_mut("except") {
                let sure = |hole: &Value| hole.as_str().is_some_and(|hole| address(hole) == address(&cidr));
                holes.retain(|hole| cidr.ends_with("/0") || sure(hole));
            }
            fields.values_mut().for_each(keep_sure_holes);
        }
        Value::Array(items) => items.iter_mut().for_each(keep_sure_holes),
        _ => {}
    }
}

/// Removes the rules for a direction that is not among the policy's types.
fn keep_typed_sections(spec: &mut Value) {
    let Some(types) = spec["policyTypes"].as_array().cloned() else { return };
    for (direction, section) in [("Ingress", "ingress"), ("Egress", "egress")] {
        if !types.is_empty() && !types.contains(&direction.into()) {
            spec.as_object_mut().expect("a mapping").remove(section);
        }
    }
}

/// Replaces the placeholders with the addresses of a world's pods.
fn with_placeholders(spec: &Value, world: usize) -> Value {
    let mut text = spec.to_string();
    for pod in 0..PODS.len() {
        for (stand_in, family) in stand_ins(pod).iter().zip(["ip4", "ip6"]) {
            text = text.replace(&format!("{stand_in}/"), &format!("${family}({})/", workload(world, pod)));
        }
    }
    serde_json::from_str(&text).expect("it stays JSON")
}

fn clusterwide(_: &Network, steps: usize) -> Value {
    let mut runner = random::runner(number("FLOWPROOF_SEED").unwrap_or(1));
    let mut scenario = worlds(&mut runner);
    let mut before = Vec::new();
    let mut all = Vec::new();
    for number in 0..steps {
        let mut apply = Vec::new();
        for world in 0..WORLDS {
            let tiers = draw(&random::tiers(format!("w{world}")), &mut runner);
            for (index, mut spec) in tiers.into_iter().enumerate() {
                keep_denials_of_the_baseline(&mut spec);
                let metadata = json!({"name": format!("w{world}-s{number}-{index}")});
                apply.push(manifest(
                    "policy.networking.k8s.io/v1alpha2",
                    "ClusterNetworkPolicy",
                    metadata,
                    spec,
                ));
            }
            let policies = draw(&random::policies(Vec::new()), &mut runner);
            for (index, (at, mut spec)) in policies.into_iter().take(1).enumerate() {
                keep_typed_sections(&mut spec);
                let metadata =
                    json!({"namespace": namespace(world, at), "name": format!("s{number}-{index}")});
                apply.push(manifest("networking.k8s.io/v1", "NetworkPolicy", metadata, spec));
            }
        }
        // Without hairpins: on Cilium, no isolated pod reaches itself through its Service. NetworkPolicies leave that open, but cluster
        // policies do not.
        all.push(step(number, &before, apply.clone(), false));
        before = apply;
    }
    scenario["steps"] = all.into();
    scenario
}

/// Keeps only those rules of a baseline that Cilium 1.20 applies correctly: it lets the baseline overrule NetworkPolicies, so that
/// Accept opens pods that they isolate, and Pass closes what they allow. (No other network in the lab serves these policies.)
fn keep_denials_of_the_baseline(spec: &mut Value) {
    if spec["tier"] == "Baseline" {
        for section in ["ingress", "egress"] {
            spec[section].as_array_mut().expect("a list").retain(|rule| rule["action"] == "Deny");
        }
    }
}

/// Plays a scenario; every flow must do what the oracle says.
fn agree(network: &Network, scenario: &Value) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("agreement.yaml");
    fs::write(&file, scenario.to_string())?;
    if let Some(kept) = env::var_os("FLOWPROOF_AGREEMENT_KEEP") {
        let name = format!(
            "{}-{}.yaml",
            network.name,
            scenario["steps"][0]["apply"][0]["kind"].as_str().unwrap_or("x")
        );
        fs::write(PathBuf::from(kept).join(name), scenario.to_string())?;
    }
    let ran = network.run(&[
        "--progress",
        "none",
        "--settle",
        network.settle(),
        "--no-canary",
        &file.display().to_string(),
    ]);
    report(&ran, scenario, &file)
}

/// Fails with every disagreement and the policies of its world.
fn report(ran: &Ran, scenario: &Value, file: &Path) -> Result<(), Failed> {
    let end = &ran.outcome["scenarios"][0]["end"];
    let steps = ran.outcome["scenarios"][0]["steps"].as_array().map_or(&[][..], Vec::as_slice);
    if end["end"] != "played" {
        return Err(format!("{}: {end}\n{}", file.display(), ran.stderr).into());
    }
    let mut told = Vec::new();
    let (mut counts, mut known) = ([0_usize; 3], 0_usize);
    for (number, step) in steps.iter().enumerate() {
        for flow in step["flows"].as_array().into_iter().flatten() {
            match flow["expectation"].as_str() {
                Some("allow") => counts[0] += 1,
                Some("deny") => counts[1] += 1,
                _ => counts[2] += 1,
            }
            if flow["verdict"] == "matched" || flow["verdict"] == "unspecified" {
                continue;
            }
            if !flow["deviation"].is_null() {
                known += 1;
                continue;
            }
            let world =
                flow["source"].as_str().and_then(|name| name.split_once('-')).map_or("", |(world, _)| world);
            let policies =
                scenario["steps"][number]["apply"].as_array().into_iter().flatten().filter(|manifest| {
                    let metadata = &manifest["metadata"];
                    let of = metadata["namespace"]
                        .as_str()
                        .or_else(|| metadata["name"].as_str())
                        .unwrap_or_default();
                    of.starts_with(&format!("{world}-"))
                });
            let policies: Vec<String> = policies
                .map(|manifest| format!("    {} {}", manifest["metadata"], manifest["spec"]))
                .collect();
            told.push(format!(
                "step {number}: {} {}: expected {}, {}: {}\n  the oracle: {}\n{}",
                flow["flow"],
                flow["family"],
                flow["expectation"],
                flow["verdict"],
                flow["text"],
                flow["evidence"]["policies_say"]["reason"],
                policies.join("\n")
            ));
        }
    }
    let [allowed, denied, open] = counts;
    eprintln!(
        "{} steps: {allowed} flows allowed, {denied} denied, {open} left open; {known} are known deviations, {} disagree",
        steps.len(),
        told.len()
    );
    let few = allowed + denied + open < 1000 || allowed < denied / 20 || denied < allowed / 20;
    if few {
        return Err(format!("the flows say little: {allowed} allowed, {denied} denied").into());
    }
    if told.is_empty() {
        Ok(())
    } else {
        Err(format!("{} disagreements\n{}", told.len(), told[..told.len().min(20)].join("\n")).into())
    }
}
