//! The ports of a connection: as texts in a map, and as sets that can be subtracted from each other.

use super::{ANY_OTHER, Line};
use crate::{
    policy::{Answer, Protocol},
    scenario::flow::Family,
};
use std::{collections::BTreeMap, collections::BTreeSet, fmt::Write as _};

/// The ports on which an answer holds, collected while they are asked about one after the other. No family means all families
/// that both ends have.
#[derive(Default)]
pub(super) struct Found {
    pub(super) allowed: Vec<(Protocol, u16, Option<Family>)>,
    pub(super) open: Vec<(Protocol, u16, Option<Family>)>,
}

impl Found {
    pub(super) fn add(&mut self, protocol: Protocol, port: u16, answers: &[(Family, Answer)]) {
        let keep = |list: &mut Vec<_>, fits: fn(&Answer) -> bool| {
            let fitting: Vec<Family> =
                answers.iter().filter(|(_, answer)| fits(answer)).map(|(family, _)| *family).collect();
            if !fitting.is_empty() && fitting.len() == answers.len() {
                list.push((protocol, port, None));
            } else {
                list.extend(fitting.into_iter().map(|family| (protocol, port, Some(family))));
            }
        };
        keep(&mut self.allowed, |answer| *answer == Answer::Allow);
        keep(&mut self.open, |answer| matches!(answer, Answer::Unspecified(_)));
    }
}

/// Ports as they are written. If all others are among them, those of the same protocol are left out, and those that are not among
/// them are named: `tcp/* but 22,23`.
pub(super) fn texts(
    ports: &[(Protocol, u16, Option<Family>)],
    asked: &BTreeSet<(Protocol, u16)>,
) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for (protocol, port, family) in ports {
        let set = if *port == ANY_OTHER {
            let holds = |port| [None, *family].iter().any(|of| ports.contains(&(*protocol, port, *of)));
            let others = asked.iter().filter(|(of, port)| of == protocol && !holds(*port));
            Set { named: others.map(|(_, port)| *port).collect(), all_others: true }
        } else if ports.contains(&(*protocol, ANY_OTHER, *family)) {
            continue;
        } else {
            Set { named: [*port].into(), all_others: false }
        };
        texts.extend(set.texts(&protocol.as_str().to_lowercase(), *family));
    }
    texts
}

/// Ports of one protocol in one family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Set {
    /// The ports that are in it; if all others are in it, those that are not.
    named: BTreeSet<u16>,
    all_others: bool,
}

impl Set {
    fn is_empty(&self) -> bool {
        self.named.is_empty() && !self.all_others
    }

    fn complement(&self) -> Self {
        Self { named: self.named.clone(), all_others: !self.all_others }
    }

    fn and(&self, other: &Self) -> Self {
        let (one, two) = (&self.named, &other.named);
        let (named, all_others) = match (self.all_others, other.all_others) {
            (false, false) => (one & two, false),
            (false, true) => (one - two, false),
            (true, false) => (two - one, false),
            (true, true) => (one | two, true),
        };
        Self { named, all_others }
    }

    fn without(&self, other: &Self) -> Self {
        self.and(&other.complement())
    }

    fn or(&self, other: &Self) -> Self {
        self.complement().and(&other.complement()).complement()
    }

    fn texts(&self, protocol: &str, family: Option<Family>) -> Vec<String> {
        let family = family.map_or_else(String::new, |family| format!(" ({family})"));
        if !self.all_others {
            return self.named.iter().map(|port| format!("{protocol}/{port}{family}")).collect();
        }
        let mut text = format!("{protocol}/*");
        let named: Vec<String> = self.named.iter().map(u16::to_string).collect();
        if !named.is_empty() {
            let _ = write!(text, " but {}", named.join(","));
        }
        vec![text + &family]
    }
}

/// One text of a map's ports, read.
pub(super) struct Read<'t> {
    pub(super) protocol: &'t str,
    /// `None` for both families.
    pub(super) family: Option<Family>,
    set: Set,
}

impl<'t> Read<'t> {
    /// Reads `tcp/80`, `udp/* but 53,54 (IPv6)`.
    pub(super) fn of(text: &'t str) -> Option<Self> {
        let of_family = |family: Family| Some((text.strip_suffix(&format!(" ({family})"))?, Some(family)));
        let (text, family) = [Family::V4, Family::V6].into_iter().find_map(of_family).unwrap_or((text, None));
        let (protocol, ports) = text.split_once('/').filter(|(protocol, _)| !protocol.is_empty())?;
        let (all_others, named) = match ports.strip_prefix('*') {
            Some("") => (true, ""),
            Some(rest) => (true, rest.strip_prefix(" but ")?),
            None => (false, ports),
        };
        let named = if named.is_empty() && all_others {
            BTreeSet::new()
        } else {
            named.split(',').map(|port| port.parse().ok()).collect::<Option<_>>()?
        };
        Some(Self { protocol, family, set: Set { named, all_others } })
    }

    /// One of its ports.
    pub(super) fn port(&self) -> u16 {
        if self.set.all_others { ANY_OTHER } else { self.set.named.first().copied().unwrap_or(ANY_OTHER) }
    }
}

/// Ports by protocol and family.
#[derive(Debug, Clone, Default)]
pub(super) struct Ports(BTreeMap<(String, Family), Set>);

impl Ports {
    /// Reads the ports of a connection, as far as they can be read.
    pub(super) fn of(texts: &[String]) -> Self {
        let mut ports = Self::default();
        for read in texts.iter().filter_map(|text| Read::of(text)) {
            let families = read.family.map_or_else(|| vec![Family::V4, Family::V6], |family| vec![family]);
            for family in families {
                let known = ports.0.entry((read.protocol.to_owned(), family)).or_default();
                *known = known.or(&read.set);
            }
        }
        ports
    }

    /// The lines from one end to another that are in these ports and not in the other ones, in these families.
    pub(super) fn lines_without(
        &self,
        other: &Self,
        families: &[Family],
        [from, to]: [&str; 2],
    ) -> Vec<Line> {
        let protocols: BTreeSet<&str> = self.0.keys().map(|(protocol, _)| protocol.as_str()).collect();
        let mut lines = Vec::new();
        for protocol in protocols {
            let left = |family: &Family| {
                let at = (protocol.to_owned(), *family);
                let nothing = Set::default();
                self.0.get(&at).unwrap_or(&nothing).without(other.0.get(&at).unwrap_or(&nothing))
            };
            let by_family: Vec<(Family, Set)> =
                families.iter().map(|family| (*family, left(family))).collect();
            let in_all = by_family.iter().map(|(_, set)| set.clone()).reduce(|one, two| one.and(&two));
            let in_all = in_all.unwrap_or_default();
            let mut texts = in_all.texts(protocol, None);
            if in_all.is_empty() {
                texts.clear();
            }
            for (family, set) in by_family {
                let alone = set.without(&in_all);
                if !alone.is_empty() {
                    texts.extend(alone.texts(protocol, Some(family)));
                }
            }
            lines.extend(texts.into_iter().map(|port| Line {
                from: from.to_owned(),
                to: to.to_owned(),
                port,
            }));
        }
        lines
    }
}
