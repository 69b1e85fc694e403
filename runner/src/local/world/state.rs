//! The state of the world: the API's objects and the running pods, and what each request does to both.

use super::{
    dns,
    enforcer::Enforcer,
    inside,
    message::{Answer, Batch, Request, ServiceOrder, Setup},
    node::{self, Node},
    pod::{self, Link, Running},
    serve::Reply,
};
use crate::local::{
    address::{self, Families, Numbers, Reuse},
    engine::view::{Pod, Service, View},
    fault::Fault,
    object::{Name, Object, PodOrder, Refusal},
    system,
};
use flowproof_core::{
    place::rewrite::namespace_labels,
    scenario::label::{LabelChange, amend},
};
use flowproof_wire::First;
use nix::{
    errno::Errno,
    sys::memfd::{MFdFlags, memfd_create},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    net::IpAddr,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::watch;

/// A running local cluster.
pub(crate) struct World {
    families: Families,
    nodes: Vec<Node>,
    program: Arc<OwnedFd>,
    capture: bool,
    /// The API's state as the cluster DNS sees it; sent with every change.
    watched: watch::Sender<View>,
    /// The lock is never held across an `.await`.
    model: Mutex<Model>,
    enforcer: Enforcer,
    reuse: Reuse,
}

#[derive(Default)]
struct Model {
    view: View,
    /// Number of the newest accepted change; the enforcer reports which revision the nodes have.
    revision: u64,
    running: BTreeMap<Name, Running>,
    links: BTreeMap<Name, Link>,
    pod_numbers: Vec<Numbers>,
    service_numbers: Option<Numbers>,
    sockets: u64,
}

impl World {
    pub(super) async fn new(setup: Setup) -> Result<(Self, Answer), Refusal> {
        let fault = setup
            .fault
            .as_deref()
            .map(Fault::named)
            .transpose()
            .map_err(|e| failed("finding the fault", e))?;
        let program = load(setup.prober.as_deref()).map_err(|e| failed("loading the prober", e))?;
        let nodes = node::make_nodes(setup.nodes, setup.families).await.map_err(|error| {
            let what = format!("the local cluster cannot make its nodes: {error}");
            too_many_files(&what).unwrap_or_else(|| Refusal::Surroundings {
                what,
                hint:
                    "it needs network namespaces with veth links, and write access to /proc/sys/net in them"
                        .to_owned(),
            })
        })?;
        let addresses: Vec<_> = nodes.iter().map(|node| node.addresses.clone()).collect();
        let enforcer = Enforcer::start(&nodes, &setup, fault).await?;
        let model = Model {
            pod_numbers: nodes.iter().map(|_| Numbers::of_pods()).collect(),
            service_numbers: Some(Numbers::of_services()),
            ..Model::default()
        };
        let world = Self {
            families: setup.families,
            nodes,
            program: Arc::new(program),
            capture: setup.capture,
            watched: watch::Sender::default(),
            model: Mutex::new(model),
            enforcer,
            reuse: Reuse::with(fault),
        };
        world.start_system().await?;
        Ok((world, Answer::Ready { nodes: addresses }))
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().expect("nobody panics while holding the model")
    }

    pub(super) async fn answer(&self, request: Request) -> Result<Reply, Refusal> {
        let answer = match request {
            Request::Setup(_) => return Err(failed("setting up", "the world is set up already")),
            Request::Deploy(batch) => self.deploy(batch).await?,
            Request::Attach(name) => return self.attach(name).await,
            Request::Apply(manifest) => self.apply(&manifest)?,
            Request::Delete(object) => self.delete(&object)?,
            Request::LabelPod(name, change) => self.label_pod(&name, &change)?,
            Request::LabelNamespace(name, change) => self.label_namespace(&name, &change)?,
            Request::Restart(order) => self.restart(order).await?,
            Request::Remove { namespaces } => self.remove(&namespaces).await?,
            Request::TellingFaults => Answer::TellingFaults(
                self.enforcer.telling_faults().iter().map(|fault| fault.info().name.to_owned()).collect(),
            ),
            Request::Enforced { revision } => Answer::Enforced {
                ago_us: self.enforcer.enforced_ago(revision).map(|ago| ago.as_micros() as u64),
            },
        };
        Ok((answer, None))
    }

    /// Creates what every cluster has: the namespaces `default` and `kube-system`, and the cluster DNS.
    async fn start_system(&self) -> Result<(), Refusal> {
        system::add_to(&mut self.model().view, self.families);
        let order = system::dns_pod(node_name(system::DNS_NODE));
        let placed = self.place(&order)?;
        let network =
            self.network_of(&placed).await.map_err(|e| failed("making the network of the cluster DNS", e))?;
        if let Some(link) = &placed.link {
            let node = &self.nodes[usize::from(placed.node - 1)];
            pod::link_to_node(node, &[(link, &network)])
                .await
                .map_err(|e| failed("linking the cluster DNS", e))?;
        }
        dns::serve(&network, &placed.addresses, self.watched.subscribe())
            .await
            .map_err(|e| failed("starting the cluster DNS", e))?;
        self.changed(&mut self.model());
        Ok(())
    }

    async fn deploy(&self, batch: Batch) -> Result<Answer, Refusal> {
        let limit = Duration::from_millis(batch.deadline_ms);
        let services = self.add_objects(&batch)?;
        let work = self.start_pods(&batch.pods);
        let pods = tokio::time::timeout(limit, work).await.map_err(|_| {
            failed("deploying", format!("not all pods were up within {} s", limit.as_secs_f32()))
        })??;
        Ok(Answer::Deployed { pods, services })
    }

    /// Adds namespaces and Services.
    fn add_objects(&self, batch: &Batch) -> Result<Vec<Vec<IpAddr>>, Refusal> {
        let mut model = self.model();
        for (name, labels) in &batch.namespaces {
            let labels = namespace_labels(name, labels);
            if model.view.namespaces.insert(name.clone(), labels).is_some() {
                return Err(Refusal::rejected(
                    format!("Namespace {name}"),
                    format!("namespaces \"{name}\" already exists"),
                ));
            }
        }
        let services = batch.services.iter().map(|order| model.add_service(order, self.families)).collect();
        self.changed(&mut model);
        services
    }

    /// Starts pods. Before the first process of any of them starts, the policies that select them are enforced, as Kubernetes demands
    /// (semantics 41): networks and links first, then one round of enforcement for all of them, then the probers.
    async fn start_pods(&self, orders: &[PodOrder]) -> Result<Vec<Vec<IpAddr>>, Refusal> {
        let mut placed = Vec::new();
        for order in orders {
            placed.push(self.place(order)?);
        }
        let networks = futures_of(placed.iter().map(|pod| self.network_of(pod))).await;
        let networks = networks
            .into_iter()
            .collect::<io::Result<Vec<_>>>()
            .map_err(|e| failed("making the networks of pods", e))?;
        for node in &self.nodes {
            let links: Vec<_> = placed
                .iter()
                .zip(&networks)
                .filter(|(pod, _)| pod.node == node.number)
                .filter_map(|(pod, network)| Some((pod.link.as_ref()?, network)))
                .collect();
            pod::link_to_node(node, &links).await.map_err(|e| failed("linking pods to their node", e))?;
        }
        let (view, revision) = {
            let mut model = self.model();
            model.revision += 1;
            (model.view.clone(), model.revision)
        };
        self.enforcer.enforce_now(view, revision).await?;
        let starts = placed.iter().zip(networks).map(|(pod, network)| self.start(pod, network));
        futures_of(starts).await.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(placed.into_iter().map(|pod| pod.addresses).collect())
    }

    /// Adds a pod to the API's state, with a node and addresses. Its network and its process follow.
    fn place(&self, order: &PodOrder) -> Result<Placed, Refusal> {
        let mut model = self.model();
        let node = self
            .nodes
            .iter()
            .find(|node| node_name(node.number) == order.node)
            .ok_or_else(|| pod_failed(&order.name, format!("there is no node {}", order.node)))?;
        if !model.view.namespaces.contains_key(&order.name.namespace) {
            return Err(Refusal::rejected(
                format!("Pod {}", order.name),
                format!("namespaces \"{}\" not found", order.name.namespace),
            ));
        }
        if model.view.pods.contains_key(&order.name) {
            return Err(Refusal::rejected(
                format!("Pod {}", order.name),
                format!("pods \"{}\" already exists", order.name.name),
            ));
        }
        let link = if order.host_network {
            None
        } else {
            let number = model.pod_numbers[usize::from(node.number - 1)]
                .take()
                .ok_or_else(|| pod_failed(&order.name, format!("node {} has no address left", order.node)))?;
            Some(Link { number, addresses: address::pod(node.number, number, self.families) })
        };
        let addresses = link.as_ref().map_or_else(|| node.addresses.clone(), |link| link.addresses.clone());
        let pod = Pod {
            name: order.name.clone(),
            labels: order.labels.clone(),
            ports: order.ports.clone(),
            node: node.number,
            addresses: addresses.clone(),
            host_network: order.host_network,
        };
        model.view.pods.insert(order.name.clone(), Arc::new(pod));
        if let Some(link) = &link {
            model.links.insert(order.name.clone(), link.clone());
        }
        model.sockets += 1;
        Ok(Placed {
            name: order.name.clone(),
            node: node.number,
            link,
            addresses,
            socket: format!("flowproof-pod-{}", model.sockets),
            first: order.first.clone(),
        })
    }

    async fn network_of(&self, pod: &Placed) -> io::Result<OwnedFd> {
        match &pod.link {
            Some(_) => pod::make_network().await,
            None => self.nodes[usize::from(pod.node - 1)].network.try_clone(),
        }
    }

    async fn start(&self, pod: &Placed, network: OwnedFd) -> Result<(), Refusal> {
        let servers = address::service(address::DNS_SERVICE, self.families);
        let resolver = pod::resolver_configuration(&servers, &pod.name.namespace);
        let prober = pod::Prober {
            socket: pod.socket.clone(),
            program: Arc::clone(&self.program),
            resolver,
            first: pod.first.clone(),
            capture: self.capture,
        };
        let running = pod::start(network, prober).await.map_err(|error| pod_failed(&pod.name, error))?;
        self.model().running.insert(pod.name.clone(), running);
        Ok(())
    }

    /// Connects to the prober of a pod; the reply carries the stream's descriptor.
    async fn attach(&self, name: Name) -> Result<Reply, Refusal> {
        let (network, socket) = {
            let mut model = self.model();
            let running =
                model.running.get_mut(&name).ok_or_else(|| Refusal::PodGone { pod: name.clone() })?;
            let ended = running.process.try_wait().map_err(|e| failed("looking at a prober", e))?;
            if ended.is_some() {
                return Err(Refusal::PodGone { pod: name });
            }
            let network = inside::again(&running.network).map_err(|e| failed("entering a pod", e))?;
            (network, running.socket.clone())
        };
        let stream =
            pod::connect(network, socket).await.map_err(|e| failed(&format!("attaching to {name}"), e))?;
        Ok((Answer::Attached, Some(stream.into())))
    }

    fn apply(&self, manifest: &Value) -> Result<Answer, Refusal> {
        let mut model = self.model();
        model.view.apply(manifest)?;
        Ok(self.changed(&mut model))
    }

    fn delete(&self, object: &Object) -> Result<Answer, Refusal> {
        let mut model = self.model();
        model.view.delete(object)?;
        Ok(self.changed(&mut model))
    }

    fn label_pod(&self, name: &Name, change: &LabelChange) -> Result<Answer, Refusal> {
        let mut model = self.model();
        let pod = model.view.pods.get_mut(name).ok_or_else(|| Refusal::PodGone { pod: name.clone() })?;
        amend(&mut Arc::make_mut(pod).labels, change);
        Ok(self.changed(&mut model))
    }

    fn label_namespace(&self, name: &str, change: &LabelChange) -> Result<Answer, Refusal> {
        let mut model = self.model();
        let labels = model.view.namespaces.get_mut(name).ok_or_else(|| {
            Refusal::rejected(format!("Namespace {name}"), format!("namespaces \"{name}\" not found"))
        })?;
        amend(labels, change);
        Ok(self.changed(&mut model))
    }

    async fn restart(&self, order: PodOrder) -> Result<Answer, Refusal> {
        self.end_pods(std::slice::from_ref(&order.name)).await?;
        let mut addresses = self.start_pods(&[order]).await?;
        Ok(Answer::Restarted { addresses: addresses.pop().unwrap_or_default() })
    }

    async fn remove(&self, namespaces: &[String]) -> Result<Answer, Refusal> {
        let names: Vec<Name> = self
            .model()
            .view
            .pods
            .keys()
            .filter(|name| namespaces.contains(&name.namespace))
            .cloned()
            .collect();
        self.end_pods(&names).await?;
        let mut model = self.model();
        let inside = |name: &Name| namespaces.contains(&name.namespace);
        model.view.policies.retain(|name, _| !inside(name));
        model.view.services.retain(|name, _| !inside(name));
        model.view.namespaces.retain(|name, _| !namespaces.contains(name));
        self.changed(&mut model);
        Ok(Answer::Removed)
    }

    /// Ends all pods, then removes their links: the kernel takes a while for that, but for all of them at once. An address can be used
    /// again only after its link is gone.
    async fn end_pods(&self, names: &[Name]) -> Result<(), Refusal> {
        let mut unlinked = Vec::new();
        {
            let mut model = self.model();
            for name in names {
                let Some(pod) = model.view.pods.remove(name) else {
                    continue;
                };
                if let Some(mut running) = model.running.remove(name) {
                    pod::stop(&mut running).map_err(|e| failed("ending a prober", e))?;
                }
                if let Some(link) = model.links.remove(name) {
                    unlinked.push((pod.node, link.number));
                }
            }
            self.changed(&mut model);
        }
        for (node, number) in unlinked {
            pod::unlink(&self.nodes[usize::from(node - 1)], number)
                .await
                .map_err(|e| failed("unlinking a pod", e))?;
            self.model().pod_numbers[usize::from(node - 1)].give_back(number, self.reuse);
        }
        Ok(())
    }

    /// Counts a change, and passes the new state to the cluster DNS and to the policy engine, which enforces it after its delay.
    fn changed(&self, model: &mut Model) -> Answer {
        model.revision += 1;
        self.watched.send_replace(model.view.clone());
        self.enforcer.changed(model.view.clone(), model.revision);
        Answer::Accepted { revision: model.revision }
    }
}

impl Model {
    fn add_service(&mut self, order: &ServiceOrder, families: Families) -> Result<Vec<IpAddr>, Refusal> {
        let number = self
            .service_numbers
            .as_mut()
            .and_then(Numbers::take)
            .ok_or_else(|| failed("creating a Service", "no cluster IP is left"))?;
        let service = Service {
            name: order.name.clone(),
            selector: order.selector.clone(),
            ports: order.ports.clone(),
            addresses: address::service(number, families),
        };
        let addresses = service.addresses.clone();
        self.view.services.insert(order.name.clone(), Arc::new(service));
        Ok(addresses)
    }
}

/// A pod that has a node and addresses, and no process yet.
struct Placed {
    name: Name,
    node: u8,
    link: Option<Link>,
    addresses: Vec<IpAddr>,
    socket: String,
    first: Option<First>,
}

/// Name of the node with this number.
pub(crate) fn node_name(number: u8) -> String {
    format!("node{number}")
}

/// Copies the prober into a file in memory, so that pods can execute it whatever their file system has.
fn load(path: Option<&Path>) -> io::Result<OwnedFd> {
    let memory = memfd_create("flowproof-prober", MFdFlags::MFD_CLOEXEC)?;
    let mut copy = File::from(memory.try_clone()?);
    match path {
        Some(path) => io::copy(&mut File::open(path)?, &mut copy).map(drop)?,
        None => io::Write::write_all(&mut copy, crate::image::Prober::own().program)?,
    }
    // The kernel does not execute a file that is open for writing (ETXTBSY), so the result is a new handle for reading only.
    let readable = File::open(format!("/proc/self/fd/{}", memory.as_raw_fd()))?;
    Ok(readable.into())
}

async fn futures_of<T>(work: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    futures::future::join_all(work).await
}

pub(crate) fn failed(context: &str, error: impl std::fmt::Display) -> Refusal {
    let message = error.to_string();
    too_many_files(&format!("{context}: {message}"))
        .unwrap_or_else(|| Refusal::Failed { context: context.to_owned(), message })
}

/// The refusal for an error that says that this process, or this machine, has too many open files. After several libraries, only
/// the text of an error still has the operating system's error code.
fn too_many_files(what: &str) -> Option<Refusal> {
    let codes = [Errno::EMFILE, Errno::ENFILE].map(|errno| format!("(os error {})", errno as i32));
    codes.iter().any(|code| what.contains(code)).then(|| Refusal::Surroundings {
        what: what.to_owned(),
        hint: "the world of the local cluster holds about four files for each pod and each node: raise the limit with \
               `ulimit -Hn`, as root, or in /etc/security/limits.conf"
            .to_owned(),
    })
}

fn pod_failed(pod: &Name, why: impl std::fmt::Display) -> Refusal {
    Refusal::PodFailed { pod: pod.clone(), why: why.to_string() }
}
