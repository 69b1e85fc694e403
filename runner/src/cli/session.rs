//! A session plays one run or several. It listens for signals from its begin, and ends when everything is removed.

use super::console;
use crate::run::{CleanUp, Live};
use flowproof_core::outcome::{Exit, Outcome};
use futures::future::join_all;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What is played between the start of the program and its end.
pub struct Session {
    /// Set when the user wants everything to end.
    pub cancel: CancellationToken,
    /// What the session has created in the cluster and not yet removed.
    pub live: Live,
    clean_ups: Vec<CleanUp>,
    signals: JoinHandle<()>,
}

/// How a session ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// What remains although it should have been removed.
    pub remains: Vec<String>,
    /// Whether the user interrupted it, even after everything was judged.
    pub interrupted: bool,
}

impl Session {
    /// Listens for signals from now on. The first one ends the watch, if there is one.
    pub fn begin(watch: Option<CancellationToken>) -> Self {
        let (cancel, live) = (CancellationToken::new(), Live::default());
        let signals = tokio::spawn(listen_for_signals(watch, cancel.clone(), live.clone()));
        Self { cancel, live, clean_ups: Vec::new(), signals }
    }

    /// Makes the session wait for a removal before it ends.
    pub fn await_in_the_end(&mut self, clean_up: CleanUp) {
        self.clean_ups.push(clean_up);
    }

    /// Waits until everything is gone, and prints on stderr what is not.
    pub async fn end(self) -> Ended {
        let remains = join_all(self.clean_ups.into_iter().map(CleanUp::end)).await.concat();
        self.signals.abort();
        if !remains.is_empty() {
            show_remains(&remains, &self.live);
        }
        Ended { remains, interrupted: self.cancel.is_cancelled() }
    }
}

impl Ended {
    /// Adds to an outcome what was not yet known when it was reported; returns whether that changes it.
    pub fn amend(&self, outcome: &mut Outcome) -> Changed {
        let changed = !self.remains.is_empty() || self.interrupted && !outcome.interrupted;
        outcome.remains.extend(self.remains.iter().cloned());
        outcome.interrupted |= self.interrupted;
        if changed { Changed::Yes } else { Changed::No }
    }
}

/// Whether an outcome differs from the one that was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Saved files have to be written again.
    Yes,
    /// Its reports are right.
    No,
}

fn show_remains(remains: &[String], live: &Live) {
    let runs = live.runs().into_iter().collect::<Vec<_>>().join(" ");
    console::warning(format_args!("left behind: {}", remains.join(", ")));
    console::hint(format_args!("remove it with: flowproof clean {runs}"));
}

/// The first signal ends a watch, which is then reported. The next one (in a run, the first) ends the run and cleans up. One
/// more quits at once and prints what remains.
async fn listen_for_signals(watch: Option<CancellationToken>, run: CancellationToken, live: Live) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    let mut next = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    if let Some(watch) = watch {
        next().await;
        watch.cancel();
        console::note("ending the watch; press Ctrl-C again to clean up without a report");
    }
    next().await;
    run.cancel();
    console::note("interrupted: cleaning up; press Ctrl-C again to quit immediately");
    next().await;
    let traces = live.traces();
    if !traces.is_empty() {
        show_remains(&traces, &live);
    }
    std::process::exit(i32::from(Exit::Interrupted.code()));
}
