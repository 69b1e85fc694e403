//! Connects standard input and output to the socket of a running prober. `exec` into a pod starts it.
//!
//! It makes two blocking copies, one of them on a second thread: standard input may be a pipe, a terminal or a file, and epoll
//! does not support files.

use std::{
    io::{ErrorKind, Read, Write},
    os::{linux::net::SocketAddrExt, unix::net::SocketAddr, unix::net::UnixStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How long the relay waits for a prober that has not opened its socket yet: `exec` into a container works as soon as its process
/// has started.
const SOCKET_DEADLINE: Duration = Duration::from_secs(5);

/// How often the socket is tried within [`SOCKET_DEADLINE`].
const SOCKET_RETRY: Duration = Duration::from_millis(20);

/// Relays until either side ends.
///
/// Fails with a message for people if no prober listens on that socket within 5 s.
pub(crate) fn relay(name: &str) -> Result<(), String> {
    let stream = connect(name)?;
    let (ended, wait) = mpsc::channel();
    let upstream = stream.try_clone().map_err(|error| format!("cannot duplicate the socket: {error}"))?;
    let input_ended = ended.clone();
    thread::spawn(move || {
        copy(std::io::stdin().lock(), upstream);
        let _ = input_ended.send(());
    });
    thread::spawn(move || {
        copy(stream, std::io::stdout().lock());
        let _ = ended.send(());
    });
    // The copy that ends first ends the program; the other one may be blocked forever.
    let _ = wait.recv();
    Ok(())
}

fn connect(name: &str) -> Result<UnixStream, String> {
    let address =
        SocketAddr::from_abstract_name(name).map_err(|error| format!("socket name {name:?}: {error}"))?;
    let deadline = Instant::now() + SOCKET_DEADLINE;
    loop {
        match UnixStream::connect_addr(&address) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && Instant::now() < deadline => {
                thread::sleep(SOCKET_RETRY);
            }
            Err(error) => {
                return Err(format!(
                    "no prober answers on the abstract socket @{name} within {} s: {error}",
                    SOCKET_DEADLINE.as_secs()
                ));
            }
        }
    }
}

/// Copies until either end is closed or broken; for a relay, both mean that the stream is over.
fn copy(mut from: impl Read, mut to: impl Write) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                if to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
