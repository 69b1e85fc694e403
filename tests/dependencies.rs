//! Which crates may depend on which: the dependencies in docs/architecture.md, checked in the trees that cargo resolves.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use walkdir::WalkDir;

/// The names of all crates that a package is built from, its own among them.
fn crates(package: &str) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let arguments =
        ["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{lib}"];
    let output = Command::new(cargo)
        .args(arguments)
        .args(["--all-features", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().to_owned()).collect()
}

fn assert_none(package: &str, foreign: &[&str]) {
    let crates = crates(package);
    assert!(crates.contains(&package.replace('-', "_")), "the tree of {package} is not its own: {crates:?}");
    let found: Vec<_> = foreign.iter().filter(|name| crates.contains(**name)).collect();
    assert!(found.is_empty(), "{package} is built with {found:?}");
}

#[test]
fn the_core_does_no_io() {
    assert_none(
        "flowproof-core",
        &[
            "tokio",
            "mio",
            "socket2",
            "kube",
            "k8s_openapi",
            "hyper",
            "nlink",
            "flowproof",
            "flowproof_prober",
        ],
    );
}

#[test]
fn the_prober_is_ignorant_of_kubernetes_and_policies() {
    assert_none(
        "flowproof-prober",
        &["kube", "k8s_openapi", "hyper", "rustls", "nlink", "flowproof", "flowproof_core"],
    );
}

#[test]
fn the_wire_is_types_only() {
    assert_none("flowproof-wire", &["tokio", "mio", "socket2", "flowproof_core", "flowproof_prober"]);
}

/// Where the core's source is.
fn core() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../runner/core/src")
}

/// The rooms of the core in the order of the table in its `lib.rs`.
fn rooms() -> Vec<String> {
    let text = fs::read_to_string(core().join("lib.rs")).expect("the core has a lib.rs");
    let name = |line: &str| Some(line.strip_prefix("//! | [`")?.split_once("`]")?.0.to_owned());
    let rooms: Vec<String> = text.lines().filter_map(name).collect();
    let declared: BTreeSet<&str> = text.lines().filter_map(declared_module).collect();
    assert_eq!(
        rooms.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        declared,
        "the table of lib.rs has all rooms"
    );
    assert_eq!(rooms.len(), declared.len(), "the table of lib.rs has each room once");
    rooms
}

/// The module of a line such as `pub mod name;`.
fn declared_module(line: &str) -> Option<&str> {
    let (before, name) = line.strip_suffix(';')?.rsplit_once("mod ")?;
    (before.is_empty() || before.starts_with("pub")).then_some(name)
}

/// The source files of a folder and of those in it.
fn sources(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter();
    let paths = entries.map(|entry| entry.expect("the folder can be read").into_path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
}

/// The modules that a file declares for tests only, as the paths of their files without `.rs`.
fn test_modules(file: &Path, text: &str) -> Vec<PathBuf> {
    let is_folder = file.ends_with("mod.rs") || file.ends_with("lib.rs");
    let folder = if is_folder { file.with_file_name("") } else { file.with_extension("") };
    let lines: Vec<&str> = text.lines().collect();
    let for_tests = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    for_tests.filter_map(|pair| Some(folder.join(declared_module(pair[1])?))).collect()
}

/// Leaves out comments and the module of tests within a file; every line keeps its number.
fn code_of(text: &str) -> String {
    let (mut code, mut before, mut in_tests) = (String::new(), "", false);
    for line in text.lines() {
        in_tests |= before == "#[cfg(test)]" && line.starts_with("mod ") && line.ends_with('{');
        if !in_tests && !line.trim_start().starts_with("//") {
            code.push_str(line.split(" // ").next().unwrap_or(line));
        }
        code.push('\n');
        in_tests &= line != "}";
        before = line;
    }
    code
}

/// The names that follow a root such as `crate::`, one or a list in braces, each with its line.
fn names_after<'c>(root: &str, code: &'c str) -> Vec<(usize, &'c str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut starts = Vec::new();
    let ends_another = |at: usize| code[..at].ends_with(|c| is_word(c) || c == ':');
    for (at, _) in code.match_indices(root).filter(|(at, _)| !ends_another(*at)) {
        let path = at + root.len();
        if !code[path..].starts_with('{') {
            starts.push(path);
            continue;
        }
        let (mut depth, mut begins) = (0, false);
        for (offset, c) in code[path..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            match c {
                '}' if depth == 0 => break,
                '{' | ',' => begins = depth == 1,
                c if c.is_whitespace() => {}
                _ if begins => {
                    starts.push(path + offset);
                    begins = false;
                }
                _ => {}
            }
        }
    }
    let name = |start: usize| code[start..].split(|c| !is_word(c)).next().unwrap_or_default();
    starts.into_iter().map(|start| (code[..start].matches('\n').count() + 1, name(start))).collect()
}

/// Tests are left out: in every room they parse the scenarios that they need, and cargo does not build them for others.
#[test]
fn a_room_of_the_core_uses_earlier_rooms_only() {
    let (rooms, folder) = (rooms(), core());
    let sources: Vec<(PathBuf, String)> = sources(&folder)
        .map(|path| (path.clone(), fs::read_to_string(path).expect("source is text")))
        .collect();
    let tests: Vec<PathBuf> = sources.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (path, text) in &sources {
        let file = path.strip_prefix(&folder).expect("it is in the core");
        if tests.iter().any(|test| path.with_extension("").starts_with(test)) || file == Path::new("lib.rs") {
            continue;
        }
        let room = file.components().next().expect("a path has a part").as_os_str().to_string_lossy();
        let place = |name: &str| rooms.iter().position(|room| room == name);
        let Some(own) = place(&room) else {
            wrong.push(format!("{}: it is in no room of the table in lib.rs", file.display()));
            continue;
        };
        let code = code_of(text);
        // So many `super` lead out of the room.
        let above = file.components().count() - usize::from(file.ends_with("mod.rs"));
        for root in ["crate::".to_owned(), "super::".repeat(above)] {
            for (line, name) in names_after(&root, &code) {
                seen += 1;
                if place(name).is_none_or(|other| other > own) {
                    wrong.push(format!("{}:{line}: {room} -> {name}", file.display()));
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} uses were found: they are looked for in the wrong way");
    assert!(wrong.is_empty(), "rooms use later ones, or none:\n{}", wrong.join("\n"));
}
