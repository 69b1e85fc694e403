//! What is played: which scenarios, in which variants.

use super::{Failure, cluster::ClusterKind};
use crate::scenarios;
use clap::{Args, ValueEnum};
use flowproof_core::{
    parse::Deviation,
    scenario::{
        Scenario,
        flow::Family,
        variant::{self, Via, Where},
    },
};
use std::{collections::BTreeSet, path::PathBuf};

/// Which address families to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FamilyChoice {
    /// IPv4 only
    #[value(name = "4")]
    V4,
    /// IPv6 only
    #[value(name = "6")]
    V6,
    /// Whatever both ends have
    Both,
}

/// Where pods run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlacementChoice {
    /// All pods of a scenario on one node
    SameNode,
    /// On two nodes, so that as many flows as possible cross nodes
    CrossNode,
    /// Play every scenario twice, once each way
    Both,
}

/// How flows reach pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ViaChoice {
    /// At the pod's address
    Pod,
    /// Through a ClusterIP Service in front of each pod
    Service,
    /// Both
    Both,
}

/// Which scenarios, in which variants.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Scenarios")]
pub struct SelectionArgs {
    /// Scenario files and directories [default: the shipped scenarios]
    #[arg(value_name = "PATH", help_heading = None)]
    pub paths: Vec<PathBuf>,
    /// Play the workloads of manifests, such as the output of helm template, and a stranger; expect what their policies say.
    /// A file, a directory, or - for stdin; may be repeated
    #[arg(short = 'f', long = "manifests", value_name = "FILE")]
    pub manifests: Vec<PathBuf>,
    /// The namespace of manifests that do not name one [default: default]
    #[arg(long, value_name = "NAME", requires = "manifests")]
    pub namespace: Option<String>,
    /// Play only scenarios whose file or claim contains this text; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// Address families to try
    #[arg(long, value_enum, default_value = "both")]
    pub family: FamilyChoice,
    /// Where to run pods that the scenario does not place [default: spread over all nodes]
    #[arg(long, value_enum)]
    pub placement: Option<PlacementChoice>,
    /// How flows reach pods
    #[arg(long, value_enum, default_value = "pod")]
    pub via: ViaChoice,
    /// Count known deviations of the network plugin as mismatches
    #[arg(long)]
    pub strict: bool,
    /// Allow flows to the cluster's own Services (a TCP handshake without payload)
    #[arg(long)]
    pub touch_live: bool,
}

impl SelectionArgs {
    /// The scenarios, in the variants that were asked for.
    pub fn scenarios(&self) -> Result<Vec<Scenario>, Failure> {
        let mut scenarios =
            if self.paths.is_empty() && !self.manifests.is_empty() { Vec::new() } else { load(&self.paths)? };
        if !self.manifests.is_empty() {
            let of_manifests = scenarios::of_manifests(&self.manifests, self.namespace.as_deref());
            scenarios.push(of_manifests.map_err(|wrong| Failure::problems(&[wrong]))?);
        }
        let scenarios = select(scenarios, &self.filter)?;
        let via = match self.via {
            ViaChoice::Pod => Via::Pod,
            ViaChoice::Service => Via::Service,
            ViaChoice::Both => Via::Both,
        };
        // Services are added after placement, because they would hide which flows cross nodes.
        let placed = match self.placement {
            None => scenarios,
            Some(PlacementChoice::SameNode) => variant::placed(scenarios, Where::SameNode),
            Some(PlacementChoice::CrossNode) => variant::placed(scenarios, Where::CrossNode),
            Some(PlacementChoice::Both) => {
                let same = named(variant::placed(scenarios.clone(), Where::SameNode), "within a node");
                let cross = named(variant::placed(scenarios, Where::CrossNode), "between nodes");
                same.into_iter().chain(cross).collect()
            }
        };
        Ok(placed.into_iter().map(|scenario| variant::via(scenario, via)).collect())
    }

    /// The known deviations that go with the scenarios.
    pub fn deviations(&self) -> Result<Vec<Deviation>, Failure> {
        let known = scenarios::known_deviations(&self.paths).map_err(|wrong| Failure::problems(&wrong))?;
        Ok(if self.strict { Vec::new() } else { known })
    }

    /// The address families to try.
    pub fn families(&self) -> BTreeSet<Family> {
        match self.family {
            FamilyChoice::V4 => [Family::V4].into(),
            FamilyChoice::V6 => [Family::V6].into(),
            FamilyChoice::Both => [Family::V4, Family::V6].into(),
        }
    }

    /// Refuses scenarios with live workloads if the cluster has none, and flows to live Services without `--touch-live`.
    pub fn may_play(&self, kind: ClusterKind, scenarios: &[Scenario]) -> Result<(), Failure> {
        if kind == ClusterKind::Local {
            return none_live(scenarios);
        }
        let touching =
            |scenario: &Scenario| Some((scenario.file.clone(), scenario.touched().next()?.clone()));
        match scenarios.iter().find_map(touching) {
            Some((file, service)) if !self.touch_live => Err(Failure::usage(format!(
                "{file} connects to {service}, a Service of the cluster and not of the run: that needs --touch-live"
            ))
            .hint("every attempt is a TCP handshake without a byte of payload")),
            _ => Ok(()),
        }
    }
}

/// The scenarios with a suffix after their claims.
fn named(mut scenarios: Vec<Scenario>, suffix: &str) -> Vec<Scenario> {
    for scenario in &mut scenarios {
        scenario.claim = format!("{} ({suffix})", scenario.claim);
    }
    scenarios
}

/// Reads the scenarios of files and directories; the shipped ones if there is no path.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Scenario>, Failure> {
    scenarios::load(paths).map_err(|wrong| Failure::problems(&wrong))
}

/// Keeps the scenarios whose file or claim contains one of the texts.
pub fn select(scenarios: Vec<Scenario>, filter: &[String]) -> Result<Vec<Scenario>, Failure> {
    let all = scenarios.len();
    let wanted = |scenario: &Scenario| {
        filter.is_empty()
            || filter.iter().any(|text| scenario.file.contains(text) || scenario.claim.contains(text))
    };
    let selected: Vec<Scenario> = scenarios.into_iter().filter(wanted).collect();
    if selected.is_empty() {
        let texts: Vec<String> = filter.iter().map(|text| format!("'{text}'")).collect();
        let texts = texts.join(" or ");
        return Err(Failure::nothing(format!("no scenario has {texts} in its path or claim ({all} in all)")));
    }
    Ok(selected)
}

/// Refuses what the local cluster does not have.
pub fn none_live(scenarios: &[Scenario]) -> Result<(), Failure> {
    match scenarios.iter().find(|scenario| scenario.live) {
        Some(live) => Err(Failure::usage(format!(
            "{} is about the policies and workloads of a cluster (policies: live), and the local cluster has none",
            live.file
        ))
        .hint("play it with `flowproof run --cluster kube`, or choose others with --filter")),
        None => Ok(()),
    }
}
