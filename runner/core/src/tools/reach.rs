//! Who may reach whom, according to the policies: the map of an application, and what a change to it opens and closes.
//!
//! Ends are workloads (all pods of one Deployment are one end), the world, and the address blocks that policies name. At a
//! workload, the ports on which it is known to listen count. If none is known, and at addresses, the ports that policies name
//! count, and `*` for all others.

mod difference;
mod ports;
mod why;

pub use difference::{Change, Difference};
pub use why::{Cited, Why};

use crate::{
    policy::{Answer, Ask, End, Network, Oracle, Protocol, spoken::Spoken},
    scenario::{flow::Family, name::Qualified},
    snapshot::Snapshot,
};
use ports::{Found, texts};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

/// Name of the end that is any address that no policy mentions.
pub const WORLD: &str = "the world";

/// Addresses that belong to nobody (RFC 5737, RFC 3849): the first one that no policy mentions stands for the world.
const NOBODY: [&str; 6] =
    ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "2001:db8:ffff::1", "2001:db8:1:2:3:4:5:6"];

/// A port that hardly anything names: it stands for all ports that policies do not name.
const ANY_OTHER: u16 = 61_999;

/// Who may reach whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// All ends, including those that reach nobody.
    pub ends: Vec<String>,
    /// Every pair of ends where one may reach the other on some port, sorted.
    pub connections: Vec<Connection>,
}

/// What one end may do at another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Who starts it: `shop/web`, `the world`, `10.0.0.0/8`.
    pub from: String,
    /// Where it goes.
    pub to: String,
    /// The ports that the policies allow: `tcp/5432`, `udp/*`, `tcp/* but 22,23`; `tcp/80 (IPv6)` for one family only.
    pub ports: Vec<String>,
    /// Ports for which the API leaves open whether they are allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<String>,
}

/// Whether an end is a workload. The world and blocks of addresses do not have the name of a workload.
#[must_use]
pub fn is_workload(end: &str) -> bool {
    end.parse::<Qualified>().is_ok()
}

/// One port of one pair, as a map's line: `shop/web -> shop/db tcp/5432`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Who starts it.
    pub from: String,
    /// Where it goes.
    pub to: String,
    /// The port.
    pub port: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} {}", self.from, self.to, self.port)
    }
}

impl Reach {
    /// The map of pods and policies.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let spoken = spoken_of(snapshot);
        let ends = ends(snapshot, &spoken);
        let oracle = Oracle::new(&snapshot.cluster);
        let mut connections = Vec::new();
        for to in &ends {
            let ports = to.ports(snapshot, &spoken);
            let others = ends.iter().filter(|from| from.name != to.name);
            for from in others.filter(|from| !(from.is_outside() && to.is_outside())) {
                let mut found = Found::default();
                for (protocol, port) in &ports {
                    found.add(*protocol, *port, &answers(&oracle, from, to, *protocol, *port));
                }
                let connection = Connection {
                    from: from.name.clone(),
                    to: to.name.clone(),
                    ports: texts(&found.allowed, &ports),
                    open: texts(&found.open, &ports),
                };
                if !connection.ports.is_empty() || !connection.open.is_empty() {
                    connections.push(connection);
                }
            }
        }
        connections.sort_by(|a, b| (&a.from, &a.to).cmp(&(&b.from, &b.to)));
        Self { ends: ends.into_iter().map(|end| end.name).collect(), connections }
    }

    /// Every allowed port of every pair, sorted.
    #[must_use]
    pub fn lines(&self) -> BTreeSet<Line> {
        let of = |connection: &Connection| {
            let Connection { from, to, ports, .. } = connection.clone();
            ports.into_iter().map(move |port| Line { from: from.clone(), to: to.clone(), port })
        };
        self.connections.iter().flat_map(of).collect()
    }

    /// A text among its ports that cannot be read as ports, if there is any: a saved map may have been edited.
    #[must_use]
    pub fn unreadable(&self) -> Option<&str> {
        let all =
            self.connections.iter().flat_map(|connection| connection.ports.iter().chain(&connection.open));
        all.map(String::as_str).find(|text| ports::Read::of(text).is_none())
    }

    /// The connection between two ends, if there is one.
    #[must_use]
    pub fn between(&self, from: &str, to: &str) -> Option<&Connection> {
        self.connections.iter().find(|connection| connection.from == from && connection.to == to)
    }
}

/// What policies mention, without the blocks that contain every address.
fn spoken_of(snapshot: &Snapshot) -> Spoken {
    let mut spoken = Spoken::of(snapshot.policies.iter().map(|policy| &policy.value));
    spoken.blocks.retain(|_, block| !block.is_everything());
    spoken
}

/// An end of the map.
#[derive(Clone)]
struct Place {
    name: String,
    /// What stands for it, by family.
    by: Vec<(Family, End)>,
}

impl Place {
    /// The end of a block: an address that is in no narrower block. `None` if there is none at an obvious place.
    fn of_block(name: &str, block: Network, spoken: &Spoken) -> Option<Self> {
        let narrower = |address: IpAddr| {
            spoken
                .blocks
                .values()
                .any(|other| block.is_strictly_wider_than(*other) && other.contains(address))
        };
        let address = addresses_of(block.masked()).into_iter().find(|address| !narrower(*address))?;
        Some(Self { name: name.to_owned(), by: vec![(Family::of(address), End::Address(address))] })
    }

    fn is_outside(&self) -> bool {
        self.by.iter().any(|(_, end)| matches!(end, End::Address(_)))
    }

    /// The ports that are asked about if it is the destination.
    fn ports(&self, snapshot: &Snapshot, spoken: &Spoken) -> BTreeSet<(Protocol, u16)> {
        let mut ports = BTreeSet::new();
        if let Some((_, End::Pod(pod))) = self.by.first() {
            let own = &snapshot.cluster.pods[*pod];
            ports.extend(own.ports.iter().map(|port| (port.protocol, port.number)));
            for (name, service) in &snapshot.services {
                for (protocol, port, _) in &service.ports {
                    let behind = snapshot.behind(name, *protocol, *port);
                    ports.extend(
                        behind.into_iter().filter(|(other, _)| other == pod).map(|(_, at)| (*protocol, at)),
                    );
                }
            }
        }
        if ports.is_empty() {
            ports.extend(&spoken.ports);
            ports.extend([(Protocol::Tcp, ANY_OTHER), (Protocol::Udp, ANY_OTHER)]);
        }
        ports
    }
}

fn ends(snapshot: &Snapshot, spoken: &Spoken) -> Vec<Place> {
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    for (pod, known) in snapshot.cluster.pods.iter().enumerate() {
        // The shortest name of what it belongs to: a Deployment's, and not its ReplicaSet's.
        let owners = snapshot
            .owned
            .iter()
            .filter(|(_, pods)| pods.contains(&pod))
            .map(|((_, owner), _)| owner.to_string());
        let name = owners.min_by_key(String::len).unwrap_or_else(|| known.name.to_string());
        named.entry(name).or_insert(pod);
    }
    let workload = |(name, pod): (String, usize)| Place {
        name,
        by: [Family::V4, Family::V6].map(|family| (family, End::Pod(pod))).into(),
    };
    let mut ends: Vec<Place> = named.into_iter().map(workload).collect();
    let in_some_block = |address: IpAddr| spoken.blocks.values().any(|block| block.contains(address));
    let nobody = NOBODY
        .iter()
        .filter_map(|text| text.parse::<IpAddr>().ok())
        .filter(|address| !in_some_block(*address));
    let mut world: BTreeMap<Family, End> = BTreeMap::new();
    for address in nobody {
        world.entry(Family::of(address)).or_insert(End::Address(address));
    }
    ends.push(Place { name: WORLD.to_owned(), by: world.into_iter().collect() });
    ends.extend(spoken.blocks.iter().filter_map(|(name, block)| Place::of_block(name, *block, spoken)));
    ends
}

/// The first address of a block, the one after it, and some that are spread over it.
fn addresses_of(block: Network) -> Vec<IpAddr> {
    let spread = |bits: u32| (0..bits.min(16)).map(move |bit| bits - 1 - bit);
    let mut found = vec![block.address()];
    match block.address() {
        IpAddr::V4(first) => {
            let first = u32::from(first);
            found.extend(spread(32).map(|bit| IpAddr::from((first | 1 << bit).to_be_bytes())));
            found.push(IpAddr::from((first | 1).to_be_bytes()));
        }
        IpAddr::V6(first) => {
            let first = u128::from(first);
            found.extend((0..128).rev().map(|bit| IpAddr::from((first | 1 << bit).to_be_bytes())));
        }
    }
    found.retain(|address| block.contains(*address));
    found
}

/// The question in each family that both ends have.
fn asks(from: &Place, to: &Place, protocol: Protocol, port: u16) -> impl Iterator<Item = (Family, Ask)> {
    from.by.iter().flat_map(move |(family, source)| {
        let there = to.by.iter().filter(move |(other, _)| other == family);
        there.map(move |(_, destination)| {
            let ask = Ask {
                source: *source,
                destination: *destination,
                family: *family,
                protocol,
                port,
                service: None,
            };
            (*family, ask)
        })
    })
}

/// What the policies say in each family that both ends have.
fn answers(
    oracle: &Oracle<'_>,
    from: &Place,
    to: &Place,
    protocol: Protocol,
    port: u16,
) -> Vec<(Family, Answer)> {
    asks(from, to, protocol, port).map(|(family, ask)| (family, oracle.judge(&ask))).collect()
}

#[cfg(test)]
mod documented;
#[cfg(test)]
mod tests;
