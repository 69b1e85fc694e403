//! The cases from public reports, as far as a scenario can express them, played in the local cluster: what gets through there is what
//! `runner/core/tests/cases` says that the API means.
//!
//! Left out are flows whose ends are no pods, manifests with address blocks (the cluster gives addresses of its own) or in a form that
//! an API server refuses, keys that stand twice, which a scenario's manifests must not have, and pods with init containers or on their
//! node's network.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn cases() -> Result<Vec<(String, Value)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/tests/cases");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().context("a name")?.to_string_lossy().into_owned();
        // A scenario has no namespaces that are Kubernetes' own.
        let text = fs::read_to_string(path)?.replace("kube-system", "own-system");
        let case = serde_saphyr::from_str(&text);
        Ok((name.clone(), case.with_context(|| name)?))
    };
    files.iter().map(read).collect()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// A flow of a case between two pods: `SOURCE => TARGET PORT = VERDICT`.
struct Flow<'a> {
    from: &'a str,
    to: &'a str,
    port: &'a str,
    verdict: &'a str,
}

impl<'a> Flow<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (ends, verdict) = text.rsplit_once(" = ")?;
        let (from, rest) = ends.split_once(" => ")?;
        let (to, port) = rest.split_once(' ')?;
        let is_port = port.starts_with("tcp/") || port.starts_with("udp/");
        let is_pod = |end: &str| end.contains('/') && !end.contains(' ');
        (is_pod(from) && is_pod(to) && is_port && !port.contains(' ') && from != to).then_some(Self {
            from,
            to,
            port,
            verdict,
        })
    }
}

/// A cast as namespaces and workloads, each of which listens where flows want to arrive, too.
fn topology(cast: &Value, flows: &[Flow<'_>]) -> (Value, Map<String, Value>) {
    let suited = |pod: &Value| pod["init"].is_null() && pod["hostNetwork"].is_null();
    let mut workloads = Map::new();
    for (name, pod) in entries(&cast["pods"]).filter(|(_, pod)| suited(pod)) {
        let mut listens = pod["listens"].as_array().cloned().unwrap_or_default();
        for flow in flows.iter().filter(|flow| flow.to == name) {
            let here =
                |known: &Value| known == flow.port || entries(known).any(|(_, port)| port == flow.port);
            let in_sidecar = pod["sidecar"].as_array().into_iter().flatten();
            if !listens.iter().chain(in_sidecar).any(here) {
                listens.push(flow.port.into());
            }
        }
        let mut workload = json!({ "listens": listens });
        for field in ["labels", "sidecar"].into_iter().filter(|field| !pod[*field].is_null()) {
            workload[field] = pod[field].clone();
        }
        workloads.insert(name.clone(), workload);
    }
    let namespaces: Map<String, Value> = entries(&cast["namespaces"])
        .map(|(name, labels)| {
            (name.clone(), if labels.is_null() { Value::Null } else { json!({ "labels": labels }) })
        })
        .collect();
    (namespaces.into(), workloads)
}

/// Writes a scenario for the flows of a case under one set of manifests; none where a scenario cannot say it.
fn write(
    folder: &Path,
    name: &str,
    case: &Value,
    in_force: &str,
    flows: &[Flow<'_>],
) -> Result<Option<usize>> {
    let own = if case["casts"][in_force].is_null() { &case["cast"] } else { &case["casts"][in_force] };
    let (namespaces, workloads) = topology(own, flows);
    let mut policies = Vec::new();
    for manifest in case["in-force"][in_force].as_str().unwrap_or(in_force).split('+') {
        let of = &case["manifests"][manifest];
        let text = of["text"].as_str().with_context(|| format!("{name}: there is no manifest {manifest}"))?;
        let refused = ["stored", "rejected", "rejected-since-1.36"].iter().any(|key| !of[*key].is_null());
        if refused || text.contains("ipBlock") || text.contains("networks") {
            return Ok(None);
        }
        let file = format!("{name}-{in_force}-{manifest}.policies");
        fs::write(folder.join(&file), text)?;
        policies.push(json!({ "file": file }));
    }
    let that = |verdict: &str| -> Vec<String> {
        let is_here = |flow: &&Flow<'_>| [flow.from, flow.to].iter().all(|pod| workloads.contains_key(*pod));
        let flows = flows.iter().filter(|flow| flow.verdict == verdict).filter(is_here);
        flows.map(|flow| format!("{} -> {} {}", flow.from, flow.to, flow.port)).collect()
    };
    let (allow, deny) = (that("allow"), that("deny"));
    if allow.is_empty() && deny.is_empty() {
        return Ok(None);
    }
    let count = allow.len() + deny.len();
    let scenario = json!({
        "scenario": format!("case {name} with {in_force}"),
        "namespaces": namespaces, "workloads": workloads, "policies": policies,
        "expect": { "allow": allow, "deny": deny },
    });
    fs::write(folder.join(format!("{name}-{in_force}.yaml")), scenario.to_string())?;
    Ok(Some(count))
}

#[test]
fn what_gets_through_is_what_the_cases_say() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut written, mut flows_written) = (0, 0);
    for (name, case) in cases()?.into_iter().filter(|(name, _)| name != "05-keys-twice") {
        let mut groups: BTreeMap<&str, Vec<Flow<'_>>> = BTreeMap::new();
        for flow in case["flows"].as_array().into_iter().flatten() {
            let (in_force, rest) =
                flow.as_str().and_then(|text| text.split_once(": ")).context("MANIFESTS: FLOW")?;
            groups.entry(in_force).or_default().extend(Flow::read(rest));
        }
        for (in_force, flows) in &groups {
            let known = flows.iter().any(|flow| matches!(flow.verdict, "allow" | "deny"));
            if known && let Some(count) = write(folder.path(), &name, &case, in_force, flows)? {
                written += 1;
                flows_written += count;
            }
        }
    }
    ensure!(written >= 30 && flows_written >= 80, "{written} scenarios with {flows_written} flows");
    let output = Command::new(env!("CARGO_BIN_EXE_flowproof"))
        .args(["run", "--cluster", "local", "--no-canary", "--progress", "none", "--json", "-"])
        .arg(folder.path())
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let outcome: Value = serde_json::from_slice(&output.stdout).with_context(|| told.to_string())?;
    let mut wrong = Vec::new();
    for scenario in outcome["scenarios"].as_array().into_iter().flatten() {
        if scenario["end"]["end"] != "played" {
            wrong.push(format!("{}: {}", scenario["file"], scenario["end"]));
        }
        for step in scenario["steps"].as_array().into_iter().flatten() {
            for flow in step["flows"].as_array().into_iter().flatten() {
                if flow["verdict"] != "matched" {
                    wrong.push(format!("{}: {}: {}", scenario["scenario"], flow["flow"], flow["text"]));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(output.status.success(), "{:?}\n{told}", output.status);
    Ok(())
}
