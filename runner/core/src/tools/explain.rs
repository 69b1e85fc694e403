//! Why the policies allow or deny a flow: the answer, each end, and for a denied flow the rule that came nearest.

use crate::{
    policy::{
        Answer, Ask, Derivation, Direction, End, Holds, Oracle, PolicyName, Protocol, RuleName, Side, Via,
        derive::{Asked, AskedRule},
    },
    scenario::{Manifest, flow::Family, name::Qualified},
    snapshot::Snapshot,
};
use serde::Serialize;
use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
    net::IpAddr,
};

/// What is asked: one flow, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    source: Named,
    target: Named,
    ports: Vec<(Protocol, u16)>,
}

/// An end, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    /// Pods: by their own name, or by the name of what they belong to.
    Pods(Option<String>, Qualified),
    Service(Qualified),
    Node(String),
    Address(IpAddr),
}

/// Why a question cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The text cannot be read.
    #[error("'{0}' cannot be read as a flow: {1}")]
    Form(String, String),
    /// Something that is named does not exist.
    #[error("there is no {0}")]
    Missing(String),
    /// The target has no ports to ask about.
    #[error("{0} has no known ports: write one, as tcp/5432")]
    Ports(String),
}

/// The answers to a question about one port: several if families or ends differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The flow: `app/api -> data/postgres tcp/5432`.
    pub flow: String,
    /// Each answer and its reason.
    pub cases: Vec<Case>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Case {
    /// Families, and for a Service or several pods which ends are meant; empty if there is only one case.
    pub when: String,
    /// `allow`, `deny` or `unspecified`.
    pub answer: &'static str,
    /// The reason in one clause.
    pub reason: String,
    /// The rules that decide.
    pub rules: Vec<String>,
    /// The rule that came nearest to letting a denied flow through, and what it lacks.
    pub nearest: Option<Near>,
    #[serde(skip)]
    derivation: Derivation,
}

/// A rule that does not match, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Near {
    /// The rule.
    pub rule: String,
    /// Where it is written, if that is known.
    pub at: Option<String>,
    /// What is missing.
    pub lacks: Vec<String>,
}

impl Question {
    /// Reads `app/api -> data/postgres tcp/5432`; a name without a namespace is in `namespace`.
    pub fn parse(text: &str, namespace: &str) -> Result<Self, ExplainError> {
        let wrong = |why: &str| ExplainError::Form(text.to_owned(), why.to_owned());
        let (source, rest) = text
            .split_once("->")
            .ok_or_else(|| wrong("write SOURCE -> TARGET PORT, as in 'app/api -> data/postgres tcp/5432'"))?;
        let mut words: Vec<&str> = rest.split_whitespace().collect();
        let first_port = words.iter().position(|word| is_port(word)).unwrap_or(words.len());
        let mut ports = Vec::new();
        for word in words.split_off(first_port) {
            ports.extend(self::ports(word).ok_or_else(|| {
                wrong(&format!("'{word}' is not a port; write tcp/80, udp/53, sctp/7 or dns"))
            })?);
        }
        let source: Vec<&str> = source.split_whitespace().collect();
        let target = end(&words, namespace).map_err(|why| wrong(&why))?;
        if words == ["cluster-dns"] && ports.is_empty() {
            ports = vec![(Protocol::Udp, 53), (Protocol::Tcp, 53)];
        }
        Ok(Self { source: end(&source, namespace).map_err(|why| wrong(&why))?, target, ports })
    }
}

fn is_port(word: &str) -> bool {
    word == "dns" || ["tcp/", "udp/", "sctp/", "dns/"].iter().any(|prefix| word.starts_with(prefix))
}

fn ports(word: &str) -> Option<Vec<(Protocol, u16)>> {
    match word {
        "dns" => return Some(vec![(Protocol::Udp, 53), (Protocol::Tcp, 53)]),
        "dns/udp" => return Some(vec![(Protocol::Udp, 53)]),
        "dns/tcp" => return Some(vec![(Protocol::Tcp, 53)]),
        _ => {}
    }
    let (protocol, numbers) = word.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    numbers
        .split(',')
        .map(|number| number.parse().ok().filter(|number| *number > 0).map(|number| (protocol, number)))
        .collect()
}

fn end(words: &[&str], namespace: &str) -> Result<Named, String> {
    let name = |text: &str| -> Result<Qualified, String> {
        match text.split_once('/') {
            Some((namespace, name)) if !name.is_empty() && !name.contains('/') => {
                Ok(Qualified::new(namespace, name))
            }
            None if !text.is_empty() => Ok(Qualified::new(namespace, text)),
            _ => Err(format!("'{text}' is not a name; write namespace/name")),
        }
    };
    match words {
        ["service" | "svc", text] => name(text).map(Named::Service),
        ["node", text] => Ok(Named::Node((*text).to_owned())),
        ["ip", text] => text.parse().map(Named::Address).map_err(|_| format!("'{text}' is not an address")),
        ["cluster-dns"] => Ok(Named::Pods(None, Qualified::new("kube-system", "cluster-dns"))),
        [text] => {
            if let Ok(address) = text.parse() {
                return Ok(Named::Address(address));
            }
            let parts: Vec<&str> = text.split('/').collect();
            match parts[..] {
                [namespace, kind, name] => {
                    Ok(Named::Pods(Some(kind.to_owned()), Qualified::new(namespace, name)))
                }
                [
                    kind @ ("deploy" | "deployment" | "sts" | "statefulset" | "ds" | "daemonset" | "pod"),
                    name,
                ] => Ok(Named::Pods(Some(kind.to_owned()), Qualified::new(namespace, name))),
                _ => name(text).map(|name| Named::Pods(None, name)),
            }
        }
        [] => Err("an end is missing".to_owned()),
        _ => Err(format!(
            "'{}' is not an endpoint; write namespace/name, service namespace/name, node NAME or ip ADDRESS",
            words.join(" ")
        )),
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods(None, name) => write!(f, "{name}"),
            Self::Pods(Some(kind), name) => write!(f, "{}/{kind}/{}", name.namespace, name.name),
            Self::Service(name) => write!(f, "service {name}"),
            Self::Node(name) => write!(f, "node {name}"),
            Self::Address(address) => write!(f, "ip {address}"),
        }
    }
}

/// An end and the port at which a connection arrives there, with the Service that leads to it.
type Arrival = (End, u16, Option<Via>);

/// Answers a question, one answer for each port.
pub fn explain(snapshot: &Snapshot, question: &Question) -> Result<Vec<Explained>, ExplainError> {
    let oracle = Oracle::new(&snapshot.cluster);
    let sources = ends(snapshot, &question.source)?;
    let ports = match (&question.ports[..], &question.target) {
        ([], Named::Service(name)) => {
            let service = snapshot.services.get(name).ok_or_else(|| missing(snapshot, &question.target))?;
            service.ports.iter().map(|(protocol, port, _)| (*protocol, *port)).collect()
        }
        ([], target) => {
            let ports: BTreeSet<_> = ends(snapshot, target)?
                .iter()
                .filter_map(|end| match end {
                    End::Pod(pod) => Some(&snapshot.cluster.pods[*pod].ports),
                    End::Address(_) => None,
                })
                .flatten()
                .map(|port| (port.protocol, port.number))
                .collect();
            ports.into_iter().collect()
        }
        (ports, _) => ports.to_vec(),
    };
    if ports.is_empty() {
        return Err(ExplainError::Ports(question.target.to_string()));
    }
    ports.into_iter().map(|port| one(snapshot, &oracle, question, &sources, port)).collect()
}

fn one(
    snapshot: &Snapshot,
    oracle: &Oracle<'_>,
    question: &Question,
    sources: &[End],
    (protocol, port): (Protocol, u16),
) -> Result<Explained, ExplainError> {
    let arrivals: Vec<(Option<Family>, Arrival)> = match &question.target {
        Named::Service(name) => {
            let service = snapshot.services.get(name).ok_or_else(|| missing(snapshot, &question.target))?;
            let via = Via { address: service.addresses.first().copied(), port: Some(port) };
            snapshot
                .behind(name, protocol, port)
                .into_iter()
                .map(|(pod, at)| (None, (End::Pod(pod), at, Some(via))))
                .collect()
        }
        target => ends(snapshot, target)?.into_iter().map(|end| (None, (end, port, None))).collect(),
    };
    let flow =
        format!("{} -> {} {}/{port}", question.source, question.target, protocol.as_str().to_lowercase());
    if arrivals.is_empty() {
        return Err(ExplainError::Missing(format!("pod behind {} on that port", question.target)));
    }
    // An address has one family, even if it belongs to a pod that has two.
    let written = |family: &Family| {
        let of = |named: &Named| match named {
            Named::Address(address) => Family::of(*address) == *family,
            _ => true,
        };
        of(&question.source) && of(&question.target)
    };
    let mut cases: Vec<(Vec<String>, Derivation)> = Vec::new();
    for source in sources {
        for (_, (destination, port, service)) in &arrivals {
            for family in families(snapshot, *source, *destination).into_iter().filter(written) {
                let ask = Ask {
                    source: *source,
                    destination: *destination,
                    family,
                    protocol,
                    port: *port,
                    service: *service,
                };
                let derivation = oracle.derive(&ask);
                let several = sources.len() > 1 || arrivals.len() > 1;
                let ends = format!("{} -> {}", oracle.end_name(*source), oracle.end_name(*destination));
                let when = if several { format!("{ends} over {family}") } else { format!("over {family}") };
                match cases.iter_mut().find(|(_, known)| alike(known, &derivation)) {
                    Some((whens, _)) => whens.push(when),
                    None => cases.push((vec![when], derivation)),
                }
            }
        }
    }
    if cases.is_empty() {
        return Err(ExplainError::Missing(format!("family of addresses that both ends of '{flow}' have")));
    }
    let only = cases.len() == 1;
    let cases = cases.into_iter().map(|(whens, derivation)| Case {
        when: if only { String::new() } else { shortened(&whens) },
        answer: derivation.answer.word(),
        reason: derivation.clause(),
        rules: derivation.deciding_rules().map(ToString::to_string).collect(),
        nearest: derivation.nearest().map(|rule| Near {
            rule: rule.name.to_string(),
            at: place(snapshot, &rule.name),
            lacks: rule.lacks.clone(),
        }),
        derivation,
    });
    Ok(Explained { flow, cases: cases.collect() })
}

fn shortened(whens: &[String]) -> String {
    const MOST: usize = 3;
    match whens.len().saturating_sub(MOST) {
        0 => whens.join("; "),
        more => format!("{}; and {more} more", whens[..MOST].join("; ")),
    }
}

/// Whether readers would call two reasons the same: pods of one Deployment differ only in their names.
fn alike(one: &Derivation, other: &Derivation) -> bool {
    let parts = |derivation: &Derivation| -> Vec<(Direction, Answer, Vec<RuleName>)> {
        let side = |side: &Side| {
            let rules = side.asked.iter().flat_map(|asked| &asked.rules);
            (
                side.direction,
                side.answer,
                rules.filter(|rule| rule.holds.is_yes()).map(|rule| rule.name.clone()).collect(),
            )
        };
        derivation.sides.iter().map(side).collect()
    };
    one.answer == other.answer && one.itself == other.itself && parts(one) == parts(other)
}

/// The families that both ends have; both where nothing is known.
fn families(snapshot: &Snapshot, source: End, destination: End) -> Vec<Family> {
    let has = |end: End, family: Family| match end {
        End::Pod(pod) => snapshot.cluster.pods[pod].address(family).is_some(),
        End::Address(address) => Family::of(address) == family,
    };
    let both = [Family::V4, Family::V6];
    both.into_iter().filter(|family| has(source, *family) && has(destination, *family)).collect()
}

fn ends(snapshot: &Snapshot, named: &Named) -> Result<Vec<End>, ExplainError> {
    let found: Vec<End> = match named {
        Named::Pods(kind, name) => {
            let mut pods = snapshot.pods_named(kind.as_deref(), name);
            if pods.is_empty()
                && (name.namespace.as_str(), name.name.as_str()) == ("kube-system", "cluster-dns")
            {
                let dns = |pod: &&crate::policy::Pod| {
                    pod.name.namespace == "kube-system"
                        && pod.labels.get("k8s-app").is_some_and(|app| app == "kube-dns")
                };
                pods = (0..snapshot.cluster.pods.len())
                    .filter(|pod| dns(&&snapshot.cluster.pods[*pod]))
                    .collect();
            }
            pods.into_iter().map(End::Pod).collect()
        }
        Named::Service(_) => Vec::new(),
        Named::Node(name) => {
            let known = snapshot.cluster.nodes.get(name).into_iter().flatten().copied();
            known.map(End::Address).collect()
        }
        Named::Address(address) => {
            let pod = snapshot
                .cluster
                .pods
                .iter()
                .position(|pod| !pod.host_network && pod.addresses.contains(address));
            vec![pod.map_or(End::Address(*address), End::Pod)]
        }
    };
    if found.is_empty() { Err(missing(snapshot, named)) } else { Ok(found) }
}

fn missing(snapshot: &Snapshot, named: &Named) -> ExplainError {
    let wanted = named.to_string();
    let known: Vec<String> = match named {
        Named::Pods(..) => {
            let pods = snapshot.cluster.pods.iter().map(|pod| pod.name.to_string());
            let owners = snapshot.owned.keys().map(|(_, name)| name.to_string());
            pods.chain(owners).collect::<BTreeSet<_>>().into_iter().collect()
        }
        Named::Service(_) => snapshot.services.keys().map(|name| format!("service {name}")).collect(),
        Named::Node(_) => snapshot.cluster.nodes.keys().map(|name| format!("node {name}")).collect(),
        Named::Address(_) => Vec::new(),
    };
    let near = crate::text::nearest(&wanted, known.iter().map(String::as_str));
    let hint = match (near, known.len()) {
        (Some(near), _) => format!("; did you mean {near}?"),
        (None, 1..=12) => format!("; there is {}", known.join(", ")),
        _ => String::new(),
    };
    let what = if matches!(named, Named::Pods(..)) { "pod or workload " } else { "" };
    ExplainError::Missing(format!("{what}{wanted}{hint}"))
}

/// Where a rule is written.
pub(crate) fn place(snapshot: &Snapshot, rule: &RuleName) -> Option<String> {
    let manifest = manifest(snapshot, &rule.policy)?;
    manifest.places.find(&rule.path()).map(|(place, _)| place.to_string())
}

/// Where a policy is written.
pub(crate) fn place_of_policy(snapshot: &Snapshot, policy: &PolicyName) -> Option<String> {
    manifest(snapshot, policy).map(|manifest| manifest.at.to_string()).filter(|at| !at.starts_with(':'))
}

fn manifest<'s>(snapshot: &'s Snapshot, policy: &PolicyName) -> Option<&'s Manifest> {
    snapshot.policies.iter().find(|manifest| {
        manifest.object.kind == policy.kind
            && manifest.object.namespace == policy.namespace
            && manifest.object.name == policy.name
    })
}

impl Explained {
    /// The derivation as text: first the answer, then each end, then the nearest rule.
    #[must_use]
    pub fn text(&self, snapshot: &Snapshot) -> String {
        let mut text = String::new();
        for case in &self.cases {
            let when = if case.when.is_empty() { String::new() } else { format!(" ({})", case.when) };
            let _ = writeln!(text, "{}: {}{when}", case.answer, self.flow);
            let _ = writeln!(text, "  {}", case.reason);
            for side in &case.derivation.sides {
                let _ =
                    writeln!(text, "\n  {} at {}: {}", side.direction.as_str(), side.pod, side.answer.word());
                if side.asked.is_empty() {
                    let _ = writeln!(text, "    no policy applies to it");
                }
                for asked in &side.asked {
                    policy(&mut text, asked, snapshot);
                }
            }
            if let Some(near) = &case.nearest {
                let at = near.at.as_ref().map_or(String::new(), |at| format!(" ({at})"));
                let _ = writeln!(text, "\n  nearest: {}{at}", near.rule);
                for lacks in &near.lacks {
                    let _ = writeln!(text, "    missing: {lacks}");
                }
            }
            text.push('\n');
        }
        text
    }
}

fn policy(text: &mut String, asked: &Asked, snapshot: &Snapshot) {
    let _ = writeln!(text, "    {}", asked.policy);
    if asked.rules.is_empty() {
        let _ = writeln!(text, "      has no rules for this direction: it only isolates");
    }
    for rule in &asked.rules {
        let AskedRule { name, holds, action, about, lacks, .. } = rule;
        let (sign, word) = match holds {
            Holds::Yes => ("✔", "matches"),
            Holds::No => ("✘", "does not match"),
            Holds::Open(_) => ("○", "is left open"),
        };
        let action = action.map_or(String::new(), |action| format!(" {}", action.as_str()));
        let at = place(snapshot, name).map_or(String::new(), |at| format!(" ({at})"));
        let _ = writeln!(text, "      {sign} rule {}{action}: {about}: {word}{at}", name.index + 1);
        if *holds == Holds::No {
            for lacks in lacks {
                let _ = writeln!(text, "          {lacks}");
            }
        }
        if let Holds::Open(gap) = holds {
            let _ = writeln!(text, "          {gap}");
        }
    }
}
