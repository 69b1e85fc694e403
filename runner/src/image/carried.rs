//! The probers that were built with this runner: one for its own architecture, and for others if the build was asked for them.

use super::elf::Elf;
use std::sync::LazyLock;

/// A prober, as it was built.
#[derive(Debug, Clone, Copy)]
pub struct Prober {
    /// Its architecture, as nodes and images name it: `amd64`, `arm64`.
    pub architecture: &'static str,
    /// The static program.
    pub program: &'static [u8],
    /// A smaller program that carries it compressed, unpacks it and executes it: what a `ConfigMap` holds.
    pub packed: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/probers.rs"));

/// The probers, in the order of the build's targets.
pub fn probers() -> &'static [Prober] {
    static PROBERS: LazyLock<Vec<Prober>> = LazyLock::new(|| {
        let named = |(program, packed): &(&'static [u8], &'static [u8])| Prober {
            architecture: Elf::read(program)
                .and_then(|elf| elf.architecture)
                .unwrap_or("of an unknown architecture"),
            program,
            packed,
        };
        BUILT.iter().map(named).collect()
    });
    &PROBERS
}

impl Prober {
    /// The prober that local clusters start: the first, which is for the runner's own machine unless the build named another target.
    pub fn own() -> &'static Self {
        &probers()[0]
    }

    /// The prober for an architecture, if this runner carries one.
    pub fn of(architecture: &str) -> Option<&'static Self> {
        probers().iter().find(|prober| prober.architecture == architecture)
    }
}
