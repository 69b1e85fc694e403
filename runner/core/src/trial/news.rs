//! What the link to a prober reports, in the time of the run.

use crate::evidence::{
    record::{ArrivalRun, SourceRun},
    time::Moment,
};
use flowproof_wire::{Capture, FlowId, ListenerStatus};
use std::{net::IpAddr, time::Duration};

/// Something that became known about a prober.
#[derive(Debug)]
pub enum News {
    /// A stream was opened and the handshake is done. `instance` differs if the prober was restarted.
    Attached {
        /// As in the prober's hello.
        instance: u64,
        /// Name servers of the pod.
        name_servers: Vec<IpAddr>,
        /// Search list of the pod.
        search: Vec<String>,
    },
    /// A report.
    Reported(Box<Report>),
    /// The stream was lost; the link keeps trying.
    Lost(String),
    /// The pod is gone for good.
    Gone(String),
}

/// A report in the time of the run.
#[derive(Debug)]
pub struct Report {
    /// When the prober made it.
    pub at: Moment,
    /// Since when the prober has run without a hole.
    pub steady: Moment,
    /// Longest delay of the prober's timer since the last report.
    pub lag: Duration,
    /// Source spans.
    pub source: Vec<(FlowId, SourceRun)>,
    /// Arrival spans.
    pub arrivals: Vec<(FlowId, ArrivalRun)>,
    /// Listeners, with the period over which each was alive.
    pub listeners: Vec<(ListenerStatus, Option<(Moment, Moment)>)>,
    /// Spans that the prober had to drop: a hole in the record.
    pub dropped: u64,
    /// What it captured since the last report, if it captures.
    pub capture: Option<Capture>,
}
