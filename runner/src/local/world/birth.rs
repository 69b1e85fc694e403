//! Creates the world: namespaces of its own, and a first process in them, with which everything else dies.
//!
//! This takes two processes, because a process that asks for a new PID namespace is not in it, but its children are. The *outer*
//! process makes the namespaces and waits; the *inner* one is PID 1 there. The kernel kills everything in a PID namespace when its
//! first process ends, so nothing survives the inner process. The inner process ends when the outer one ends (parent death signal),
//! and when the runner's end of the channel closes for whatever reason.

use super::{
    channel,
    message::{Answer, Numbered, SETUP_ID},
};
use crate::local::object::Refusal;
use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        prctl::set_pdeathsig,
        resource::{Resource, getrlimit, setrlimit},
        signal::Signal,
    },
    unistd::{getegid, geteuid},
};
use std::{
    fs,
    io::{self, stdin},
    os::{fd::AsFd, unix::net::UnixStream},
    process::{Command, ExitCode},
};

/// The first argument of the outer process.
pub(crate) const OUTER: &str = "local-world";
/// The first argument of the inner process.
const INNER: &str = "local-world-inner";

/// Becomes a world if the first argument says so; otherwise returns `None` at once.
///
/// Call it first thing in `main`, before any thread exists: only a single-threaded process can make a user namespace
/// (unshare(2)).
pub fn become_world_if_asked() -> Option<ExitCode> {
    match std::env::args_os().nth(1)?.to_str()? {
        OUTER => Some(outer()),
        INNER => Some(inner()),
        _ => None,
    }
}

fn outer() -> ExitCode {
    let outcome = leave_for_own_namespaces().and_then(|()| {
        Command::new("/proc/self/exe")
            .arg(INNER)
            .status()
            .map_err(|error| Obstacle { doing: "start the first process of the local cluster", why: error })
    });
    match outcome {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(obstacle) => {
            if let Ok(stream) = channel_to_runner() {
                let body = Answer::Refused(obstacle.explain());
                // If this fails, too, nobody is left to report it to: the runner sees the channel end.
                let _ = channel::send(&stream, &Numbered { id: SETUP_ID, body }, None);
            }
            ExitCode::FAILURE
        }
    }
}

fn inner() -> ExitCode {
    // If this fails because the parent is already gone, its end of the channel is closed, too, so nothing is lost.
    let _ = set_pdeathsig(Signal::SIGKILL);
    let Ok(stream) = channel_to_runner() else {
        return ExitCode::FAILURE;
    };
    // Pods need open files, so the limit is raised to the most that is allowed. If that fails, the limit stays as it is.
    let _ = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, allowed)| setrlimit(Resource::RLIMIT_NOFILE, allowed, allowed));
    super::serve::serve(stream)
}

fn channel_to_runner() -> io::Result<UnixStream> {
    stdin().as_fd().try_clone_to_owned().map(UnixStream::from)
}

/// A step that failed while the namespaces were made.
struct Obstacle {
    doing: &'static str,
    why: io::Error,
}

impl Obstacle {
    fn at(doing: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self { doing, why: errno.into() }
    }
}

fn leave_for_own_namespaces() -> Result<(), Obstacle> {
    let (uid, gid) = (geteuid(), getegid());
    match unshare(CloneFlags::CLONE_NEWUSER) {
        Ok(()) => {
            let map = |file: &str, text: String| {
                fs::write(format!("/proc/self/{file}"), text)
                    .map_err(|why| Obstacle { doing: "become root of a user namespace", why })
            };
            map("setgroups", "deny".to_owned())?;
            map("uid_map", format!("0 {uid} 1"))?;
            map("gid_map", format!("0 {gid} 1"))?;
        }
        Err(errno) if !uid.is_root() => return Err(Obstacle::at("make a user namespace")(errno)),
        // Root does not need a user namespace.
        Err(_) => {}
    }
    unshare(
        CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWIPC,
    )
    .map_err(Obstacle::at("make network, mount and PID namespaces"))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(Obstacle::at("keep mounts private"))
}

impl Obstacle {
    /// Says what failed, with the settings of this machine that forbid it.
    fn explain(&self) -> Refusal {
        let hint = FORBIDDING
            .iter()
            .find(|setting| setting.forbids())
            .map_or_else(|| GENERAL_HINT.to_owned(), Setting::hint);
        Refusal::Surroundings { what: format!("the local cluster cannot {}: {}", self.doing, self.why), hint }
    }
}

const GENERAL_HINT: &str = "it needs user, network, mount and PID namespaces: inside a container, allow them (seccomp \
     profile, CAP_SYS_ADMIN) or run on the host; root can do without user namespaces; or use a cluster with --cluster kube";

/// A setting of the kernel that can forbid user namespaces.
struct Setting {
    name: &'static str,
    forbidding: &'static str,
    remedy: &'static str,
}

const FORBIDDING: [Setting; 3] = [
    Setting {
        name: "kernel.unprivileged_userns_clone",
        forbidding: "0",
        remedy: "sysctl -w kernel.unprivileged_userns_clone=1",
    },
    Setting {
        name: "user.max_user_namespaces",
        forbidding: "0",
        remedy: "sysctl -w user.max_user_namespaces=15000",
    },
    Setting {
        name: "kernel.apparmor_restrict_unprivileged_userns",
        forbidding: "1",
        remedy: "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    },
];

impl Setting {
    fn forbids(&self) -> bool {
        fs::read_to_string(format!("/proc/sys/{}", self.name.replace('.', "/")))
            .is_ok_and(|value| value.trim() == self.forbidding)
    }

    fn hint(&self) -> String {
        format!(
            "{} = {} forbids it: as root, say `{}`, or run flowproof as root, or use a cluster with --cluster kube",
            self.name, self.forbidding, self.remedy
        )
    }
}
