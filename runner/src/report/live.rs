//! What is shown while a run goes on: bars on a terminal, plain lines elsewhere. Always on stderr.

use super::{table, tally_text};
use crate::run::{Phase, Progress, duration_text};
use flowproof_core::outcome::ScenarioOutcome;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    time::Duration,
};
use tokio::sync::mpsc;

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Style {
    /// Bars on a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// Plain lines.
    Plain,
    /// Nothing.
    None,
}

/// Adds a line of its own after some events.
pub type Remark = Box<dyn FnMut(&Progress) -> Option<String> + Send>;

/// Shows all progress until the run's end.
pub async fn tell(style: Style, mut progress: mpsc::UnboundedReceiver<Progress>, mut remark: Remark) {
    let mut teller = Live::new(style);
    while let Some(event) = progress.recv().await {
        teller.take(&event);
        if let Some(line) = remark(&event) {
            teller.line(&line);
        }
    }
    teller.close();
}

struct Live {
    style: Style,
    bars: Option<MultiProgress>,
    lanes: BTreeMap<usize, ProgressBar>,
}

impl Live {
    fn new(style: Style) -> Self {
        let bars = (style == Style::Auto && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self { style, bars, lanes: BTreeMap::new() }
    }

    fn take(&mut self, event: &Progress) {
        match event {
            Progress::Started { run, cluster, notes, scenarios } => {
                let scenarios = super::counted(*scenarios, "scenario", "scenarios");
                self.line(&format!("run {run}: {scenarios} on {cluster}"));
                for note in notes {
                    self.line(note);
                }
            }
            Progress::Deploying { lane, pods } => {
                self.bar(*lane, &format!("starting {}", super::counted(*pods, "prober", "probers")));
            }
            Progress::Playing { lane, claim, phase, agree, flows } => {
                let doing = match phase {
                    Phase::Control => "control: do all flows work without policies?".to_owned(),
                    Phase::Step { number, of, title } => format!("step {number} of {of}: {title}"),
                    Phase::Restore => "restoring: do denied flows work again?".to_owned(),
                };
                self.bar(*lane, &format!("{claim}: {doing} ({agree} of {flows} flows agree)"));
            }
            Progress::FirstVerdict { after } => {
                self.line(&format!("first flow settled {} after the start", duration_text(*after)));
            }
            Progress::Canary(canary) => self.line(&table::canary_text(canary)),
            Progress::Finished(scenario) => self.line(&finished(scenario)),
            Progress::Watching { scenarios, command } => {
                self.lanes.values().for_each(ProgressBar::finish_and_clear);
                let meanwhile =
                    if command.is_empty() { String::new() } else { format!("; running: {command}") };
                let scenarios = super::counted(*scenarios, "scenario", "scenarios");
                self.line(&format!("all settled: watching {scenarios}{meanwhile}"));
            }
            Progress::Cleaning { namespaces } => {
                self.lanes.values().for_each(ProgressBar::finish_and_clear);
                let namespaces = super::counted(*namespaces, "namespace", "namespaces");
                self.line(&format!("removing {namespaces}"));
            }
            Progress::Done(_) => self.close(),
        }
    }

    fn line(&self, text: &str) {
        match (&self.bars, self.style) {
            (_, Style::None) => {}
            (Some(bars), _) => {
                let _ = bars.println(text);
            }
            (None, _) => {
                let _ = writeln!(std::io::stderr(), "{text}");
            }
        }
    }

    fn bar(&mut self, lane: usize, text: &str) {
        let Some(bars) = &self.bars else { return };
        let bar = self.lanes.entry(lane).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new_spinner());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar.set_style(
                ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is valid"),
            );
            bar
        });
        bar.set_message(text.to_owned());
    }

    fn close(&self) {
        self.lanes.values().for_each(ProgressBar::finish_and_clear);
    }
}

fn finished(scenario: &ScenarioOutcome) -> String {
    let took = duration_text(Duration::from_millis(scenario.took_ms));
    format!(
        "{} {} · {} · {took}",
        table::scenario_sign(scenario),
        scenario.claim,
        tally_text(scenario.tally())
    )
}
