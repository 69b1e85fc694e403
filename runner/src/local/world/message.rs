//! What the runner asks of its world, and what the world answers.

use crate::local::{
    address::Families,
    object::{Name, Object, PodOrder, Refusal, ServicePort},
};
use flowproof_core::scenario::{Labels, label::LabelChange};
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
pub(crate) struct ServiceOrder {
    pub(crate) name: Name,
    pub(crate) selector: Labels,
    pub(crate) ports: Vec<ServicePort>,
}
