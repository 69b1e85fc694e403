//! Why a line is in a map, or not: the rules that decide, and where they are written.

use super::{ANY_OTHER, Line, Place, ends, ports::Read, spoken_of};
use crate::{
    policy::{Answer, Derivation, Oracle, Protocol, spoken::Spoken},
    scenario::flow::Family,
    snapshot::Snapshot,
    tools::explain::{place, place_of_policy},
};
use serde::Serialize;

/// What decides one port of one pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// `allow`, `deny`, `unspecified`; `absent` if one of the ends does not exist, `not-listening` if the destination is known to
    /// listen on other ports only.
    pub answer: &'static str,
    /// The reason in one clause.
    pub reason: String,
    /// The rules that decide; if none does, the policies that isolate an end.
    pub rules: Vec<Cited>,
}

/// A rule, or a policy whose rules do not match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cited {
    /// The policy: `NetworkPolicy shop/db`.
    pub policy: String,
    /// The rule's field in it: `spec.ingress[0]`; `None` if the whole policy is meant.
    pub field: Option<String>,
    /// Where that is written, if it is known: `file:line:column`.
    pub at: Option<String>,
}

/// Answers for the lines of one map.
pub(super) struct Asker<'s> {
    snapshot: &'s Snapshot,
    spoken: Spoken,
    ends: Vec<Place>,
    oracle: Oracle<'s>,
}

impl<'s> Asker<'s> {
    pub(super) fn new(snapshot: &'s Snapshot) -> Self {
        let spoken = spoken_of(snapshot);
        let ends = ends(snapshot, &spoken);
        Self { snapshot, spoken, ends, oracle: Oracle::new(&snapshot.cluster) }
    }

    pub(super) fn why(&self, line: &Line) -> Why {
        let without_rules = |answer, reason| Why { answer, reason, rules: Vec::new() };
        let (Some(from), Some(to)) = (self.place(&line.from), self.place(&line.to)) else {
            let missing = if self.place(&line.from).is_none() { &line.from } else { &line.to };
            return without_rules("absent", format!("there is no {missing}"));
        };
        let Some(read) = Read::of(&line.port) else {
            return without_rules("absent", format!("'{}' cannot be read as a port", line.port));
        };
        let port = read.port();
        let known = to.ports(self.snapshot, &self.spoken);
        let is = |protocol: &Protocol| protocol.as_str().eq_ignore_ascii_case(read.protocol);
        let Some(protocol) = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(is) else {
            return without_rules("absent", format!("'{}' is not a protocol", read.protocol));
        };
        let anywhere = known.iter().any(|(_, port)| *port == ANY_OTHER);
        if !anywhere && !known.contains(&(protocol, port)) {
            let known: Vec<String> = known
                .iter()
                .map(|(protocol, port)| format!("{}/{port}", protocol.as_str().to_lowercase()))
                .collect();
            let reason = format!("{} is known to listen on {} only", line.to, known.join(", "));
            return without_rules("not-listening", reason);
        }
        let mut cases: Vec<(Family, Derivation)> = Vec::new();
        for (family, ask) in super::asks(&from, &to, protocol, port) {
            if read.family.is_none_or(|only| only == family) {
                cases.push((family, self.oracle.derive(&ask)));
            }
        }
        self.of_cases(&cases)
    }

    fn of_cases(&self, cases: &[(Family, Derivation)]) -> Why {
        let worst = |answer: &Answer| match answer {
            Answer::Deny => 0,
            Answer::Unspecified(_) => 1,
            Answer::Allow => 2,
        };
        let answer = cases.iter().map(|(_, case)| case.answer).min_by_key(worst);
        let mut clauses: Vec<(Family, String)> = Vec::new();
        let mut rules: Vec<Cited> = Vec::new();
        for (family, case) in cases {
            clauses.push((*family, case.clause()));
            let deciding = case.deciding_rules().map(|rule| Cited {
                policy: rule.policy.to_string(),
                field: Some(rule.path()),
                at: place(self.snapshot, rule),
            });
            let isolating = case.isolating().map(|policy| Cited {
                policy: policy.to_string(),
                field: None,
                at: place_of_policy(self.snapshot, policy),
            });
            for cited in deciding.chain(isolating) {
                if !rules.contains(&cited) {
                    rules.push(cited);
                }
            }
        }
        let same = clauses.windows(2).all(|two| two[0].1 == two[1].1);
        let reason = if same {
            clauses
                .into_iter()
                .next()
                .map_or_else(|| "the ends have no address family in common".to_owned(), |(_, clause)| clause)
        } else {
            clauses
                .iter()
                .map(|(family, clause)| format!("{family}: {clause}"))
                .collect::<Vec<_>>()
                .join("; ")
        };
        Why { answer: answer.map_or("absent", Answer::word), reason, rules }
    }

    /// An end by its name. A block is found even if no policy names it.
    fn place(&self, name: &str) -> Option<Place> {
        let known = self.ends.iter().find(|end| end.name == name).cloned();
        known.or_else(|| Place::of_block(name, name.parse().ok()?, &self.spoken))
    }
}
