//! Where outcomes go: the tables to stdout, and the files that were asked for; `flowproof report`.

use super::{
    Failure,
    args::{OutputArgs, ReportArgs},
    say,
    session::Changed,
};
use crate::report::{github, html, junit, table};
use flowproof_core::outcome::{self, Exit, Outcome};
use quick_junit::TestSuite;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Carries out `flowproof report`; the exit code is that of the run.
pub fn report(args: &ReportArgs) -> Result<Exit, Failure> {
    let outcome = read(&args.saved)?;
    let outputs = OutputArgs {
        save: Vec::new(),
        html: args.html.clone(),
        junit: args.junit.clone(),
        quiet: args.quiet,
    };
    outputs.files(&outcome, Vec::new())?;
    if !outputs.paths().any(|path| is_stdout(path)) {
        outputs.tables(&outcome, "")?;
    }
    Ok(outcome.conclusion().exit())
}

impl OutputArgs {
    /// All files to write.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.save.iter().chain(&self.html).chain(&self.junit)
    }

    /// Fails before anything is created when a report could not be written later.
    pub fn check(&self) -> Result<(), Failure> {
        for path in self.paths().filter(|path| !is_stdout(path)) {
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .map_err(|error| cannot_write(path, &error))?;
        }
        Ok(())
    }

    /// Writes the reports that were asked for, as soon as everything is judged; `after` follows the tables. JSON on stdout is one
    /// document, which waits for what [`finish`](Self::finish) knows.
    pub fn write(&self, outcome: &Outcome, after: &str) -> Result<(), Failure> {
        self.files(outcome, Vec::new())?;
        if !self.paths().any(|path| is_stdout(path)) {
            self.tables(outcome, after)?;
        }
        summary(&github::markdown(outcome))
    }

    /// Ends the reports when it is known what remains: writes JSON to stdout, and saves again what has changed since.
    pub fn finish(&self, outcome: &Outcome, changed: Changed) -> Result<(), Failure> {
        self.json(outcome, |path| is_stdout(path) || changed == Changed::Yes)
    }

    /// Writes the files that were asked for; `first` are `JUnit` suites to put before those of the scenarios.
    pub fn files(&self, outcome: &Outcome, first: Vec<TestSuite>) -> Result<(), Failure> {
        self.json(outcome, |path| !is_stdout(path))?;
        if let Some(path) = &self.html {
            let page =
                html::html(outcome).map_err(|error| Failure::set_up(format!("the HTML report: {error}")))?;
            write_to(path, &page)?;
        }
        if let Some(path) = &self.junit {
            let xml = junit::xml(outcome, first)
                .map_err(|error| Failure::set_up(format!("the JUnit report: {error}")))?;
            write_to(path, &xml)?;
        }
        Ok(())
    }

    fn json(&self, outcome: &Outcome, wanted: impl Fn(&Path) -> bool) -> Result<(), Failure> {
        for path in self.save.iter().filter(|path| wanted(path)) {
            let json = serde_json::to_string(outcome).expect("an outcome is valid JSON");
            write_to(path, &(json + "\n"))?;
        }
        Ok(())
    }

    fn tables(&self, outcome: &Outcome, after: &str) -> Result<(), Failure> {
        let detail = if self.quiet { table::Detail::Failures } else { table::Detail::Full };
        let mut text = Vec::new();
        table::write(&mut text, outcome, detail).expect("memory can be written");
        say(&(String::from_utf8_lossy(&text) + after)).map(drop)
    }
}

/// Appends to the summary of a job of GitHub Actions, in which this may run.
pub fn summary(text: &str) -> Result<(), Failure> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let path = PathBuf::from(path);
    let append = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    append.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| cannot_write(&path, &error))
}

/// Writes a file, or stdout for `-`.
pub fn write_to(path: &Path, text: &str) -> Result<(), Failure> {
    if is_stdout(path) {
        return say(text).map(|_| ());
    }
    std::fs::write(path, text).map_err(|error| cannot_write(path, &error))
}

/// Whether a path stands for stdout.
pub fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads a saved outcome.
pub fn read(path: &Path) -> Result<Outcome, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
    outcome::read(&text).map_err(|error| {
        Failure::usage(format!("{}: {error}", path.display()))
            .hint("flowproof run --save FILE writes what can be read here")
    })
}

pub fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{} cannot be written: {error}", path.display()))
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
            let outputs = OutputArgs { save: vec![path.clone()], html: None, junit: None, quiet: true };
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
