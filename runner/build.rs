//! Builds the prober as a static program and hands its path to the runner, which carries it as bytes.
//!
//! | variable | meaning |
//! |---|---|
//! | `FLOWPROOF_PROBER` | a finished prober to carry instead: for cross builds and packagers |
//! | `FLOWPROOF_PROBER_TARGET` | the target to build it for, e.g. `x86_64-unknown-linux-musl`; the runner's if unset |
//!
//! The same sources give the same bytes wherever they lie: paths are remapped and nothing of the outer build's
//! environment gets in.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    if let Err(problem) = embed() {
        println!("cargo::error={problem}");
    }
}

fn embed() -> Result<(), String> {
    for variable in ["FLOWPROOF_PROBER", "FLOWPROOF_PROBER_TARGET"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let out = PathBuf::from(required("OUT_DIR")?);
    let program = match env::var_os("FLOWPROOF_PROBER") {
        Some(given) => {
            let given = PathBuf::from(given);
            println!("cargo::rerun-if-changed={}", given.display());
            given
        }
        None => build(&out)?,
    };
    let copy = out.join("flowproof-prober");
    fs::copy(&program, &copy)
        .map_err(|error| format!("the prober at {} cannot be copied: {error}", program.display()))?;
    Ok(())
}

/// Builds the prober with a cargo of its own and returns the path of the program.
fn build(out: &Path) -> Result<PathBuf, String> {
    let runner = PathBuf::from(required("CARGO_MANIFEST_DIR")?);
    let root = runner.parent().filter(|root| root.join("prober/Cargo.toml").exists()).ok_or(
        "the prober's sources are not beside the runner's; set FLOWPROOF_PROBER to a finished prober",
    )?;
    for source in [
        "prober/Cargo.toml",
        "prober/src",
        "prober/wire/Cargo.toml",
        "prober/wire/src",
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let target = env::var("FLOWPROOF_PROBER_TARGET")
        .or_else(|_| env::var("TARGET"))
        .map_err(|error| error.to_string())?;
    let target_dir = out.join("prober-target");
    let mut cargo = Command::new(required("CARGO")?);
    cargo
        .args(["build", "--package", "flowproof-prober", "--bin", "flowproof-prober"])
        .args(["--profile", "prober", "--target", &target])
        .arg("--manifest-path")
        .arg(root.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_dir);
    clear_environment(&mut cargo);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(root, &target_dir).join("\u{1f}"));
    let output =
        cargo.output().map_err(|error| format!("cargo cannot be started to build the prober: {error}"))?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr);
        let log = log.lines().collect::<Vec<_>>();
        let end = log[log.len().saturating_sub(40)..].join(" | ");
        return Err(format!(
            "the prober does not build for {target} (a static program needs the C library's static form; with rustup, \
             FLOWPROOF_PROBER_TARGET=x86_64-unknown-linux-musl brings its own): {end}"
        ));
    }
    Ok(target_dir.join(target).join("prober").join("flowproof-prober"))
}

/// Flags of rustc: linked statically, and without the paths of this machine.
fn flags(root: &Path, target_dir: &Path) -> Vec<String> {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    // The last prefix that matches wins, so the target directory comes after the root that may hold it.
    let prefixes = [
        cargo_home.map(|path| (path, "/cargo")),
        Some((root.to_owned(), "/flowproof")),
        Some((target_dir.to_owned(), "/target")),
    ];
    for (path, name) in prefixes.into_iter().flatten() {
        flags.push(format!("--remap-path-prefix={}={name}", path.display()));
    }
    flags
}

/// Takes away what the outer cargo and the caller set for the outer build (wrappers, flags, profiles, target
/// directories), and keeps what a build needs to find registries and to share the outer build's jobs.
fn clear_environment(cargo: &mut Command) {
    const KEPT: [&str; 6] =
        ["CARGO_HOME", "CARGO_HTTP_", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    const OTHERS: [&str; 12] = [
        "DEBUG",
        "HOST",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTC",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTDOC",
        "RUSTFLAGS",
        "TARGET",
    ];
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let of_cargo = name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept));
        if of_cargo || OTHERS.contains(&name.as_str()) {
            cargo.env_remove(&name);
        }
    }
}

fn required(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set; build scripts run under cargo"))
}
