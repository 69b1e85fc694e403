//! Applications that people have: the examples of `docs/examples`, played as one suite, and manifests modeled on well-known charts
//! (`charts/`), each played with `run -f`. In the local cluster everything matches, or the API leaves it open for a reason given here.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The charts with flows that are left open, each because of a pod on its node's network: to policies it is a pod or its node.
const LEFT_OPEN: [&str; 2] = ["ingress-controller-on-host-network", "monitoring"];

/// Examples with edits that are not noticed, and how many: those of a block outside the cluster, where nothing answers. The
/// reviewed map beside the example notices them; see `the_reviewed_maps_notice_what_no_flow_can_show`.
const SURVIVORS: [(&str, usize); 1] = [("payments", 6)];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples")
}

/// What is in a folder of this crate's tests or of the examples, sorted.
fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    Ok(paths)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn flowproof(arguments: &[&str], path: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowproof"));
    command.args(arguments).arg(path).env_remove("GITHUB_STEP_SUMMARY");
    command
}

/// The verdicts of one run.
struct Played {
    matched: usize,
    unspecified: usize,
    /// Files of the scenarios that were played.
    files: BTreeSet<String>,
}

/// Plays in the local cluster. Anything other than a match or a flow that is left open is an error that names the flow.
fn play(arguments: &[&str], path: &Path) -> Result<Played> {
    let all = [&["run", "--cluster", "local", "--no-canary", "--progress", "none", "--json", "-"], arguments];
    let output = flowproof(&all.concat(), path).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let outcome: Value = serde_json::from_slice(&output.stdout).with_context(|| told.to_string())?;
    let mut played = Played { matched: 0, unspecified: 0, files: BTreeSet::new() };
    let mut wrong = Vec::new();
    for scenario in outcome["scenarios"].as_array().into_iter().flatten() {
        let file = scenario["file"].as_str().unwrap_or_default();
        if scenario["end"]["end"] != "played" {
            wrong.push(format!("{file}: {}", scenario["end"]));
        }
        played.files.insert(file.to_owned());
        for step in scenario["steps"].as_array().into_iter().flatten() {
            for flow in step["flows"].as_array().into_iter().flatten() {
                match flow["verdict"].as_str() {
                    Some("matched") => played.matched += 1,
                    Some("unspecified") => played.unspecified += 1,
                    _ => wrong.push(format!("{file}: {}: {}", flow["flow"], flow["text"])),
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(output.status.success(), "{}: {:?}\n{told}", path.display(), output.status);
    Ok(played)
}

#[test]
fn every_example_matches() -> Result<()> {
    let folders = listed(&examples())?.into_iter().filter(|path| path.is_dir()).count();
    // With more lanes they would starve each other on a busy machine.
    let played = play(&["--jobs", "2"], &examples())?;
    ensure!(folders >= 5 && played.files.len() == folders, "{folders} folders, played: {:?}", played.files);
    ensure!(played.matched > 300 && played.unspecified == 0, "{} matched", played.matched);
    Ok(())
}

#[test]
fn every_chart_matches() -> Result<()> {
    let charts = listed(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts"))?;
    ensure!(charts.len() >= 10, "{} charts", charts.len());
    for chart in charts {
        let played = play(&["--namespace", "app", "-f"], &chart)?;
        let name = stem(&chart);
        ensure!(played.matched >= 6, "{name}: {} matched", played.matched);
        let open = LEFT_OPEN.contains(&name.as_str());
        ensure!(open == (played.unspecified > 0), "{name}: {} left open", played.unspecified);
    }
    Ok(())
}

#[test]
fn the_examples_notice_every_edit_that_a_flow_can_show() -> Result<()> {
    let output = flowproof(&["mutate", "--json", "-"], &examples()).output()?;
    let found: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    for scenario in found["scenarios"].as_array().context("scenarios")? {
        let name = stem(Path::new(scenario["file"].as_str().unwrap_or_default()));
        let survivors = scenario["survivors"].as_array().context("survivors")?;
        let known = SURVIVORS.iter().find(|(example, _)| *example == name).map_or(0, |(_, count)| *count);
        ensure!(survivors.len() == known, "{name}: {survivors:#?}");
        let outside =
            |survivor: &Value| survivor["flow"].as_str().is_some_and(|flow| flow.contains(" -> ip "));
        ensure!(survivors.iter().all(outside), "{name}: {survivors:#?}");
    }
    Ok(())
}

#[test]
fn the_reviewed_maps_notice_what_no_flow_can_show() -> Result<()> {
    let folder = examples().join("payments");
    let manifests = folder.join("manifests");
    let reach = folder.join("reach.txt").display().to_string();
    let check = |path: &Path| flowproof(&["map", "--check", &reach], path).output();
    let output = check(&manifests)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let policies = fs::read_to_string(manifests.join("policies.yaml"))?;
    let application = fs::read_to_string(manifests.join("checkout.yaml"))?;
    for (from, to) in [("198.51.100.0/28", "198.51.100.0/27"), ("port: 443", "port: 444")] {
        let edited = tempfile::tempdir()?;
        ensure!(policies.contains(from), "{from} is not in the policies");
        fs::write(edited.path().join("policies.yaml"), policies.replace(from, to))?;
        fs::write(edited.path().join("checkout.yaml"), &application)?;
        let output = check(edited.path())?;
        ensure!(output.status.code() == Some(1), "{to}: {:?}", output.status);
    }
    Ok(())
}
