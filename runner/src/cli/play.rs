//! What `run`, `check` and `watch` have in common: their arguments, their settings, and a run from its start to its outcome.

use super::{
    Failure,
    cluster::{ClusterArgs, ClusterKind, no_effect},
    outputs::Outputs,
    pods::PodArgs,
    selection::SelectionArgs,
    session::Session,
    values::{duration, pairs},
};
use crate::{
    cluster::Cluster,
    report::live,
    run::{
        Context, Judged, Settings, Teller, run,
        watch::{Watch, WatchOptions},
    },
};
use clap::Args;
use flowproof_core::{
    outcome::{Exit, Outcome},
    parse::Deviation,
    scenario::Scenario,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What is played, where and how.
#[derive(Debug, Clone, Args)]
pub struct PlayArgs {
    /// How to show progress on stderr
    #[arg(long, value_enum, default_value = "auto")]
    pub progress: live::Style,
    /// Which scenarios.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// How long what may take.
    #[command(flatten)]
    pub timing: TimingArgs,
    /// Where to run.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How pods are made.
    #[command(flatten)]
    pub pods: PodArgs,
}

/// How long what may take.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Timing")]
pub struct TimingArgs {
    /// How long flows may take to settle after a change [default: 15s; 10s for check; 45s after a label change]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub settle: Option<Duration>,
    /// How much longer than --settle to wait for a network that is slow right now, as measured by other changes [default: 2m;
    /// 0s in the local cluster]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub patience: Option<Duration>,
    /// How long a flow must behave as expected before it counts as settled [default: 1s; 300ms in the local cluster]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub hold: Option<Duration>,
    /// Interval between attempts of a flow; stretched when more than 100 flows run together
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = duration)]
    pub interval: Duration,
}

impl PlayArgs {
    /// The settings in that kind of cluster, with a canary.
    pub fn settings(&self, kind: ClusterKind) -> Result<Settings, Failure> {
        let defaults = match kind {
            ClusterKind::Kube => Settings::default(),
            ClusterKind::Local => Settings::local(self.cluster.local.enforce_delay.unwrap_or_default()),
        };
        Ok(Settings {
            settle: self.timing.settle.unwrap_or(defaults.settle),
            settle_labels: self.timing.settle.unwrap_or(defaults.settle_labels),
            patience: self.timing.patience.unwrap_or(defaults.patience),
            hold: self.timing.hold.unwrap_or(defaults.hold),
            interval: self.timing.interval,
            families: self.selection.families(),
            arguments: std::env::args().skip(1).collect(),
            tolerations: self.pods.tolerations()?,
            node_selector: pairs("--node-selector", &self.pods.node_selector)?,
            ..defaults
        })
    }

    /// Chooses the cluster; refuses options that have no effect there.
    pub fn choose(&self) -> Result<ClusterKind, Failure> {
        let kind = self.cluster.choose(&self.pods)?;
        if kind == ClusterKind::Local && self.selection.touch_live {
            return Err(no_effect("--touch-live", kind));
        }
        Ok(kind)
    }

    /// Connects to the cluster, or starts the local one.
    pub async fn connect(&self, kind: ClusterKind) -> Result<Arc<dyn Cluster>, Failure> {
        self.cluster.connect(kind, &self.pods).await
    }
}

/// A run, and what becomes of its outcome.
pub struct Request<'a> {
    /// What is played, where and how.
    pub args: &'a PlayArgs,
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
    /// The kind of cluster that was chosen.
    pub kind: ClusterKind,
    /// The options.
    pub settings: Settings,
    /// The watch, if it is one.
    pub watch: Option<WatchOptions>,
    /// Where the outcome goes.
    pub outputs: Outputs<'a>,
}

impl Request<'_> {
    /// Plays and reports; `after` may add to the outcome, and returns the text that follows the tables. Returns the exit code.
    pub async fn carry_out(
        self,
        after: impl FnOnce(&mut Outcome, &[Scenario]) -> String,
    ) -> Result<Exit, Failure> {
        let Self { args, scenarios, kind, settings, watch, outputs } = self;
        args.selection.may_play(kind, &scenarios)?;
        let deviations = args.selection.deviations()?;
        if watch.is_some()
            && scenarios.len() > 1
            && let Some(alone) = scenarios.iter().find(|scenario| scenario.must_run_alone())
        {
            return Err(Failure::usage(format!(
                "{} applies a cluster-scoped object: it can only be watched alone",
                alone.file
            ))
            .hint("name the scenarios to watch, or choose them with --filter"));
        }
        outputs.check()?;
        let cluster = args.connect(kind).await?;
        let watch = watch.map(|options| Arc::new(Watch::new(options, CancellationToken::new())));
        let mut session = Session::begin(watch.as_ref().map(|watch| watch.end.clone()));
        let play = Play { cluster, scenarios: scenarios.clone(), deviations, settings, watch };
        // If this fails, nothing has been created.
        let mut outcome = play.carry_out(&mut session, args.progress, Box::new(|_| None)).await?;
        let after = after(&mut outcome, &scenarios);
        let written = outputs.write(&outcome, &after);
        let changed = session.end().await.amend(&mut outcome);
        written.and(outputs.finish(&outcome, changed))?;
        Ok(outcome.conclusion().exit())
    }
}

/// What is played where.
pub struct Play {
    /// The cluster.
    pub cluster: Arc<dyn Cluster>,
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
    /// Where the cluster's network plugin is known to differ.
    pub deviations: Vec<Deviation>,
    /// The options.
    pub settings: Settings,
    /// What happens once the scenarios have settled.
    pub watch: Option<Arc<Watch>>,
}

impl Play {
    /// Plays it and shows progress; returns when everything is judged. The session waits for the removal at its end.
    pub async fn carry_out(
        self,
        session: &mut Session,
        style: live::Style,
        remark: live::Remark,
    ) -> Result<Outcome, Failure> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let live_report = tokio::spawn(live::tell(style, receiver, remark));
        let mut context = Context::new(self.settings, Teller(sender), session.cancel.clone());
        context.deviations = Arc::new(self.deviations);
        context.watch = self.watch;
        let judged = run(self.cluster, self.scenarios, context, session.live.clone()).await;
        let _ = live_report.await;
        let Judged { outcome, clean_up } = judged?;
        session.await_in_the_end(clean_up);
        Ok(outcome)
    }
}
