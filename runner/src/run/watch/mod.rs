//! The watch as a whole: begins when all scenarios have settled, runs a command, and decides when the watch is over.
//!
//! The flows of a scenario are watched by its lane (`run/play/watch.rs`); both share [`Watch`].

mod command;

use super::progress::{Progress, Teller};
use flowproof_core::{
    evidence::time::Moment,
    outcome::{CommandOutcome, EndedBy, WatchOutcome},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{self, watch};
use tokio_util::sync::CancellationToken;

/// How often the watch checks whether it is over.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// How long a watch goes on after its command: many commands only start something.
const AFTER_A_COMMAND: Duration = Duration::from_secs(10);

/// The options of a watch.
#[derive(Debug, Clone, Default)]
pub struct WatchOptions {
    /// Least length of the watch.
    pub at_least: Option<Duration>,
    /// How long nothing may have happened before it ends.
    pub until_stable: Option<Duration>,
    /// Program and arguments to run during the watch; empty for none.
    pub command: Vec<String>,
}

/// The stage of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Scenarios are being deployed, or their policies settle.
    Settling,
    /// Everything that can be watched is watched, since this moment.
    Watching(Moment),
    /// It has been over since this moment.
    Over(Moment),
}

/// What the lanes of a watch share.
pub struct Watch {
    options: WatchOptions,
    /// Canceled when the user wants the watch to end and to be reported.
    pub end: CancellationToken,
    stage: watch::Sender<Stage>,
    lanes: watch::Sender<Lanes>,
    disturbed: AtomicI64,
    starts: Mutex<BTreeMap<String, Arc<sync::Mutex<()>>>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Lanes {
    expected: usize,
    settled: usize,
    left: usize,
}

impl Watch {
    /// Prepares a watch.
    pub fn new(options: WatchOptions, end: CancellationToken) -> Self {
        Self {
            options,
            end,
            stage: watch::Sender::new(Stage::Settling),
            lanes: watch::Sender::new(Lanes::default()),
            disturbed: AtomicI64::new(i64::MIN),
            starts: Mutex::default(),
        }
    }

    /// Says how many scenarios will either settle or leave.
    pub(super) fn expect(&self, scenarios: usize) {
        self.lanes.send_modify(|lanes| lanes.expected = scenarios);
    }

    /// The lock for fresh pods on this node: one scenario holds it at a time, in the order in which they asked.
    pub(super) fn start_on(&self, node: &str) -> Arc<sync::Mutex<()>> {
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(starts.entry(node.to_owned()).or_default())
    }

    /// How many scenarios are watched together.
    pub(super) fn scenarios(&self) -> usize {
        self.lanes.borrow().expected
    }

    /// Says that a scenario's flows are ready to be watched.
    pub(super) fn settled(&self) -> watch::Receiver<Stage> {
        self.lanes.send_modify(|lanes| lanes.settled += 1);
        self.stage.subscribe()
    }

    /// Says that a scenario is not watched any more, or never was.
    pub(super) fn left(&self) {
        self.lanes.send_modify(|lanes| lanes.left += 1);
    }

    /// Says that something was not as expected, or not observed, at this moment.
    pub(super) fn disturbed(&self, at: Moment) {
        self.disturbed.fetch_max(at.0, Ordering::Relaxed);
    }

    /// Goes through the stages; returns the outcome of the watch as a whole.
    pub(super) async fn keep(
        &self,
        zero: Instant,
        teller: &Teller,
        enough: &CancellationToken,
    ) -> WatchOutcome {
        let mut lanes = self.lanes.subscribe();
        let all_there = lanes.wait_for(|lanes| lanes.settled + lanes.left >= lanes.expected);
        let interrupted = tokio::select! {
            _ = all_there => false,
            () = self.end.cancelled() => true,
            () = enough.cancelled() => true,
        };
        let from = crate::link::now(zero);
        let watched = self.lanes.borrow().settled;
        let mut outcome =
            WatchOutcome { from_ms: ms(from), until_ms: ms(from), ended: EndedBy::Interrupt, command: None };
        if !interrupted && watched > 0 {
            self.disturbed(from);
            self.stage.send_replace(Stage::Watching(from));
            teller.tell(Progress::Watching { scenarios: watched, command: self.options.command.join(" ") });
            outcome.command = self.command(zero);
            outcome.ended = self.until_over(zero, from, &mut outcome.command, enough).await;
        } else if !interrupted {
            outcome.ended = EndedBy::NothingToWatch;
        }
        let until = crate::link::now(zero);
        outcome.until_ms = ms(until);
        self.stage.send_replace(Stage::Over(until));
        outcome
    }

    fn command(&self, zero: Instant) -> Option<CommandOutcome> {
        (!self.options.command.is_empty()).then(|| CommandOutcome {
            arguments: self.options.command.clone(),
            from_ms: ms(crate::link::now(zero)),
            until_ms: None,
            exit_code: None,
            error: None,
        })
    }

    /// Waits until the watch is over.
    async fn until_over(
        &self,
        zero: Instant,
        from: Moment,
        command: &mut Option<CommandOutcome>,
        enough: &CancellationToken,
    ) -> EndedBy {
        let run = async {
            match &self.options.command[..] {
                [] => None,
                arguments => Some(command::run(arguments).await),
            }
        };
        tokio::pin!(run);
        let mut ticks = tokio::time::interval(ASK_EVERY);
        let mut ended: Option<(Moment, Option<command::Ended>)> = None;
        let by = loop {
            tokio::select! {
                result = &mut run, if ended.is_none() => ended = Some((crate::link::now(zero), result)),
                _ = ticks.tick() => {}
                () = self.end.cancelled() => break EndedBy::Interrupt,
                () = enough.cancelled() => break EndedBy::Interrupt,
            }
            if self.lanes.borrow().left >= self.lanes.borrow().expected {
                break EndedBy::NothingToWatch;
            }
            if let Some((at, result)) = &ended
                && self.is_over(crate::link::now(zero), from, result.as_ref().map(|_| *at))
            {
                break EndedBy::Conditions;
            }
        };
        if let (Some(command), Some((at, Some(result)))) = (command, ended) {
            command.until_ms = Some(ms(at));
            match result {
                Ok(code) => command.exit_code = code,
                Err(error) => command.error = Some(error),
            }
        }
        by
    }

    /// Whether all conditions are met; without any condition, the user decides.
    fn is_over(&self, now: Moment, from: Moment, command_ended: Option<Moment>) -> bool {
        let WatchOptions { at_least, until_stable, .. } = &self.options;
        if at_least.is_none() && until_stable.is_none() && command_ended.is_none() {
            return false;
        }
        let long_enough = at_least.is_none_or(|least| now.since(from) >= least);
        let undisturbed = now.since(Moment(self.disturbed.load(Ordering::Relaxed)));
        let after_command = command_ended.map_or(Duration::MAX, |ended| now.since(ended));
        let stable = match until_stable {
            Some(stable) => undisturbed >= *stable && after_command >= *stable,
            None => at_least.is_some() || after_command >= AFTER_A_COMMAND,
        };
        long_enough && stable
    }
}

fn ms(at: Moment) -> u64 {
    at.since(Moment(0)).as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(options: WatchOptions, now: i64, command_ended: Option<i64>, disturbed: i64) -> bool {
        let watch = Watch::new(options, CancellationToken::new());
        let at = |seconds: i64| Moment(seconds * 1_000_000);
        watch.disturbed(at(disturbed));
        watch.is_over(at(now), at(0), command_ended.map(at))
    }

    #[test]
    fn a_watch_ends_when_all_that_was_asked_for_holds() {
        let s = |seconds| Some(Duration::from_secs(seconds));
        let none = WatchOptions::default;
        assert!(!over(none(), 9999, None, 0), "only the user ends it");
        let long = || WatchOptions { at_least: s(60), ..none() };
        assert!(!over(long(), 59, None, 0));
        assert!(over(long(), 60, None, 59));
        assert!(over(long(), 60, Some(59), 0));
        let stable = || WatchOptions { until_stable: s(30), ..none() };
        assert!(!over(stable(), 39, None, 10));
        assert!(over(stable(), 40, None, 10));
        assert!(!over(stable(), 40, Some(20), 0), "a command's effects may come later");
        assert!(over(stable(), 50, Some(20), 0));
        assert!(!over(none(), 25, Some(20), 0));
        assert!(over(none(), 30, Some(20), 0));
    }
}
