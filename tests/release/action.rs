//! The action's script with a release in a directory: what it downloads and refuses, how it calls flowproof, what it writes.

use super::{root, stderr};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

/// A replacement for flowproof: records its arguments, each followed by a NUL and each call by a line end, and does what variables say.
const FLOWPROOF: &str = r#"#!/bin/sh
if [ "$1" = --version ]; then echo "flowproof 1.2.3"; exit 0; fi
printf '%s\0' "$@" >> "$RECORD/calls"
echo >> "$RECORD/calls"
[ "$1" != image ] || exit "${LOAD_CODE:-0}"
while [ $# -gt 0 ]; do
  case $1 in --junit | --save) echo report > "$2" ;; esac
  shift
done
echo "a summary" >> "$GITHUB_STEP_SUMMARY"
exit "${CODE:-0}"
"#;

/// A job of GitHub's on this machine, with a release that holds [`FLOWPROOF`].
struct Job {
    directory: TempDir,
    environment: BTreeMap<String, String>,
}

impl Job {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let path = directory.path();
        for name in ["bin", "record", "temp", "work", "releases"] {
            fs::create_dir(path.join(name)).expect("it can be made");
        }
        let at = |name: &str| path.join(name).display().to_string();
        let mut environment = BTreeMap::from([
            ("PATH".to_owned(), format!("{}:/usr/local/bin:/usr/bin:/bin", at("bin"))),
            ("RECORD".to_owned(), at("record")),
            ("RUNNER_TEMP".to_owned(), at("temp")),
            ("FLOWPROOF_RELEASES".to_owned(), format!("file://{}", at("releases"))),
        ]);
        for (variable, file) in
            [("GITHUB_OUTPUT", "output"), ("GITHUB_PATH", "path"), ("GITHUB_STEP_SUMMARY", "summary")]
        {
            environment.insert(variable.to_owned(), at(&format!("record/{file}")));
        }
        // The defaults of action.yml.
        let action = super::yaml("action.yml");
        for (input, about) in action["inputs"].as_object().expect("there are inputs") {
            let value = about["default"].as_str().unwrap_or_default();
            environment.insert(format!("INPUT_{}", input.to_uppercase()), value.to_owned());
        }
        let job = Self { directory, environment };
        job.program("kubectl", "#!/bin/sh\nexit 1\n");
        job.program("kind", "#!/bin/sh\nexit 1\n");
        job.release(&format!("download/v{}", env!("CARGO_PKG_VERSION")));
        job
    }

    fn with(mut self, variable: &str, value: &str) -> Self {
        self.environment.insert(variable.to_owned(), value.to_owned());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn program(&self, name: &str, text: &str) {
        executable(&self.path("bin").join(name), text);
    }

    /// A kind cluster, and the current context of kubectl.
    fn kind(self, cluster: &str, context: &str) -> Self {
        self.program("kind", &format!("#!/bin/sh\necho other\necho {cluster}\n"));
        self.program("kubectl", &format!("#!/bin/sh\necho {context}\n"));
        self
    }

    /// Puts a release into the directory; returns the path of its archive.
    fn release(&self, version: &str) -> PathBuf {
        let release = self.path("releases").join(version);
        let name = format!("flowproof-{}", target());
        fs::create_dir_all(release.join(&name)).expect("it can be made");
        executable(&release.join(&name).join("flowproof"), FLOWPROOF);
        let archive = release.join(format!("{name}.tar.gz"));
        let sums = format!("tar -czf {name}.tar.gz {name} && sha256sum {name}.tar.gz > SHA256SUMS");
        let made = Command::new("sh").args(["-c", &sums]).current_dir(&release).status();
        assert!(made.is_ok_and(|status| status.success()));
        archive
    }

    fn run(&self) -> Output {
        let mut command = Command::new(root().join(".github/action/run.sh"));
        command.env_clear().envs(&self.environment).current_dir(self.path("work"));
        command.output().expect("the script can be started")
    }

    /// Runs it and expects this exit code; returns the calls of flowproof that it made.
    fn calls(&self, code: i32) -> Vec<Vec<String>> {
        let output = self.run();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        let record = self.read("record/calls");
        let words = |call: &str| call.split_terminator('\0').map(str::to_owned).collect();
        record.split_terminator("\0\n").map(words).collect()
    }

    fn outputs(&self) -> BTreeMap<String, String> {
        let text = self.read("record/output");
        text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
    }
}

fn executable(path: &Path, text: &str) {
    fs::write(path, text).expect("it can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it can be changed");
}

fn target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

#[test]
fn it_fetches_its_own_release_runs_it_and_leaves_outputs() {
    let job = Job::new().with("CODE", "3");
    let calls = job.calls(3);
    assert_eq!(calls, [["run", "--junit", "flowproof.xml", "--save", "flowproof.json"]]);
    let outputs = job.outputs();
    assert_eq!((outputs["exit-code"].as_str(), outputs["version"].as_str()), ("3", "1.2.3"));
    assert_eq!((outputs["junit"].as_str(), outputs["json"].as_str()), ("flowproof.xml", "flowproof.json"));
    assert_eq!(fs::read_to_string(&outputs["summary"]).expect("the summary is there"), "a summary\n");
    assert_eq!(job.read("record/summary"), "a summary\n", "the job's page shows it");
    assert!(job.path("work/flowproof.xml").exists());
}

#[test]
fn it_fetches_what_its_machine_runs() {
    let asked = |system: &str, machine: &str| {
        let job = Job::new();
        job.program("uname", &format!("#!/bin/sh\n[ \"$1\" = -s ] && echo {system} || echo {machine}\n"));
        fs::remove_dir_all(job.path("releases")).expect("it can be removed");
        let output = job.run();
        assert_eq!(output.status.code(), Some(4), "there is no release to fetch");
        stderr(&output)
    };
    for (system, machine, target) in [
        ("Linux", "x86_64", "x86_64-unknown-linux-musl"),
        ("Linux", "aarch64", "aarch64-unknown-linux-musl"),
        ("Darwin", "x86_64", "x86_64-apple-darwin"),
        ("Darwin", "arm64", "aarch64-apple-darwin"),
    ] {
        let said = asked(system, machine);
        assert!(said.contains(&format!("fetching flowproof-{target}.tar.gz ")), "{said}");
    }
    let said = asked("FreeBSD", "amd64");
    assert!(said.contains("there is no release for FreeBSD on amd64"), "{said}");
}

#[test]
fn arguments_survive_as_they_are_written() {
    let job = Job::new()
        .with("INPUT_COMMAND", "check")
        .with("INPUT_CONTEXT", "a context")
        .with("INPUT_JUNIT", "")
        .with("INPUT_JSON", "")
        .with("INPUT_PATHS", "scenarios/one.yaml\n'my scenarios/'\n")
        .with("INPUT_ARGS", "--filter \"two words\" --settle 30s\n  --filter '' --filter a\\ b");
    let expected = [
        "check",
        "--context",
        "a context",
        "scenarios/one.yaml",
        "my scenarios/",
        "--filter",
        "two words",
        "--settle",
        "30s",
        "--filter",
        "",
        "--filter",
        "a b",
    ];
    assert_eq!(job.calls(0), [expected]);
}

#[test]
fn nothing_in_an_input_is_executed_or_expanded() {
    let hostile = "$(touch stolen) `touch stolen`; touch stolen | * ~ $HOME > stolen";
    let job = Job::new()
        .with("INPUT_ARGS", hostile)
        .with("INPUT_CONTEXT", "$(touch stolen)")
        .with("INPUT_JSON", "");
    let calls = job.calls(0);
    assert_eq!(calls[0][..3], ["run", "--context", "$(touch stolen)"]);
    assert_eq!(calls[0][5..].join(" "), hostile);
    let left = fs::read_dir(job.path("work")).expect("it can be listed").count();
    assert_eq!(left, 1, "flowproof.xml is there, and nothing else");
}

#[test]
fn an_archive_with_another_sum_is_not_used() {
    let job = Job::new();
    let archive = job.release(&format!("download/v{}", env!("CARGO_PKG_VERSION")));
    let mut bytes = fs::read(&archive).expect("it is there");
    bytes.push(0);
    fs::write(&archive, bytes).expect("it can be written");
    let output = job.run();
    assert_eq!(output.status.code(), Some(4));
    assert!(
        stderr(&output).contains("::error title=flowproof::") && stderr(&output).contains("it is not used"),
        "{}",
        stderr(&output)
    );
    assert!(!job.path("record/calls").exists() && job.outputs().is_empty());
}

#[test]
fn an_archive_without_a_sum_is_not_used() {
    let job = Job::new();
    let archive = job.release(&format!("download/v{}", env!("CARGO_PKG_VERSION")));
    fs::write(archive.with_file_name("SHA256SUMS"), "0123  another.tar.gz\n").expect("it can be written");
    let output = job.run();
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("does not name"), "{}", stderr(&output));
    assert!(!job.path("record/calls").exists());
}

#[test]
fn a_version_can_be_chosen() {
    for (version, place) in
        [("1.2.3", "download/v1.2.3"), ("v1.2.3", "download/v1.2.3"), ("latest", "latest/download")]
    {
        let job = Job::new().with("INPUT_VERSION", version);
        fs::remove_dir_all(job.path("releases")).expect("it can be removed");
        let output = job.run();
        assert_eq!(output.status.code(), Some(4), "{version}: there is no such release");
        assert!(stderr(&output).contains(place), "{}", stderr(&output));
        job.release(place);
        assert_eq!(job.calls(0).len(), 1, "{version}");
    }
    let output = Job::new().with("INPUT_VERSION", "v1").run();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("write a whole version"), "{}", stderr(&output));
}

#[test]
fn a_token_fetches_with_the_github_command_line() {
    let job = Job::new().with("INPUT_TOKEN", "secret").with("ACTION_REPOSITORY", "somebody/copy");
    let gh = "#!/bin/sh\necho \"$GH_TOKEN $*\" >> \"$RECORD/gh\"\nwhile [ $# -gt 0 ]; do\n\
              case $1 in --pattern) file=$2 ;; --dir) dir=$2 ;; esac\nshift\ndone\n\
              cp \"${FLOWPROOF_RELEASES#file://}\"/download/v*/\"$file\" \"$dir\"\n";
    job.program("gh", gh);
    assert_eq!(job.calls(0).len(), 1);
    let asked = job.read("record/gh");
    let tag = format!("secret release download v{} --repo somebody/copy", env!("CARGO_PKG_VERSION"));
    assert!(asked.lines().count() == 2 && asked.lines().all(|line| line.starts_with(&tag)), "{asked}");
}

#[test]
fn the_image_goes_into_the_kind_cluster_that_is_used() {
    let loads = |job: &Job, code: i32| {
        let calls = job.calls(code).into_iter();
        calls.filter(|call| call[0] == "image").map(|call| call[3].clone()).collect::<Vec<_>>()
    };
    assert_eq!(loads(&Job::new().kind("ci", "kind-ci"), 0), ["ci"], "the current context's");
    let given = Job::new().kind("ci", "elsewhere").with("INPUT_CONTEXT", "kind-ci");
    assert_eq!(loads(&given, 0), ["ci"], "the given context's");
    let nothing: [&str; 0] = [];
    assert_eq!(loads(&Job::new().kind("ci", "elsewhere"), 0), nothing, "another cluster is used");
    assert_eq!(loads(&Job::new().kind("ci", "kind-gone"), 0), nothing, "kind does not know it");
    assert_eq!(loads(&Job::new(), 0), nothing, "there is no kind");
    assert_eq!(loads(&Job::new().kind("ci", "kind-ci").with("INPUT_LOAD", "none"), 0), nothing);
    let local = Job::new().kind("ci", "kind-ci").with("INPUT_ARGS", "--cluster local");
    assert_eq!(loads(&local, 0), nothing, "no Kubernetes is used");
    let lint = Job::new().kind("ci", "kind-ci").with("INPUT_COMMAND", "lint");
    assert_eq!(loads(&lint, 0), nothing, "no cluster is used");

    let fails = Job::new().kind("ci", "kind-ci").with("LOAD_CODE", "4");
    assert_eq!(fails.calls(0).len(), 2, "without the image it goes on, with a ConfigMap");
    let insisted = Job::new().with("INPUT_LOAD", "ci").with("LOAD_CODE", "4");
    assert_eq!(loads(&insisted, 4), ["ci"]);
    assert_eq!(insisted.calls(4).len(), 2, "it does not run");
}

#[test]
fn commands_without_an_outcome_get_no_report() {
    let job = Job::new().with("INPUT_COMMAND", "lint").with("INPUT_PATHS", "scenarios");
    assert_eq!(job.calls(0), [["lint", "scenarios"]]);
    // The report of an earlier step is not taken for this one's.
    let job = Job::new().with("INPUT_COMMAND", "lint");
    fs::write(job.path("work/flowproof.xml"), "older").expect("it can be written");
    job.calls(0);
    assert!(!job.outputs().contains_key("junit"), "{:?}", job.outputs());
}

#[test]
fn install_puts_it_on_the_path_and_runs_nothing() {
    let job = Job::new().with("INPUT_COMMAND", "install");
    assert!(job.calls(0).is_empty());
    let directory = job.read("record/path");
    assert!(Path::new(directory.trim()).join("flowproof").exists(), "{directory}");
}

#[test]
fn a_program_that_is_there_is_used() {
    let job = Job::new().with("INPUT_BINARY", "../mine");
    executable(&job.path("mine"), FLOWPROOF);
    fs::remove_dir_all(job.path("releases")).expect("it can be removed");
    assert_eq!(job.calls(0).len(), 1);
}

#[test]
fn inputs_that_cannot_be_are_refused() {
    for (variable, value, what) in [
        ("INPUT_ARGS", "--filter 'open", "a quote without its end"),
        ("INPUT_BINARY", "not-there", "which is not a program"),
        ("INPUT_JUNIT", "a\nb", "more than one line"),
    ] {
        let job = Job::new().with(variable, value);
        let output = job.run();
        assert_eq!(output.status.code(), Some(2), "{variable}");
        assert!(stderr(&output).contains(what), "{}", stderr(&output));
        assert!(!job.path("record/calls").exists());
    }
}
