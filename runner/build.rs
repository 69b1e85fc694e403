//! Builds the prober as a static program and packs it into a smaller one. The runner embeds both as bytes:
//! `flowproof-prober` and `flowproof-prober-packed` in `OUT_DIR`, and for further targets the same names with `-TARGET` appended.
//! `probers.rs`, also in `OUT_DIR`, lists them.
//!
//! | variable | meaning |
//! |---|---|
//! | `FLOWPROOF_PROBER` | a prober that is already built, to embed instead: for cross builds and packagers |
//! | `FLOWPROOF_PROBER_PACKED` | the same prober, already packed: for machines that cannot link programs for its target |
//! | `FLOWPROOF_PROBER_TARGET` | the target of the prober, for example `x86_64-unknown-linux-musl`; several, with commas, for a cluster of several architectures; if unset, the runner's own on Linux, and that of musl for the runner's architecture elsewhere, because pods run Linux |
//!
//! The same sources give the same bytes in any directory: paths are remapped, and nothing of the outer build's
//! environment gets in.

use lzma_rust2::{LzmaOptions, LzmaWriter};
use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    if let Err(problem) = embed() {
        println!("cargo::error={problem}");
    }
}

fn embed() -> Result<(), String> {
    for variable in ["FLOWPROOF_PROBER", "FLOWPROOF_PROBER_PACKED", "FLOWPROOF_PROBER_TARGET"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let out = PathBuf::from(required("OUT_DIR")?);
    let own = env::var("TARGET").map_err(|error| error.to_string())?;
    let targets = env::var("FLOWPROOF_PROBER_TARGET").unwrap_or_else(|_| for_pods(&own));
    let mut list = String::new();
    for (index, target) in targets.split(',').map(str::trim).enumerate() {
        let build = Build::new(&out, target, &own)?;
        let ending = if index == 0 { String::new() } else { format!("-{target}") };
        let given = |variable| given(variable).filter(|_| index == 0);
        let program = match given("FLOWPROOF_PROBER") {
            Some(given) => given,
            None => build.prober()?,
        };
        let prober = read(&program)?;
        let packed = if let Some(given) = given("FLOWPROOF_PROBER_PACKED") {
            given
        } else {
            let compressed = out.join(format!("flowproof-prober{ending}.lzma"));
            let bytes =
                compress(&prober).map_err(|error| format!("the prober cannot be compressed: {error}"))?;
            write(&compressed, &bytes)?;
            build.unpack(&compressed)?
        };
        let names = [format!("flowproof-prober{ending}"), format!("flowproof-prober-packed{ending}")];
        write(&out.join(&names[0]), &prober)?;
        write(&out.join(&names[1]), &read(&packed)?)?;
        let include = names.map(|name| format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\"))"));
        writeln!(list, "    ({}, {}),", include[0], include[1]).map_err(|error| error.to_string())?;
    }
    let list =
        format!("/// Each prober, and the same packed.\nstatic BUILT: &[(&[u8], &[u8])] = &[\n{list}];\n");
    write(&out.join("probers.rs"), list.as_bytes())
}

/// The target of the prober for a runner with this target.
fn for_pods(runner: &str) -> String {
    if is_linux(runner) { runner.to_owned() } else { format!("{}-unknown-linux-musl", architecture(runner)) }
}

fn is_linux(target: &str) -> bool {
    target.contains("-linux-")
}

fn architecture(target: &str) -> &str {
    target.split('-').next().unwrap_or_default()
}

fn read(program: &Path) -> Result<Vec<u8>, String> {
    fs::read(program).map_err(|error| format!("the prober at {} cannot be read: {error}", program.display()))
}

fn write(name: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(name, bytes).map_err(|error| format!("{} cannot be written: {error}", name.display()))
}

/// A built program that a variable names.
fn given(variable: &str) -> Option<PathBuf> {
    let given = PathBuf::from(env::var_os(variable)?);
    println!("cargo::rerun-if-changed={}", given.display());
    Some(given)
}

/// Compresses as `.lzma`, with a dictionary that holds all of it.
fn compress(program: &[u8]) -> io::Result<Vec<u8>> {
    let mut options = LzmaOptions::with_preset(9);
    options.dict_size = u32::try_from(program.len().next_power_of_two()).unwrap_or(u32::MAX);
    let mut writer = LzmaWriter::new_use_header(Vec::new(), &options, Some(program.len() as u64))?;
    writer.write_all(program)?;
    writer.finish()
}

/// Builds programs for pods with a cargo of its own.
struct Build<'a> {
    root: PathBuf,
    target: &'a str,
    linker: Linker,
    out: &'a Path,
}

/// What links a program for pods.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Linker {
    /// This machine's C compiler.
    OfTheMachine,
    /// The linker that comes with rustc, which links for every architecture, on any system.
    OfRustc,
}

impl<'a> Build<'a> {
    fn new(out: &'a Path, target: &'a str, own: &str) -> Result<Self, String> {
        let runner = PathBuf::from(required("CARGO_MANIFEST_DIR")?);
        let root = runner.parent().filter(|root| root.join("prober/Cargo.toml").exists()).ok_or(
            "the prober's sources are not beside the runner's: build flowproof in its own repository",
        )?;
        let host = env::var("HOST").map_err(|error| error.to_string())?;
        let same = is_linux(&host) && is_linux(own) && architecture(target) == architecture(own);
        let linker = if same { Linker::OfTheMachine } else { Linker::OfRustc };
        Ok(Self { root: root.to_owned(), target, linker, out })
    }

    /// The prober, linked statically.
    fn prober(&self) -> Result<PathBuf, String> {
        let sources = ["prober/Cargo.toml", "prober/src", "prober/wire/Cargo.toml", "prober/wire/src"];
        self.watch(&sources);
        self.watch(&["Cargo.toml", "Cargo.lock", "rust-toolchain.toml"]);
        let mut cargo = self.cargo("Cargo.toml", "prober-target", &[])?;
        cargo.args(["--package", "flowproof-prober", "--bin", "flowproof-prober", "--profile", "prober"]);
        self.run(cargo)?;
        Ok(self.built("prober-target", "prober", "flowproof-prober"))
    }

    /// The program that carries this compressed prober and unpacks it.
    fn unpack(&self, compressed: &Path) -> Result<PathBuf, String> {
        let sources = ["Cargo.toml", "Cargo.lock", "build.rs", "src"];
        self.watch(&sources.map(|source| format!("prober/unpack/{source}")));
        // The program has start code of its own, so nothing would relocate it, and rustc must not add a C library's start code.
        let mut flags = vec!["-Crelocation-model=static"];
        flags.extend(self.target.ends_with("-musl").then_some("-Clink-self-contained=no"));
        let mut cargo = self.cargo("prober/unpack/Cargo.toml", "unpack-target", &flags)?;
        cargo.arg("--release").env("FLOWPROOF_PACKED", compressed);
        if self.linker == Linker::OfRustc {
            cargo.env("FLOWPROOF_LINKER", "rust-lld");
        }
        self.run(cargo)?;
        Ok(self.built("unpack-target", "release", "flowproof-unpack"))
    }

    fn watch(&self, sources: &[impl AsRef<str>]) {
        for source in sources {
            println!("cargo::rerun-if-changed={}", self.root.join(source.as_ref()).display());
        }
    }

    fn cargo(&self, manifest: &str, target_dir: &str, more: &[&str]) -> Result<Command, String> {
        let target_dir = self.out.join(target_dir);
        let mut cargo = Command::new(required("CARGO")?);
        cargo.args(["build", "--target", self.target, "--manifest-path"]).arg(self.root.join(manifest));
        cargo.arg("--target-dir").arg(&target_dir);
        clear_environment(&mut cargo);
        let mut flags = flags(&self.root, &target_dir);
        flags.extend((self.linker == Linker::OfRustc).then(|| "-Clinker=rust-lld".to_owned()));
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        Ok(cargo)
    }

    fn run(&self, mut cargo: Command) -> Result<(), String> {
        let output = cargo
            .output()
            .map_err(|error| format!("cargo cannot be started to build the prober: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let log = String::from_utf8_lossy(&output.stderr);
        let log = log.lines().collect::<Vec<_>>();
        let end = log[log.len().saturating_sub(40)..].join(" | ");
        Err(format!(
            "the prober does not build for {0} (a static program needs the C library's static form; with rustup, a target such as \
             x86_64-unknown-linux-musl brings its own, and `rustup target add {0}` installs one): {end}",
            self.target
        ))
    }

    fn built(&self, target_dir: &str, profile: &str, name: &str) -> PathBuf {
        self.out.join(target_dir).join(self.target).join(profile).join(name)
    }
}

/// Flags of rustc: linked statically, and without the paths of this machine.
fn flags(root: &Path, target_dir: &Path) -> Vec<String> {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    // The last prefix that matches wins, so the target directory comes after the root, which may contain it.
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

/// Removes what the outer cargo and the caller set for the outer build (wrappers, flags, profiles, target
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
