//! The lab's cluster that the tests may use.

use flowproof::image::Image;
use serde_json::Value;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

/// An instance of the lab, by its name.
#[derive(Clone)]
pub(crate) struct Lab(pub(crate) String);

impl Lab {
    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        PathBuf::from(self.run(&["kubeconfig"]).trim())
    }

    /// Puts an image on every node.
    pub(crate) fn load(&self, image: &Image, directory: &Path) {
        let archive = directory.join("image.tar");
        image.save(&archive).expect("the archive can be written");
        self.run(&["load", &archive.display().to_string()]);
    }

    /// Applies an object as the administrator.
    pub(crate) fn apply(&self, object: &Value) {
        self.apply_text(&object.to_string());
    }

    /// Applies a manifest as the administrator.
    pub(crate) fn apply_text(&self, manifest: &str) {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        file.write_all(manifest.as_bytes()).expect("it can be written");
        self.run(&["kubectl", "apply", "-f", &file.path().display().to_string()]);
    }

    /// Runs a command of the lab's script and returns its output.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/lab/lab"))
            .args(arguments)
            .env("FLOWPROOF_LAB_INSTANCE", &self.0)
            .output()
            .expect("the lab's script can be started");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "lab {}: {stderr}", arguments.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
