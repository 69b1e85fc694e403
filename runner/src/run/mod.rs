//! A run: scenarios in, outcome out.
//!
//! Scenarios whose topologies agree share a lane, one after the other; lanes run side by side. A scenario that may affect pods of
//! others runs alone. The canary runs beside the first scenarios. Whatever happens, when the outcome is returned, the removal of
//! every lane has begun, unless lanes are to be kept; [`CleanUp`] waits for its end.

mod canary;
mod clean_up;
mod id;
mod lane;
mod places;
mod play;
mod progress;
mod pulse;
mod settings;
pub mod watch;

pub use clean_up::{CleanUp, Judged, Live};
pub use id::run_id;
pub use progress::{Phase, Progress, Teller};
pub use settings::{Context, Jobs, Settings};

use crate::cluster::{Cluster, ClusterError, ClusterInfo, Wait};
use flowproof_core::{
    evidence::time::Moment,
    outcome::{self, ClusterOutcome, End, NodeOutcome, Outcome, ScenarioOutcome, WatchOutcome},
    place::{
        placement::{self, Node, PlaceError},
        schedule,
    },
    scenario::{Manifest, Scenario, Topology, name::Workload},
    trial::load::Answers,
};
use futures::future::join_all;
use lane::{Lane, LaneSpec};
use places::Places;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::RwLock, time::timeout};
use tokio_util::sync::CancellationToken;

/// The pods of the first lane start alone, so that the first verdict comes early. The others start when they are up, or after this long.
const FIRST_LANE_ALONE: Duration = Duration::from_secs(5);

/// How many urgent scenarios are played side by side from the start, at most.
const MOST_URGENT: usize = 16;

/// Plays the scenarios on the cluster; returns as soon as everything is judged, while the lanes are removed.
///
/// Fails only before anything was created; whatever goes wrong later is part of the outcome.
pub async fn run(
    cluster: Arc<dyn Cluster>,
    scenarios: Vec<Scenario>,
    mut context: Context,
    live: Live,
) -> Result<Judged, ClusterError> {
    let zero = Instant::now();
    let started = jiff::Timestamp::now();
    let info = cluster.describe().await?;
    let nodes = usable(&info, &context.settings);
    Arc::make_mut(&mut context.deviations).retain(|entry| entry.is_about(&info.cni));
    let unusable: Vec<String> =
        info.nodes.iter().filter_map(|n| Some(format!("{}: {}", n.name, n.unusable.as_ref()?))).collect();
    if nodes.is_empty() {
        return Err(ClusterError::Unsupported {
            what: format!("no node can take pods now ({})", unusable.join("; ")),
        });
    }
    context.teller.tell(Progress::Started {
        run: context.settings.run.clone(),
        cluster: describe(&info),
        notes: unusable
            .iter()
            .map(|node| format!("left out: node {node}"))
            .chain(info.notes.clone())
            .chain(
                scenarios.iter().flat_map(|scenario| {
                    scenario.notes.iter().map(|note| format!("{}: {note}", scenario.file))
                }),
            )
            .collect(),
        scenarios: scenarios.len(),
    });
    let run = Run {
        cluster,
        addresses: info.nodes.iter().map(|node| (node.name.clone(), node.addresses.clone())).collect(),
        nodes,
        places: match context.watch {
            None => Places::new(context.settings.jobs, context.settings.urgent.min(MOST_URGENT)),
            Some(_) => Places::new(Jobs::Fixed(scenarios.len()), 1),
        },
        alone: RwLock::new(()),
        next_lane: AtomicUsize::new(0),
        first_lane: CancellationToken::new(),
        live,
        zero,
        context,
    };
    let (canary, played, watch) = run.all(&scenarios).await;
    let context = &run.context;
    let clean_up = run.clean();
    let outcome = Outcome {
        schema: outcome::schema(),
        run: context.settings.run.clone(),
        started: started.to_string(),
        took_ms: zero.elapsed().as_millis() as u64,
        flowproof: env!("CARGO_PKG_VERSION").to_owned(),
        arguments: context.settings.arguments.clone(),
        cluster: ClusterOutcome {
            kind: info.kind.to_owned(),
            context: info.context,
            server: info.server,
            version: info.version,
            cni: info.cni,
            nodes: info.nodes.into_iter().map(node_outcome).collect(),
        },
        canary: canary.map(|outcome| canary::read(&outcome)),
        scenarios: played,
        watch,
        diagnosis: Vec::new(),
        remains: if context.settings.keep { run.live.traces() } else { Vec::new() },
        interrupted: context.cancel.is_cancelled(),
    };
    context.teller.tell(Progress::Done(Box::new(outcome.clone())));
    Ok(Judged { outcome, clean_up })
}

/// What the next deployment of a lane is for.
#[derive(PartialEq)]
enum Extent {
    /// All scenarios that can share it.
    Shared,
    /// One scenario: a deployment for several failed.
    Own,
}

struct Run {
    cluster: Arc<dyn Cluster>,
    addresses: BTreeMap<String, Vec<std::net::IpAddr>>,
    nodes: Vec<Node>,
    places: Places,
    alone: RwLock<()>,
    next_lane: AtomicUsize,
    /// Canceled as soon as the first lane is up, or has failed.
    first_lane: CancellationToken,
    live: Live,
    zero: Instant,
    context: Context,
}

fn usable(info: &ClusterInfo, settings: &Settings) -> Vec<Node> {
    let wanted = |node: &&crate::cluster::NodeInfo| {
        node.unusable.is_none()
            && settings.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
    };
    let node = |node: &crate::cluster::NodeInfo| Node {
        name: node.name.clone(),
        labels: node.labels.clone(),
        taints: node.taints.clone(),
    };
    info.nodes.iter().filter(wanted).map(node).collect()
}

fn node_outcome(node: crate::cluster::NodeInfo) -> NodeOutcome {
    NodeOutcome {
        name: node.name,
        unusable: node.unusable,
        kubelet: node.version,
        os_image: node.os_image,
        kernel: node.kernel,
        container_runtime: node.container_runtime,
    }
}

fn describe(info: &ClusterInfo) -> String {
    let count = info.nodes.len();
    let nodes = format!("{count} node{}", if count == 1 { "" } else { "s" });
    if info.kind == "local" {
        return format!("the local cluster ({nodes}, {})", info.cni);
    }
    format!(
        "context {} at {} (Kubernetes {}, {}, {nodes})",
        info.context, info.server, info.version, info.cni
    )
}

impl Run {
    async fn all(
        &self,
        scenarios: &[Scenario],
    ) -> (Option<ScenarioOutcome>, Vec<ScenarioOutcome>, Option<WatchOutcome>) {
        let lanes = match &self.context.watch {
            None => schedule::lanes(scenarios, self.limits(), |topology| self.place(topology, 0).is_ok()),
            // The policies of a watched scenario stay in force until the watch is over, so no two scenarios can share a lane.
            Some(watch) => {
                watch.expect(scenarios.len());
                (0..scenarios.len()).map(|index| vec![index]).collect()
            }
        };
        let canary = canary::scenario(&self.nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>());
        let limit = async {
            match self.context.settings.timeout {
                Some(limit) => tokio::time::sleep(limit.saturating_sub(self.zero.elapsed())).await,
                None => std::future::pending().await,
            }
        };
        let over = CancellationToken::new();
        let play = async {
            let lanes = lanes.iter().enumerate().map(async |(number, members)| {
                if number >= self.context.settings.urgent.max(1) {
                    self.behind_the_first().await;
                }
                self.in_turn(scenarios, members).await
            });
            let played = tokio::join!(self.canary(&canary), join_all(lanes), self.watch());
            over.cancel();
            played
        };
        let play = async { tokio::join!(play, self.pulse(&over)).0 };
        tokio::pin!(play);
        let (canary, outcomes, watch) = tokio::select! {
            done = &mut play => done,
            () = limit => {
                self.context.enough.cancel();
                play.await
            }
        };
        let mut outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
        outcomes.sort_by_key(|(index, _)| *index);
        (canary, outcomes.into_iter().map(|(_, outcome)| outcome).collect(), watch)
    }

    async fn watch(&self) -> Option<WatchOutcome> {
        let watch = self.context.watch.as_ref()?;
        Some(watch.keep(self.zero, &self.context.teller, &self.context.enough).await)
    }

    async fn canary(&self, scenario: &Scenario) -> Option<ScenarioOutcome> {
        if !self.context.settings.canary {
            return None;
        }
        self.behind_the_first().await;
        let mut lane = match self.deploy(&scenario.topology).await {
            Ok(lane) => lane,
            Err(end) => return Some(self.unplayed(scenario, end)),
        };
        let _shared = self.alone.read().await;
        let mut context = self.context.clone();
        context.watch = None;
        let played = play::play(&mut lane, scenario, &context).await;
        self.retire(lane).await;
        let read = canary::read(&played.outcome);
        if read.nothing_enforced() {
            self.context.nothing_enforced();
        }
        self.context.teller.tell(Progress::Canary(read));
        Some(played.outcome)
    }

    async fn behind_the_first(&self) {
        tokio::select! {
            _ = timeout(FIRST_LANE_ALONE, self.first_lane.cancelled()) => {}
            () = self.context.enough.cancelled() => {}
        }
    }

    /// Plays scenarios in turn on one lane.
    async fn in_turn(&self, scenarios: &[Scenario], members: &[usize]) -> Vec<(usize, ScenarioOutcome)> {
        let mut outcomes = Vec::new();
        let Some(_place) = self.places.enter().await else { return outcomes };
        let mut lane: Option<Lane> = None;
        let mut extent = Extent::Shared;
        for (played, &index) in members.iter().enumerate() {
            let scenario = &scenarios[index];
            let outcome = if self.context.enough.is_cancelled() {
                self.unplayed(scenario, End::Interrupted)
            } else {
                let ready = match self.are_served(scenario).await {
                    Err(end) => Err(end),
                    Ok(()) => self.lane_for(lane.take(), scenarios, &members[played..], &mut extent).await,
                };
                self.first_lane.cancel();
                match ready {
                    Err(end) => self.unplayed(scenario, end),
                    Ok(mut ready) => {
                        let played = self.exclusively(&mut ready, scenario).await;
                        self.answered(&mut ready);
                        if played.clean {
                            lane = Some(ready);
                        } else {
                            self.retire(ready).await;
                        }
                        played.outcome
                    }
                }
            };
            if let Some(watch) = &self.context.watch {
                watch.left();
            }
            self.context.teller.tell(Progress::Finished(Box::new(outcome.clone())));
            if self.context.settings.fail_fast && outcome.tally().mismatched > 0 {
                self.context.enough.cancel();
            }
            outcomes.push((index, outcome));
        }
        if let Some(lane) = lane {
            self.retire(lane).await;
        }
        outcomes
    }

    /// Adjusts the number of lanes to how quickly the cluster played a scenario.
    fn answered(&self, lane: &mut Lane) {
        let enforced = self.context.enforced_lately();
        self.places.answered(&Answers { enforced, lag: lane.book().longest_lag(), start: None });
        lane.book_mut().forget_lags();
        self.places.adjust();
    }

    /// A lane on which the next scenario can be played: the current one, or a new one, for the scenarios after it, too.
    ///
    /// If a pod does not start, the scenario gets a lane of its own, because the pod may be another scenario's.
    async fn lane_for(
        &self,
        lane: Option<Lane>,
        scenarios: &[Scenario],
        next: &[usize],
        extent: &mut Extent,
    ) -> Result<Lane, End> {
        let own = &scenarios[next[0]].topology;
        match lane {
            Some(lane) if lane.holds(own) => return Ok(lane),
            Some(lane) => self.retire(lane).await,
            None => {}
        }
        let mut served = vec![next[0]];
        for &index in &next[1..] {
            if self.are_served(&scenarios[index]).await.is_ok() {
                served.push(index);
            }
        }
        let shared = schedule::deployment(scenarios, &served)
            .filter(|shared| *extent == Extent::Shared && shared != own);
        if let Some(shared) = shared {
            match self.deploy(&shared).await {
                Err(End::Failed { .. }) => *extent = Extent::Own,
                ended => return ended,
            }
        }
        self.deploy(own).await
    }

    /// Plays a scenario; alone, if it may affect pods of others.
    async fn exclusively(&self, lane: &mut Lane, scenario: &Scenario) -> play::Played {
        if scenario.must_run_alone() {
            let _alone = self.alone.write().await;
            play::play(lane, scenario, &self.context).await
        } else {
            let _shared = self.alone.read().await;
            play::play(lane, scenario, &self.context).await
        }
    }

    /// Fails with the reason if the cluster does not serve the kinds of all objects of a scenario.
    async fn are_served(&self, scenario: &Scenario) -> Result<(), End> {
        for Manifest { object, .. } in scenario.applied() {
            self.cluster.serves(&object.api_version, &object.kind).await.map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    fn limits(&self) -> schedule::Limits {
        let Settings { jobs, lane_share, urgent, .. } = *self.context.settings;
        schedule::Limits { jobs: jobs.planned(), lane_share, urgent }
    }

    fn place(&self, topology: &Topology, turn: usize) -> Result<BTreeMap<Workload, String>, PlaceError> {
        let mut topology = topology.clone();
        for spec in topology.workloads.values_mut() {
            spec.tolerations.extend(self.context.settings.tolerations.iter().cloned());
        }
        placement::place(&topology, &self.nodes, turn)
    }

    async fn deploy(&self, topology: &Topology) -> Result<Lane, End> {
        let settings = &self.context.settings;
        let number = self.next_lane.fetch_add(1, Ordering::Relaxed);
        let deployed = self.with_templates(topology).await.map_err(|error| failed(&error))?;
        let placed = self.place(&deployed, number).map_err(|error| match error {
            PlaceError::NeedsAnotherNode(..) => End::Skipped { why: error.to_string() },
            _ => End::Failed { error: error.to_string(), hint: None, node: None },
        })?;
        let spec = LaneSpec {
            cluster: Arc::clone(&self.cluster),
            run: settings.run.clone(),
            number,
            asked: topology.clone(),
            topology: deployed,
            placed,
            node_addresses: self.addresses.clone(),
            tolerations: settings.tolerations.clone(),
            without_headway: settings.deploy,
            zero: self.zero,
        };
        let pods = spec.topology.workloads.len();
        self.context.teller.tell(Progress::Deploying { lane: number, pods });
        let real = spec.real();
        self.live.enter(real.clone());
        let begun = Instant::now();
        let error = tokio::select! {
            deployed = Lane::deploy(spec) => match deployed {
                Ok(lane) => {
                    let start = Some(begun.elapsed());
                    self.places.answered(&Answers { start, ..Answers::default() });
                    return Ok(lane);
                }
                Err(error) => failed(&error),
            },
            () = self.context.enough.cancelled() => return Err(End::Interrupted),
        };
        // The pods that did come up must not take resources from others.
        if !settings.keep {
            let _ = self.cluster.remove(&real, Wait::Accepted).await;
        }
        Err(error)
    }

    /// The topology, with what shadows take from their workloads.
    async fn with_templates(&self, topology: &Topology) -> Result<Topology, ClusterError> {
        let mut topology = topology.clone();
        for spec in topology.workloads.values_mut() {
            let Some(like) = &spec.like else { continue };
            let template = self.cluster.template(like).await?;
            spec.labels = template.labels;
            spec.node_selector = template.node_selector;
            spec.tolerations = template.tolerations;
            spec.service_account = Some(template.service_account);
        }
        Ok(topology)
    }

    /// Begins to remove a lane without waiting for the end. If that fails, [`CleanUp`] tries again.
    async fn retire(&self, lane: Lane) {
        if !self.context.settings.keep {
            let _ = lane.remove(Wait::Accepted).await;
        }
    }

    /// Begins to remove what is left of all lanes.
    fn clean(&self) -> CleanUp {
        let run = &self.context.settings.run;
        if self.context.settings.keep {
            return CleanUp::kept(run, &self.live);
        }
        let namespaces = self.live.of_run(run).iter().map(|lane| lane.namespaces.len()).sum();
        self.context.teller.tell(Progress::Cleaning { namespaces });
        CleanUp::begin(Arc::clone(&self.cluster), run, &self.live)
    }

    fn unplayed(&self, scenario: &Scenario, end: End) -> ScenarioOutcome {
        ScenarioOutcome {
            claim: scenario.claim.clone(),
            file: scenario.file.clone(),
            started_at_ms: crate::link::now(self.zero).since(Moment(0)).as_millis() as u64,
            took_ms: 0,
            end,
            steps: Vec::new(),
            restore: None,
            watched: None,
        }
    }
}

fn failed(error: &ClusterError) -> End {
    match error {
        ClusterError::Unsupported { what } => End::Skipped { why: what.clone() },
        _ => End::Failed {
            error: error.to_string(),
            hint: error.hint().map(str::to_owned),
            node: error.node().map(str::to_owned),
        },
    }
}

/// A duration as the reports show it: `850 ms`, `4.2 s`, `3 min 20 s`.
pub fn duration_text(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..120_000 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!("{} min {} s", ms / 60_000, ms / 1000 % 60),
    }
}
