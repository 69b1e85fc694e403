//! Packs a program into an OCI image archive (OCI image format 1.1) that Docker's `load` understands as well.

use super::elf::Elf;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

/// An image archive and the name under which clusters know the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `localhost/flowproof-prober:VERSION-DIGEST`, where the digest is the first 12 hexadecimal digits of the
    /// program's SHA-256: an image of another build never passes for this one.
    pub reference: String,
    /// The machine that it is for, as OCI names it: `amd64` or `arm64`.
    pub architecture: &'static str,
    /// The archive: a tar file with fixed times and order, so that equal programs give equal bytes.
    pub archive: Vec<u8>,
}

/// What an image consists of.
#[derive(Debug)]
pub(super) struct Content<'a> {
    /// The name of the program and of the image.
    pub(super) name: &'a str,
    /// What the program does, for the image's label.
    pub(super) description: &'a str,
    /// The program.
    pub(super) program: &'a [u8],
    /// What a dynamic program needs, by paths without the first slash.
    pub(super) libraries: Vec<(String, Vec<u8>)>,
    /// The version of both.
    pub(super) version: &'a str,
}

/// Why a program cannot be packed, or its archive not be written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It is not an ELF file for a machine that images exist for.
    #[error("{0} is not an ELF program for amd64 or arm64, which images are made for")]
    Machine(&'static str),
    /// It needs a dynamic loader, which an image without a base does not have.
    #[error("the prober is linked dynamically; the image has no libraries")]
    Dynamic,
    /// A file that belongs into the image could not be read.
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
    /// Packs a prober into an image without a base: the program, and the directories that container runtimes mount on.
    pub fn pack(prober: &[u8], version: &str) -> Result<Self, ImageError> {
        let elf = Elf::read(prober).ok_or(ImageError::Machine("the prober"))?;
        if elf.loader.is_some() {
            return Err(ImageError::Dynamic);
        }
        Self::pack_with(&Content {
            name: "flowproof-prober",
            description: "Listens, tries flows, and says what happened at its end",
            program: prober,
            libraries: Vec::new(),
            version,
        })
    }

    /// Packs a program that has all that it needs.
    pub(super) fn pack_with(content: &Content<'_>) -> Result<Self, ImageError> {
        let elf = Elf::read(content.program).and_then(|elf| elf.architecture);
        let architecture = elf.ok_or(ImageError::Machine("the program"))?;
        let program = digest(content.program);
        let reference = format!("localhost/{}:{}-{}", content.name, content.version, &program[..12]);
        let archive = pack(content, &program, architecture, &reference);
        Ok(Self { reference, architecture, archive })
    }

    /// Writes the archive to a file.
    pub fn save(&self, path: &Path) -> Result<(), ImageError> {
        fs::write(path, &self.archive)
            .map_err(|error| ImageError::Write { path: path.display().to_string(), error })
    }
}

fn pack(content: &Content<'_>, program: &str, architecture: &str, reference: &str) -> Vec<u8> {
    let layer = layer(content);
    let labels = json!({
        "org.opencontainers.image.description": content.description,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.revision": program,
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
    let mut blobs = Blobs::default();
    let layer = blobs.add("application/vnd.oci.image.layer.v1.tar", layer);
    let config = blobs.add("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
    let docker = json!([{ "Config": path(&config), "RepoTags": [reference], "Layers": [path(&layer)] }]);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer],
        "annotations": labels,
    });
    let mut manifest =
        blobs.add("application/vnd.oci.image.manifest.v1+json", manifest.to_string().into_bytes());
    manifest["platform"] = json!({ "architecture": architecture, "os": "linux" });
    manifest["annotations"] = json!({
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": reference,
    });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    });
    let mut tar = Tar::default();
    tar.directory("blobs", 0o755);
    tar.directory("blobs/sha256", 0o755);
    for (digest, content) in &blobs.0 {
        tar.file(&format!("blobs/sha256/{digest}"), 0o644, content);
    }
    tar.file("index.json", 0o644, index.to_string().as_bytes());
    tar.file("manifest.json", 0o644, docker.to_string().as_bytes());
    tar.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#);
    tar.finish()
}

/// The one layer: container runtimes mount `/proc`, `/sys`, `/dev`, and files below `/etc`.
fn layer(content: &Content<'_>) -> Vec<u8> {
    let mut tar = Tar::default();
    for name in ["dev", "etc", "proc", "sys"] {
        tar.directory(name, 0o755);
    }
    tar.directory("tmp", 0o1777);
    tar.file(content.name, 0o755, content.program);
    let above = |path: &String| Path::new(path).ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>();
    let directories: BTreeSet<_> = content.libraries.iter().flat_map(|(path, _)| above(path)).collect();
    for directory in directories.iter().filter(|directory| !directory.as_os_str().is_empty()) {
        tar.directory(&directory.display().to_string(), 0o755);
    }
    for (path, library) in &content.libraries {
        tar.file(path, 0o755, library);
    }
    tar.finish()
}

/// Contents by their digest, which also puts them in order.
#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    /// Adds a content and returns its descriptor.
    fn add(&mut self, media_type: &str, content: Vec<u8>) -> Value {
        let digest = digest(&content);
        let descriptor =
            json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len() });
        self.0.insert(digest, content);
        descriptor
    }
}

/// The path of a descriptor's content inside the archive.
fn path(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().expect("descriptors made here have a digest");
    format!("blobs/{}", digest.replace(':', "/"))
}

/// Writes tar files in memory: owner root, time 0.
struct Tar(tar::Builder<Vec<u8>>);

impl Default for Tar {
    fn default() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }
}

impl Tar {
    fn directory(&mut self, name: &str, mode: u32) {
        self.append(tar::EntryType::Directory, &format!("{name}/"), mode, &[]);
    }

    fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
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

    fn finish(self) -> Vec<u8> {
        self.0.into_inner().expect("memory takes every write")
    }
}

fn digest(content: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(content).iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests;
