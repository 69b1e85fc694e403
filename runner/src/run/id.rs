//! Random numbers for run ids and nonces.

use std::hash::{BuildHasher, RandomState};

/// A number that differs between runs and between lanes: from the standard library's random seed, not for secrets.
pub fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// An id of six letters and digits that is valid in names of namespaces: `k7x2q9`.
pub fn run_id() -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let number = random();
    (0..6).map(|place| char::from(DIGITS[(number >> (5 * place)) as usize % DIGITS.len()])).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_are_labels_and_differ() {
        let (one, other) = (super::run_id(), super::run_id());
        assert!(flowproof_core::scenario::name::is_label(&one), "{one}");
        assert_ne!(one, other);
    }
}
