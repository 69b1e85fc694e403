//! Scenarios that test policies: for every rule and each of its borders, a flow that is allowed and one that is denied.
//!
//! A policy gets a scenario of its own, with as few pods as its selectors need: one that the policy is about, one for each peer,
//! and their neighbors: a label that differs, another namespace, the next port, the other protocol. The expectations are what the
//! oracle says. Where the answer depends on addresses that the cluster assigns, the run finds it, under `policy`.

mod shadows;
mod write;

pub use shadows::shadows;

use crate::{
    policy::{
        Answer, ClusterPolicy, Direction, NetworkPolicy, Oracle, Peer, PolicyKind, PortRule, Protocol, Scene,
        TierPeer,
        scene::policy_kind,
        validate::{is_port_name, validate},
    },
    scenario::{
        Change, Labels, Manifest, NamedListener, Topology, Wanted, WorkloadSpec,
        flow::{Expectation, Family, Flow, Target},
        name::{Qualified, Workload},
        selector::Selector,
    },
    snapshot::Snapshot,
};
use flowproof_wire::{Listener, Transport};
use std::collections::{BTreeMap, BTreeSet};

/// A scenario, ready to be written to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// A name for the file, without directory.
    pub file: String,
    /// Its text.
    pub text: String,
    /// How many flows it has expectations for.
    pub flows: usize,
}

/// The port that is used if a rule is about every port.
const ANY_PORT: u16 = 8080;
/// The first number for ports with names.
const NAMED_PORT: u16 = 9080;
/// The namespace of strangers, which is not made for any selector.
const OTHER: &str = "elsewhere";
/// The key by which namespaces are selected by name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Makes a scenario for each policy. Policies for which none can be made are returned with the reason.
#[must_use]
pub fn scenarios(snapshot: &Snapshot) -> (Vec<Generated>, Vec<String>) {
    let mut made = Vec::new();
    let mut left_out = Vec::new();
    let mut names = BTreeSet::new();
    for manifest in &snapshot.policies {
        match one(manifest) {
            Ok(mut generated) => {
                if !names.insert(generated.file.clone()) {
                    generated.file = format!("{}-{}", manifest.object.kind.to_lowercase(), generated.file);
                    names.insert(generated.file.clone());
                }
                made.push(generated);
            }
            Err(why) => left_out.push(format!("{}: {why}", manifest.object)),
        }
    }
    (made, left_out)
}

/// What a rule is about, of whatever kind of policy it is.
struct RuleParts<'a> {
    direction: Direction,
    /// Namespaces (`None` for the policy's own) and pods; empty if the rule is about anybody.
    peers: Vec<(Option<&'a Selector>, &'a Selector)>,
    ports: &'a [PortRule],
}

fn one(manifest: &Manifest) -> Result<Generated, String> {
    let kind = policy_kind(manifest).ok_or("it is of a kind that flowproof cannot read")?;
    let value = &manifest.value;
    if let Some(violation) = validate(kind, value).first() {
        return Err(format!("an API server rejects it: {violation}"));
    }
    match kind {
        PolicyKind::Namespaced => {
            let policy = NetworkPolicy::from_json(value).map_err(|error| error.to_string())?;
            let namespace = policy.name.namespace.clone();
            check(&namespace)?;
            let everything = Selector::default();
            let rules = Direction::BOTH.into_iter().flat_map(|direction| {
                policy.rules(direction).unwrap_or_default().iter().map(move |rule| (direction, rule))
            });
            let rules = rules.map(|(direction, rule)| RuleParts {
                direction,
                peers: rule
                    .peers
                    .iter()
                    .filter_map(|peer| match peer {
                        Peer::Here(pods) => Some((None, pods)),
                        Peer::In(namespaces, pods) => Some((Some(namespaces), pods)),
                        Peer::Block(..) => None,
                    })
                    .collect(),
                ports: &rule.ports,
            });
            let rules: Vec<RuleParts<'_>> = rules.collect();
            build(manifest, &namespace, &everything, &policy.pods, &rules)
        }
        PolicyKind::Cluster(_) => {
            let policy = ClusterPolicy::from_json(value).map_err(|error| error.to_string())?;
            let rules = Direction::BOTH
                .into_iter()
                .flat_map(|direction| policy.rules(direction).iter().map(move |rule| (direction, rule)));
            let rules = rules.map(|(direction, rule)| RuleParts {
                direction,
                peers: rule
                    .peers
                    .iter()
                    .filter_map(|peer| match peer {
                        TierPeer::Pods(namespaces, pods) => Some((Some(namespaces), pods)),
                        _ => None,
                    })
                    .collect(),
                ports: &rule.ports,
            });
            let rules: Vec<RuleParts<'_>> = rules.collect();
            build(manifest, "subject", &policy.namespaces, &policy.pods, &rules)
        }
    }
}

fn check(namespace: &str) -> Result<(), String> {
    if namespace.starts_with("kube-") {
        return Err("a scenario cannot have a namespace whose name begins with kube-".to_owned());
    }
    if namespace.len() > crate::parse::MAX_NAMESPACE_LENGTH {
        return Err(format!(
            "the namespace's name has more than {} characters",
            crate::parse::MAX_NAMESPACE_LENGTH
        ));
    }
    Ok(())
}

/// The scenario while it is built.
#[derive(Default)]
struct Build {
    topology: Topology,
    taken: BTreeSet<String>,
}

fn build(
    manifest: &Manifest,
    home: &str,
    home_selector: &Selector,
    pods: &Selector,
    rules: &[RuleParts<'_>],
) -> Result<Generated, String> {
    let mut build = Build::default();
    let home = build.namespace(home_selector, home)?;
    let subject_labels = pods.satisfied_from(&Labels::new()).ok_or("its selector contradicts itself")?;
    let subject = build.pod(&home, &subject_labels, "subject");
    // In the same namespace, but not selected: the policy must not affect it.
    let beside = pods.neighbours().first().map(|labels| build.pod(&home, labels, "not-selected"));
    let stranger_namespace = build.namespace(&Selector::default(), OTHER)?;
    let stranger = build.pod(&stranger_namespace, &Labels::new(), "stranger");
    let mut listening: BTreeSet<Workload> = [subject.clone()].into();
    listening.extend(beside);
    for rule in rules {
        let mut ends = vec![stranger.clone()];
        for (namespaces, pods) in &rule.peers {
            ends.extend(build.peer(&home, *namespaces, pods));
        }
        match rule.direction {
            Direction::Ingress => build.listen(&subject, rule.ports),
            Direction::Egress => {
                for end in &ends {
                    build.listen(end, rule.ports);
                }
                listening.extend(ends);
            }
        }
    }
    for workload in &listening {
        build.listen(workload, &[]);
    }
    let flows = build.flows(&subject, &listening);
    let expected = expectations(&build.topology, manifest, flows);
    let denies = expected.values().any(|wanted| wanted.may_deny());
    if expected.is_empty() {
        return Err("nothing in it can be tested with pods".to_owned());
    }
    let stem = match &manifest.object.namespace {
        Some(namespace) => format!("{namespace}-{}", manifest.object.name),
        None => manifest.object.name.clone(),
    };
    Ok(Generated {
        file: format!("{stem}.yaml"),
        text: write::scenario(manifest, &build.topology, &expected, denies),
        flows: expected.len(),
    })
}

impl Build {
    /// A namespace that a selector selects. It has the wanted name unless the selector requires another one.
    fn namespace(&mut self, selector: &Selector, wanted: &str) -> Result<String, String> {
        let known = self.topology.namespaces.iter().find(|(name, labels)| {
            (wanted.is_empty() || *name == wanted)
                && selector.matches(&crate::place::rewrite::namespace_labels(name, labels))
        });
        if let Some((name, _)) = known {
            return Ok(name.clone());
        }
        let mut start = Labels::new();
        start.insert(NAME_LABEL.to_owned(), wanted.to_owned());
        let mut labels =
            selector.satisfied_from(&start).ok_or("a selector of namespaces contradicts itself")?;
        let name =
            labels.remove(NAME_LABEL).filter(|name| !name.is_empty()).unwrap_or_else(|| self.free("other"));
        check(&name)?;
        if let Some(before) = self.topology.namespaces.get(&name)
            && *before != labels
        {
            let name = self.free(&name);
            self.topology.namespaces.insert(name.clone(), labels);
            return Ok(name);
        }
        self.topology.namespaces.insert(name.clone(), labels);
        Ok(name)
    }

    /// A pod with these labels: an existing one, or a new one.
    fn pod(&mut self, namespace: &str, labels: &Labels, wanted: &str) -> Workload {
        let same = self
            .topology
            .workloads
            .iter()
            .find(|(name, spec)| name.namespace == namespace && spec.labels == *labels);
        if let Some((name, _)) = same {
            return name.clone();
        }
        let name = Qualified::new(namespace, self.free(wanted));
        let spec = WorkloadSpec { labels: labels.clone(), ..WorkloadSpec::default() };
        self.topology.workloads.insert(name.clone(), spec);
        name
    }

    fn free(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 2;
        while !self.taken.insert(name.clone()) {
            name = format!("{wanted}-{number}");
            number += 1;
        }
        name
    }

    /// A pod that a peer selects, and its neighbors.
    fn peer(&mut self, home: &str, namespaces: Option<&Selector>, pods: &Selector) -> Vec<Workload> {
        let Some(labels) = pods.satisfied_from(&Labels::new()) else { return Vec::new() };
        let namespace = match namespaces {
            None => home.to_owned(),
            Some(selector) => match self.namespace(selector, "") {
                Ok(namespace) => namespace,
                // The selector may be about the cluster's own namespaces, but no pod can be put there.
                Err(_) => return Vec::new(),
            },
        };
        let mut made = vec![self.pod(&namespace, &labels, "peer")];
        made.extend(pods.neighbours().first().map(|labels| self.pod(&namespace, labels, "neighbour")));
        // The same labels in a namespace where the peer does not look.
        made.push(self.pod(OTHER, &labels, "namesake"));
        if let Some(labels_beside) = namespaces.and_then(|selector| selector.neighbours().into_iter().next())
        {
            let mut labels_beside = labels_beside;
            let name = labels_beside.remove(NAME_LABEL).filter(|name| check(name).is_ok());
            let beside = self.topology.namespaces.iter().find(|(_, known)| **known == labels_beside);
            let beside = if let Some((known, _)) = beside {
                known.clone()
            } else {
                let name = name.unwrap_or_else(|| self.free("beside"));
                self.topology.namespaces.entry(name.clone()).or_insert(labels_beside);
                name
            };
            made.push(self.pod(&beside, &labels, "outsider"));
        }
        made
    }

    /// Lets a pod listen on the ports of a rule and on the neighboring ports.
    fn listen(&mut self, workload: &Workload, ports: &[PortRule]) {
        let Some(spec) = self.topology.workloads.get_mut(workload) else { return };
        let mut add = |name: Option<&String>, transport: Transport, port: u16| {
            let listener = Listener { transport, port };
            let taken = spec
                .listens
                .iter()
                .any(|known| known.listener == listener || name.is_some() && known.name.as_ref() == name);
            if !taken && spec.listens.len() < crate::parse::MAX_LISTENERS {
                // A rule may have a name that no port can have. The port then has no name, and the rule does not match it.
                let name = name.filter(|name| is_port_name(name)).cloned();
                spec.listens.push(NamedListener { name, ..listener.into() });
            }
        };
        let transports = |protocol: Protocol| match protocol {
            Protocol::Tcp => Some((Transport::Tcp, Transport::Udp)),
            Protocol::Udp => Some((Transport::Udp, Transport::Tcp)),
            Protocol::Sctp | Protocol::Icmp => None,
        };
        for (index, port) in ports.iter().enumerate() {
            match port {
                PortRule::Range(protocol, first, last) => {
                    let Some((own, other)) = transports(*protocol) else { continue };
                    for number in [first.checked_sub(1), Some(*first), Some(*last), last.checked_add(1)]
                        .into_iter()
                        .flatten()
                    {
                        if number > 0 {
                            add(None, own, number);
                        }
                    }
                    add(None, other, *first);
                }
                PortRule::Named(protocol, name) => {
                    let Some((own, other)) = transports(*protocol) else { continue };
                    add(Some(name), own, NAMED_PORT + index as u16);
                    add(None, other, NAMED_PORT + index as u16);
                }
                PortRule::Name(name) => add(Some(name), Transport::Tcp, NAMED_PORT + index as u16),
                PortRule::All(_) => {}
            }
        }
        if spec_is_bare(&spec.listens) || ports.iter().any(|port| matches!(port, PortRule::All(_))) {
            for transport in [Transport::Tcp, Transport::Udp] {
                let listener = Listener { transport, port: ANY_PORT };
                if !spec.listens.iter().any(|known| known.listener == listener) {
                    spec.listens.push(listener.into());
                }
            }
        }
    }

    /// Flows to and from the subject, and between others as far as they show that the policy does not affect them.
    fn flows(&self, subject: &Workload, listening: &BTreeSet<Workload>) -> Vec<Flow> {
        let to = |source: &Workload, target: &Workload| -> Vec<Flow> {
            let flow = |named: &NamedListener| Flow {
                source: source.clone(),
                target: Target::Workload(target.clone()),
                transport: named.listener.transport,
                port: named.listener.port,
                established: false,
            };
            self.topology.workloads[target].listens.iter().map(flow).collect()
        };
        let others = || self.topology.workloads.keys().filter(|workload| *workload != subject);
        let arriving = others().flat_map(|source| to(source, subject));
        let leaving =
            others().filter(|target| listening.contains(*target)).flat_map(|target| to(subject, target));
        arriving.chain(leaving).collect()
    }
}

fn spec_is_bare(listens: &[NamedListener]) -> bool {
    listens.is_empty()
}

/// What the oracle says about the flows. Where that depends on addresses or on the family, the run finds out.
fn expectations(topology: &Topology, manifest: &Manifest, flows: Vec<Flow>) -> BTreeMap<Flow, Wanted> {
    let mut scene = Scene::planned(topology);
    scene.change(&Change::Apply(manifest.clone()));
    let cluster = scene.cluster();
    let oracle = Oracle::new(&cluster);
    let say = |flow: Flow| {
        let [one, other] = [Family::V4, Family::V6].map(|family| scene.find(&oracle, &flow, family).answer);
        let wanted = match (one, other) {
            (Answer::Allow, Answer::Allow) => Wanted::Written(Expectation::Allow),
            (Answer::Deny, Answer::Deny) => Wanted::Written(Expectation::Deny),
            (Answer::Unspecified(gap), _) | (_, Answer::Unspecified(gap)) if gap.is_of_the_api() => {
                return None;
            }
            _ => Wanted::Policy,
        };
        Some((flow, wanted))
    };
    flows.into_iter().filter_map(say).collect()
}

#[cfg(test)]
mod tests;
