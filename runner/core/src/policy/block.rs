//! CIDR blocks (RFC 4632, RFC 4291), in the forms that API servers accept or once accepted.

use super::facts::is_stand_in;
use std::{fmt, net::IpAddr};

/// A block of addresses of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
    loose: Option<Loose>,
}

/// A form of a block that a cluster may have stored and that can be read in more than one way. Since Kubernetes 1.36, an API
/// server rejects it in a `NetworkPolicy` that is created (KEP-4858).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loose {
    /// Bits beyond the mask: it means the network, or the address alone.
    HostBits,
    /// Leading zeros: it means the decimal number or the octal one, which gives this address.
    LeadingZeros(Option<IpAddr>),
    /// IPv4 in IPv6: it means the IPv4 network, or nothing.
    Mapped,
}

/// How many bits an address of this family has.
const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl Network {
    /// Whether an address is in the block. An address of the other family never is. Bits beyond the mask are ignored.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        shares_prefix(self.address, address, self.length)
    }

    /// Whether an address is in the block, as far as that is known. `None` if one of them stands for an address that is given
    /// only later, or if the block can be read in more than one way ([`loose`](Self::loose)).
    #[must_use]
    pub fn may_contain(self, address: IpAddr) -> Option<bool> {
        if let (Some(Loose::Mapped), IpAddr::V4(v4)) = (self.loose, address) {
            let inside = shares_prefix(self.address, v4.to_ipv6_mapped().into(), self.length);
            return if inside { None } else { Some(false) };
        }
        if self.address.is_ipv4() != address.is_ipv4() {
            return Some(false);
        }
        if self.length == 0 && self.loose.is_none() || self.address == address {
            return Some(true);
        }
        let (of_block, of_address) = (is_stand_in(self.address), is_stand_in(address));
        match (of_block, of_address) {
            (false, false) => match self.loose {
                None => Some(self.contains(address)),
                Some(Loose::LeadingZeros(octal)) => {
                    let in_octal = octal.is_some_and(|octal| shares_prefix(octal, address, self.length));
                    let inside = self.contains(address);
                    (inside == in_octal).then_some(inside)
                }
                Some(_) if self.contains(address) => None,
                Some(_) => Some(false),
            },
            // No two pods have the same address.
            (true, true) if self.is_single() => Some(false),
            _ => None,
        }
    }

    /// The form that can be read in more than one way, if it has one.
    #[must_use]
    pub fn loose(self) -> Option<Loose> {
        self.loose
    }

    /// Whether this block contains all addresses of another one, and more (`ValidateIPBlock`).
    #[must_use]
    pub fn is_strictly_wider_than(self, other: Self) -> bool {
        let (whole, part) = (self.unmapped(), other.unmapped());
        self.length < other.length && shares_prefix(whole.address, part.address, whole.length)
    }

    /// The block as Go reads it: IPv4 that is written as IPv6 is IPv4.
    fn unmapped(self) -> Self {
        match self.masked().address {
            IpAddr::V6(v6) if self.length >= 96 => match v6.to_ipv4_mapped() {
                Some(v4) => Self { address: v4.into(), length: self.length - 96, loose: None },
                None => self,
            },
            _ => self,
        }
    }

    /// How many bits of its addresses differ; 0 for a single address.
    #[must_use]
    pub fn host_bits(self) -> u8 {
        width(self.address) - self.length
    }

    /// Whether it is one address.
    #[must_use]
    pub fn is_single(self) -> bool {
        self.host_bits() == 0
    }

    /// Whether it contains every address of its family.
    #[must_use]
    pub fn is_everything(self) -> bool {
        self.length == 0 && self.loose.is_none()
    }

    /// The address as it was written, including bits beyond the mask.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The block without bits beyond the mask.
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
        Self { address, length: self.length, loose: None }
    }
}

/// Whether two addresses of one family have the same first bits.
fn shares_prefix(one: IpAddr, other: IpAddr, length: u8) -> bool {
    let (one, other, width) = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            (u128::from(one.to_bits()), u128::from(other.to_bits()), 32_u32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
        _ => return false,
    };
    // A shift by the full width is not defined. Without host bits, all bits must be equal; if all are host bits, none must.
    match width - u32::from(length) {
        128 => true,
        host_bits => (one ^ other) >> host_bits == 0,
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl std::str::FromStr for Network {
    type Err = ();

    /// Reads what any API server accepts (`ParseCIDRSloppy`).
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, mask) = text.split_once('/').ok_or(())?;
        if mask.is_empty() || !mask.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(());
        }
        let plain = without_zeros(address);
        let (parsed, length): (IpAddr, u8) =
            (plain.parse().map_err(drop)?, significant(mask).parse().map_err(drop)?);
        if length > width(parsed) {
            return Err(());
        }
        let mut network = Self { address: parsed, length, loose: None };
        let is_mapped = matches!(parsed, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        network.loose = if plain != address || significant(mask) != mask {
            Some(Loose::LeadingZeros(octal(address).or(Some(parsed))))
        } else if is_mapped {
            Some(Loose::Mapped)
        } else if network.masked().address != parsed {
            Some(Loose::HostBits)
        } else {
            None
        };
        Ok(network)
    }
}

/// A number without leading zeros.
fn significant(digits: &str) -> &str {
    let rest = digits.trim_start_matches('0');
    if rest.is_empty() { &digits[digits.len().saturating_sub(1)..] } else { rest }
}

/// An address without the zeros that only old parsers accept: all leading ones in IPv4, those beyond four digits in IPv6.
fn without_zeros(address: &str) -> String {
    let part = |part: &str| -> String {
        if part.contains('.') || !address.contains(':') {
            part.split('.').map(significant).collect::<Vec<_>>().join(".")
        } else if part.len() > 4 {
            let rest = part.trim_start_matches('0');
            let rest = if rest.is_empty() { "0" } else { rest };
            rest.to_owned()
        } else {
            part.to_owned()
        }
    };
    address.split(':').map(part).collect::<Vec<_>>().join(":")
}

/// An IPv4 address whose parts with leading zeros are octal, as C libraries read it.
fn octal(address: &str) -> Option<IpAddr> {
    let parts: Vec<u8> = address
        .split('.')
        .map(|part| {
            let base = if part.len() > 1 && part.starts_with('0') { 8 } else { 10 };
            u8::from_str_radix(part, base).ok()
        })
        .collect::<Option<_>>()?;
    <[u8; 4]>::try_from(parts).ok().map(IpAddr::from)
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
        for wrong in [
            "10.0.0.0/33",
            "10.0.0.0",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "::/129",
            "10.0.0/8",
            "10..0.0/8",
            "fe80::1%eth0/64",
            "",
        ] {
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

    #[test]
    fn loose_forms_are_read_and_what_they_leave_open_is_said() {
        for (text, loose, address, inside) in [
            ("198.51.100.77/24", true, "198.51.100.77", Some(true)),
            ("198.51.100.77/24", true, "198.51.100.10", None),
            ("198.51.100.77/24", true, "203.0.113.5", Some(false)),
            ("10.1.2.3/0", true, "203.0.113.5", None),
            ("10.1.2.3/32", false, "10.1.2.3", Some(true)),
            ("010.0.0.0/8", true, "10.1.1.1", None),
            ("010.0.0.0/8", true, "8.1.1.1", None),
            ("010.0.0.0/8", true, "11.1.1.1", Some(false)),
            ("10.0.0.0/08", true, "10.1.1.1", Some(true)),
            ("::ffff:10.0.0.0/104", true, "10.1.1.1", None),
            ("::ffff:10.0.0.0/104", true, "11.1.1.1", Some(false)),
            ("::ffff:10.0.0.0/104", true, "fd00::1", Some(false)),
            ("fd00:0:0::/48", false, "fd00::1", Some(true)),
            ("00fd00::/16", true, "fd00::1", Some(true)),
        ] {
            assert_eq!(block(text).loose().is_some(), loose, "{text}");
            let address = address.parse().expect("an address");
            assert_eq!(block(text).may_contain(address), inside, "{text} {address}");
        }
    }
}
