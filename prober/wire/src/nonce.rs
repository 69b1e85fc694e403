//! The bytes that every attempt carries, so that both ends can identify it.

use crate::{Attempt, FlowId};

/// The DNS zone below which a prober answers; the label before it is a nonce in hexadecimal.
pub const NONCE_ZONE: &str = "nonce.flowproof.test.";

/// Identifies one attempt of one flow of one run.
///
/// Encoded big-endian in [`Nonce::LENGTH`] bytes: magic `FLP1`, run (8), flow (4), attempt (4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce {
    /// A number that is the same for all probers of a run and differs between runs.
    pub run: u64,
    /// The flow, unique within the run.
    pub flow: FlowId,
    /// The attempt, counted from 1 by the source.
    pub attempt: Attempt,
}

/// Why bytes are not a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceError {
    /// Fewer or more bytes than [`Nonce::LENGTH`].
    Length,
    /// The magic is missing: somebody else's traffic.
    Magic,
    /// The hexadecimal form has other characters in it.
    Hex,
}

impl Nonce {
    /// Length of the encoded form in bytes.
    pub const LENGTH: usize = 20;
    /// What every encoded nonce starts with.
    pub const MAGIC: [u8; 4] = *b"FLP1";

    /// Encodes the nonce as it goes over TCP and UDP.
    #[must_use]
    pub fn encode(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..4].copy_from_slice(&Self::MAGIC);
        bytes[4..12].copy_from_slice(&self.run.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.flow.0.to_be_bytes());
        bytes[16..].copy_from_slice(&self.attempt.0.to_be_bytes());
        bytes
    }

    /// Decodes what [`Nonce::encode`] made.
    pub fn decode(bytes: &[u8]) -> Result<Self, NonceError> {
        let bytes: &[u8; Self::LENGTH] = bytes.try_into().map_err(|_| NonceError::Length)?;
        let (magic, rest) = bytes.split_first_chunk::<4>().ok_or(NonceError::Length)?;
        if *magic != Self::MAGIC {
            return Err(NonceError::Magic);
        }
        let (run, rest) = rest.split_first_chunk::<8>().ok_or(NonceError::Length)?;
        let (flow, rest) = rest.split_first_chunk::<4>().ok_or(NonceError::Length)?;
        let attempt = rest.first_chunk::<4>().ok_or(NonceError::Length)?;
        Ok(Self {
            run: u64::from_be_bytes(*run),
            flow: FlowId(u32::from_be_bytes(*flow)),
            attempt: Attempt(u32::from_be_bytes(*attempt)),
        })
    }

    /// Encodes the nonce as a DNS label: 40 lower-case hexadecimal digits, within the 63 octets of RFC 1035, 2.3.4.
    #[must_use]
    pub fn to_label(self) -> String {
        use std::fmt::Write;
        self.encode().iter().fold(String::with_capacity(2 * Self::LENGTH), |mut label, byte| {
            write!(label, "{byte:02x}").expect("writing to a string cannot fail");
            label
        })
    }

    /// Decodes what [`Nonce::to_label`] made, in either case (resolvers may change it).
    pub fn from_label(label: &[u8]) -> Result<Self, NonceError> {
        if label.len() != 2 * Self::LENGTH {
            return Err(NonceError::Length);
        }
        let digit = |c: u8| char::from(c).to_digit(16).ok_or(NonceError::Hex);
        let mut bytes = [0; Self::LENGTH];
        for (byte, pair) in bytes.iter_mut().zip(label.as_chunks::<2>().0) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Self::decode(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = Nonce { run: 0x0123_4567_89ab_cdef, flow: FlowId(7), attempt: Attempt(u32::MAX) };

    #[test]
    fn both_forms_come_back() {
        assert_eq!(Nonce::decode(&NONCE.encode()), Ok(NONCE));
        assert_eq!(Nonce::from_label(NONCE.to_label().to_uppercase().as_bytes()), Ok(NONCE));
        assert!(NONCE.to_label().len() <= 63, "a DNS label has at most 63 octets");
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert_eq!(Nonce::decode(b"GET / HTTP/1.1\r\nHost"), Err(NonceError::Magic));
        assert_eq!(Nonce::decode(&NONCE.encode()[1..]), Err(NonceError::Length));
        assert_eq!(Nonce::from_label(&[b'x'; 40]), Err(NonceError::Hex));
        assert_eq!(Nonce::from_label(b"www"), Err(NonceError::Length));
    }
}
