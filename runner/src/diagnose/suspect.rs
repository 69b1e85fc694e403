//! A fault at a place.

use crate::local::fault::{Effect, Fault};
use flowproof_core::scenario::flow::Family;

/// A fault, and where the network has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suspect {
    /// Which.
    pub fault: Fault,
    /// Where.
    pub place: Place,
}

/// Where a network has a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Wherever it can show.
    Everywhere,
    /// On the node of this number only, from 1.
    Node(u8),
    /// Between pods of one node only.
    WithinNodes,
    /// Between pods of different nodes only.
    BetweenNodes,
    /// In one address family only.
    Only(Family),
    /// Through Services only.
    ThroughServices,
    /// Everywhere, and the policies of one scenario also act on others that are played at the same time.
    AcrossScenarios,
}

impl Suspect {
    /// All faults, everywhere.
    pub fn everywhere() -> impl Iterator<Item = Self> {
        Fault::all().map(|fault| Self { fault, place: Place::Everywhere })
    }

    /// Whether the network does the right thing, but late.
    #[must_use]
    pub fn is_late(self) -> bool {
        self.fault == Fault::LateByTenSeconds
    }

    /// Whether it goes away by itself after a while.
    #[must_use]
    pub fn fades(self) -> bool {
        self.fault == Fault::StartupWindow
    }

    /// What the policies of another scenario may do to a flow; `None` where they do nothing.
    #[must_use]
    pub fn from_others(self) -> Option<Effect> {
        (self.place == Place::AcrossScenarios).then(|| self.fault.info().effect)
    }

    /// Whether it makes policies of one namespace act on those of another, whose scenario on paper knows nothing of them.
    fn reaches_others(self) -> bool {
        matches!(self.fault, Fault::NamesCollide | Fault::PolicyEverywhere | Fault::V6BlockAbortsSync)
    }

    /// Whether it shows only if an address is used again, so that the network has to do that.
    #[must_use]
    pub fn reuses_addresses(self) -> bool {
        matches!(self.fault, Fault::GonePodsStayPeers | Fault::GonePodsStaySubjects)
    }

    /// The places beside [`Place::Everywhere`] where it may be.
    pub fn elsewhere(self, nodes: u8) -> impl Iterator<Item = Self> {
        let node = (1..=nodes).map(Place::Node).filter(move |_| nodes > 1);
        let others = [
            Place::WithinNodes,
            Place::BetweenNodes,
            Place::Only(Family::V4),
            Place::Only(Family::V6),
            Place::ThroughServices,
        ];
        let across = self.reaches_others().then_some(Place::AcrossScenarios);
        node.chain(others).chain(across).map(move |place| Self { place, ..self })
    }
}

impl Place {
    /// The place in words, to follow a sentence about the fault; `nodes` are the names of the nodes, in order.
    #[must_use]
    pub fn words(self, nodes: &[String]) -> String {
        match self {
            Self::Everywhere => String::new(),
            Self::Node(number) => {
                let name = nodes.get(usize::from(number.saturating_sub(1)));
                name.map_or_else(|| format!("on node {number} only"), |name| format!("on {name} only"))
            }
            Self::WithinNodes => "between pods of one node only".to_owned(),
            Self::BetweenNodes => "between nodes only".to_owned(),
            Self::Only(family) => format!("over {family} only"),
            Self::ThroughServices => "through Services only".to_owned(),
            Self::AcrossScenarios => "also between scenarios that are played at the same time".to_owned(),
        }
    }
}
