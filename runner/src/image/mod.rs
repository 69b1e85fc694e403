//! The prober's image and the runner's: built here, without a container engine and without a base image.
//!
//! | module | job |
//! |---|---|
//! | [`archive`] | packs a program into an OCI image archive, the same bytes every time |
//! | [`runner`] | packs the runner with what it needs |
//! | [`elf`] | reads from a program for which machine it is and whether it is static |
//! | [`load`] | puts the archive where a cluster finds it: kind, containerd, k3s |

mod archive;
mod elf;
mod load;
mod runner;

pub use archive::{Image, ImageError};
pub use load::{LoadError, Place, load};
pub use runner::runner;

/// The prober that was built with this runner.
pub const PROBER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/flowproof-prober"));

/// A smaller program that carries [`PROBER`] compressed and becomes it: what a `ConfigMap` holds.
pub const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/flowproof-prober-packed"));

/// The architecture of [`PROBER`], as nodes and images name it (`amd64`, `arm64`).
pub fn architecture() -> &'static str {
    elf::Elf::read(PROBER).and_then(|elf| elf.architecture).unwrap_or("of an unknown architecture")
}

/// Packs [`PROBER`] under the runner's own version.
pub fn embedded() -> Result<Image, ImageError> {
    Image::pack(PROBER, env!("CARGO_PKG_VERSION"))
}
