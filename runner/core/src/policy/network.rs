//! CIDR blocks (RFC 4632, RFC 4291).

use super::world::is_stand_in;
use std::{fmt, net::IpAddr};

/// A block of addresses of one family. Host bits count for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// Tells whether an address is in the block; one of the other family never is.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let (left, right, width) = match (self.address, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                (u128::from(one.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        let differing = left ^ right;
        // A shift by the full width is not defined: no host bits means equality of all bits, all host bits of none.
        match width - u32::from(self.length) {
            128 => true,
            host_bits => differing >> host_bits == 0,
        }
    }

    /// Tells whether an address is in the block as far as that is known: `None` when one of them stands for an address that
    /// is given only later.
    #[must_use]
    pub fn may_contain(self, address: IpAddr) -> Option<bool> {
        if self.address.is_ipv4() != address.is_ipv4() {
            return Some(false);
        }
        if self.length == 0 || self.address == address {
            return Some(true);
        }
        let (of_block, of_address) = (is_stand_in(self.address), is_stand_in(address));
        match (of_block, of_address) {
            (false, false) => Some(self.contains(address)),
            // No two pods have one address.
            (true, true) if self.is_single() => Some(false),
            _ => None,
        }
    }

    /// Tells whether every address of another block is in this one, which has more than those.
    #[must_use]
    pub fn is_strictly_wider_than(self, other: Self) -> bool {
        self.length < other.length && self.contains(other.address)
    }

    /// Tells whether it is one address.
    #[must_use]
    pub fn is_single(self) -> bool {
        self.length == if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// Tells whether it is every address of its family.
    #[must_use]
    pub fn is_everything(self) -> bool {
        self.length == 0
    }

    /// The address as it was written, host bits included.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The block without host bits, as it is meant.
    #[must_use]
    pub fn masked(self) -> Self {
        let address = match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0);
                IpAddr::from((v4.to_bits() & mask).to_be_bytes())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
                IpAddr::from((v6.to_bits() & mask).to_be_bytes())
            }
        };
        Self { address, ..self }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl std::str::FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = text.split_once('/').ok_or(())?;
        let plain = length.len() <= 3 && length.bytes().all(|digit| digit.is_ascii_digit());
        let (address, length): (IpAddr, u8) = (address.parse().map_err(drop)?, length.parse().map_err(drop)?);
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if !plain || length > longest {
            return Err(());
        }
        Ok(Self { address, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Network {
        text.parse().expect("a block")
    }

    #[test]
    fn blocks_contain_what_shares_their_prefix() {
        for (text, address, inside) in [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.1.2.3/24", "10.1.2.200", true),
            ("10.1.2.3/32", "10.1.2.3", true),
            ("10.1.2.3/32", "10.1.2.2", false),
            ("0.0.0.0/0", "255.0.0.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
            ("fd00:1::/32", "fd00:1:ffff::", true),
            ("fd00:1::/32", "fd00:2::", false),
        ] {
            assert_eq!(
                block(text).contains(address.parse().expect("an address")),
                inside,
                "{text} {address}"
            );
        }
        for wrong in ["10.0.0.0/33", "10.0.0.0", "10.0.0.0/+8", "::/129", "10.0.0/8", ""] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_known_yet_is_said_to_be_open() {
        for (text, address, inside) in [
            ("0.0.0.0/0", "240.0.0.7", Some(true)),
            ("10.0.0.0/8", "240.0.0.7", None),
            ("10.0.0.0/8", "100::7", Some(false)),
            ("240.0.0.7/32", "240.0.0.7", Some(true)),
            ("240.0.0.7/32", "240.0.0.8", Some(false)),
            ("240.0.0.7/24", "240.0.0.8", None),
            ("240.0.0.7/24", "10.0.0.1", None),
            ("10.0.0.0/8", "10.0.0.1", Some(true)),
        ] {
            assert_eq!(
                block(text).may_contain(address.parse().expect("an address")),
                inside,
                "{text} {address}"
            );
        }
    }

    #[test]
    fn masks_and_width() {
        assert_eq!(block("10.1.2.3/8").masked(), block("10.0.0.0/8"));
        assert_eq!(block("10.1.2.3/0").masked(), block("0.0.0.0/0"));
        assert_eq!(block("fd00::1/64").masked(), block("fd00::/64"));
        assert_eq!(block("fd00::1/128").masked(), block("fd00::1/128"));
        assert!(block("10.0.0.0/8").is_strictly_wider_than(block("10.1.0.0/16")));
        assert!(!block("10.0.0.0/8").is_strictly_wider_than(block("10.0.0.0/8")));
        assert!(!block("10.0.0.0/8").is_strictly_wider_than(block("11.0.0.0/16")));
        assert!(!block("0.0.0.0/0").is_strictly_wider_than(block("fd00::/16")));
    }
}
