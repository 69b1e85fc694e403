//! `flowproof image push` to a real registry with TLS and a password. Without the programs for it, the trials are ignored.

mod server;

use libtest_mimic::{Arguments, Failed, Trial};
use server::Registry;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, ExitCode, Output},
};

/// The name in the registry's certificate; within a trial it resolves to this machine.
const NAME: &str = "registry.test";

type Push = fn(&Registry) -> Result<(), Failed>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let all: [(&str, Push); 6] = [
        ("a login and an authority are enough, and nothing is sent twice", sent_once),
        ("a certificate of an unknown authority is refused", untrusted),
        ("without a login, or with a wrong one, the registry refuses", refused),
        ("a credential helper is asked", helper),
        ("any certificate will do where somebody says so", insecure),
        ("what is not there or does not speak HTTPS is said", unreachable),
    ];
    let missing = server::missing().or_else(|| (!may_name()).then_some("user namespace for this user"));
    let trials = all.into_iter().map(|(name, push)| {
        let name = missing.map_or_else(|| name.to_owned(), |what| format!("{name}: there is no {what}"));
        let trial = move || push(&Registry::start(&["env"], "127.0.0.1:0", &format!("DNS:{NAME}")));
        Trial::test(name, trial).with_ignored_flag(missing.is_some())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Whether this machine can get another name for one command.
fn may_name() -> bool {
    Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success())
}

/// Where to push to.
fn destination(registry: &Registry) -> String {
    format!("{NAME}:{}/net/flowproof-prober:1", registry.port)
}

/// Pushes, with [`NAME`] as a name of this machine, and the credentials in a directory.
fn push(registry: &Registry, login: Option<&Path>, arguments: &[&str]) -> Output {
    let hosts = registry.file("hosts");
    fs::write(&hosts, format!("127.0.0.1 localhost {NAME}\n")).expect("it can be written");
    let script = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_flowproof"), "image", "push"]);
    command
        .args(arguments)
        .env("HOME", "/nonexistent")
        .env_remove("REGISTRY_AUTH_FILE")
        .env_remove("XDG_RUNTIME_DIR");
    match login {
        // The directory of the credentials may also contain a credential helper.
        Some(login) => {
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("DOCKER_CONFIG", login).env("PATH", format!("{path}:{}", login.display()))
        }
        None => command.env_remove("DOCKER_CONFIG"),
    };
    command.output().expect("it can be started")
}

fn authority(registry: &Registry) -> String {
    registry.file("ca.pem").display().to_string()
}

fn check(holds: bool, output: &Output) -> Result<(), Failed> {
    let printed = || {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{:?}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr)).into()
    };
    holds.then_some(()).ok_or_else(printed)
}

fn fails(output: &Output, words: &[&str]) -> Result<(), Failed> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    check(output.status.code() == Some(4) && words.iter().all(|word| stderr.contains(word)), output)
}

fn sent_once(registry: &Registry) -> Result<(), Failed> {
    let (to, ca) = (destination(registry), authority(registry));
    let login = registry.login(&format!("{NAME}:{}", registry.port));
    let first = push(registry, Some(&login), &[&to, "--ca", &ca]);
    let stdout = String::from_utf8_lossy(&first.stdout);
    let digest = stdout.trim().strip_prefix(&format!("{to}@sha256:"));
    check(first.status.success() && digest.is_some_and(|digest| digest.len() == 64), &first)?;
    check(String::from_utf8_lossy(&first.stderr).contains(" sent, 0 kB were there already"), &first)?;
    let again = push(registry, Some(&login), &[&to, "--ca", &ca]);
    check(again.stdout == first.stdout, &again)?;
    check(String::from_utf8_lossy(&again.stderr).contains(": 1 kB sent, "), &again)
}

fn untrusted(registry: &Registry) -> Result<(), Failed> {
    let output = push(registry, None, &[&destination(registry)]);
    fails(&output, &["is not trusted: no authority that this machine trusts has issued it", "--ca FILE"])
}

fn refused(registry: &Registry) -> Result<(), Failed> {
    let (to, ca) = (destination(registry), authority(registry));
    let words =
        ["refuses: it was given no credentials, or none that it knows", "docker login registry.test:"];
    fails(&push(registry, None, &[&to, "--ca", &ca]), &words)?;
    let folder = registry.file("wrong");
    fs::create_dir(&folder).expect("it can be made");
    let kept =
        format!(r#"{{"auths":{{"{NAME}:{}":{{"username":"user","password":"wrong"}}}}}}"#, registry.port);
    fs::write(folder.join("config.json"), kept).expect("it can be written");
    fails(&push(registry, Some(&folder), &[&to, "--ca", &ca]), &words)
}

fn helper(registry: &Registry) -> Result<(), Failed> {
    let folder = registry.file("helped");
    fs::create_dir(&folder).expect("it can be made");
    let program = folder.join("docker-credential-test");
    let answer = r#"{"Username":"user","Secret":"password"}"#;
    let script =
        format!("#!/bin/sh\n[ \"$1 $(cat)\" = 'get {NAME}:{}' ] && echo '{answer}'\n", registry.port);
    fs::write(&program, script).expect("it can be written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it can be made executable");
    let store = |name: &str| {
        let kept = format!(r#"{{"credsStore":"{name}"}}"#);
        fs::write(folder.join("config.json"), kept).expect("it can be written");
    };
    let (to, ca) = (destination(registry), authority(registry));
    store("nowhere");
    let missing = push(registry, Some(&folder), &[&to, "--ca", &ca]);
    fails(&missing, &["config.json cannot be used", "is it on PATH?"])?;
    store("test");
    let output = push(registry, Some(&folder), &[&to, "--ca", &ca]);
    check(output.status.success(), &output)
}

fn insecure(registry: &Registry) -> Result<(), Failed> {
    let login = registry.login(&format!("{NAME}:{}", registry.port));
    let output = push(registry, Some(&login), &[&destination(registry), "--insecure"]);
    check(output.status.success(), &output)
}

fn unreachable(registry: &Registry) -> Result<(), Failed> {
    let to = format!("elsewhere.test:{}/p", registry.port);
    fails(&push(registry, None, &[&to]), &["elsewhere.test", "cannot be reached", "is its name right?"])?;
    let plain = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = plain.local_addr().expect("it has an address").port();
    std::thread::spawn(move || {
        use std::io::Write as _;
        for stream in plain.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    fails(
        &push(registry, None, &[&format!("{NAME}:{port}/p")]),
        &["does not speak HTTPS", "--insecure allows HTTP"],
    )
}
