//! Writes an image as an OCI archive (OCI image layout 1.1) that `docker load` understands, too.

use super::oci::{Image, ImageError, Tar};
use serde_json::json;
use std::{fs, path::Path};

impl Image {
    /// The archive: a tar file with fixed times and order, so that the same programs give the same bytes.
    pub fn archive(&self) -> Vec<u8> {
        let path = |digest: &str| format!("blobs/sha256/{digest}");
        let mut top = match &self.platforms[..] {
            [one] => one.json(),
            _ => self.top.json(),
        };
        top["annotations"] = json!({
            "io.containerd.image.name": self.reference,
            "org.opencontainers.image.ref.name": self.reference,
        });
        let index = json!({ "schemaVersion": 2, "mediaType": super::oci::INDEX, "manifests": [top] });
        // Docker without containerd's image store reads this, and has no place for a second architecture: the first is the runner's own.
        let own = &self.platforms[0];
        let docker = json!([{
            "Config": path(&own.config.digest),
            "RepoTags": [self.reference],
            "Layers": [path(&own.layer.digest)],
        }]);
        let mut tar = Tar::default();
        tar.directory("blobs", 0o755);
        tar.directory("blobs/sha256", 0o755);
        for (digest, content) in &self.blobs {
            tar.file(&path(digest), 0o644, content);
        }
        tar.file("index.json", 0o644, index.to_string().as_bytes());
        tar.file("manifest.json", 0o644, docker.to_string().as_bytes());
        tar.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#);
        tar.finish()
    }

    /// Writes the archive to a file.
    pub fn save(&self, path: &Path) -> Result<(), ImageError> {
        fs::write(path, self.archive())
            .map_err(|error| ImageError::Write { path: path.display().to_string(), error })
    }
}

#[cfg(test)]
mod tests;
