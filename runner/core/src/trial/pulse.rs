//! The pulse: how long this network takes right now to enforce a change, node by node, and what follows for a flow that is wrong.
//!
//! Beside its scenarios, a run turns a small policy on and off for two idle probers on every node, and labels in the same way. If
//! a node has enforced a change that is later than a step's, it has had enough time for that step: what is still wrong there
//! stays wrong. As long as the node has enforced none, late is not never.

use super::limits::{Limits, Subject};
use crate::evidence::time::Moment;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// This many later changes of policies must have come through on a node before it has had enough time.
const LATER: usize = 3;
/// The same for labels; one change of labels may take many seconds.
const LATER_LABELS: usize = 2;
/// A node is given this many times as long as a later change took there, or as the same change took on other nodes.
const TIMES: u32 = 2;
const TIMES_OTHERS: u32 = 4;
/// If no pulses are made, the network is given this many times the lag of the probers.
const TIMES_LAG: u32 = 20;
/// How long to wait for a cluster on which nothing was ever enforced, and whose probers get too little CPU at times.
const UNSEEN: Duration = Duration::from_secs(30);
/// A change that a node has not enforced proves something only after at least this long.
const SILENT: Duration = Duration::from_secs(2);

/// One change that was made to see how long it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// What was changed.
    pub subject: Subject,
    /// When the API server had accepted it.
    pub accepted: Moment,
    /// The nodes on which it can be seen.
    pub nodes: BTreeSet<String>,
    /// The moment since which each node has enforced it.
    pub through: BTreeMap<String, Moment>,
}

/// Whether a run can make pulses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Heart {
    /// It makes none.
    #[default]
    None,
    /// It can, as soon as somebody asks.
    Ready,
    /// It could not when somebody asked; holds the reason.
    Failed(String),
}

/// All pulses of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pulses {
    /// Whether there are any.
    pub heart: Heart,
    beats: Vec<Beat>,
}

/// A change that somebody waits for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What was changed.
    pub subject: Subject,
    /// When the API server had accepted it.
    pub accepted: Moment,
    /// The nodes that must enforce it for the flow in question.
    pub nodes: &'a BTreeSet<String>,
    /// How late the timers of the flow's probers were recently; zero if that was not worth a word. The network's agents may have
    /// been as late.
    pub lag: Duration,
}

/// Whether the network has had enough time for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chance {
    /// Nothing shows that yet: wait.
    Open,
    /// It has; holds what shows it, in words.
    Had(String),
    /// Nothing showed it for as long as a step waits; holds the reason, in words.
    Unknown(String),
}

impl Pulses {
    /// Begins a beat, which goes on until the next one begins.
    pub fn begin(&mut self, beat: Beat) {
        self.beats.push(beat);
    }

    /// Notes that a node has enforced the last beat since this moment.
    pub fn through(&mut self, node: &str, since: Moment) {
        if let Some(beat) = self.beats.last_mut() {
            beat.through.entry(node.to_owned()).or_insert(since);
        }
    }

    /// The beat that was begun last.
    #[must_use]
    pub fn last(&self) -> Option<&Beat> {
        self.beats.last()
    }

    /// Whether the network has had enough time for a change.
    #[must_use]
    pub fn chance(&self, asked: &Asked<'_>, now: Moment, limits: &Limits) -> Chance {
        let waited = now.since(asked.accepted);
        if waited < limits.settle(asked.subject) {
            return Chance::Open;
        }
        let settle = || Chance::Had(String::new());
        let out_of_patience = waited >= limits.patience(asked.subject);
        let never_enforced = limits.slowest_policies.is_none()
            && limits.slowest_labels.is_none()
            && self.beats.iter().all(|beat| beat.through.is_empty());
        let without_pulses = self.heart != Heart::Ready;
        if limits.nothing_enforced || without_pulses && waited >= asked.lag * TIMES_LAG {
            return settle();
        }
        // Nothing was ever enforced. If there is enough CPU, or after a long wait, more waiting does not help.
        if never_enforced && (asked.lag.is_zero() || waited >= UNSEEN) {
            return Chance::Had(format!(
                "no change of this run was enforced anywhere within {} s",
                text(waited)
            ));
        }
        if without_pulses {
            return if out_of_patience {
                Chance::Unknown(format!(
                    "after {} s, with a lag of {} ms",
                    text(waited),
                    asked.lag.as_millis()
                ))
            } else {
                Chance::Open
            };
        }
        let mut longest = Duration::ZERO;
        let mut fewest = usize::MAX;
        for node in asked.nodes {
            let times = self.later(asked, node);
            let enough = match asked.subject {
                Subject::Policies => LATER,
                Subject::Labels => LATER_LABELS,
            };
            if times.len() < enough || times.iter().max().is_some_and(|time| waited < *time * TIMES) {
                return match self.silent(asked, node, now, limits) {
                    Some(why) => Chance::Had(why),
                    None if out_of_patience => self.spent(asked, node, times.len(), waited),
                    None => Chance::Open,
                };
            }
            fewest = fewest.min(times.len());
            longest = times.into_iter().fold(longest, Duration::max);
        }
        if asked.nodes.is_empty() {
            return settle();
        }
        Chance::Had(format!(
            "{} enforced {fewest} later changes within {} s",
            list(asked.nodes),
            text(longest)
        ))
    }

    /// How long later changes of the same kind took on a node.
    fn later(&self, asked: &Asked<'_>, node: &str) -> Vec<Duration> {
        let later =
            self.beats.iter().filter(|beat| beat.subject == asked.subject && beat.accepted >= asked.accepted);
        later.filter_map(|beat| Some(beat.through.get(node)?.since(beat.accepted))).collect()
    }

    /// Says so if other nodes enforce changes and this one enforces none.
    fn silent(&self, asked: &Asked<'_>, node: &str, now: Moment, limits: &Limits) -> Option<String> {
        let later =
            || self.beats.iter().filter(|beat| beat.accepted >= asked.accepted && beat.nodes.contains(node));
        if later().any(|beat| beat.through.contains_key(node)) {
            return None;
        }
        let missed = later().find(|beat| beat.subject == asked.subject)?;
        let others = missed.through.values().map(|at| at.since(missed.accepted)).max()?;
        let enough = (others * TIMES_OTHERS).max(SILENT);
        let waited = now.since(asked.accepted);
        (now.since(missed.accepted) >= enough && waited >= limits.settle(asked.subject).max(enough)).then(
            || {
                let those: BTreeSet<String> = missed.through.keys().cloned().collect();
                format!(
                    "{node} has enforced nothing for {} s, while {} enforced a later change within {} s",
                    text(waited),
                    list(&those),
                    text(others)
                )
            },
        )
    }

    fn spent(&self, asked: &Asked<'_>, node: &str, later: usize, waited: Duration) -> Chance {
        let beaten =
            self.beats.iter().any(|beat| beat.accepted >= asked.accepted && beat.nodes.contains(node));
        match (later, beaten) {
            (0, true) => Chance::Had(format!("{node} has enforced nothing for {} s", text(waited))),
            (0, false) => {
                Chance::Unknown(format!("after {} s, and nothing shows how quick {node} is", text(waited)))
            }
            _ => Chance::Had(format!("{node} enforced a later change meanwhile")),
        }
    }
}

fn text(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}

fn list(nodes: &BTreeSet<String>) -> String {
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    match &nodes[..] {
        [] => "no node".to_owned(),
        [only] => (*only).to_owned(),
        [first @ .., last] if first.len() < 3 => format!("{} and {last}", first.join(", ")),
        [first, rest @ ..] => format!("{first} and {} other nodes", rest.len()),
    }
}

#[cfg(test)]
mod tests;
