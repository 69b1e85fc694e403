//! The prober's image and the runner's: built here, without a container engine and without a base image.
//!
//! | module | job |
//! |---|---|
//! | [`oci`] | packs programs into an OCI image, the same bytes every time |
//! | [`archive`] | writes an image as a file that container engines load |
//! | [`runner`] | packs the runner with what it needs |
//! | [`elf`] | reads a program's architecture, and whether it is static |
//! | [`load`] | puts the archive where a cluster finds it: kind, containerd, k3s |
//! | [`push`] | puts the image into a registry |
//! | [`carried`] | the probers that were built with this runner |

mod archive;
mod carried;
mod elf;
mod load;
mod oci;
mod push;
mod runner;

pub use carried::{Prober, probers};
pub use load::{LoadError, Place, load};
pub use oci::{Image, ImageError};
pub use push::{Destination, PushError, Pushed, push};
pub use runner::runner;

/// Packs the probers that this runner carries under its own version.
pub fn embedded() -> Result<Image, ImageError> {
    let probers: Vec<_> = probers().iter().map(|prober| prober.program).collect();
    Image::pack(&probers, env!("CARGO_PKG_VERSION"))
}
