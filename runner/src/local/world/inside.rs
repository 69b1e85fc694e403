//! Runs code inside a network namespace: on a thread of its own, which never returns to a pool.

use nix::sched::{CloneFlags, setns, unshare};
use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    thread,
};
use tokio::sync::oneshot;

/// Which network namespace to enter.
pub(crate) enum Network {
    New,
    Of(OwnedFd),
}

/// Runs a job on a thread that has entered the network namespace first.
pub(crate) async fn inside<T, F>(network: Network, job: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> io::Result<T> + Send + 'static,
{
    let (done, outcome) = oneshot::channel();
    thread::Builder::new().name("namespace".to_owned()).spawn(move || {
        let result = enter(network).and_then(|()| job());
        // The receiver is gone if its request was given up; then nobody needs the result.
        let _ = done.send(result);
    })?;
    outcome.await.unwrap_or_else(|_| Err(io::Error::other("a thread inside a namespace panicked")))
}

fn enter(network: Network) -> io::Result<()> {
    match network {
        Network::New => unshare(CloneFlags::CLONE_NEWNET)?,
        Network::Of(descriptor) => setns(descriptor, CloneFlags::CLONE_NEWNET)?,
    }
    Ok(())
}

/// Opens the network namespace of the calling thread.
pub(crate) fn own_network() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

/// Another handle to the same namespace.
pub(crate) fn again(network: impl AsFd) -> io::Result<Network> {
    network.as_fd().try_clone_to_owned().map(Network::Of)
}

/// Writes settings below `/proc/sys/net` of the calling thread's namespace. Settings without a file are left out, because IPv6
/// may be switched off, and kernels differ.
pub(crate) fn write_settings(settings: &[(&str, &str)]) -> io::Result<()> {
    for (name, value) in settings {
        match std::fs::write(format!("/proc/sys/net/{name}"), value) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io::Error::new(
                    error.kind(),
                    format!("writing {value} to /proc/sys/net/{name}: {error}"),
                ));
            }
            _ => {}
        }
    }
    Ok(())
}
