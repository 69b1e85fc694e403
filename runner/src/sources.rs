//! What `lint`, `explain` and `generate` read: scenarios, or plain manifests from files, directories and stdin.

use crate::{
    problems::FileProblems,
    scenarios::{self, SHIPPED},
};
use flowproof_core::{
    parse,
    scenario::Scenario,
    snapshot::{Snapshot, manifests},
    text::{MAX_MANIFEST_BYTES, Problem, Severity},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// The path that means stdin.
pub const STDIN: &str = "-";

/// What was read.
#[derive(Debug, Default)]
pub struct Sources {
    /// Scenarios.
    pub scenarios: Vec<Scenario>,
    /// What plain manifests say, if there are any.
    pub snapshot: Option<Snapshot>,
    /// What is wrong with the manifests.
    pub problems: Vec<Problem>,
    /// Texts of the manifests, by file.
    texts: BTreeMap<String, String>,
}

impl Sources {
    /// Reads all paths, or the shipped scenarios if there is none. A path without a scenario is one of manifests; in a
    /// directory of manifests every `*.yaml`, `*.yml` and `*.json` counts.
    pub fn read(paths: &[PathBuf]) -> Result<Self, Vec<FileProblems>> {
        let mut wrong = Vec::new();
        let mut of_scenarios = Vec::new();
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        let mut seen = BTreeSet::new();
        for path in paths {
            match classify(path) {
                Ok(Class::Scenarios) => of_scenarios.push(path.clone()),
                Ok(Class::Manifests(found)) => {
                    files.extend(found.into_iter().filter(|(name, _)| seen.insert(name.clone())));
                }
                Err(problem) => wrong.push(problem),
            }
        }
        let mut sources = Self::default();
        if paths.is_empty() || !of_scenarios.is_empty() {
            match scenarios::load(&of_scenarios) {
                Ok(read) => sources.scenarios = read,
                Err(problems) => wrong.extend(problems),
            }
        }
        if !files.is_empty() {
            sources = Self { scenarios: sources.scenarios, ..Self::of_manifests(files) };
        }
        if wrong.is_empty() { Ok(sources) } else { Err(wrong) }
    }

    /// Reads manifests, given by the names and contents of their files.
    pub fn of_manifests(files: Vec<(String, Vec<u8>)>) -> Self {
        let (snapshot, problems) = manifests(&files);
        let text = |(name, bytes): (String, Vec<u8>)| (name, String::from_utf8_lossy(&bytes).into_owned());
        let texts = files.into_iter().map(text).collect();
        Self { scenarios: Vec::new(), snapshot: Some(snapshot), problems, texts }
    }

    /// Problems together with the texts that they are about, as they are shown; one entry for each file.
    pub fn shown(&self, problems: &[Problem]) -> Vec<FileProblems> {
        let mut files: Vec<(String, Vec<Problem>)> = Vec::new();
        for problem in problems {
            match files.iter_mut().find(|(file, _)| *file == problem.at.file) {
                Some((_, all)) => all.push(problem.clone()),
                None => files.push((problem.at.file.clone(), vec![problem.clone()])),
            }
        }
        let entry = |(file, problems): (String, Vec<Problem>)| {
            let related =
                problems.iter().flat_map(|problem| problem.related.iter().map(|(at, _)| at.file.clone()));
            let names: BTreeSet<String> = related.chain([file]).collect();
            let texts =
                names.into_iter().filter_map(|name| Some((name.clone(), self.text(&name)?))).collect();
            FileProblems::Wrong { problems, texts }
        };
        files.into_iter().map(entry).collect()
    }

    fn text(&self, file: &str) -> Option<String> {
        let shipped = || {
            let name = file.strip_prefix("scenarios/")?;
            SHIPPED.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
        };
        self.texts.get(file).cloned().or_else(|| fs::read_to_string(file).ok()).or_else(shipped)
    }
}

/// Whether some problem is an error.
pub fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

enum Class {
    Scenarios,
    Manifests(Vec<(String, Vec<u8>)>),
}

fn classify(path: &Path) -> Result<Class, FileProblems> {
    let unreadable = |path: &Path, error: &io::Error| FileProblems::Unreadable {
        path: path.display().to_string(),
        why: scenarios::why(error),
        hint: None,
    };
    if path.as_os_str() == STDIN {
        let bytes = stdin().map_err(|error| unreadable(Path::new("stdin"), &error))?;
        return Ok(Class::Manifests(vec![("stdin".to_owned(), bytes)]));
    }
    let mut files = Vec::new();
    for name in manifest_files(path).map_err(|error| unreadable(path, &error))? {
        let read = fs::File::open(&name).and_then(all_of);
        let bytes = read.map_err(|error| unreadable(&name, &error))?;
        if parse::is_scenario(&bytes) {
            return Ok(Class::Scenarios);
        }
        files.push((name.display().to_string(), bytes));
    }
    if files.is_empty() {
        return Err(FileProblems::Unreadable {
            path: path.display().to_string(),
            why: "the directory has neither scenarios nor manifests".to_owned(),
            hint: Some("they are *.yaml, *.yml or, for manifests, *.json".to_owned()),
        });
    }
    // Without a kind it is a scenario that lacks its first line, or nothing at all. The reader of scenarios has the best message for that.
    let manifests = files.iter().any(|(_, bytes)| {
        bytes.split(|byte| *byte == b'\n').any(|line| {
            let line = line.trim_ascii();
            line.starts_with(b"kind:")
                || line.starts_with(b"- kind:")
                || line.starts_with(b"- apiVersion:")
                || line.starts_with(b"apiVersion:")
        }) || bytes.trim_ascii_start().starts_with(b"{")
    });
    Ok(if manifests { Class::Manifests(files) } else { Class::Scenarios })
}

/// Standard input, up to one byte more than the limit, so that the parser reports an input that is too large.
pub(crate) fn stdin() -> io::Result<Vec<u8>> {
    all_of(io::stdin().lock())
}

fn all_of(source: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_MANIFEST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The files that a path of manifests means: itself, or all manifests below a directory, sorted by path.
pub(crate) fn manifest_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    collect(path, &mut files)?;
    Ok(files)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|found| found == "yaml" || found == "yml" || found == "json") {
            files.push(path);
        }
    }
    Ok(())
}
