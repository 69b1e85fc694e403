//! Source ports: each attempt takes the next one, so that a five-tuple is used again as late as possible.
//!
//! Enforcement with connection tracking lets packets of a known five-tuple pass, so an attempt that reused one would be
//! judged by the past.

use std::ops::RangeInclusive;

/// Linux's default range of ephemeral ports (`ip_local_port_range`): what filters expect of a client.
const RANGE: RangeInclusive<u16> = 32_768..=60_999;

/// Goes through the range repeatedly.
#[derive(Debug)]
pub(super) struct Ports {
    next: u16,
}

impl Ports {
    /// How many ports there are, and so how many attempts pass before one is used again.
    pub(super) const COUNT: u16 = *RANGE.end() - *RANGE.start() + 1;

    /// Starts at a place given by a random number: a restarted prober must not repeat its last ports.
    pub(super) fn starting_at(random: u64) -> Self {
        Self { next: *RANGE.start() + (random % u64::from(Self::COUNT)) as u16 }
    }

    pub(super) fn next(&mut self) -> u16 {
        let port = self.next;
        self.next = if port == *RANGE.end() { *RANGE.start() } else { port + 1 };
        port
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_port_comes_back_before_all_were_used() {
        let mut ports = Ports::starting_at(u64::MAX);
        let round: Vec<u16> = (0..Ports::COUNT).map(|_| ports.next()).collect();
        assert_eq!(round.iter().collect::<BTreeSet<_>>().len(), 28_232);
        assert!(round.iter().all(|port| RANGE.contains(port)));
        assert_eq!(ports.next(), round[0]);
    }
}
