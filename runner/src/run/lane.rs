//! A lane: one deployed topology, its links and its board. Scenarios with the same topology are played on it in turn.

mod change;
mod renew;

pub use renew::start_anew;

use super::board::{Board, Key};
use crate::{
    cluster::{self, Cluster, ClusterError, Pod, PodSpec, ServiceSpec, Wait},
    link::{self, LinkSpec, News, Wish},
};
use flowproof_core::{
    chronicle::Ends,
    flow::{Flow, Target},
    name::{Service, Workload},
    outcome::WatchedProber,
    plan::{self, Surroundings},
    policy::Protocol,
    rewrite::{Addresses, Names},
    scenario::{Labels, Manifest, Scenario, Topology},
    snapshot::Snapshot,
    time::Moment,
};
use flowproof_wire::Pace;
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

/// How long probers may take from the deployment until all are attached and all listeners alive.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// What a lane is made from.
pub struct LaneSpec {
    /// Where.
    pub cluster: Arc<dyn Cluster>,
    /// Id of the run.
    pub run: String,
    /// Number of the lane within the run.
    pub number: usize,
    /// What is deployed.
    pub topology: Topology,
    /// The node of every workload.
    pub placed: BTreeMap<Workload, String>,
    /// Internal addresses of the nodes.
    pub node_addresses: BTreeMap<String, Vec<IpAddr>>,
    /// Tolerations that every pod gets beside its own.
    pub tolerations: Vec<serde_json::Value>,
    /// Limit for the deployment.
    pub deadline: Duration,
    /// Zero of the run's clock.
    pub zero: Instant,
}

/// A deployed topology.
pub struct Lane {
    spec: LaneSpec,
    real: cluster::Lane,
    names: Names,
    board: Board,
    nonce: u64,
    pods: BTreeMap<Workload, Pod>,
    services: BTreeMap<Service, Vec<IpAddr>>,
    wishes: BTreeMap<Workload, watch::Sender<Wish>>,
    labels: BTreeMap<Workload, Labels>,
    namespaces: BTreeMap<String, Labels>,
    applied: Vec<Manifest>,
    news: mpsc::UnboundedReceiver<(usize, News)>,
    teller: mpsc::UnboundedSender<(usize, News)>,
    links: JoinSet<()>,
    /// The state of the cluster, as it was read last.
    live: Option<Snapshot>,
    /// The pod that is started anew again and again, and what it is to do.
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
        let pod = |(workload, spec): (&Workload, &flowproof_core::scenario::WorkloadSpec)| PodSpec {
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
        let service = |(name, spec): (&Service, &flowproof_core::scenario::ServiceSpec)| ServiceSpec {
            name: names.qualified(name),
            selector: spec.selector.clone(),
            ports: spec.ports.clone(),
        };
        let topology = &self.topology;
        cluster::Lane {
            run: self.run.clone(),
            namespaces: topology.namespaces.iter().map(|(n, l)| (names.namespace(n), l.clone())).collect(),
            pods: topology.workloads.iter().map(pod).collect(),
            services: topology.services.iter().map(service).collect(),
            deadline: self.deadline,
        }
    }
}

impl Lane {
    /// Deploys the topology and attaches all probers; returns when every listener answers over loopback.
    pub async fn deploy(spec: LaneSpec) -> Result<Self, ClusterError> {
        let real = spec.real();
        let deployed = spec.cluster.deploy(&real).await?;
        let (teller, news) = mpsc::unbounded_channel();
        let pods = spec.topology.workloads.keys().cloned().zip(deployed.pods).collect();
        let services = spec.topology.services.keys().cloned().zip(deployed.services).collect();
        let mut lane = Self {
            names: spec.names(),
            real,
            board: Board::default(),
            nonce: super::id::random(),
            pods,
            services,
            wishes: BTreeMap::new(),
            labels: spec.topology.workloads.iter().map(|(w, s)| (w.clone(), s.labels.clone())).collect(),
            namespaces: spec.topology.namespaces.clone(),
            applied: Vec::new(),
            news,
            teller,
            links: JoinSet::new(),
            live: None,
            fresh: None,
            spec,
        };
        for workload in lane.spec.topology.workloads.keys().cloned().collect::<Vec<_>>() {
            let index = lane.board.add_prober(workload.clone());
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

    /// Keeps a link to the prober of a workload; it ends with what is returned.
    fn listen_to(&mut self, workload: &Workload, index: usize, wish: Wish) -> watch::Sender<Wish> {
        let (sender, receiver) = watch::channel(wish);
        let spec = LinkSpec {
            cluster: Arc::clone(&self.spec.cluster),
            pod: self.names.qualified(workload),
            index,
            nonce: self.nonce,
            zero: self.spec.zero,
        };
        self.links.spawn(link::keep(spec, receiver, self.teller.clone()));
        sender
    }

    async fn ready(&mut self) -> Result<(), ClusterError> {
        let deadline = Instant::now() + READY_DEADLINE;
        loop {
            let listening =
                self.spec.topology.workloads.iter().find(|(w, s)| self.board.listeners(w) < s.listens.len());
            let missing = self.board.not_ready().or_else(|| {
                listening.map(|(workload, _)| format!("{workload}: its listeners were not reported yet"))
            });
            let Some(why) = missing else { return Ok(()) };
            let gone = self.board.current().any(|prober| prober.gone.is_some());
            if gone || Instant::now() > deadline {
                return Err(ClusterError::Failed { context: "waiting for the probers".into(), message: why });
            }
            self.hear(Duration::from_millis(100)).await;
        }
    }

    /// Takes in the news of the links, for at most this long; returns early when some came.
    pub async fn hear(&mut self, at_most: Duration) {
        let until = tokio::time::Instant::now() + at_most;
        if let Ok(Some((index, news))) = timeout_at(until, self.news.recv()).await {
            self.board.take(index, news);
            while let Ok((index, news)) = self.news.try_recv() {
                self.board.take(index, news);
            }
        }
    }

    /// What is known of probers and flows.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// What is known of probers and flows, to be changed.
    pub fn board_mut(&mut self) -> &mut Board {
        &mut self.board
    }

    /// Where the ends of a flow are now.
    pub fn ends(&self, flow: &Flow) -> Ends {
        let destination = match &flow.target {
            Target::Workload(workload) => self.node(workload),
            _ => None,
        };
        Ends {
            source_node: self.node(&flow.source).unwrap_or_default().to_owned(),
            destination_node: destination.map(str::to_owned),
        }
    }

    /// What the probers went through during a watch.
    pub fn watched_probers(&self) -> Vec<WatchedProber> {
        let prober = |workload: &Workload| {
            let (lag, streams_lost, replaced) = self.board.hardships(workload);
            WatchedProber {
                workload: workload.to_string(),
                node: self.node(workload).unwrap_or_default().to_owned(),
                longest_lag_ms: lag.as_millis() as u64,
                streams_lost,
                replaced,
            }
        };
        self.pods.keys().map(prober).collect()
    }

    /// The topology that is deployed.
    pub fn topology(&self) -> &Topology {
        &self.spec.topology
    }

    /// Where the lane is.
    pub fn cluster(&self) -> Arc<dyn Cluster> {
        Arc::clone(&self.spec.cluster)
    }

    /// The moment that it is.
    pub fn now(&self) -> Moment {
        link::now(self.spec.zero)
    }

    /// Number of the lane within the run.
    pub fn number(&self) -> usize {
        self.spec.number
    }

    /// Labels of the pods as they are now.
    pub fn labels(&self) -> &BTreeMap<Workload, Labels> {
        &self.labels
    }

    /// Labels of the namespaces, as they are now, without those that the cluster adds.
    pub fn namespaces(&self) -> &BTreeMap<String, Labels> {
        &self.namespaces
    }

    /// Manifests in force.
    pub fn applied(&self) -> &[Manifest] {
        &self.applied
    }

    /// Manifests in force: those of the scenario, and those that live namespaces of it have.
    pub fn in_force(&self) -> Vec<Manifest> {
        let namespaces: BTreeSet<&String> = self.spec.topology.live.values().collect();
        let here =
            |manifest: &&Manifest| manifest.object.namespace.as_ref().is_some_and(|n| namespaces.contains(n));
        let live = self.live.iter().flat_map(|live| &live.policies).filter(here);
        self.applied.iter().chain(live).cloned().collect()
    }

    /// Reads the state of the whole cluster, for a scenario that tests the policies that are there. Fails when a Service that
    /// the scenario tries is not.
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
        self.live = Some(snapshot);
        Ok(())
    }

    /// The state of the whole cluster, if it was read.
    pub fn live(&self) -> Option<&Snapshot> {
        self.live.as_ref()
    }

    /// How real names are made.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Puts logical names back into a message of the cluster.
    pub fn logical(&self, text: &str) -> String {
        self.names.logical(text)
    }

    /// The node on which a workload runs.
    pub fn node(&self, workload: &Workload) -> Option<&str> {
        self.pods.get(workload).map(|pod| pod.node.as_str())
    }

    /// Whose address that is: a workload's, a Service's or a node's.
    pub fn owner(&self, address: IpAddr) -> Option<String> {
        let pod = self.pods.iter().find(|(_, pod)| pod.addresses.contains(&address));
        let service = || self.services.iter().find(|(_, addresses)| addresses.contains(&address));
        let node = || self.spec.node_addresses.iter().find(|(_, addresses)| addresses.contains(&address));
        pod.map(|(workload, _)| workload.to_string())
            .or_else(|| service().map(|(service, _)| format!("service {service}")))
            .or_else(|| node().map(|(node, _)| format!("node {node}")))
    }

    /// Addresses and names that flows need.
    pub fn surroundings(&self) -> Surroundings {
        let pods: Addresses = self.pods.iter().map(|(w, pod)| (w.clone(), pod.addresses.clone())).collect();
        let nodes = self.pods.iter().map(|(w, pod)| {
            (w.clone(), self.spec.node_addresses.get(&pod.node).cloned().unwrap_or_default())
        });
        let resolvers: Vec<_> = self
            .board
            .current()
            .filter_map(|prober| Some((&prober.workload, prober.resolver.as_ref()?)))
            .collect();
        let name_servers =
            resolvers.iter().map(|(workload, (servers, _))| ((*workload).clone(), servers.clone()));
        let mut searched = resolvers.iter().flat_map(|(_, (_, search))| search);
        let domain = searched.find_map(|search| search.strip_prefix("svc."));
        Surroundings {
            nodes: nodes.collect(),
            name_servers: name_servers.collect(),
            dns_name: format!(
                "kubernetes.default.svc.{}.",
                domain.unwrap_or("cluster.local").trim_end_matches('.')
            ),
            services: self.services.clone(),
            live_services: self.live.iter().flat_map(|live| &live.services).map(addresses_of).collect(),
            labels: self.labels.clone(),
            pods,
        }
    }

    /// Tracks a flow of a scenario in every family; see [`plan::plan`].
    pub fn track(
        &mut self,
        flow: &Flow,
        families: &BTreeSet<flowproof_core::flow::Family>,
        around: &Surroundings,
    ) -> Vec<Key> {
        let planned = plan::plan(flow, &self.spec.topology, around, families);
        planned.into_iter().map(|planned| self.board.track(planned)).collect()
    }

    /// Has the probers try exactly these flows.
    pub fn try_flows(&mut self, keys: &[Key], pace: Pace) {
        for (workload, wish) in &self.wishes {
            let specs = Arc::new(self.board.specs(workload, keys.iter()));
            wish.send_modify(|wish| wish.flows = Some((specs, pace)));
        }
    }

    /// Ends the links and removes everything.
    pub async fn remove(mut self, wait: Wait) -> Result<(), ClusterError> {
        self.wishes.clear();
        self.fresh = None;
        // Cluster-scoped objects do not go with the namespaces.
        let mut failed = None;
        while let Some(manifest) = self.applied.last().cloned() {
            if manifest.object.namespace.is_none()
                && let Err(error) = self.delete(&manifest.object).await
            {
                failed.get_or_insert(error);
            }
            self.applied.retain(|known| known.object != manifest.object);
        }
        self.links.shutdown().await;
        self.spec.cluster.remove(&self.real, wait).await?;
        failed.map_or(Ok(()), Err)
    }
}

fn addresses_of((name, service): (&Service, &flowproof_core::snapshot::Service)) -> (Service, Vec<IpAddr>) {
    (name.clone(), service.addresses.clone())
}
