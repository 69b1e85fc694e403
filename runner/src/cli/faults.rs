//! `flowproof faults`: what a suite of scenarios catches.

use super::{
    Failure,
    args::FaultsArgs,
    output::{cannot_write, is_stdout},
    run::{fault, load, none_live, plural, select},
    say,
};
use crate::{
    faults::{
        self, Depth, Event, Options,
        play::Trouble,
        table::{self, list},
    },
    local::{LocalOptions, fault::Fault},
    report,
    run::duration_text,
};
use flowproof_core::outcome::{Conclusion, Exit};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::{
    io::{IsTerminal, Write},
    path::Path,
    time::Duration,
};
use tokio::sync::mpsc;

/// Local clusters side by side, for each processor: a play is mostly waiting.
const JOBS_PER_PROCESSOR: usize = 7;

/// Carries out `flowproof faults`; returns the exit code.
pub async fn faults(args: FaultsArgs) -> Result<Exit, Failure> {
    let faults: Vec<Fault> = if args.faults.is_empty() {
        Fault::all().collect()
    } else {
        args.faults.iter().map(|name| fault(name)).collect::<Result<_, _>>()?
    };
    if args.list {
        let entries: Vec<_> = faults.into_iter().map(Fault::info).collect();
        return write(args.json.as_deref(), &entries, || list(&entries)).map(|()| Exit::Success);
    }
    let scenarios = select(load(&args.paths)?, &args.filter)?;
    none_live(&scenarios)?;
    let defaults = LocalOptions::default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        faults,
        jobs: args.jobs.unwrap_or(processors * JOBS_PER_PROCESSOR).max(1),
        depth: if args.first { Depth::FirstCatch } else { Depth::All },
        settle: args.settle,
        local: LocalOptions { nodes: args.nodes.unwrap_or(defaults.nodes), ..defaults },
    };
    let (tell, events) = mpsc::unbounded_channel();
    let progress = tokio::spawn(tell_progress(events, options.faults.len()));
    let played = faults::play(&scenarios, &options, tell).await;
    let _ = progress.await;
    let matrix = played.map_err(failure)?;
    write(args.json.as_deref(), &matrix, || table::text(&matrix))?;
    Ok(matrix.exit())
}

/// Says why there is no matrix.
fn failure(trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Cluster(error) => error.into(),
        Trouble::Wrong(outcomes) => {
            let mut text = Vec::new();
            for outcome in &outcomes {
                report::table::write(&mut text, outcome, report::table::Detail::Failures)
                    .expect("memory can be written");
            }
            let _ = std::io::stderr().write_all(&text);
            let count = outcomes.len();
            let wrong = outcomes.iter().any(|outcome| outcome.conclusion() == Conclusion::Mismatched);
            let exit = if wrong { Exit::Mismatched } else { Exit::Unclear };
            Failure {
                exit,
                message: format!(
                    "{count} scenario{} without any fault, so no fault was played",
                    if count == 1 { " fails" } else { "s fail" }
                ),
                hint: Some("on a busy machine, try fewer --jobs".to_owned()),
            }
        }
    }
}

/// Writes JSON to the file, and the text to stdout; JSON alone when the file is stdout.
fn write<T: Serialize>(path: Option<&Path>, data: &T, text: impl FnOnce() -> String) -> Result<(), Failure> {
    let json = || serde_json::to_string_pretty(data).expect("what has names for keys is valid JSON") + "\n";
    match path {
        Some(path) if is_stdout(path) => say(&json()).map(drop),
        other => {
            if let Some(path) = other {
                std::fs::write(path, json()).map_err(|error| cannot_write(path, &error))?;
            }
            say(&text()).map(drop)
        }
    }
}

/// Tells progress on stderr: a bar on a terminal, lines elsewhere.
async fn tell_progress(mut events: mpsc::UnboundedReceiver<Event>, faults: usize) {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} faults  {msg}")
        .expect("the template is a constant");
    let bar = std::io::stderr()
        .is_terminal()
        .then(|| ProgressBar::new(faults as u64).with_style(style).with_message("the correct engine first"));
    let say = |line: String| match &bar {
        Some(bar) => bar.println(line),
        None => {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    };
    while let Some(event) = events.recv().await {
        match event {
            Event::Correct { scenarios, took } => say(format!(
                "the correct engine matches {scenarios} scenario{} ({})",
                plural(scenarios),
                duration_text(took.max(Duration::from_millis(1)))
            )),
            Event::Done { fault, catches, played } => {
                say(format!(
                    "{} {fault}: caught by {catches} of {played} scenario{} that it touches",
                    if catches > 0 { "●" } else { "○" },
                    plural(played)
                ));
                if let Some(bar) = &bar {
                    bar.inc(1);
                }
            }
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}
