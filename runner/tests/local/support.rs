//! A local cluster for tests: deploys pods and asks their probers to try flows.

#![allow(dead_code, reason = "each test program uses a part of it")]

use anyhow::{Context, Result, bail};
use flowproof::{
    cluster::{Cluster, Deployed, Lane, PodName, PodSpec, ServiceSpec, Stream},
    local::{LocalCluster, LocalOptions},
};
use flowproof_core::scenario::{Labels, NamedListener};
use flowproof_wire::{
    Attempt, Command, Connection, Event, FlowId, FlowSpec, Listener, ListenerState, Observation, PROTOCOL,
    Pace, Question, REPORT_EVERY_MS, Revision, Transport,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// Limit for an exchange with a prober; none takes this long.
const LIMIT: Duration = Duration::from_secs(20);

/// Options that find the programs of this build.
pub fn options() -> LocalOptions {
    LocalOptions { program: Some(PathBuf::from(env!("CARGO_BIN_EXE_flowproof"))), ..LocalOptions::default() }
}

pub async fn start() -> Result<LocalCluster> {
    Ok(LocalCluster::start(&options()).await?)
}

pub fn labels(text: &str) -> Labels {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

pub fn listens(ports: &[(Transport, u16)]) -> Vec<NamedListener> {
    ports.iter().map(|(transport, port)| Listener { transport: *transport, port: *port }.into()).collect()
}

/// A pod that listens on TCP and UDP 80 and 81.
pub fn pod(name: &str, pod_labels: &str, node: &str) -> PodSpec {
    use Transport::{Tcp, Udp};
    PodSpec {
        name: name.parse().expect("a name"),
        run: "test".to_owned(),
        labels: labels(pod_labels),
        listens: listens(&[(Tcp, 80), (Tcp, 81), (Udp, 80), (Udp, 81)]),
        node: node.to_owned(),
        tolerations: Vec::new(),
        host_network: false,
        first: None,
        shadow: None,
    }
}

pub fn lane(namespaces: &[(&str, &str)], pods: Vec<PodSpec>, services: Vec<ServiceSpec>) -> Lane {
    Lane {
        run: "test".to_owned(),
        namespaces: namespaces.iter().map(|(name, text)| ((*name).to_owned(), labels(text))).collect(),
        pods,
        services,
        without_headway: Duration::from_secs(30),
    }
}

/// A cluster with pods and their probers, which listen.
pub struct Scene {
    pub cluster: LocalCluster,
    pub deployed: Deployed,
    probers: BTreeMap<PodName, Prober>,
    addresses: BTreeMap<PodName, Vec<IpAddr>>,
    next_flow: u32,
}

impl Scene {
    pub async fn of(cluster: LocalCluster, lane: &Lane) -> Result<Self> {
        let deployed = cluster.deploy(lane).await?;
        let mut scene = Self {
            cluster,
            addresses: deployed.pods.iter().map(|pod| (pod.name.clone(), pod.addresses.clone())).collect(),
            deployed,
            probers: BTreeMap::new(),
            next_flow: 1,
        };
        for pod in &lane.pods {
            scene.attach(pod).await?;
        }
        Ok(scene)
    }

    pub async fn attach(&mut self, pod: &PodSpec) -> Result<()> {
        let mut prober = Prober::on(self.cluster.attach(&pod.name).await?).await?;
        prober.listen(pod.listens.iter().map(|listens| listens.listener).collect()).await?;
        self.probers.insert(pod.name.clone(), prober);
        Ok(())
    }

    pub async fn restart(&mut self, pod: &PodSpec) -> Result<Vec<IpAddr>> {
        let fresh = self.cluster.restart(pod).await?;
        self.addresses.insert(pod.name.clone(), fresh.addresses.clone());
        self.attach(pod).await?;
        Ok(fresh.addresses)
    }

    /// Sets how long an attempt waits before it counts as silent, and over which time attempts are spread.
    pub fn pace(&mut self, patience: Duration, interval_ms: u64) {
        for prober in self.probers.values_mut() {
            (prober.patience, prober.interval_ms) = (patience, interval_ms);
        }
    }

    pub fn address(&self, pod: &str, v4: bool) -> IpAddr {
        let name: PodName = pod.parse().expect("a name");
        *self.addresses[&name].iter().find(|a| a.is_ipv4() == v4).expect("an address of that family")
    }

    pub fn prober(&self, pod: &str) -> &Prober {
        &self.probers[&pod.parse::<PodName>().expect("a name")]
    }

    /// Tries once from a pod to addresses and ports, all at the same time.
    pub async fn try_all(&mut self, from: &str, to: &[(Transport, SocketAddr)]) -> Result<Vec<Observation>> {
        let first = self.next_flow;
        self.next_flow += to.len() as u32;
        let name: PodName = from.parse()?;
        self.probers.get_mut(&name).context("no such prober")?.try_once(first, to, None).await
    }

    /// Tries from many pods at the same time, and tries silent flows again, up to this many times. Attempts of one pod are adjacent.
    pub async fn try_again(
        &mut self,
        attempts: &[(PodName, Transport, SocketAddr)],
        again: usize,
    ) -> Result<Vec<Observation>> {
        let mut seen = vec![Observation::Silent; attempts.len()];
        let mut waiting: Vec<usize> = (0..attempts.len()).collect();
        for _ in 0..=again {
            let by_pod = waiting.chunk_by(|one, other| attempts[*one].0 == attempts[*other].0);
            let work = by_pod.map(|of_pod| {
                let ends = of_pod.iter().map(|at| (attempts[*at].1, attempts[*at].2));
                (attempts[of_pod[0]].0.clone(), ends.collect())
            });
            let answers = self.try_everywhere(work).await?;
            for (at, answer) in waiting.iter().zip(answers) {
                seen[*at] = answer;
            }
            waiting.retain(|at| seen[*at] == Observation::Silent);
            if waiting.is_empty() {
                break;
            }
        }
        Ok(seen)
    }

    /// Tries once from many pods at the same time; the observations come back in the order of the pods and their ends.
    pub async fn try_everywhere(
        &mut self,
        work: impl Iterator<Item = (PodName, Vec<(Transport, SocketAddr)>)>,
    ) -> Result<Vec<Observation>> {
        let mut work: BTreeMap<_, _> =
            work.enumerate().map(|(at, (name, ends))| (name, (at, ends))).collect();
        let mut first = self.next_flow;
        let mut tries = Vec::new();
        for (name, prober) in &mut self.probers {
            if let Some((at, ends)) = work.remove(name) {
                let start = first;
                first += ends.len() as u32;
                tries.push(async move {
                    Ok::<_, anyhow::Error>((at, prober.try_once(start, &ends, None).await?))
                });
            }
        }
        self.next_flow = first;
        let mut seen = futures::future::try_join_all(tries).await?;
        seen.sort_by_key(|(at, _)| *at);
        Ok(seen.into_iter().flat_map(|(_, seen)| seen).collect())
    }

    /// Asks the name servers of a pod for a name, each over both transports.
    pub async fn ask(&mut self, from: &str, name: &str, record: &str) -> Result<Vec<Observation>> {
        let servers = self.prober(from).name_servers.clone();
        let ends: Vec<_> = servers
            .into_iter()
            .flat_map(|ip| [Transport::DnsUdp, Transport::DnsTcp].map(|t| (t, SocketAddr::new(ip, 53))))
            .collect();
        let first = self.next_flow;
        self.next_flow += ends.len() as u32;
        let question = Question::Name { name: name.to_owned(), record: record.to_owned() };
        let prober = self.probers.get_mut(&from.parse()?).context("no such prober")?;
        prober.try_once(first, &ends, Some(question)).await
    }

    /// Whether a pod reaches another at a port, over both families, which must agree.
    pub async fn reaches(&mut self, from: &str, to: &str, transport: Transport, port: u16) -> Result<bool> {
        let ends: Vec<_> =
            [true, false].map(|v4| (transport, SocketAddr::new(self.address(to, v4), port))).into();
        let seen = self.try_all(from, &ends).await?;
        match (answered(&seen[0]), answered(&seen[1])) {
            (four, six) if four == six => Ok(four),
            _ => bail!("{from} -> {to} {transport:?} {port}: the families differ: {seen:?}"),
        }
    }
}

pub fn answered(seen: &Observation) -> bool {
    matches!(seen, Observation::Answered { .. })
}

/// The runner's end of a prober's stream.
pub struct Prober {
    lines: tokio::io::Lines<BufReader<tokio::io::ReadHalf<Box<dyn Stream>>>>,
    writer: tokio::io::WriteHalf<Box<dyn Stream>>,
    pub patience: Duration,
    pub interval_ms: u64,
    pub name_servers: Vec<IpAddr>,
    pub search: Vec<String>,
}

impl Prober {
    pub async fn on(stream: Box<dyn Stream>) -> Result<Self> {
        let (reader, writer) = tokio::io::split(stream);
        let mut prober = Self {
            lines: BufReader::new(reader).lines(),
            writer,
            patience: Duration::from_millis(250),
            interval_ms: 40,
            name_servers: Vec::new(),
            search: Vec::new(),
        };
        let Event::Hello { name_servers, search, .. } = prober.event().await? else {
            bail!("the first event is not a hello");
        };
        (prober.name_servers, prober.search) = (name_servers, search);
        prober.say(&Command::Hello { protocol: PROTOCOL, run: 1, have: Revision(0) }).await?;
        Ok(prober)
    }

    async fn say(&mut self, command: &Command) -> Result<()> {
        let line = serde_json::to_string(command)? + "\n";
        Ok(self.writer.write_all(line.as_bytes()).await?)
    }

    async fn event(&mut self) -> Result<Event> {
        let line = tokio::time::timeout(LIMIT, self.lines.next_line())
            .await
            .context("the prober says nothing")??
            .context("the stream ended")?;
        Ok(serde_json::from_str(&line)?)
    }

    async fn listen(&mut self, listeners: Vec<Listener>) -> Result<()> {
        let count = listeners.len();
        self.say(&Command::Listen { listeners }).await?;
        loop {
            if let Event::Report(report) = self.event().await?
                && report.listeners.len() == count
                && report.listeners.iter().all(|l| !matches!(l.status, ListenerState::Failed { .. }))
            {
                return Ok(());
            }
        }
    }

    async fn try_once(
        &mut self,
        first: u32,
        to: &[(Transport, SocketAddr)],
        question: Option<Question>,
    ) -> Result<Vec<Observation>> {
        let flows = (first..).zip(to).map(|(id, (transport, to))| FlowSpec {
            flow: FlowId(id),
            transport: *transport,
            to: *to,
            question: question.clone(),
            bare: false,
            connection: Connection::Each,
        });
        let pace = Pace {
            interval_ms: self.interval_ms,
            timeout_ms: self.patience.as_millis() as u64,
            report_ms: REPORT_EVERY_MS,
        };
        self.say(&Command::Try { flows: flows.collect(), pace }).await?;
        let mut seen = BTreeMap::new();
        let deadline = tokio::time::Instant::now() + LIMIT;
        while seen.len() < to.len() {
            let event = tokio::time::timeout_at(deadline, self.event()).await;
            let event =
                event.with_context(|| format!("{to:?} were tried; the prober reported only {seen:?}"))??;
            if let Event::Refused { message } = &event {
                bail!("the prober refused: {message}");
            }
            if let Event::Report(report) = event {
                for span in report.source {
                    if span.flow.0 >= first && span.first == Attempt(1) {
                        seen.insert(span.flow, span.observation);
                    }
                }
            }
        }
        self.say(&Command::Try { flows: Vec::new(), pace }).await?;
        Ok(seen.into_values().collect())
    }
}
