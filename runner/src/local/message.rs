//! What the runner asks of its world, and what the world answers.

use super::address::Families;
use flowproof_core::scenario::{Labels, label::LabelChange};
use flowproof_wire::First;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

/// A request or an answer, with the number that joins the two.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Numbered<T> {
    pub(crate) id: u64,
    pub(crate) body: T,
}

/// The number of the first request, [`Request::Setup`]. The world answers it even if it could not be created.
pub(crate) const SETUP_ID: u64 = 0;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Setup(Setup),
    Deploy(Batch),
    Attach(Name),
    Apply(Value),
    Delete(Object),
    LabelPod(Name, LabelChange),
    LabelNamespace(String, LabelChange),
    Restart(PodOrder),
    Remove { namespaces: Vec<String> },
    Enforced { revision: u64 },
    TellingFaults,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Ready {
        nodes: Vec<Vec<IpAddr>>,
    },
    Deployed {
        pods: Vec<Vec<IpAddr>>,
        services: Vec<Vec<IpAddr>>,
    },
    /// A descriptor comes with it: the stream to the prober.
    Attached,
    /// The change has this revision; see [`Request::Enforced`].
    Accepted {
        revision: u64,
    },
    Restarted {
        addresses: Vec<IpAddr>,
    },
    Removed,
    /// Microseconds since the kernel of every node has had the revision; `None` if not all have it yet.
    Enforced {
        ago_us: Option<u64>,
    },
    /// Names of the faults with which something different would have been enforced so far.
    TellingFaults(Vec<String>),
    Refused(Refusal),
}

/// Mirrors the errors of `Cluster` that a world can cause.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Refusal {
    Surroundings { what: String, hint: String },
    Rejected { object: String, message: String },
    PodFailed { pod: Name, why: String },
    PodGone { pod: Name },
    Unsupported { what: String },
    Failed { context: String, message: String },
}

impl Refusal {
    /// The rejection of an object, by kind and name, with the message of an API server.
    pub(crate) fn rejected(object: String, message: String) -> Self {
        Self::Rejected { object, message }
    }
}

pub(crate) type Name = flowproof_core::scenario::name::Qualified;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) nodes: u8,
    pub(crate) families: Families,
    pub(crate) enforce_delay_ms: u64,
    /// Name of a fault of the table.
    pub(crate) fault: Option<String>,
    /// Whether the engine keeps every state that it gets, for [`Request::TellingFaults`].
    pub(crate) keep_states: bool,
    pub(crate) capture: bool,
    /// The prober's binary; `None` for the one that the program carries.
    pub(crate) prober: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Batch {
    pub(crate) namespaces: BTreeMap<String, Labels>,
    pub(crate) pods: Vec<PodOrder>,
    pub(crate) services: Vec<ServiceOrder>,
    pub(crate) deadline_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodOrder {
    pub(crate) name: Name,
    pub(crate) labels: Labels,
    pub(crate) ports: Vec<ContainerPort>,
    pub(crate) node: String,
    pub(crate) host_network: bool,
    pub(crate) first: Option<First>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ContainerPort {
    pub(crate) name: Option<String>,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    /// Whether it is a native sidecar's.
    pub(crate) sidecar: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceOrder {
    pub(crate) name: Name,
    pub(crate) selector: Labels,
    pub(crate) ports: Vec<ServicePort>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServicePort {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) target: TargetPort,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TargetPort {
    Number(u16),
    Name(String),
}

/// A transport protocol as NetworkPolicy and Services name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// The number in the IP header (IANA).
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}
