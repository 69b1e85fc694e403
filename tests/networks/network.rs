//! One cluster of the lab, and flowproof run on it as a user would.

use serde_json::Value;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// The program under test.
pub const FLOWPROOF: &str = env!("CARGO_BIN_EXE_flowproof");

/// An instance of the lab.
#[derive(Clone)]
pub struct Network {
    /// Its name, which is the network's.
    pub name: String,
    kubeconfig: PathBuf,
}

/// The results of a run of flowproof.
pub struct Ran {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The outcome, if one was written.
    pub outcome: Value,
    /// Everything on stderr.
    pub stderr: String,
}

impl Network {
    /// The instance of this name, which must be up.
    pub fn named(name: &str) -> Self {
        let mut network = Self { name: name.to_owned(), kubeconfig: PathBuf::new() };
        network.kubeconfig = PathBuf::from(network.lab(&["kubeconfig"]).trim());
        network
    }

    /// How long a flow may take to settle here. Cilium waits five seconds before it acts on the changed labels of a pod
    /// (`--identity-change-grace-period`), and compiles its programs again on the lab's two cores. If nothing is enforced, nothing
    /// settles, and waiting would not help.
    pub fn settle(&self) -> &'static str {
        if self.enforces() { "60s" } else { "5s" }
    }

    /// Whether the network enforces policies.
    pub fn enforces(&self) -> bool {
        self.name != "bridge"
    }

    /// Where its kubeconfig is.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The lab's script; `FLOWPROOF_LAB_INSTANCE` says which instance is meant.
    #[expect(clippy::unused_self, reason = "it is a network's")]
    pub fn script(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/lab/lab")
    }

    /// Runs the lab's script and returns its stdout.
    pub fn lab(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(self.script());
        command.args(arguments).env("FLOWPROOF_LAB_INSTANCE", &self.name);
        let output = command.output().expect("the lab's script can be started");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "lab {} on {}: {stderr}", arguments.join(" "), self.name);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs kubectl and returns its stdout.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.lab(&[&["kubectl"], arguments].concat())
    }

    /// Applies objects with kubectl; returns whether the API server accepted them.
    pub fn applies(&self, objects: &Value, options: &[&str]) -> bool {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        write!(file, "{objects}").expect("it can be written");
        let mut command = Command::new(self.script());
        command.args(["kubectl", "apply", "-f"]).arg(file.path()).args(options);
        command.env("FLOWPROOF_LAB_INSTANCE", &self.name);
        command.output().expect("the lab's script can be started").status.success()
    }

    /// Puts the prober's image on every node.
    pub fn load_image(&self) {
        let archive =
            std::env::temp_dir().join(format!("flowproof-{}-{}.tar", self.name, std::process::id()));
        let saved = Command::new(FLOWPROOF)
            .args(["image", "save"])
            .arg(&archive)
            .output()
            .expect("it can be started");
        assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
        self.lab(&["load", &archive.display().to_string()]);
        let _ = std::fs::remove_file(archive);
    }

    /// Prepares flowproof on this cluster.
    pub fn flowproof(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(FLOWPROOF);
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig).env_remove("GITHUB_STEP_SUMMARY");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `flowproof run` with the outcome as JSON on stdout.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Self::ran(self.flowproof(&[&["run", "--json", "-"], arguments].concat()))
    }

    /// Runs a prepared command to its end.
    pub fn ran(mut command: Command) -> Ran {
        Ran::from(command.output().expect("flowproof can be started"))
    }

    /// Whether the API serves a resource, by its full name.
    pub fn serves(&self, resource: &str) -> bool {
        self.kubectl(&["api-resources", "-o", "name"]).lines().any(|line| line == resource)
    }

    /// The run's real namespaces that exist now.
    pub fn namespaces(&self) -> Vec<String> {
        let list = self.kubectl(&["get", "namespaces", "-l", "flowproof.dev/run", "-o", "name"]);
        list.lines().map(|line| line.trim_start_matches("namespace/").to_owned()).collect()
    }

    /// Waits until a condition holds; fails with what it was waiting for.
    pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = condition() {
                return found;
            }
            assert!(Instant::now() < deadline, "{} s are over: {what}", limit.as_secs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            outcome: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// All flows of all steps, with their scenarios' files.
    pub fn flows(&self) -> Vec<(&str, &Value)> {
        let scenarios = self.outcome["scenarios"].as_array().map_or(&[][..], Vec::as_slice);
        let steps = scenarios.iter().flat_map(|scenario| {
            let file = scenario["file"].as_str().unwrap_or_default();
            let restore = scenario.get("restore").filter(|restore| !restore.is_null());
            scenario["steps"].as_array().into_iter().flatten().chain(restore).map(move |step| (file, step))
        });
        steps
            .flat_map(|(file, step)| {
                step["flows"].as_array().into_iter().flatten().map(move |flow| (file, flow))
            })
            .collect()
    }
}
