//! Where results go: tables to stdout, JSON and reports to files.

use super::{Failure, say, session::Changed};
use crate::{
    report::{github, html, junit, table},
    scenarios,
};
use clap::Args;
use flowproof_core::outcome::{self, Outcome};
use quick_junit::TestSuite;
use serde::Serialize;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// The result of a command as JSON.
#[derive(Debug, Clone, Args)]
pub struct JsonArgs {
    /// Write the result as JSON; - writes to stdout instead of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl JsonArgs {
    /// Writes the result, if that was asked for.
    pub fn write<T: Serialize>(&self, result: &T) -> Result<(), Failure> {
        self.json.iter().try_for_each(|path| write_json(path, result))
    }

    /// Whether the JSON takes the place of the text.
    pub fn replaces_text(&self) -> bool {
        self.json.as_deref().is_some_and(is_stdout)
    }
}

/// The reports of an outcome, and how much its tables show.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reports")]
pub struct ReportFileArgs {
    /// Write a report as a single HTML file; - writes to stdout instead of the tables
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write a JUnit report; - writes to stdout instead of the tables
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Show only what did not match
    #[arg(long, short)]
    pub quiet: bool,
}

impl ReportFileArgs {
    /// How much the tables show.
    pub fn detail(&self) -> table::Detail {
        if self.quiet { table::Detail::Failures } else { table::Detail::Full }
    }
}

/// Where the outcome of a run goes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reports")]
pub struct OutputArgs {
    /// Write the outcome as JSON, for `compare`, `report`, `diagnose` and other programs; - writes to stdout instead of the
    /// tables; may be repeated
    #[arg(long, visible_alias = "save", value_name = "FILE")]
    pub json: Vec<PathBuf>,
    /// Other reports.
    #[command(flatten)]
    pub files: ReportFileArgs,
}

impl OutputArgs {
    /// Where the outcome goes.
    pub fn outputs(&self) -> Outputs<'_> {
        Outputs { saved: &self.json, files: &self.files }
    }
}

/// Where an outcome goes.
#[derive(Debug, Clone, Copy)]
pub struct Outputs<'a> {
    /// Files for the outcome as JSON.
    pub saved: &'a [PathBuf],
    /// Other reports.
    pub files: &'a ReportFileArgs,
}

impl Outputs<'_> {
    /// All files to write.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.saved.iter().chain(&self.files.html).chain(&self.files.junit).map(PathBuf::as_path)
    }

    /// Fails before anything is created if a report could not be written later.
    pub fn check(&self) -> Result<(), Failure> {
        check(self.paths())
    }

    /// Writes the reports that were asked for, as soon as everything is judged; `after` follows the tables. JSON on stdout is one
    /// document, and is left to [`finish`](Self::finish).
    pub fn write(&self, outcome: &Outcome, after: &str) -> Result<(), Failure> {
        self.files(outcome, Vec::new())?;
        if !self.paths().any(is_stdout) {
            self.tables(outcome, after)?;
        }
        summary(&github::markdown(outcome))
    }

    /// Finishes the reports once it is known what remains: writes JSON to stdout, and saves files again if the outcome has changed.
    pub fn finish(&self, outcome: &Outcome, changed: Changed) -> Result<(), Failure> {
        self.json(outcome, |path| is_stdout(path) || changed == Changed::Yes)
    }

    /// Writes the files that were asked for; `first` are `JUnit` suites to put before those of the scenarios.
    pub fn files(&self, outcome: &Outcome, first: Vec<TestSuite>) -> Result<(), Failure> {
        self.json(outcome, |path| !is_stdout(path))?;
        if let Some(path) = &self.files.html {
            let page =
                html::html(outcome).map_err(|error| Failure::set_up(format!("the HTML report: {error}")))?;
            write_to(path, &page)?;
        }
        if let Some(path) = &self.files.junit {
            let xml = junit::xml(outcome, first)
                .map_err(|error| Failure::set_up(format!("the JUnit report: {error}")))?;
            write_to(path, &xml)?;
        }
        Ok(())
    }

    /// Shows the tables; `after` follows them.
    pub fn tables(&self, outcome: &Outcome, after: &str) -> Result<(), Failure> {
        let mut text = Vec::new();
        table::write(&mut text, outcome, self.files.detail()).expect("memory can be written");
        say(&(String::from_utf8_lossy(&text) + after)).map(drop)
    }

    /// The outcome is one line: it can be large, and programs read it.
    fn json(&self, outcome: &Outcome, wanted: impl Fn(&Path) -> bool) -> Result<(), Failure> {
        for path in self.saved.iter().filter(|path| wanted(path)) {
            let json = serde_json::to_string(outcome).expect("an outcome is valid JSON");
            write_to(path, &(json + "\n"))?;
        }
        Ok(())
    }
}

/// Fails when a file could not be written later, or when several are to go to stdout.
pub fn check<'p>(paths: impl Iterator<Item = &'p Path>) -> Result<(), Failure> {
    let mut on_stdout = 0;
    for path in paths {
        if is_stdout(path) {
            on_stdout += 1;
            continue;
        }
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|error| Failure::cannot_write(path, &error))?;
    }
    if on_stdout > 1 {
        return Err(Failure::usage("only one report can go to stdout").hint("name files for the others"));
    }
    Ok(())
}

/// Appends to the summary of a job of GitHub Actions, in which this may run.
pub fn summary(text: &str) -> Result<(), Failure> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let path = PathBuf::from(path);
    let append = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    append
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::cannot_write(&path, &error))
}

/// Writes JSON that people may read, too.
pub fn write_json<T: Serialize>(path: &Path, result: &T) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(result).expect("a result has names for keys");
    write_to(path, &(json + "\n"))
}

/// Writes a file, or stdout for `-`.
pub fn write_to(path: &Path, text: &str) -> Result<(), Failure> {
    if is_stdout(path) {
        return say(text).map(drop);
    }
    std::fs::write(path, text).map_err(|error| Failure::cannot_write(path, &error))
}

/// Whether a path means stdout.
pub fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads a saved outcome.
pub fn read(path: &Path) -> Result<Outcome, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{}: {}", path.display(), scenarios::why(&error))))?;
    outcome::read(&text).map_err(|error| {
        Failure::usage(format!("{}: {error}", path.display()))
            .hint("flowproof run --save FILE writes what can be read here")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::session::Ended;

    const SAVED: &str = include_str!("../../core/src/outcome/read/version-1.json");

    #[test]
    fn what_is_known_in_the_end_only_is_saved_then() {
        let outcome = outcome::read(SAVED).expect("it is readable");
        let left = Ended { remains: vec!["app-k7-0 (a finalizer)".into()], interrupted: false };
        let interrupted = Ended { remains: Vec::new(), interrupted: true };
        for (ended, changed) in
            [(Ended::default(), Changed::No), (left, Changed::Yes), (interrupted, Changed::Yes)]
        {
            let folder = tempfile::tempdir().expect("a directory");
            let path = folder.path().join("saved.json");
            let files = ReportFileArgs { html: None, junit: None, quiet: true };
            let outputs = Outputs { saved: std::slice::from_ref(&path), files: &files };
            let saved = || read(&path).expect("it was saved");
            outputs.files(&outcome, Vec::new()).expect("it can be written");
            assert_eq!(saved(), outcome, "before it is known what remains");

            let mut amended = outcome.clone();
            assert_eq!(ended.amend(&mut amended), changed, "{ended:?}");
            std::fs::write(&path, SAVED).expect("it can be written");
            outputs.finish(&amended, changed).expect("it can be written");
            assert_eq!(saved().remains, ended.remains);
            assert_eq!(saved().interrupted, ended.interrupted);
            let written_again = std::fs::read_to_string(&path).expect("it is there") != SAVED;
            assert_eq!(written_again, changed == Changed::Yes, "{ended:?}");
        }
    }
}
