//! Puts the image where a cluster finds it, with the programs that the user has: kind, containerd's `ctr`, k3s.

use super::{Image, ImageError};
use std::{io, process::Stdio, time::Duration};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

/// Limit for one program. Importing takes a second or two; kind with many nodes takes longer.
const DEADLINE: Duration = Duration::from_mins(2);

/// Where to load the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// All nodes of a kind cluster, by its name.
    Kind(String),
    /// The containerd of this machine, at an address other than its default if one is given.
    Containerd(Option<String>),
    /// The k3s of this machine.
    K3s,
}

/// Why the image could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The program that loads is not installed.
    #[error("{program} is not installed or not on PATH")]
    Missing {
        /// The program.
        program: &'static str,
        /// What would help.
        hint: String,
    },
    /// The program could not be run.
    #[error("{program} cannot be run: {error}")]
    Run {
        /// The program.
        program: &'static str,
        /// How it failed.
        error: io::Error,
    },
    /// The program failed.
    #[error("{command} failed ({status}): {message}")]
    Failed {
        /// The whole command.
        command: String,
        /// Exit code or signal.
        status: std::process::ExitStatus,
        /// The end of its stderr.
        message: String,
        /// What would help.
        hint: String,
    },
    /// The program did not end in time.
    #[error("{command} did not end within {} s", DEADLINE.as_secs())]
    Late {
        /// The whole command.
        command: String,
    },
    /// The archive could not be written for the program to read.
    #[error(transparent)]
    Archive(#[from] ImageError),
    /// No file could be made for the archive.
    #[error("no temporary file can be made: {0}")]
    Temporary(io::Error),
}

impl LoadError {
    /// What would help, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Missing { hint, .. } | Self::Failed { hint, .. } if !hint.is_empty() => Some(hint),
            _ => None,
        }
    }
}

/// Loads the image and returns when the program that does it has finished.
pub async fn load(image: &Image, place: &Place) -> Result<(), LoadError> {
    match place {
        Place::Kind(name) => {
            let file = tempfile::Builder::new()
                .prefix("flowproof-image-")
                .suffix(".tar")
                .tempfile()
                .map_err(LoadError::Temporary)?;
            image.save(file.path())?;
            let path = file.path().display().to_string();
            let hint = format!("is '{name}' the name of the cluster? `kind get clusters` lists them");
            run("kind", &["load", "image-archive", &path, "--name", name], &[], &hint).await
        }
        Place::Containerd(address) => {
            let mut arguments = vec!["-n", "k8s.io", "images", "import", "-"];
            if let Some(address) = address {
                arguments.splice(..0, ["-a", address.as_str()]);
            }
            let hint = "containerd's socket usually belongs to root: run this as root, or give its address";
            run("ctr", &arguments, &image.archive(), hint).await
        }
        Place::K3s => {
            let hint = "k3s runs as root: run this as root on every node";
            run("k3s", &["ctr", "-n", "k8s.io", "images", "import", "-"], &image.archive(), hint).await
        }
    }
}

/// Runs a program to its end with the bytes as its stdin.
async fn run(program: &'static str, arguments: &[&str], stdin: &[u8], hint: &str) -> Result<(), LoadError> {
    let command = format!("{program} {}", arguments.join(" "));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => LoadError::Missing { program, hint: install(program) },
            _ => LoadError::Run { program, error },
        })?;
    let mut input = child.stdin.take().expect("stdin is piped");
    let feed = async move {
        // A program that fails early closes its stdin. Its own message says more than an error of the pipe.
        let _ = input.write_all(stdin).await;
        drop(input);
    };
    let (output, ()) = timeout(DEADLINE, async { tokio::join!(child.wait_with_output(), feed) })
        .await
        .map_err(|_| LoadError::Late { command: command.clone() })?;
    let output = output.map_err(|error| LoadError::Run { program, error })?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let message = message.trim().lines().rev().take(3).collect::<Vec<_>>();
    Err(LoadError::Failed {
        command,
        status: output.status,
        message: message.into_iter().rev().collect::<Vec<_>>().join("; "),
        hint: hint.to_owned(),
    })
}

fn install(program: &str) -> String {
    match program {
        "kind" => {
            "install kind, or write the archive with `flowproof image save FILE` and load it on the nodes"
                .into()
        }
        _ => format!(
            "run this on a node that has {program}, or write the archive with `flowproof image save FILE`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named_with_a_way_out() {
        let error = run("flowproof-no-such-program", &[], b"", "").await.expect_err("it is not there");
        assert_eq!(error.to_string(), "flowproof-no-such-program is not installed or not on PATH");
        assert!(error.hint().is_some_and(|hint| hint.contains("flowproof image save")));
    }

    #[tokio::test]
    async fn a_program_that_fails_is_quoted() {
        let script = "cat > /dev/null; echo first >&2; echo second >&2; exit 3";
        let error = run("sh", &["-c", script], &vec![7; 1 << 20], "the hint").await.expect_err("it fails");
        assert!(error.to_string().ends_with("failed (exit status: 3): first; second"), "{error}");
        assert_eq!(error.hint(), Some("the hint"));
    }

    #[tokio::test]
    async fn a_program_gets_the_whole_archive_even_if_it_talks_first() {
        let script = "head -c 1000000 /dev/zero >&2; test $(wc -c) = 1048576";
        run("sh", &["-c", script], &vec![7; 1 << 20], "").await.expect("it got everything");
    }

    #[tokio::test]
    async fn a_program_that_does_not_read_fails_with_its_own_words() {
        let script = "exec < /dev/null; echo no >&2; exit 1";
        let error = run("sh", &["-c", script], &vec![7; 1 << 20], "").await.expect_err("it fails");
        assert!(error.to_string().ends_with(": no"), "{error}");
    }
}
