//! Finds scenarios on disk, or takes the shipped ones, and reads them.

use crate::{
    local::fault::Fault,
    problems::FileProblems,
    report::counted,
    sources::{self, STDIN},
};
use flowproof_core::{
    parse::{self, Deviation, Loaded},
    scenario::Scenario,
    text::{MAX_FILE_BYTES, MAX_MANIFEST_BYTES},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read as _},
    path::{Component, Path, PathBuf},
};

/// The file of known deviations, which is beside scenarios but is not one of them.
pub const KNOWN_DEVIATIONS: &str = "known-deviations.yaml";

/// Namespace and name of the pod that belongs to nobody, beside those of manifests.
const STRANGER: &str = "stranger";

/// How many characters of a claim may name files, so that the rest of its words fit.
const MOST_OF_A_CLAIM: usize = 150;

/// Folders with files that scenarios refer to.
const REFERRED_TO: [&str; 2] = ["policies", "manifests"];

/// Path and text of shipped scenarios.
macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../scenarios/", $name)))),+]
    };
}

/// The scenarios that are part of this program: path in the folder and text. A test keeps the list complete.
pub const SHIPPED: &[(&str, &str)] = shipped![
    "addresses/a-block-of-one-family.yaml",
    "addresses/an-ipv6-range-among-others.yaml",
    "addresses/exceptions-deny-nothing.yaml",
    "addresses/exceptions-of-one-rule.yaml",
    "addresses/ipblock-with-except.yaml",
    "addresses/one-network-in-two-rules.yaml",
    "applications/four-namespaces.yaml",
    "applications/internal-service.yaml",
    "basics/database-from-app-namespace.yaml",
    "basics/default-deny-egress.yaml",
    "basics/default-deny-ingress.yaml",
    "basics/egress-to-dns-only.yaml",
    "changes/deleted-and-created-again.yaml",
    "changes/established-connections.yaml",
    "changes/labels-changed.yaml",
    "changes/labels-of-what-is-isolated.yaml",
    "changes/policy-updated-and-deleted.yaml",
    "directions/a-section-without-its-type.yaml",
    "directions/a-type-of-two.yaml",
    "directions/both-sides.yaml",
    "paths/both-ends-on-every-path.yaml",
    "paths/itself-through-a-service.yaml",
    "paths/nodes.yaml",
    "paths/services.yaml",
    "pods/addresses-used-again.yaml",
    "pods/first-packets.yaml",
    "pods/restarted-pods.yaml",
    "ports/many-ports-in-a-rule.yaml",
    "ports/named-port-of-a-sidecar.yaml",
    "ports/named-ports-per-pod.yaml",
    "ports/port-ranges.yaml",
    "protocols/rules-by-protocol.yaml",
    "protocols/sctp-rules.yaml",
    "protocols/tcp-without-udp.yaml",
    "rules/created-later.yaml",
    "rules/equal-names.yaml",
    "rules/policies-add-up.yaml",
    "rules/rules-with-own-peers-and-ports.yaml",
    "selectors/empty-lists-and-nobody.yaml",
    "selectors/namespace-and-pod-selector.yaml",
    "selectors/negated-namespaces.yaml",
    "selectors/peers-of-other-namespaces.yaml",
    "selectors/selector-expressions.yaml",
    "tiers/a-network-with-host-bits.yaml",
    "tiers/admin-before-network-policies.yaml",
    "tiers/baseline-after-network-policies.yaml",
    "tiers/each-end-by-itself.yaml",
    "tiers/priority-changed.yaml",
];

/// The known deviations of the shipped scenarios.
const SHIPPED_DEVIATIONS: &str = include_str!("../../scenarios/known-deviations.yaml");

/// Reads the scenarios of all paths, or the shipped ones if there is no path. Fails with the problems of all files.
///
/// A directory means every `*.yaml` and `*.yml` below it, sorted by path. In it, folders named `policies` or `manifests`, names
/// that start with `_` or `.`, and [`KNOWN_DEVIATIONS`] are ignored; links to directories are not followed. A file that is
/// named twice is read once.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Scenario>, Vec<FileProblems>> {
    if paths.is_empty() {
        return shipped();
    }
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    let mut scenarios = Vec::new();
    for path in paths {
        match find(path) {
            Ok(files) => {
                for file in files {
                    let same = fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
                    if seen.insert(same) {
                        match read(&file) {
                            Ok(scenario) => scenarios.push(scenario),
                            Err(problem) => problems.push(problem),
                        }
                    }
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(scenarios) } else { Err(problems) }
}

/// The scenarios that are part of this program.
pub fn shipped() -> Result<Vec<Scenario>, Vec<FileProblems>> {
    let mut problems = Vec::new();
    let mut scenarios = Vec::new();
    for (name, text) in SHIPPED {
        let file = format!("scenarios/{name}");
        let load: &mut parse::Load<'_> = &mut |_| Err("a shipped scenario refers to no files".to_owned());
        match parse::scenario(&file, text.as_bytes(), load) {
            Ok(scenario) => scenarios.push(scenario),
            Err(wrong) => problems
                .push(FileProblems::Wrong { problems: wrong, texts: [(file, (*text).to_owned())].into() }),
        }
    }
    if problems.is_empty() { Ok(scenarios) } else { Err(problems) }
}

/// Reads the known deviations that apply to the scenarios of these paths: for each directory, and for the directory of each file,
/// the file [`KNOWN_DEVIATIONS`] in it or in the nearest directory above that has one. Without a path, these are the shipped ones. The
/// shipped ones that name a fault apply to all scenarios.
pub fn known_deviations(paths: &[PathBuf]) -> Result<Vec<Deviation>, Vec<FileProblems>> {
    let faults: Vec<&str> = Fault::all().map(|fault| fault.info().name).collect();
    let mut problems = Vec::new();
    let mut read = |file: String, bytes: &[u8]| {
        parse::deviations(&file, bytes, &faults).unwrap_or_else(|wrong| {
            problems.push(FileProblems::Wrong { problems: wrong, texts: [(file, text(bytes))].into() });
            Vec::new()
        })
    };
    let mut found = read(format!("scenarios/{KNOWN_DEVIATIONS}"), SHIPPED_DEVIATIONS.as_bytes());
    found.retain(|entry| paths.is_empty() || entry.fault().is_some());
    let mut unreadable_files = Vec::new();
    let files: BTreeSet<PathBuf> = paths.iter().filter_map(|path| deviations_for(path)).collect();
    for path in files {
        match contents(&path) {
            Ok(bytes) => found.extend(read(path.display().to_string(), &bytes)),
            Err(error) => unreadable_files.push(unreadable(&path, &error)),
        }
    }
    problems.extend(unreadable_files);
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

/// The file of known deviations that applies to a path.
fn deviations_for(path: &Path) -> Option<PathBuf> {
    let directory = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    directory.ancestors().map(|above| above.join(KNOWN_DEVIATIONS)).find(|file| file.exists())
}

/// The scenario files that a path means.
fn find(path: &Path) -> Result<Vec<PathBuf>, FileProblems> {
    let kind = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !kind.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    collect(path, &mut files)?;
    if files.is_empty() {
        return Err(FileProblems::Unreadable {
            path: path.display().to_string(),
            why: "the directory has no scenarios".to_owned(),
            hint: Some(format!(
                "scenarios are *.yaml files; folders named '{}' and names that start with '_' or '.' are passed over",
                REFERRED_TO.join("' or '"),
            )),
        });
    }
    Ok(files)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), FileProblems> {
    let failed = |error: io::Error| unreadable(directory, &error);
    let mut entries =
        fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if name.starts_with(['_', '.']) {
            continue;
        }
        if entry.file_type().map_err(failed)?.is_dir() {
            if !REFERRED_TO.contains(&name.as_str()) {
                collect(&path, files)?;
            }
        } else if is_yaml(&path) && name != KNOWN_DEVIATIONS && !path.is_dir() {
            files.push(path);
        }
    }
    Ok(())
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Reads one scenario and the files that it refers to.
fn read(path: &Path) -> Result<Scenario, FileProblems> {
    let bytes = contents(path).map_err(|error| unreadable(path, &error))?;
    let file = path.display().to_string();
    let mut texts = BTreeMap::from([(file.clone(), text(&bytes))]);
    let directory = path.parent().unwrap_or(Path::new(""));
    let load: &mut parse::Load<'_> = &mut |reference| load_manifests(&directory.join(reference), &mut texts);
    parse::scenario(&file, &bytes, load).map_err(|problems| FileProblems::Wrong { problems, texts })
}

/// Loads a file, or all manifests below a directory, and keeps their texts for problems.
fn load_manifests(path: &Path, texts: &mut BTreeMap<String, String>) -> Result<Vec<Loaded>, String> {
    let mut load = |path: &Path| {
        let bytes = at_most(path, MAX_MANIFEST_BYTES).map_err(|error| why(&error))?;
        let name = tidy(path).display().to_string();
        texts.insert(name.clone(), text(&bytes));
        Ok(Loaded { name, bytes })
    };
    let files = sources::manifest_files(path).map_err(|error| why(&error))?;
    if let [only] = &files[..]
        && only == path
    {
        return load(path).map(|loaded| vec![loaded]);
    }
    if files.is_empty() {
        return Err("the directory has no manifests: no *.yaml, *.yml or *.json".to_owned());
    }
    files.iter().map(|file| load(file).map_err(|why: String| format!("{}: {why}", file.display()))).collect()
}

/// Makes a scenario from manifests alone: their workloads, a stranger, and whatever the policies say. `-` is standard input.
pub fn of_manifests(paths: &[PathBuf], namespace: Option<&str>) -> Result<Scenario, FileProblems> {
    let shown: Vec<String> = paths
        .iter()
        .map(|path| if is_stdin(path) { "stdin".to_owned() } else { path.display().to_string() })
        .collect();
    let manifests: Vec<Value> = paths
        .iter()
        .map(|path| {
            let file = path.display().to_string();
            namespace.map_or_else(
                || json!({ "file": file }),
                |namespace| json!({ "file": file, "namespace": namespace }),
            )
        })
        .collect();
    let scenario = |expect: Value| {
        json!({
            "scenario": format!("the network does what the policies of {} say", in_short(&shown)),
            "manifests": manifests,
            "namespaces": { STRANGER: null },
            "workloads": { format!("{STRANGER}/{STRANGER}"): null },
            "expect": expect,
        })
        .to_string()
    };
    let mut texts = BTreeMap::new();
    let mut loaded: BTreeMap<String, Vec<Loaded>> = BTreeMap::new();
    let load: &mut parse::Load<'_> = &mut |path| {
        if let Some(known) = loaded.get(path) {
            return Ok(known.clone());
        }
        let read = if path == STDIN {
            let bytes = sources::stdin().map_err(|error| why(&error))?;
            texts.insert("stdin".to_owned(), text(&bytes));
            vec![Loaded { name: "stdin".to_owned(), bytes }]
        } else {
            load_manifests(Path::new(path), &mut texts)?
        };
        loaded.insert(path.to_owned(), read.clone());
        Ok(read)
    };
    let name = shown.first().map_or("", String::as_str);
    let pods = match parse::scenario(name, scenario(json!("policy")).as_bytes(), load) {
        Ok(scenario) => scenario,
        Err(problems) => return Err(FileProblems::Wrong { problems, texts }),
    };
    // An application resolves names and uses Services. A glob must match something, so each line is added only if it will.
    let mut ways = vec!["any -> cluster-dns"];
    ways.extend((!pods.topology.services.is_empty()).then_some("any -> service any"));
    let all = scenario(json!({ "policy": ways, "otherwise": "policy" }));
    // If that makes too many flows, only those between pods are left.
    Ok(parse::scenario(name, all.as_bytes(), load).unwrap_or(pods))
}

/// Names files within a claim, whose length is limited.
fn in_short(files: &[String]) -> String {
    let all = files.join(", ");
    if all.chars().count() <= MOST_OF_A_CLAIM { all } else { counted(files.len(), "path", "paths") }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

/// The bytes of a file, up to one more than the limit, so that the parser reports a file that is too large.
pub(crate) fn contents(path: &Path) -> io::Result<Vec<u8>> {
    at_most(path, MAX_FILE_BYTES)
}

fn at_most(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    // Opening a pipe that nobody writes to would wait forever.
    let kind = fs::metadata(path)?;
    if kind.is_dir() {
        return Err(io::Error::other("it is a directory"));
    }
    if !kind.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of a file as problems show it; empty if it is not text.
fn text(bytes: &[u8]) -> String {
    if bytes.contains(&0) {
        return String::new();
    }
    let text = String::from_utf8_lossy(bytes);
    text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()
}

fn unreadable(path: &Path, error: &io::Error) -> FileProblems {
    FileProblems::Unreadable { path: path.display().to_string(), why: why(error), hint: None }
}

pub(crate) fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// The path without `.` and without `x/..`, for display only: the file is opened by the original path.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(tidy.components().next_back(), Some(Component::Normal(_))) => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

#[cfg(test)]
mod tests;
