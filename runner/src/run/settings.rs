//! The options of a run, and what its scenarios share while they are played side by side.

use super::{
    progress::{Progress, Teller},
    pulse::Demand,
};
use flowproof_core::{
    evidence::time::Moment,
    parse::Deviation,
    scenario::{
        flow::{Expectation, Family, Flow},
        variant,
    },
    trial::{
        limits::{Limits, Subject},
        pulse::Pulses,
        settle::Known,
    },
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How many lanes are played side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jobs {
    /// As many as the cluster can take: few at first, more while it answers as quickly as it did with one.
    Auto,
    /// This many.
    Fixed(usize),
}

/// Over how many lanes scenarios are distributed if the number of lanes follows the cluster; few, because each costs a deployment.
const PLANNED: usize = 3;

impl Jobs {
    /// Over how many lanes scenarios are distributed.
    pub(super) fn planned(self) -> usize {
        match self {
            Self::Auto => PLANNED,
            Self::Fixed(jobs) => jobs.max(1),
        }
    }
}

/// The options of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The run's id; part of the names of its namespaces.
    pub run: String,
    /// How long flows may take to settle after a change, and to work in the control.
    pub settle: Duration,
    /// The same after a change of labels, for which some network plugins need longer (Cilium waits five seconds).
    pub settle_labels: Duration,
    /// How long a step waits at most while nothing shows that the network has had enough time. If it is not longer than
    /// [`Settings::settle`], there is no patience and there are no pulses.
    pub patience: Duration,
    /// How long a flow must have gone as expected before it counts as settled.
    pub hold: Duration,
    /// How long a step in which nothing visibly changes is held until this run has seen how quick the network is.
    pub quiet: Duration,
    /// The longest time to enforcement that still matches; with `None`, only [`Settings::settle`] limits it.
    pub budget: Option<Duration>,
    /// Time from one attempt of a flow to the next.
    pub interval: Duration,
    /// Families in which flows are tried.
    pub families: BTreeSet<Family>,
    /// How many lanes run side by side.
    pub jobs: Jobs,
    /// How many scenarios make another lane worth its deployment, at least.
    pub lane_share: usize,
    /// How many scenarios, from the first, are played before the others and in order.
    pub urgent: usize,
    /// Whether the first mismatch ends the run: its scenario after the step, the others at once.
    pub fail_fast: bool,
    /// Whether lanes are left in place.
    pub keep: bool,
    /// Limit for the whole run.
    pub timeout: Option<Duration>,
    /// How long one deployment may make no headway. It is waited for as long as its pods, or others on their nodes, come up.
    pub deploy: Duration,
    /// Tolerations of every pod.
    pub tolerations: Vec<serde_json::Value>,
    /// Labels that a node must have to be used.
    pub node_selector: flowproof_core::scenario::Labels,
    /// Whether the canary runs.
    pub canary: bool,
    /// The arguments of flowproof, for readers of the outcome.
    pub arguments: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            run: super::id::run_id(),
            settle: Duration::from_secs(15),
            settle_labels: Duration::from_secs(45),
            patience: Duration::from_mins(2),
            hold: Duration::from_secs(1),
            quiet: Duration::from_secs(2),
            budget: None,
            interval: Duration::from_millis(100),
            families: [Family::V4, Family::V6].into(),
            jobs: Jobs::Auto,
            lane_share: 4,
            urgent: 0,
            fail_fast: false,
            keep: false,
            timeout: None,
            deploy: Duration::from_mins(2),
            tolerations: Vec::new(),
            node_selector: flowproof_core::scenario::Labels::new(),
            canary: true,
            arguments: Vec::new(),
        }
    }
}

impl Settings {
    /// Defaults for the local cluster, whose pods cost little and which enforces changes at once, or after this delay.
    pub fn local(enforce_delay: Duration) -> Self {
        let hold = Duration::from_millis(300);
        Self {
            hold,
            quiet: hold + enforce_delay * 2,
            patience: Duration::ZERO,
            jobs: Jobs::Fixed(16),
            lane_share: 1,
            ..Self::default()
        }
    }
}

/// What all lanes of a run share.
#[derive(Clone)]
pub struct Context {
    /// The options.
    pub settings: Arc<Settings>,
    /// Where progress is reported.
    pub teller: Teller,
    /// Canceled when the user wants the run to end.
    pub cancel: CancellationToken,
    /// Canceled when scenarios must end early: because of the user, `--fail-fast` or `--timeout`.
    pub enough: CancellationToken,
    /// Where this network is known to differ.
    pub deviations: Arc<Vec<Deviation>>,
    /// The watch that this run is, if it is one.
    pub watch: Option<Arc<super::watch::Watch>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Longest times to enforcement seen, in milliseconds plus one; zero if none was seen.
    slowest_policies: AtomicU64,
    slowest_labels: AtomicU64,
    /// The same for policies, since it was last read.
    lately: AtomicU64,
    pulse: Demand,
    nothing_enforced: AtomicBool,
    first_verdict: AtomicBool,
}

impl Context {
    /// Makes the context of a run.
    pub fn new(settings: Settings, teller: Teller, cancel: CancellationToken) -> Self {
        Self {
            settings: Arc::new(settings),
            teller,
            enough: cancel.child_token(),
            cancel,
            deviations: Arc::default(),
            watch: None,
            shared: Arc::default(),
        }
    }

    /// The known deviation that names this flow of a scenario's file with this expectation.
    pub fn deviation(&self, file: &str, flow: &Flow, expectation: Expectation) -> Option<Known<'_>> {
        let written = variant::written(flow);
        let of = |entry: &'_ Deviation| {
            entry
                .covers(file, flow, expectation)
                .or_else(|| entry.covers(file, written.as_ref()?, expectation))
        };
        self.deviations.iter().find_map(|entry| Some(Known { entry, observed: of(entry)? }))
    }

    /// Records that a change was enforced after this time.
    pub fn enforced(&self, subject: Subject, after: Duration) {
        let slowest = match subject {
            Subject::Policies => &self.shared.slowest_policies,
            Subject::Labels => &self.shared.slowest_labels,
        };
        slowest.fetch_max(after.as_millis() as u64 + 1, Ordering::Relaxed);
        if subject == Subject::Policies {
            self.shared.lately.fetch_max(after.as_millis() as u64 + 1, Ordering::Relaxed);
        }
    }

    /// The longest time to enforcement of policies since this was last asked.
    pub fn enforced_lately(&self) -> Option<Duration> {
        self.shared.lately.swap(0, Ordering::Relaxed).checked_sub(1).map(Duration::from_millis)
    }

    /// Records that the canary found that nothing is enforced.
    pub fn nothing_enforced(&self) {
        self.shared.nothing_enforced.store(true, Ordering::Relaxed);
    }

    /// The limits that apply now.
    pub fn limits(&self) -> Limits {
        let Settings { settle, settle_labels, patience, hold, quiet, budget, .. } = *self.settings;
        let seen =
            |slowest: &AtomicU64| slowest.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_millis);
        Limits {
            settle,
            settle_labels,
            patience,
            hold,
            quiet,
            budget,
            slowest_policies: seen(&self.shared.slowest_policies),
            slowest_labels: seen(&self.shared.slowest_labels),
            nothing_enforced: self.shared.nothing_enforced.load(Ordering::Relaxed),
        }
    }

    /// The results of pulses so far. Must not be held across an `await`.
    pub fn pulses(&self) -> watch::Ref<'_, Pulses> {
        self.shared.pulse.shown.borrow()
    }

    /// Requests pulses for the next moments, because a step is late after such a change.
    pub fn want_pulses(&self, subject: Subject) {
        self.shared.pulse.want(subject);
    }

    /// Where pulses are asked for and shown.
    pub(super) fn pulse(&self) -> &Demand {
        &self.shared.pulse
    }

    /// Reports, only once, that a flow has settled.
    pub fn first_verdict(&self, at: Moment) {
        if !self.shared.first_verdict.swap(true, Ordering::Relaxed) {
            self.teller.tell(Progress::FirstVerdict { after: at.since(Moment(0)) });
        }
    }
}
