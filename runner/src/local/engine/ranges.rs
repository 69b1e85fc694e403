//! Sets of addresses as sorted ranges that do not touch.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address family's addresses, each as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    V4,
    V6,
}

/// Addresses of both families.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    v4: Ranges,
    v6: Ranges,
}

/// Inclusive ranges in ascending order with gaps between them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ranges(Vec<(u128, u128)>);

impl Addresses {
    pub(crate) fn of(&self, kind: Kind) -> &Ranges {
        match kind {
            Kind::V4 => &self.v4,
            Kind::V6 => &self.v6,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut Ranges {
        match kind {
            Kind::V4 => &mut self.v4,
            Kind::V6 => &mut self.v6,
        }
    }

    pub(crate) fn add(&mut self, address: IpAddr) {
        let (kind, number) = number(address);
        self.of_mut(kind).add(number, number);
    }

    pub(crate) fn add_network(&mut self, network: IpNet) {
        let (kind, first) = number(network.network());
        let (_, last) = number(network.broadcast());
        self.of_mut(kind).add(first, last);
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        for kind in [Kind::V4, Kind::V6] {
            for (first, last) in &other.of(kind).0 {
                self.of_mut(kind).add(*first, *last);
            }
        }
    }

    pub(crate) fn remove_all(&mut self, other: &Self) {
        for kind in [Kind::V4, Kind::V6] {
            for (first, last) in &other.of(kind).0 {
                self.of_mut(kind).remove(*first, *last);
            }
        }
    }

    /// Every address of both families.
    pub(crate) fn all() -> Self {
        Self { v4: Ranges(vec![(0, u128::from(u32::MAX))]), v6: Ranges(vec![(0, u128::MAX)]) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

impl Ranges {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address is in one of them; it must be of their family.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let (_, number) = number(address);
        let at = self.0.partition_point(|(_, last)| *last < number);
        self.0.get(at).is_some_and(|(first, _)| *first <= number)
    }

    /// First and last address of each range.
    pub(crate) fn bounds(&self, kind: Kind) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        self.0.iter().map(move |(first, last)| (address(kind, *first), address(kind, *last)))
    }

    fn add(&mut self, first: u128, last: u128) {
        let (mut first, mut last) = (first, last);
        self.0.retain(|(low, high)| {
            let apart = last < *low && last + 1 < *low || *high < first && *high + 1 < first;
            if !apart {
                first = first.min(*low);
                last = last.max(*high);
            }
            apart
        });
        let at = self.0.partition_point(|(low, _)| *low < first);
        self.0.insert(at, (first, last));
    }

    fn remove(&mut self, first: u128, last: u128) {
        let old = std::mem::take(&mut self.0);
        for (low, high) in old {
            if high < first || low > last {
                self.0.push((low, high));
                continue;
            }
            if low < first {
                self.0.push((low, first - 1));
            }
            if high > last {
                self.0.push((last + 1, high));
            }
        }
    }
}

fn number(address: IpAddr) -> (Kind, u128) {
    match address {
        IpAddr::V4(v4) => (Kind::V4, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => (Kind::V6, v6.to_bits()),
    }
}

fn address(kind: Kind, number: u128) -> IpAddr {
    match kind {
        Kind::V4 => Ipv4Addr::from_bits(number as u32).into(),
        Kind::V6 => Ipv6Addr::from_bits(number).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_and_split() {
        let mut ranges = Ranges::default();
        for (first, last) in [(10, 20), (30, 40), (21, 25), (0, 3), (24, 29)] {
            ranges.add(first, last);
        }
        assert_eq!(ranges.0, [(0, 3), (10, 40)]);
        ranges.remove(15, 15);
        ranges.remove(0, 10);
        ranges.remove(39, 99);
        assert_eq!(ranges.0, [(11, 14), (16, 38)]);
        ranges.add(0, u128::MAX);
        assert_eq!(ranges.0, [(0, u128::MAX)]);
        ranges.remove(5, u128::MAX);
        assert_eq!(ranges.0, [(0, 4)]);
    }

    #[test]
    fn both_ends_of_a_range_are_in_it() {
        let ranges = Ranges(vec![(10, 20), (30, 30)]);
        let inside = [9, 10, 20, 21, 29, 30, 31].map(|number| ranges.contain(address(Kind::V4, number)));
        assert_eq!(inside, [false, true, true, false, false, true, false]);
    }
}
