//! Packs programs into an OCI image (OCI image format 1.1): one manifest for each architecture, and an index over several.

use super::elf::Elf;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
};

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image and the name under which clusters know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `localhost/flowproof-prober:VERSION-DIGEST`, where the digest is the first 12 hexadecimal digits of the program's SHA-256 (of
    /// the digests of all programs, if there are several), so an image of another build is never taken for this one.
    pub reference: String,
    /// What it has for each architecture, in the order in which the programs were given.
    pub(super) platforms: Vec<Platform>,
    /// The manifest, or the index of several.
    pub(super) top: Descriptor,
    /// Every content by its digest in hexadecimal digits, which also puts them in order.
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
}

/// What an image has for one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Platform {
    /// As OCI names it: `amd64` or `arm64`.
    pub(super) architecture: &'static str,
    pub(super) manifest: Descriptor,
    pub(super) config: Descriptor,
    pub(super) layer: Descriptor,
}

/// A reference to a content: its type, digest and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) media_type: &'static str,
    /// SHA-256 in hexadecimal digits.
    pub(super) digest: String,
    pub(super) size: usize,
}

impl Descriptor {
    /// The digest as references and registries write it.
    pub(super) fn sha256(&self) -> String {
        format!("sha256:{}", self.digest)
    }

    pub(super) fn json(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.sha256(), "size": self.size })
    }
}

/// What an image consists of.
#[derive(Debug)]
pub(super) struct Content<'a> {
    /// The name of the program and of the image.
    pub(super) name: &'a str,
    /// What the program does, for the image's label.
    pub(super) description: &'a str,
    /// The version of both.
    pub(super) version: &'a str,
    /// The program for each architecture: at least one.
    pub(super) programs: Vec<Program<'a>>,
}

/// A program for one architecture.
#[derive(Debug)]
pub(super) struct Program<'a> {
    pub(super) bytes: &'a [u8],
    /// What a dynamic program needs, by paths without the first slash.
    pub(super) libraries: Vec<(String, Vec<u8>)>,
}

/// Why a program cannot be packed, or its archive cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It is not an ELF file for a supported architecture.
    #[error("{0} is not an ELF program for amd64 or arm64, which images are made for")]
    Machine(&'static str),
    /// It needs a dynamic loader, which an image without a base does not have.
    #[error("the prober is linked dynamically; the image has no libraries")]
    Dynamic,
    /// Two programs are for the same architecture.
    #[error("two of the programs are for {0}: an image has one for each architecture")]
    Twice(&'static str),
    /// A file that belongs in the image could not be read.
    #[error("{what} cannot be read for the image: {problem}")]
    Read {
        /// Which one.
        what: String,
        /// Why not.
        problem: String,
    },
    /// The archive could not be written.
    #[error("the image archive cannot be written to {path}: {error}")]
    Write {
        /// Where to.
        path: String,
        /// How it failed.
        error: io::Error,
    },
}

impl Image {
    /// Packs probers into an image without a base: the program, and the directories that container runtimes mount on.
    pub fn pack(probers: &[&[u8]], version: &str) -> Result<Self, ImageError> {
        for prober in probers {
            let elf = Elf::read(prober).ok_or(ImageError::Machine("the prober"))?;
            if elf.loader.is_some() {
                return Err(ImageError::Dynamic);
            }
        }
        Self::pack_with(&Content {
            name: "flowproof-prober",
            description: "Listens, tries flows, and says what happened at its end",
            version,
            programs: probers.iter().map(|bytes| Program { bytes, libraries: Vec::new() }).collect(),
        })
    }

    /// Packs programs together with everything that they need.
    pub(super) fn pack_with(content: &Content<'_>) -> Result<Self, ImageError> {
        let mut blobs = Blobs::default();
        let mut platforms: Vec<Platform> = Vec::new();
        for program in &content.programs {
            let platform = platform(content, program, &mut blobs)?;
            if platforms.iter().any(|other| other.architecture == platform.architecture) {
                return Err(ImageError::Twice(platform.architecture));
            }
            platforms.push(platform);
        }
        let mut digests: Vec<_> = content.programs.iter().map(|program| digest(program.bytes)).collect();
        digests.sort();
        let digest = if let [one] = &digests[..] { one.clone() } else { digest(digests.concat().as_bytes()) };
        let top = match &platforms[..] {
            [] => return Err(ImageError::Machine("nothing")),
            [one] => one.manifest.clone(),
            several => {
                let index = json!({
                    "schemaVersion": 2,
                    "mediaType": INDEX,
                    "manifests": several.iter().map(Platform::json).collect::<Vec<_>>(),
                });
                blobs.add(INDEX, index.to_string().into_bytes())
            }
        };
        let reference = format!("localhost/{}:{}-{}", content.name, content.version, &digest[..12]);
        Ok(Self { reference, platforms, top, blobs: blobs.0 })
    }

    /// The architectures that it is for, as OCI names them.
    pub fn architectures(&self) -> impl Iterator<Item = &'static str> {
        self.platforms.iter().map(|platform| platform.architecture)
    }
}

impl Platform {
    /// Its descriptor in an index.
    pub(super) fn json(&self) -> Value {
        let mut descriptor = self.manifest.json();
        descriptor["platform"] = json!({ "architecture": self.architecture, "os": "linux" });
        descriptor
    }
}

fn platform(content: &Content<'_>, program: &Program<'_>, blobs: &mut Blobs) -> Result<Platform, ImageError> {
    let elf = Elf::read(program.bytes).and_then(|elf| elf.architecture);
    let architecture = elf.ok_or(ImageError::Machine("the program"))?;
    let layer = layer(content.name, program);
    let labels = json!({
        "org.opencontainers.image.description": content.description,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.revision": digest(program.bytes),
        "org.opencontainers.image.source": env!("CARGO_PKG_REPOSITORY"),
        "org.opencontainers.image.title": content.name,
        "org.opencontainers.image.version": content.version,
    });
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": "65532:65532",
            "Entrypoint": [format!("/{}", content.name)],
            "Env": ["PATH=/"],
            "WorkingDir": "/",
            "Labels": labels,
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))] },
        "history": [{ "created_by": "flowproof image", "comment": "no base image" }],
    });
    let layer = blobs.add("application/vnd.oci.image.layer.v1.tar", layer);
    let config = blobs.add("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.json(),
        "layers": [layer.json()],
        "annotations": labels,
    });
    let manifest = blobs.add(MANIFEST, manifest.to_string().into_bytes());
    Ok(Platform { architecture, manifest, config, layer })
}

/// The one layer: container runtimes mount `/proc`, `/sys`, `/dev`, and files below `/etc`.
fn layer(name: &str, program: &Program<'_>) -> Vec<u8> {
    let mut tar = Tar::default();
    for directory in ["dev", "etc", "proc", "sys"] {
        tar.directory(directory, 0o755);
    }
    tar.directory("tmp", 0o1777);
    tar.file(name, 0o755, program.bytes);
    let above = |path: &String| Path::new(path).ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>();
    let directories: BTreeSet<_> = program.libraries.iter().flat_map(|(path, _)| above(path)).collect();
    for directory in directories.iter().filter(|directory| !directory.as_os_str().is_empty()) {
        tar.directory(&directory.display().to_string(), 0o755);
    }
    for (path, library) in &program.libraries {
        tar.file(path, 0o755, library);
    }
    tar.finish()
}

#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    /// Adds a content and returns its descriptor.
    fn add(&mut self, media_type: &'static str, content: Vec<u8>) -> Descriptor {
        let descriptor = Descriptor { media_type, digest: digest(&content), size: content.len() };
        self.0.insert(descriptor.digest.clone(), content);
        descriptor
    }
}

/// Writes tar files in memory: owner root, time 0.
pub(super) struct Tar(tar::Builder<Vec<u8>>);

impl Default for Tar {
    fn default() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }
}

impl Tar {
    pub(super) fn directory(&mut self, name: &str, mode: u32) {
        self.append(tar::EntryType::Directory, &format!("{name}/"), mode, &[]);
    }

    pub(super) fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.append(tar::EntryType::Regular, name, mode, content);
    }

    fn append(&mut self, kind: tar::EntryType, name: &str, mode: u32, content: &[u8]) {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        self.0
            .append_data(&mut header, name, content)
            .expect("names made here are short, and memory takes every write");
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0.into_inner().expect("memory takes every write")
    }
}

pub(super) fn digest(content: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(content).iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}
