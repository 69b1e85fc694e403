//! The kill matrix: every fault is caught, a correct cluster catches none, and survivors are reported.

use anyhow::{Context, Result, ensure};
use flowproof::{
    faults::{Depth, Matrix, Options, jobs, matrix::Cell, play},
    local::{LocalOptions, fault::Fault},
    scenarios,
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};
use tokio::sync::mpsc;

const PROGRAM: &str = env!("CARGO_BIN_EXE_flowproof");

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

async fn matrix(paths: &[PathBuf], faults: Vec<Fault>) -> Result<Matrix> {
    let scenarios = scenarios::load(paths).map_err(|problems| anyhow::anyhow!("{}", problems[0]))?;
    let options = Options {
        faults,
        jobs: jobs(),
        depth: Depth::FirstCatch,
        settle: Duration::from_secs(2),
        local: LocalOptions { program: Some(PROGRAM.into()), ..LocalOptions::default() },
    };
    let (tell, _) = mpsc::unbounded_channel();
    play(&scenarios, &options, tell).await.map_err(|trouble| anyhow::anyhow!("{trouble:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_caught_and_what_the_api_allows_is_none() -> Result<()> {
    let matrix = matrix(&[folder("scenarios")], Fault::all().collect()).await?;
    let survivors: Vec<_> = matrix.survivors().map(|column| column.fault.name).collect();
    ensure!(survivors.is_empty(), "not caught: {survivors:?}");
    let caught = matrix.faults.iter().filter(|column| !column.survives()).count();
    ensure!(caught >= 45, "{caught} faults are caught");
    let rejects = matrix.faults.iter().find(|column| column.fault.name == "rejects-instead-of-drops");
    let cells = &rejects.context("there is no such fault")?.cells;
    ensure!(cells.iter().all(|cell| *cell == Cell::Unnoticed), "a reject is a deny: {cells:?}");
    Ok(())
}

fn faults(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(PROGRAM).arg("faults").args(arguments).current_dir(folder(".")).output()?)
}

#[test]
fn a_survivor_is_told_and_makes_the_exit_code_1() -> Result<()> {
    let file = "scenarios/protocols/tcp-without-udp.yaml";
    let output = faults(&["--fault", "only-tcp-policed", "--fault", "except-ignored", "--json", "-", file])?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let matrix: Value = serde_json::from_slice(&output.stdout)?;
    let cell = |fault: usize| &matrix["faults"][fault]["cells"][0];
    ensure!(cell(0)["result"] == "caught" && cell(0)["by"][0]["reason"] == "not-enforced", "{matrix}");
    ensure!(cell(1)["result"] == "same-rules", "{matrix}");
    ensure!(matrix["scenarios"][0]["catches"] == 1, "{matrix}");

    let output = faults(&["--fault", "except-ignored", file])?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.code() == Some(1), "{text}");
    ensure!(
        text.contains("SURVIVES: except-ignored") && text.contains(&format!("catches nothing: {file}")),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_scenario_that_the_correct_engine_does_not_match_ends_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("wrong.yaml");
    let text = "scenario: nothing denies this\nnamespaces: { a: }\nworkloads:\n  a/one:\n  a/two: { listens: [tcp/80] }\n\
                expect: { deny: [a/one -> a/two] }\n";
    std::fs::write(&file, text)?;
    let output = faults(&[file.to_str().context("a plain path")?])?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1) && told.contains("1 scenario fails without any fault"), "{told}");
    Ok(())
}

#[test]
fn the_list_names_all_faults_and_an_unknown_one_gets_the_nearest() -> Result<()> {
    let output = faults(&["--list"])?;
    let list = String::from_utf8(output.stdout)?;
    ensure!(output.status.success() && Fault::all().all(|fault| list.contains(fault.info().name)), "{list}");
    let output = faults(&["--fault", "nothing-enforcd"])?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(2) && told.contains("did you mean 'nothing-enforced'?"), "{told}");
    Ok(())
}

/// The page has the line of every fault: without this test, its text would soon be out of date.
#[test]
fn the_page_lists_all_faults() -> Result<()> {
    let page = std::fs::read_to_string(folder("docs/local-cluster.md"))?;
    for fault in Fault::all() {
        let info = fault.info();
        let line = format!("| {} | `{}` | {} |", info.id, info.name, info.summary);
        ensure!(page.contains(&line), "docs/local-cluster.md lacks:\n{line}");
    }
    Ok(())
}
