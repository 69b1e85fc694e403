//! A lane: one deployment, its links, and what is known about it. Scenarios whose topologies it contains are played on it in turn.

mod change;
mod ready;
mod renew;

pub use renew::start_anew;

use crate::{
    cluster::{self, Cluster, ClusterError, PodSpec, ServiceSpec, Wait},
    link::{self, LinkSpec, Wish},
};
use flowproof_core::{
    evidence::time::Moment,
    outcome::WatchedProber,
    place::{
        plan::{self, Surroundings},
        rewrite::Names,
        share,
    },
    policy::Protocol,
    scenario::{
        Manifest, Scenario, Topology, WorkloadSpec,
        flow::{Family, Flow, Target},
        name::Workload,
    },
    trial::{
        book::{Book, Key},
        control::Proven,
        news::News,
        site::{Pod, Site},
        state::State,
    },
};
use flowproof_wire::Pace;
use ready::Readiness;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout_at,
};

/// How often a prober reports that takes no part in the current scenario. As seldom as in a watch, because each report costs CPU in the
/// kubelet and the API server; but a stream that is silent for seconds counts as dead.
const IDLE_REPORT: Duration = Duration::from_millis(500);

/// What a lane is made from.
pub struct LaneSpec {
    /// The cluster.
    pub cluster: Arc<dyn Cluster>,
    /// Id of the run.
    pub run: String,
    /// Number of the lane within the run.
    pub number: usize,
    /// What was asked for.
    pub asked: Topology,
    /// What is deployed: the same, with what shadows take from their workloads.
    pub topology: Topology,
    /// The node of every workload.
    pub placed: BTreeMap<Workload, String>,
    /// Internal addresses of the nodes.
    pub node_addresses: BTreeMap<String, Vec<IpAddr>>,
    /// Tolerations that every pod gets in addition to its own.
    pub tolerations: Vec<serde_json::Value>,
    /// How long the deployment may make no headway.
    pub without_headway: Duration,
    /// Zero of the run's clock.
    pub zero: Instant,
}

/// A deployment.
pub struct Lane {
    spec: LaneSpec,
    /// The topology of the scenario that is played: a part of what is deployed, or all of it.
    playing: Topology,
    /// What the backend deployed.
    real: cluster::Lane,
    site: Site,
    state: State,
    book: Book,
    proven: Proven,
    nonce: u64,
    wishes: BTreeMap<Workload, watch::Sender<Wish>>,
    news: mpsc::UnboundedReceiver<(usize, News)>,
    news_sender: mpsc::UnboundedSender<(usize, News)>,
    links: JoinSet<()>,
    /// The current fresh pod of a watch, and what it is to do.
    fresh: Option<(Workload, watch::Sender<Wish>)>,
}

impl LaneSpec {
    fn names(&self) -> Names {
        Names::new(format!("{}-{}", self.run, self.number), self.topology.namespaces.keys().cloned())
            .with_live(self.topology.live.clone())
    }

    /// What the backend has to deploy.
    pub fn real(&self) -> cluster::Lane {
        let names = self.names();
        let pod = |(workload, spec): (&Workload, &WorkloadSpec)| PodSpec {
            name: names.qualified(workload),
            run: self.run.clone(),
            labels: spec.labels.clone(),
            listens: spec.listens.clone(),
            node: self.placed[workload].clone(),
            tolerations: spec.tolerations.iter().chain(&self.tolerations).cloned().collect(),
            host_network: spec.host_network,
            first: None,
            shadow: spec.like.as_ref().map(|_| cluster::Shadow {
                holder: names.holder(),
                service_account: spec.service_account.clone().unwrap_or_else(|| "default".into()),
            }),
        };
        let service = |(name, spec): (
            &flowproof_core::scenario::name::Service,
            &flowproof_core::scenario::ServiceSpec,
        )| {
            ServiceSpec {
                name: names.qualified(name),
                selector: spec.selector.clone(),
                ports: spec.ports.clone(),
            }
        };
        let topology = &self.topology;
        cluster::Lane {
            run: self.run.clone(),
            namespaces: topology.namespaces.iter().map(|(n, l)| (names.namespace(n), l.clone())).collect(),
            pods: topology.workloads.iter().map(pod).collect(),
            services: topology.services.iter().map(service).collect(),
            without_headway: self.without_headway,
        }
    }
}

impl Lane {
    /// Deploys the topology and attaches all probers; returns when every listener answers over loopback.
    pub async fn deploy(spec: LaneSpec) -> Result<Self, ClusterError> {
        let real = spec.real();
        let deployed = spec.cluster.deploy(&real).await?;
        let (news_sender, news) = mpsc::unbounded_channel();
        let pods = deployed.pods.into_iter().map(at_site);
        let topology = &spec.topology;
        let site = Site {
            names: spec.names(),
            pods: topology.workloads.keys().cloned().zip(pods).collect(),
            services: topology.services.keys().cloned().zip(deployed.services).collect(),
            nodes: spec.node_addresses.clone(),
            live_namespaces: topology.live.clone(),
            snapshot: None,
        };
        let mut lane = Self {
            playing: spec.topology.clone(),
            real,
            site,
            state: State::deployed(topology),
            book: Book::default(),
            proven: Proven::default(),
            nonce: super::id::random(),
            wishes: BTreeMap::new(),
            news,
            news_sender,
            links: JoinSet::new(),
            fresh: None,
            spec,
        };
        for workload in lane.spec.topology.workloads.keys().cloned().collect::<Vec<_>>() {
            let index = lane.book.add_prober(workload.clone());
            lane.link(workload, index);
        }
        lane.ready().await?;
        Ok(lane)
    }

    fn link(&mut self, workload: Workload, index: usize) {
        let listens = &self.spec.topology.workloads[&workload].listens;
        let wish = Wish { listeners: listens.iter().map(|named| named.listener).collect(), flows: None };
        let wishes = self.listen_to(&workload, index, wish);
        self.wishes.insert(workload, wishes);
    }

    /// Starts a link to the prober of a workload. It ends when the returned sender is dropped.
    fn listen_to(&mut self, workload: &Workload, index: usize, wish: Wish) -> watch::Sender<Wish> {
        let (sender, receiver) = watch::channel(wish);
        let spec = LinkSpec {
            cluster: Arc::clone(&self.spec.cluster),
            pod: self.site.names.qualified(workload),
            index,
            nonce: self.nonce,
            zero: self.spec.zero,
        };
        self.links.spawn(link::keep(spec, receiver, self.news_sender.clone()));
        sender
    }

    /// Waits until all probers are attached and all listeners are alive; gives up when there is no progress.
    async fn ready(&mut self) -> Result<(), ClusterError> {
        let begun = Instant::now();
        let mut readiness = Readiness::default();
        loop {
            let listening =
                self.spec.topology.workloads.iter().find(|(w, s)| self.book.listeners(w) < s.listens.len());
            let missing = self.book.not_ready().or_else(|| {
                listening.map(|(workload, _)| format!("{workload}: its listeners were not reported yet"))
            });
            let Some(why) = missing else { return Ok(()) };
            let context = "waiting for the probers".to_owned();
            if self.book.current().any(|prober| prober.gone.is_some()) {
                return Err(ClusterError::Failed { context, message: why });
            }
            if let Some(over) = readiness.look(begun.elapsed(), self.known()) {
                return Err(ClusterError::Failed { context, message: format!("{over}: {why}") });
            }
            self.hear(Duration::from_millis(100)).await;
        }
    }

    /// How many probers and listeners have reported.
    fn known(&self) -> usize {
        let probers = self.book.current().filter(|prober| prober.resolver.is_some()).count();
        probers + self.site.pods.keys().map(|workload| self.book.listeners(workload)).sum::<usize>()
    }

    /// Takes in the news of the links, for at most this long; returns early if some came.
    pub async fn hear(&mut self, at_most: Duration) {
        let until = tokio::time::Instant::now() + at_most;
        if let Ok(Some((index, news))) = timeout_at(until, self.news.recv()).await {
            self.book.take(index, news);
            while let Ok((index, news)) = self.news.try_recv() {
                self.book.take(index, news);
            }
        }
    }

    /// What is known about probers and flows.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// What is known about probers and flows, to be changed.
    pub fn book_mut(&mut self) -> &mut Book {
        &mut self.book
    }

    /// Where pods, Services and nodes are.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Labels and policies as they are now.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Which flows were answered since the last time everything was deleted.
    pub fn proven(&self) -> &Proven {
        &self.proven
    }

    /// Records that these flows were answered since everything was deleted.
    pub fn prove(&mut self, proven: Proven) {
        self.proven = proven;
    }

    /// What happened to the probers during a watch.
    pub fn watched_probers(&self) -> Vec<WatchedProber> {
        let prober = |workload: &Workload| {
            let (lag, streams_lost, replaced) = self.book.hardships(workload);
            WatchedProber {
                workload: workload.to_string(),
                node: self.site.node(workload).unwrap_or_default().to_owned(),
                longest_lag_ms: lag.as_millis() as u64,
                streams_lost,
                replaced,
            }
        };
        self.site.pods.keys().map(prober).collect()
    }

    /// The topology of the scenario that is played, without whatever else is deployed.
    pub fn topology(&self) -> &Topology {
        &self.playing
    }

    /// Whether scenarios of this topology can be played here.
    pub fn holds(&self, topology: &Topology) -> bool {
        share::holds(&self.spec.asked, topology)
    }

    /// Begins a scenario with this topology.
    pub fn begin(&mut self, topology: &Topology) {
        self.playing.clone_from(topology);
        for (workload, spec) in &mut self.playing.workloads {
            if let Some(deployed) = self.spec.topology.workloads.get(workload) {
                let placement = std::mem::take(&mut spec.placement);
                *spec = WorkloadSpec { placement, ..deployed.clone() };
            }
        }
    }

    /// The cluster.
    pub fn cluster(&self) -> Arc<dyn Cluster> {
        Arc::clone(&self.spec.cluster)
    }

    /// The current moment of the run.
    pub fn now(&self) -> Moment {
        link::now(self.spec.zero)
    }

    /// Number of the lane within the run.
    pub fn number(&self) -> usize {
        self.spec.number
    }

    /// Manifests in force: those of the scenario, and those in its live namespaces.
    pub fn in_force(&self) -> Vec<Manifest> {
        self.state.manifests.iter().chain(self.site.live_policies()).cloned().collect()
    }

    /// Reads the state of the whole cluster, for a scenario that tests the policies of the cluster. Fails if a Service that the
    /// scenario tries does not exist.
    pub async fn look_around(&mut self, scenario: &Scenario) -> Result<(), ClusterError> {
        let snapshot = self.spec.cluster.snapshot().await?;
        for flow in plan::flows(scenario) {
            let Target::LiveService(name) = &flow.target else { continue };
            let problem = match snapshot.services.get(name) {
                None => "the cluster has no such Service",
                Some(service) if service.addresses.is_empty() => {
                    "it has no cluster IP: it is headless, or a name for something outside"
                }
                Some(service)
                    if !service
                        .ports
                        .iter()
                        .any(|(protocol, port, _)| (*protocol, *port) == (Protocol::Tcp, flow.port)) =>
                {
                    "the Service has no such port"
                }
                Some(_) => continue,
            };
            return Err(ClusterError::Failed { context: flow.to_string(), message: problem.to_owned() });
        }
        self.site.snapshot = Some(snapshot);
        Ok(())
    }

    /// Addresses and names that flows need.
    pub fn surroundings(&self) -> Surroundings {
        self.site.surroundings(&self.state.labels, &self.book.resolvers())
    }

    /// Tracks a flow of the current scenario in every family; see [`plan::plan`].
    pub fn track(&mut self, flow: &Flow, families: &BTreeSet<Family>, around: &Surroundings) -> Vec<Key> {
        let planned = plan::plan(flow, &self.playing, around, families);
        planned.into_iter().map(|planned| self.book.track(planned)).collect()
    }

    /// Makes the probers try exactly these flows. Probers that take no part in the scenario report seldom.
    pub fn try_flows(&mut self, keys: &[Key], pace: Pace) {
        for (workload, wish) in &self.wishes {
            let takes_part = self.playing.workloads.contains_key(workload);
            let report_ms = if takes_part { pace.report_ms } else { IDLE_REPORT.as_millis() as u64 };
            let pace = Pace { report_ms, ..pace };
            let specs = Arc::new(self.book.specs(workload, keys.iter()));
            wish.send_modify(|wish| wish.flows = Some((specs, pace)));
        }
    }

    /// Ends the links and removes everything.
    pub async fn remove(mut self, wait: Wait) -> Result<(), ClusterError> {
        self.wishes.clear();
        self.fresh = None;
        // Cluster-scoped objects are not deleted with the namespaces.
        let mut failed = None;
        while let Some(manifest) = self.state.manifests.last().cloned() {
            if manifest.object.namespace.is_none()
                && let Err(error) = self.delete(&manifest.object).await
            {
                failed.get_or_insert(error);
            }
            self.state.forget(&manifest.object);
        }
        self.links.shutdown().await;
        self.spec.cluster.remove(&self.real, wait).await?;
        failed.map_or(Ok(()), Err)
    }
}

/// What is needed to judge the flows of a pod.
fn at_site(pod: cluster::Pod) -> Pod {
    Pod { addresses: pod.addresses, node: pod.node }
}
