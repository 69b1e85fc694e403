//! The local cluster on machines that do not allow it, and what is left of it when it ends.

use anyhow::{Context, Result, ensure};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flowproof");

/// Limit for every wait; nothing takes this long.
const LIMIT: Duration = Duration::from_secs(30);

fn scenario() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scenarios/basics/default-deny-ingress.yaml")
        .display()
        .to_string()
}

/// Runs a scenario after some shell commands.
fn run_after(shell: &str) -> Result<Output> {
    let script = format!("{shell}\nexec {PROGRAM} run --cluster local --progress none {}", scenario());
    Ok(Command::new("sh").args(["-c", &script]).output()?)
}

/// The message on stderr, with exit code 4.
fn refusal(shell: &str) -> Result<String> {
    let output = run_after(shell)?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(4), "{:?}: {told}", output.status);
    ensure!(output.stdout.is_empty());
    Ok(told)
}

#[test]
fn too_few_open_files_are_told_with_the_limit() -> Result<()> {
    let told = refusal("ulimit -n 20")?;
    ensure!(told.contains("Too many open files") && told.contains("ulimit -Hn"), "{told}");
    Ok(())
}

#[test]
fn where_user_namespaces_are_forbidden_the_setting_is_named() -> Result<()> {
    // In a user namespace of its own, the limit affects nothing else. Without capabilities, root needs a user namespace, too.
    let script = format!(
        "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set -all --inh-caps -all \
         {PROGRAM} run --cluster local --progress none {}",
        scenario()
    );
    let output = Command::new("unshare").args(["--user", "--map-root-user", "sh", "-c", &script]).output()?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(4), "{:?}: {told}", output.status);
    ensure!(told.contains("user.max_user_namespaces = 0 forbids it"), "{told}");
    ensure!(told.contains("sysctl -w user.max_user_namespaces="), "{told}");
    Ok(())
}

/// Runs a scenario while `socket` fails with an error number for some first and third arguments, as on a kernel without support.
fn run_without_sockets(arguments: &[(u8, u64)], error: u32) -> Result<Output> {
    let equals = |(index, value): &(u8, u64)| {
        SeccompCondition::new(*index, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, *value)
    };
    let rule = SeccompRule::new(arguments.iter().map(equals).collect::<Result<_, _>>()?)?;
    let socket = nix::libc::SYS_socket;
    let errno = SeccompAction::Errno(error);
    let here = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new([(socket, vec![rule])].into(), SeccompAction::Allow, errno, here)?;
    let filter: BpfProgram = filter.try_into()?;
    // A filter applies to one thread and to what it starts.
    let run = move || -> Result<Output> {
        seccompiler::apply_filter(&filter)?;
        run_after("")
    };
    std::thread::spawn(run).join().map_err(|_| anyhow::anyhow!("the thread panicked"))?
}

#[test]
fn without_nf_tables_the_message_says_what_the_kernel_lacks() -> Result<()> {
    let netfilter = [(0, nix::libc::AF_NETLINK as u64), (2, nix::libc::NETLINK_NETFILTER as u64)];
    let output = run_without_sockets(&netfilter, nix::libc::EPROTONOSUPPORT as u32)?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(4), "{:?}: {told}", output.status);
    ensure!(told.contains("nf_tables") && told.contains("--cluster kube"), "{told}");
    Ok(())
}

#[test]
fn without_ipv6_the_cluster_has_ipv4() -> Result<()> {
    let output = run_without_sockets(&[(0, nix::libc::AF_INET6 as u64)], nix::libc::EAFNOSUPPORT as u32)?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{:?}: {told}", output.status);
    let told = String::from_utf8(output.stdout)?;
    ensure!(told.contains("17 matched"), "with both families there are 34: {told}");
    Ok(())
}

/// All descendants of a living process.
fn descendants(process: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut open = vec![process];
    while let Some(parent) = open.pop() {
        for task in fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let children = children.split_whitespace().filter_map(|id| id.parse::<u32>().ok());
            open.extend(children.clone());
            found.extend(children);
        }
    }
    found
}

/// Whether a process exists and is not a zombie.
fn lives(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('Z')))
}

fn until(what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        ensure!(Instant::now() < deadline, "{what} did not happen within {} s", LIMIT.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Namespaces end with their last process, so without processes there are no namespaces.
fn nothing_remains_after(signal: &str) -> Result<()> {
    let mut run = Command::new(PROGRAM)
        .args(["run", "--cluster", "local", "--progress", "none", "--hold", "20s", &scenario()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let mut family = Vec::new();
    // The world's two processes, and at least its first pods.
    until("the start of pods", || {
        family = descendants(run.id());
        family.len() >= 5
    })?;
    let killed = Command::new("kill").args([signal, &run.id().to_string()]).status()?;
    ensure!(killed.success());
    run.wait().context("waiting for the run")?;
    until("the end of all processes", || !family.iter().any(|process| lives(*process)))
}

#[test]
fn nothing_remains_of_a_killed_run() -> Result<()> {
    nothing_remains_after("-KILL")
}

#[test]
fn nothing_remains_of_an_interrupted_run() -> Result<()> {
    nothing_remains_after("-INT")
}

#[test]
fn nothing_remains_of_an_aborted_run() -> Result<()> {
    nothing_remains_after("-ABRT")
}
