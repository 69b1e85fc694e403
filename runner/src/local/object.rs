//! The API's objects as the local cluster sees them, in the kernel as on paper, and why it refuses them.

use crate::cluster::ClusterError;
use flowproof_core::scenario::{self, Labels, NamedListener, ObjectRef};
use flowproof_wire::{First, Transport};
use serde::{Deserialize, Serialize};

pub(crate) type Name = scenario::name::Qualified;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

impl From<&ObjectRef> for Object {
    fn from(object: &ObjectRef) -> Self {
        Self {
            api_version: object.api_version.clone(),
            kind: object.kind.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        }
    }
}

/// A pod to start.
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

impl From<&NamedListener> for ContainerPort {
    fn from(listens: &NamedListener) -> Self {
        Self {
            name: listens.name.clone(),
            protocol: listens.listener.transport.into(),
            port: listens.listener.port,
            sidecar: listens.sidecar,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServicePort {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) target: TargetPort,
}

impl From<&scenario::ServicePort> for ServicePort {
    fn from(port: &scenario::ServicePort) -> Self {
        Self {
            protocol: port.listener.transport.into(),
            port: port.listener.port,
            target: match &port.target {
                scenario::TargetPort::Number(number) => TargetPort::Number(*number),
                scenario::TargetPort::Name(name) => TargetPort::Name(name.clone()),
            },
        }
    }
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

impl From<Transport> for Protocol {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp | Transport::DnsTcp => Self::Tcp,
            Transport::Udp | Transport::DnsUdp => Self::Udp,
        }
    }
}

/// Mirrors the errors of `Cluster` that a local cluster can cause.
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

    /// The error of `Cluster` that it mirrors.
    pub(crate) fn into_error(self) -> ClusterError {
        match self {
            Self::Surroundings { what, hint } => ClusterError::Unreachable { what, hint },
            Self::Rejected { object, message } => ClusterError::Rejected { object, message },
            Self::PodFailed { pod, why } => {
                ClusterError::PodFailed { pod, node: None, why, hint: String::new() }
            }
            Self::PodGone { pod } => ClusterError::PodGone { pod },
            Self::Unsupported { what } => ClusterError::Unsupported { what },
            Self::Failed { context, message } => ClusterError::Failed { context, message },
        }
    }
}
