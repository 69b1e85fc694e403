//! Makes pulses for steps that are late: turns a small policy, or labels, on and off for two idle probers on every node.
//!
//! What they show is kept in [`Pulses`], which decides what follows. As long as all steps settle in time, no pulse is made and no
//! pod is started for it.

use super::{Run, lane::Lane};
use flowproof_core::{
    evidence::{record::Last, time::Moment},
    outcome::End,
    place::placement::Node,
    scenario::{
        Change, Manifest, ObjectRef, Placement, Topology, WorkloadSpec,
        flow::{Expectation, Family, Flow, Target},
        label::LabelChange,
        name::Workload,
    },
    text::{Places, Position},
    trial::{
        book::{Key, Window},
        limits::Subject,
        pulse::{Beat, Heart, Pulses},
    },
};
use flowproof_wire::{Listener, Pace, REPORT_EVERY_MS, Transport};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "pulse";
const LISTENER: Listener = Listener { transport: Transport::Tcp, port: 80 };
const ROLE: &str = "role";
const TURNED: &str = "pulse";

/// How the flows of a pulse are tried.
const PACE: Pace = Pace { interval_ms: 100, timeout_ms: 250, report_ms: REPORT_EVERY_MS };

/// Attempts in a row that must be denied before a node counts as enforcing.
const DENIED: u64 = 3;

/// How often a pulse is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A late step asks repeatedly. If none has asked for this long, none is late any more.
const WANTED_FOR: Duration = Duration::from_secs(1);

/// For a pulse to show on a node, the node's flow must have been answered within this time.
const LATELY: Duration = Duration::from_secs(2);

/// How long the flows may take to be answered before the first pulse. A node on which they are not shows nothing.
const WARM_UP: Duration = Duration::from_secs(5);

/// On a node that has not enforced it, a pulse ends after this long, and after this many times what it took elsewhere.
const LONGEST_BEAT: Duration = Duration::from_secs(10);
const TIMES_OTHERS: u32 = 4;

/// Pause before another try if pulses could not be made.
const AGAIN: Duration = Duration::from_secs(5);

/// Where pulses are requested, and where their results are.
pub(super) struct Demand {
    /// Their results so far.
    pub(super) shown: watch::Sender<Pulses>,
    /// When they were last asked for, in milliseconds since `since`, plus one; zero for never.
    policies: AtomicU64,
    labels: AtomicU64,
    since: Instant,
    asked: Notify,
}

impl Default for Demand {
    fn default() -> Self {
        Self {
            shown: watch::Sender::new(Pulses::default()),
            policies: AtomicU64::new(0),
            labels: AtomicU64::new(0),
            since: Instant::now(),
            asked: Notify::new(),
        }
    }
}

impl Demand {
    /// Requests pulses for the next moments.
    pub(super) fn want(&self, subject: Subject) {
        let now = self.since.elapsed().as_millis() as u64 + 1;
        self.of(subject).store(now, Ordering::Relaxed);
        self.asked.notify_one();
    }

    /// Whether pulses of this kind are wanted now.
    fn is_wanted(&self, subject: Subject) -> bool {
        match self.of(subject).load(Ordering::Relaxed).checked_sub(1) {
            Some(at) => self.since.elapsed().saturating_sub(Duration::from_millis(at)) < WANTED_FOR,
            None => false,
        }
    }

    /// Waits until pulses are wanted, and returns of which kind. If both kinds are wanted, they alternate, because a pulse of labels may
    /// take long.
    async fn wanted(&self, before: Option<Subject>) -> Subject {
        loop {
            let wanted = [Subject::Policies, Subject::Labels].map(|subject| self.is_wanted(subject));
            match (wanted, before) {
                ([true, true], Some(Subject::Policies)) | ([false, true], _) => return Subject::Labels,
                ([true, _], _) => return Subject::Policies,
                ([false, false], _) => self.asked.notified().await,
            }
        }
    }

    fn of(&self, subject: Subject) -> &AtomicU64 {
        match subject {
            Subject::Policies => &self.policies,
            Subject::Labels => &self.labels,
        }
    }
}

/// The probers of the pulses, and what is turned on.
struct Pacemaker {
    lane: Lane,
    /// The flows, by the subject and the node for which they show a pulse.
    flows: BTreeMap<(Subject, String), Key>,
    policies: Turned,
    labels: Turned,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turned {
    Off,
    On,
}

impl Run {
    /// Makes pulses while they are wanted, until the run is over.
    pub(super) async fn pulse(&self, over: &CancellationToken) {
        let settings = &self.context.settings;
        if settings.patience <= settings.settle {
            return;
        }
        self.context.pulse().shown.send_modify(|pulses| pulses.heart = Heart::Ready);
        tokio::select! {
            () = self.beat_on_demand() => {}
            () = over.cancelled() => {}
        }
    }

    async fn beat_on_demand(&self) {
        let demand = self.context.pulse();
        let mut last = None;
        loop {
            demand.wanted(None).await;
            let mut pacemaker = match self.deploy(&topology(&self.nodes)).await {
                Ok(lane) => Pacemaker::new(lane),
                Err(End::Interrupted) => return,
                Err(end) => {
                    demand.shown.send_modify(|pulses| pulses.heart = Heart::Failed(why(end)));
                    sleep(AGAIN).await;
                    continue;
                }
            };
            loop {
                let subject = demand.wanted(last).await;
                last = Some(subject);
                if let Err(error) = pacemaker.beat(subject, demand).await {
                    demand.shown.send_modify(|pulses| pulses.heart = Heart::Failed(error.to_string()));
                    sleep(AGAIN).await;
                    demand.shown.send_modify(|pulses| pulses.heart = Heart::Ready);
                }
                if !demand.is_wanted(Subject::Policies) && !demand.is_wanted(Subject::Labels) {
                    pacemaker.rest();
                }
            }
        }
    }
}

impl Pacemaker {
    fn new(mut lane: Lane) -> Self {
        let around = lane.surroundings();
        let topology = lane.topology().clone();
        let mut flows = BTreeMap::new();
        for (number, (workload, _)) in
            topology.workloads.iter().filter(|(w, _)| w.name.starts_with("to")).enumerate()
        {
            let (from, to) = (self::workload("from", number), workload.clone());
            let Some(node) = lane.site().node(&to).map(str::to_owned) else { continue };
            for (subject, source, target) in [(Subject::Policies, &from, &to), (Subject::Labels, &to, &from)]
            {
                let flow = Flow {
                    source: source.clone(),
                    target: Target::Workload(target.clone()),
                    transport: LISTENER.transport,
                    port: LISTENER.port,
                    established: false,
                };
                let keys = lane.track(&flow, &[Family::V4, Family::V6].into(), &around);
                flows.extend(keys.first().map(|key| ((subject, node.clone()), *key)));
            }
        }
        Self { lane, flows, policies: Turned::Off, labels: Turned::Off }
    }

    /// Turns policies or labels on or off, and records on which nodes that shows, and when.
    async fn beat(&mut self, subject: Subject, demand: &Demand) -> Result<(), crate::cluster::ClusterError> {
        let keys: Vec<Key> = self.flows.values().copied().collect();
        self.lane.try_flows(&keys, PACE);
        let expected = match self.turned(subject) {
            Turned::Off => Expectation::Deny,
            Turned::On => Expectation::Allow,
        };
        let nodes = self.ready(subject, expected).await;
        let accepted = self.turn(subject).await?;
        let showing = nodes.keys().cloned().collect();
        demand.shown.send_modify(|pulses| {
            pulses.begin(Beat { subject, accepted, nodes: showing, through: BTreeMap::new() });
        });
        loop {
            self.lane.hear(LOOK_EVERY).await;
            let now = self.lane.now();
            let window =
                Window { from: accepted, to: Last::StartedBy(now - Duration::from_millis(PACE.timeout_ms)) };
            for (node, key) in &nodes {
                let seen = self.lane.book().assess(*key, expected, window, Duration::ZERO);
                let enough = if expected.denies() { seen.series >= DENIED } else { seen.series > 0 };
                if let (Some(since), true) = (seen.good_since, enough) {
                    demand.shown.send_modify(|pulses| pulses.through(node, since));
                }
            }
            let (through, slowest) = {
                let pulses = demand.shown.borrow();
                let beat = pulses.last().map(|beat| &beat.through);
                let times = beat.into_iter().flatten().map(|(_, at)| at.since(accepted));
                (beat.map_or(0, BTreeMap::len), times.max().unwrap_or_default())
            };
            let waited = now.since(accepted);
            let unwanted = !demand.is_wanted(subject);
            if through == nodes.len() || unwanted || waited > LONGEST_BEAT.max(slowest * TIMES_OTHERS) {
                return Ok(());
            }
        }
    }

    /// The nodes on which the next turn of a pulse can show: before it is turned on, the flow there must work; before it is turned off,
    /// the flow must be denied.
    async fn ready(&mut self, subject: Subject, next: Expectation) -> BTreeMap<String, Key> {
        let begun = self.lane.now();
        let now_is = if next.denies() { Expectation::Allow } else { Expectation::Deny };
        loop {
            self.lane.hear(LOOK_EVERY).await;
            let now = self.lane.now();
            let to = Last::StartedBy(now - Duration::from_millis(PACE.timeout_ms));
            let window = Window { from: now - LATELY, to };
            let shows = |key: &Key| {
                let seen = self.lane.book().assess(*key, now_is, window, Duration::ZERO);
                seen.good_since.is_some()
            };
            let of = self.flows.iter().filter(|((kind, _), key)| *kind == subject && shows(key));
            let ready: BTreeMap<String, Key> = of.map(|((_, node), key)| (node.clone(), *key)).collect();
            let all = self.flows.keys().filter(|(kind, _)| *kind == subject).count();
            if ready.len() == all || now.since(begun) > WARM_UP || (!next.denies() && !ready.is_empty()) {
                return ready;
            }
        }
    }

    async fn turn(&mut self, subject: Subject) -> Result<Moment, crate::cluster::ClusterError> {
        let on = self.turned(subject) == Turned::Off;
        let mut accepted = self.lane.now();
        match subject {
            Subject::Policies => {
                let policy = policy("turned-on-and-off", json!({ROLE: "to"}));
                let change = if on { Change::Apply(policy) } else { Change::Delete(policy.object) };
                accepted = self.lane.change(&change).await?;
                self.policies = if on { Turned::On } else { Turned::Off };
            }
            Subject::Labels => {
                let policy = policy("by-label", json!({ROLE: "from", TURNED: "on"}));
                if !self.lane.state().manifests.iter().any(|known| known.object == policy.object) {
                    self.lane.change(&Change::Apply(policy)).await?;
                }
                let labels = LabelChange::from([(TURNED.to_owned(), on.then(|| "on".to_owned()))]);
                let pods: Vec<Workload> = self
                    .lane
                    .topology()
                    .workloads
                    .keys()
                    .filter(|w| w.name.starts_with("from"))
                    .cloned()
                    .collect();
                for pod in pods {
                    accepted = self.lane.change(&Change::LabelPod(pod, labels.clone())).await?;
                }
                self.labels = if on { Turned::On } else { Turned::Off };
            }
        }
        Ok(accepted)
    }

    fn turned(&self, subject: Subject) -> Turned {
        match subject {
            Subject::Policies => self.policies,
            Subject::Labels => self.labels,
        }
    }

    /// Stops trying the flows.
    fn rest(&mut self) {
        self.lane.try_flows(&[], PACE);
    }
}

fn why(end: End) -> String {
    match end {
        End::Failed { error, .. } => error,
        End::Skipped { why } => why,
        End::Played | End::Interrupted => "it was interrupted".to_owned(),
    }
}

fn workload(role: &str, node: usize) -> Workload {
    Workload::new(NAMESPACE, format!("{role}-{:04}", node + 1))
}

/// Two pods on every node, each of which answers the other.
fn topology(nodes: &[Node]) -> Topology {
    let spec = |node: &str, role: &str| WorkloadSpec {
        placement: Placement::Node(node.to_owned()),
        listens: vec![LISTENER.into()],
        labels: [(ROLE.to_owned(), role.to_owned())].into(),
        ..WorkloadSpec::default()
    };
    let pods = nodes.iter().enumerate().flat_map(|(number, node)| {
        ["from", "to"].map(|role| (workload(role, number), spec(&node.name, role)))
    });
    Topology {
        namespaces: [(NAMESPACE.to_owned(), [].into())].into(),
        workloads: pods.collect(),
        ..Topology::default()
    }
}

/// A policy that lets nothing in to the pods with these labels.
fn policy(name: &str, pods: Value) -> Manifest {
    let object = ObjectRef {
        api_version: "networking.k8s.io/v1".into(),
        kind: "NetworkPolicy".into(),
        namespace: Some(NAMESPACE.into()),
        name: name.into(),
    };
    let value = json!({
        "apiVersion": object.api_version, "kind": object.kind,
        "metadata": {"name": object.name, "namespace": NAMESPACE},
        "spec": {"podSelector": {"matchLabels": pods}, "policyTypes": ["Ingress"]}
    });
    let at = Position { file: NAMESPACE.into(), line: 1, column: 1 };
    Manifest { object, value, at, places: Places::default() }
}
