//! The runner's side of a local cluster.

use super::{
    birth::OUTER,
    channel::{self, Inbox},
    message::{Answer, Batch, Numbered, Request, SETUP_ID, ServiceOrder, Setup},
    state::node_name,
};
use crate::{
    cluster::{
        Accepted, Cluster, ClusterError, ClusterInfo, Deployed, LabelChange, Lane, MANAGED_BY_LABEL,
        NodeInfo, Pod, PodName, PodSpec, RUN_LABEL, ServiceSpec, Stream, Wait,
    },
    local::{
        address::{Families, MAX_NODES},
        engine::policy::scope,
        fault::Fault,
        object::{ContainerPort, PodOrder, Refusal, ServicePort},
        options::{self, LocalOptions},
    },
};
use async_trait::async_trait;
use flowproof_core::scenario::{Labels, ObjectRef};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt},
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Nodes and their links take some 10 ms each; a machine that needs this long is stuck.
const BORN_WITHIN: Duration = Duration::from_secs(30);

/// Deployments have their own limit. All other requests touch a few objects, so no answer within this time is a defect.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// How often the policy engine is asked whether it is done.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// A cluster of network namespaces on this machine. Ends, with everything in it, when it is dropped.
pub struct LocalCluster {
    nodes: Vec<NodeInfo>,
    cni: String,
    outgoing: UnixStream,
    next: AtomicU64,
    /// The newest revision that was accepted.
    revision: AtomicU64,
    waiting: Arc<Waiting>,
    world: Mutex<Child>,
}

/// The callers that wait for answers, by request; `None` once the world is gone.
type Waiting = Mutex<Option<HashMap<u64, oneshot::Sender<(Answer, Option<OwnedFd>)>>>>;

impl Drop for LocalCluster {
    fn drop(&mut self) {
        if let Ok(world) = self.world.get_mut() {
            // It may already have ended by itself.
            let _ = world.kill();
            let _ = world.wait();
        }
    }
}

impl LocalCluster {
    /// Starts a local cluster.
    ///
    /// Fails with [`ClusterError::Unreachable`] if this machine does not allow what the cluster needs; the error names the setting
    /// that forbids it.
    pub async fn start(options: &LocalOptions) -> Result<Self, ClusterError> {
        let setup = setup(options)?;
        let program = options.program.clone().unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
        let (ours, theirs) =
            UnixStream::pair().map_err(|e| failed("making a channel to the local cluster", e))?;
        let child = Command::new(program)
            .arg(OUTER)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // A signal from the terminal is for the runner, which cleans up.
            .process_group(0)
            .spawn()
            .map_err(|e| failed("starting the local cluster", e))?;
        let incoming = ours.try_clone().map_err(|e| failed("making a channel to the local cluster", e))?;
        let waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let mut cluster = Self {
            nodes: Vec::new(),
            cni: options
                .fault
                .map_or_else(|| "flowproof".to_owned(), |fault| format!("flowproof with fault {fault}")),
            outgoing: ours,
            next: AtomicU64::new(SETUP_ID),
            revision: AtomicU64::new(0),
            waiting: Arc::clone(&waiting),
            world: Mutex::new(child),
        };
        thread::spawn(move || hand_out(incoming, &waiting));
        match cluster.ask(Request::Setup(setup), BORN_WITHIN).await?.0 {
            Answer::Ready { nodes } => {
                cluster.nodes = nodes.into_iter().zip(1..).map(describe_node).collect();
            }
            other => return Err(unexpected(&other)),
        }
        Ok(cluster)
    }

    async fn ask(&self, body: Request, limit: Duration) -> Result<(Answer, Option<OwnedFd>), ClusterError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        match self.waiting.lock().expect("nobody panics while holding it").as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(gone()),
        };
        {
            // One message at a time: this lock is held while the message is written.
            let _turn = self.world.lock().expect("nobody panics while holding it");
            channel::send(&self.outgoing, &Numbered { id, body }, None).map_err(|_| gone())?;
        }
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok((Answer::Refused(refusal), _))) => Err(refusal.into_error()),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(failed(
                "waiting for the local cluster",
                format!("no answer within {} s", limit.as_secs()),
            )),
        }
    }

    /// Waits until all nodes enforce everything that was accepted so far, and returns since when they have.
    ///
    /// It fails if that takes longer than the limit. It knows the truth, so it is for measurements; a run must not use it.
    pub async fn enforced(&self, limit: Duration) -> Result<Instant, ClusterError> {
        let revision = self.revision.load(Ordering::SeqCst);
        let deadline = Instant::now() + limit;
        loop {
            let asked = Instant::now();
            match self.ask(Request::Enforced { revision }, ANSWERS_WITHIN).await?.0 {
                Answer::Enforced { ago_us: Some(ago) } => {
                    return Ok(asked.checked_sub(Duration::from_micros(ago)).unwrap_or(asked));
                }
                Answer::Enforced { ago_us: None } if Instant::now() < deadline => {
                    tokio::time::sleep(ASK_EVERY).await;
                }
                Answer::Enforced { .. } => {
                    let within =
                        format!("revision {revision} was not enforced within {} s", limit.as_secs_f32());
                    return Err(failed("waiting for the policy engine", within));
                }
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Returns the faults with which the policy engine would have enforced something different so far. Without
    /// [`LocalOptions::keep_states`], these are all faults.
    ///
    /// A fault that is missing here would have led to the same rules in the kernel of every node, at every moment.
    pub async fn telling_faults(&self) -> Result<Vec<Fault>, ClusterError> {
        match self.ask(Request::TellingFaults, ANSWERS_WITHIN).await?.0 {
            Answer::TellingFaults(names) => {
                Ok(names.iter().filter_map(|name| Fault::named(name).ok()).collect())
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn change(&self, request: Request) -> Result<Accepted, ClusterError> {
        match self.ask(request, ANSWERS_WITHIN).await?.0 {
            Answer::Accepted { revision } => {
                self.revision.fetch_max(revision, Ordering::SeqCst);
                Ok(Accepted { at: Instant::now() })
            }
            other => Err(unexpected(&other)),
        }
    }
}

#[async_trait]
impl Cluster for LocalCluster {
    async fn describe(&self) -> Result<ClusterInfo, ClusterError> {
        Ok(ClusterInfo {
            kind: "local",
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cni: self.cni.clone(),
            nodes: self.nodes.clone(),
            ..ClusterInfo::default()
        })
    }

    async fn deploy(&self, lane: &Lane) -> Result<Deployed, ClusterError> {
        let batch = Batch {
            namespaces: lane
                .namespaces
                .iter()
                .map(|(name, labels)| (name.clone(), marked(labels, &lane.run)))
                .collect(),
            pods: lane.pods.iter().map(pod_order).collect(),
            services: lane.services.iter().map(service_order).collect(),
            deadline_ms: lane.without_headway.as_millis() as u64,
        };
        match self.ask(Request::Deploy(batch), lane.without_headway + ANSWERS_WITHIN).await?.0 {
            Answer::Deployed { pods, services } => Ok(Deployed {
                pods: lane
                    .pods
                    .iter()
                    .zip(pods)
                    .map(|(spec, addresses)| running_pod(spec, addresses))
                    .collect(),
                services,
            }),
            other => Err(unexpected(&other)),
        }
    }

    async fn attach(&self, pod: &PodName) -> Result<Box<dyn Stream>, ClusterError> {
        let context = "attaching to a prober";
        let (_, descriptor) = self.ask(Request::Attach(pod.clone()), ANSWERS_WITHIN).await?;
        let stream = UnixStream::from(descriptor.ok_or_else(|| failed(context, "the stream is missing"))?);
        stream.set_nonblocking(true).map_err(|e| failed(context, e))?;
        let stream = tokio::net::UnixStream::from_std(stream).map_err(|e| failed(context, e))?;
        Ok(Box::new(stream))
    }

    async fn apply(&self, manifest: &Value) -> Result<Accepted, ClusterError> {
        self.change(Request::Apply(manifest.clone())).await
    }

    async fn delete(&self, object: &ObjectRef) -> Result<Accepted, ClusterError> {
        self.change(Request::Delete(object.into())).await
    }

    async fn label_pod(&self, pod: &PodName, labels: &LabelChange) -> Result<Accepted, ClusterError> {
        self.change(Request::LabelPod(pod.clone(), labels.clone())).await
    }

    async fn label_namespace(&self, namespace: &str, labels: &LabelChange) -> Result<Accepted, ClusterError> {
        self.change(Request::LabelNamespace(namespace.to_owned(), labels.clone())).await
    }

    async fn restart(&self, pod: &PodSpec) -> Result<Pod, ClusterError> {
        match self.ask(Request::Restart(pod_order(pod)), ANSWERS_WITHIN).await?.0 {
            Answer::Restarted { addresses } => Ok(running_pod(pod, addresses)),
            other => Err(unexpected(&other)),
        }
    }

    async fn start(&self, pod: &PodSpec) -> Result<Pod, ClusterError> {
        let batch = Batch {
            namespaces: BTreeMap::new(),
            pods: vec![pod_order(pod)],
            services: Vec::new(),
            deadline_ms: BORN_WITHIN.as_millis() as u64,
        };
        match self.ask(Request::Deploy(batch), BORN_WITHIN + ANSWERS_WITHIN).await?.0 {
            Answer::Deployed { mut pods, .. } => Ok(running_pod(pod, pods.pop().unwrap_or_default())),
            other => Err(unexpected(&other)),
        }
    }

    async fn serves(&self, api_version: &str, kind: &str) -> Result<(), ClusterError> {
        scope(api_version, kind).map(drop).map_err(Refusal::into_error)
    }

    async fn remove(&self, lane: &Lane, _wait: Wait) -> Result<(), ClusterError> {
        let namespaces = lane.namespaces.keys().cloned().collect();
        match self.ask(Request::Remove { namespaces }, ANSWERS_WITHIN).await?.0 {
            Answer::Removed => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

fn hand_out(stream: UnixStream, waiting: &Waiting) {
    let mut inbox = Inbox::new(stream);
    while let Ok(Some(Numbered { id, body })) = inbox.next::<Numbered<Answer>>() {
        let descriptor = matches!(body, Answer::Attached).then(|| inbox.descriptor()).flatten();
        let asker = waiting
            .lock()
            .expect("nobody panics while holding it")
            .as_mut()
            .and_then(|waiting| waiting.remove(&id));
        if let Some(asker) = asker {
            // The caller may have stopped waiting.
            let _ = asker.send((body, descriptor));
        }
    }
    waiting.lock().expect("nobody panics while holding it").take();
}

fn setup(options: &LocalOptions) -> Result<Setup, ClusterError> {
    if !(1..=MAX_NODES).contains(&options.nodes) {
        return Err(ClusterError::Unsupported {
            what: format!("a local cluster has 1 to {MAX_NODES} nodes, not {}", options.nodes),
        });
    }
    if options.families != Families::V4 && !options::has_ipv6() {
        return Err(ClusterError::Unreachable {
            what: "IPv6 is disabled on this machine".to_owned(),
            hint: "boot without ipv6.disable=1, or use IPv4 only".to_owned(),
        });
    }
    Ok(Setup {
        nodes: options.nodes,
        families: options.families,
        enforce_delay_ms: options.enforce_delay.as_millis() as u64,
        fault: options.fault.map(|fault| fault.info().name.to_owned()),
        keep_states: options.keep_states,
        capture: options.capture,
        prober: options.prober.clone(),
    })
}

fn describe_node((addresses, number): (Vec<IpAddr>, u8)) -> NodeInfo {
    let name = node_name(number);
    NodeInfo {
        labels: Labels::from([
            ("kubernetes.io/hostname".to_owned(), name.clone()),
            ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ]),
        name,
        addresses,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: nix::sys::utsname::uname()
            .map(|system| system.release().to_string_lossy().into_owned())
            .unwrap_or_default(),
        ..NodeInfo::default()
    }
}

fn marked(labels: &Labels, run: &str) -> Labels {
    let mut labels = labels.clone();
    labels.insert(RUN_LABEL.to_owned(), run.to_owned());
    labels.insert(MANAGED_BY_LABEL.to_owned(), "flowproof".to_owned());
    labels
}

fn pod_order(pod: &PodSpec) -> PodOrder {
    PodOrder {
        name: pod.name.clone(),
        labels: marked(&pod.labels, &pod.run),
        ports: pod.listens.iter().map(ContainerPort::from).collect(),
        node: pod.node.clone(),
        host_network: pod.host_network,
        first: pod.first.clone(),
    }
}

fn service_order(service: &ServiceSpec) -> ServiceOrder {
    ServiceOrder {
        name: service.name.clone(),
        selector: service.selector.clone(),
        ports: service.ports.iter().map(ServicePort::from).collect(),
    }
}

fn running_pod(spec: &PodSpec, addresses: Vec<IpAddr>) -> Pod {
    Pod { name: spec.name.clone(), addresses, node: spec.node.clone() }
}

fn failed(context: &str, error: impl std::fmt::Display) -> ClusterError {
    ClusterError::Failed { context: context.to_owned(), message: error.to_string() }
}

fn gone() -> ClusterError {
    ClusterError::Unreachable {
        what: "the local cluster has ended unexpectedly".to_owned(),
        hint: "its last words, if any, are on standard error; the kernel's log tells whether it ran out of memory".to_owned(),
    }
}

fn unexpected(answer: &Answer) -> ClusterError {
    failed("talking to the local cluster", format!("unexpected answer {answer:?}"))
}
