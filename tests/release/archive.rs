//! `.ci/release`: the content of an archive, the checksums, the krew manifest, and where `cargo binstall` looks.

use super::{between, root, stderr, targets, text};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

const PROGRAM: &str = "#!/bin/sh\necho a program\n";

fn release(arguments: &[&str]) -> Output {
    let mut command = Command::new(root().join(".ci/release"));
    command.args(arguments).env_remove("SOURCE_DATE_EPOCH").output().expect("the script can be started")
}

/// Makes an archive of a stand-in for the program; this build's own prints the completions.
fn archive(target: &str, out: &Path) -> Vec<u8> {
    let program = out.with_extension("program");
    fs::write(&program, PROGRAM).expect("it can be written");
    let (program, directory) = (program.display().to_string(), out.display().to_string());
    let made = release(&["archive", target, &program, &directory, env!("CARGO_BIN_EXE_flowproof")]);
    assert!(made.status.success(), "{}", stderr(&made));
    fs::read(out.join(format!("flowproof-{target}.tar.gz"))).expect("the archive is there")
}

fn directory() -> (TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let out = directory.path().join("out");
    (directory, out)
}

#[test]
fn an_archive_holds_what_people_expect() {
    let (directory, out) = directory();
    let bytes = archive("x86_64-unknown-linux-gnu", &out);
    let unpacked = directory.path().join("unpacked");
    fs::create_dir(&unpacked).expect("it can be made");
    let file = out.join("flowproof-x86_64-unknown-linux-gnu.tar.gz");
    let tar = |arguments: &[&str]| {
        let output = Command::new("tar").args(arguments).arg(&file).current_dir(&unpacked).output();
        let output = output.expect("tar can be started");
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    tar(&["-xzf"]);
    let listed = tar(&["-tvzf"]);
    // krew rejects anything but files and directories.
    assert!(listed.lines().all(|line| line.starts_with('-') || line.starts_with('d')), "{listed}");
    assert!(listed.lines().all(|line| line.contains("0/0") && line.contains("1970-01-01")), "{listed}");

    let top = unpacked.join("flowproof-x86_64-unknown-linux-gnu");
    let read =
        |name: &str| fs::read_to_string(top.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(read("flowproof"), PROGRAM);
    let mode = fs::metadata(top.join("flowproof")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    for name in ["LICENSE", "README.md", "CHANGELOG.md"] {
        assert_eq!(read(name), text(name), "{name}");
    }
    for name in ["flowproof.bash", "_flowproof", "flowproof.fish"] {
        let script = read(&format!("completions/{name}"));
        assert!(
            script.contains("flowproof") && script.contains("fail-under"),
            "{name} does not know the options"
        );
    }
    assert_eq!(listed.lines().filter(|line| line.starts_with('-')).count(), 7, "and nothing else: {listed}");
    assert_eq!(archive("x86_64-unknown-linux-gnu", &out), bytes, "the same again");
}

#[test]
fn a_dynamic_program_is_not_called_static() {
    let (_directory, out) = directory();
    let own = std::env::current_exe().expect("the test knows itself").display().to_string();
    let refused = release(&["archive", "x86_64-unknown-linux-musl", &own, &out.display().to_string()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("linked dynamically"), "{}", stderr(&refused));
    assert!(!out.exists());
}

#[test]
fn a_tag_must_be_the_version() {
    let right = release(&["version", &format!("v{}", env!("CARGO_PKG_VERSION"))]);
    assert_eq!(
        String::from_utf8_lossy(&right.stdout).trim(),
        env!("CARGO_PKG_VERSION"),
        "{}",
        stderr(&right)
    );
    for wrong in [env!("CARGO_PKG_VERSION"), "v99.0.0", "v"] {
        let output = release(&["version", wrong]);
        assert_eq!(output.status.code(), Some(1), "{wrong}");
    }
}

/// The rules are those of krew's own validation.
#[test]
fn the_krew_manifest_names_every_archive_and_its_sum() {
    let (_directory, out) = directory();
    for target in targets() {
        archive(&target, &out);
    }
    let place = out.display().to_string();
    let made = release(&["krew", "1.2.3", &place]);
    assert!(made.status.success(), "{}", stderr(&made));
    let sums = release(&["sums", &place]);
    assert!(sums.status.success(), "{}", stderr(&sums));
    let sums = fs::read_to_string(out.join("SHA256SUMS")).expect("it is there");
    assert_eq!(sums.lines().count(), targets().len() + 1, "each archive and the manifest: {sums}");

    let manifest = fs::read_to_string(out.join("flowproof.yaml")).expect("it is there");
    assert!(!manifest.contains('@'), "something was not put in: {manifest}");
    let manifest: Value = serde_saphyr::from_str(&manifest).expect("it is YAML");
    assert_eq!(manifest["apiVersion"], "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!((&manifest["kind"], &manifest["metadata"]["name"]), (&"Plugin".into(), &"flowproof".into()));
    let spec = &manifest["spec"];
    assert_eq!(spec["version"], "v1.2.3");
    let short = spec["shortDescription"].as_str().expect("a short description");
    assert!(!short.contains('\n') && short.len() <= 50, "krew's list is narrow: {short}");
    let platforms = spec["platforms"].as_array().expect("platforms");
    let mut selected = Vec::new();
    for platform in platforms {
        let uri = platform["uri"].as_str().expect("a URI");
        let name = uri
            .strip_prefix("https://github.com/flowproof/flowproof/releases/download/v1.2.3/")
            .expect("a release");
        let sum = platform["sha256"].as_str().expect("a sum");
        assert!(sum.len() == 64 && sums.contains(&format!("{sum}  {name}\n")), "{name}: {sum}");
        let inside =
            Command::new("tar").arg("-tzf").arg(out.join(name)).output().expect("tar can be started");
        let inside = String::from_utf8_lossy(&inside.stdout).into_owned();
        let files = platform["files"].as_array().expect("files");
        for file in files {
            let from = file["from"].as_str().expect("from");
            assert!(inside.lines().any(|line| line == from), "{name} has no {from}");
        }
        assert!(files.iter().any(|file| file["to"] == "LICENSE"), "krew asks for the licence");
        assert!(
            files.iter().any(|file| file["to"] == platform["bin"]) && platform["bin"] == "kubectl-flowproof"
        );
        selected.push(platform["selector"]["matchLabels"].to_string());
    }
    selected.sort();
    selected.dedup();
    assert_eq!(selected.len(), targets().len(), "{selected:?}");
}

#[test]
fn krew_is_not_given_half_a_release() {
    let (_directory, out) = directory();
    archive("x86_64-unknown-linux-musl", &out);
    let output = release(&["krew", "1.2.3", &out.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no archive for aarch64-unknown-linux-musl"), "{}", stderr(&output));
    assert!(!out.join("flowproof.yaml").exists());
}

#[test]
fn binstall_looks_where_the_release_is() {
    let manifest = text("runner/Cargo.toml");
    let field = |name: &str| between(&manifest, &format!("{name} = \""), "\"")[0].to_owned();
    let fill = |template: String| {
        let values = [
            ("repo", env!("CARGO_PKG_REPOSITORY")),
            ("version", "1.2.3"),
            ("name", "flowproof"),
            ("bin", "flowproof"),
            ("target", "x86_64-unknown-linux-musl"),
        ];
        values.iter().fold(template, |text, (name, value)| text.replace(&format!("{{ {name} }}"), value))
    };
    let manifest = text(".ci/krew.yaml").replace("@version@", "1.2.3");
    assert!(manifest.contains(&fill(field("pkg-url"))), "{}", field("pkg-url"));
    assert!(manifest.contains(&format!("from: {},", fill(field("bin-dir")))), "{}", field("bin-dir"));
    assert_eq!(field("pkg-fmt"), "tgz");
}
