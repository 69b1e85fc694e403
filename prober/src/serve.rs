//! Serves runners: waits for streams, commands, sockets, times and signals, one after the other, on one thread.

use crate::{
    attempt::Attempts,
    capture::{Captures, Packet},
    clock::Clock,
    link::{Happening, Link},
    listen::{Checked, Listeners, Received},
    session::Session,
    surroundings,
};
use flowproof_wire::First;
use nix::{
    sys::wait::{WaitPidFlag, WaitStatus, waitpid},
    unistd::geteuid,
};
use std::{
    future::pending,
    io,
    ops::ControlFlow,
    os::{
        fd::{AsFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::{fs::FileTypeExt, net},
    },
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream, unix::pipe},
    select,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::sleep_until,
};

/// How many nonces may wait to be recorded before the listeners wait.
const RECEIVED_QUEUE: usize = 1024;

/// How many results of checks may wait.
const CHECKED_QUEUE: usize = 64;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) stream: Streams,
    /// How long flows are tried without a runner.
    pub(crate) lease: Duration,
    /// What is tried from the start.
    pub(crate) first: Option<First>,
    pub(crate) capture: bool,
}

/// How runners connect.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Streams {
    /// An abstract Unix socket of this name: nothing on disk, nothing on the network.
    Socket(String),
    /// Standard input and output: one runner, and the program ends with its stream.
    Stdio,
}

/// Serves until a runner, a signal or the end of standard input ends it.
pub(crate) fn serve(options: &Options) -> Result<(), String> {
    let open_files = surroundings::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let outcome = runtime.block_on(run(options, open_files));
    // A blocked read of standard input must not delay the end.
    runtime.shutdown_background();
    outcome
}

async fn run(options: &Options, open_files: u64) -> Result<(), String> {
    let clock = Clock::start();
    let (received, mut nonces) = mpsc::channel::<Received>(RECEIVED_QUEUE);
    let (checked, mut findings) = mpsc::channel::<Checked>(CHECKED_QUEUE);
    let attempts =
        Attempts::new(clock, open_files).map_err(|error| format!("cannot make an epoll set: {error}"))?;
    let mut session = Session::new(clock, options.lease, attempts, Listeners::new(clock, received, checked));
    if options.capture {
        session.capture(Captures::start()?);
    }
    if let Some(first) = &options.first {
        session.begin(first)?;
    }
    let streams = match &options.stream {
        Streams::Socket(name) => {
            Some(listen(name).map_err(|error| format!("cannot listen on @{name}: {error}"))?)
        }
        Streams::Stdio => {
            session
                .attach(stdio().map_err(|error| format!("cannot use standard input and output: {error}"))?);
            None
        }
    };
    let mut signals = Signals::new().map_err(|error| format!("cannot handle signals: {error}"))?;
    loop {
        session.turn();
        let wake = clock.instant(session.next_us());
        let (link, attempts, captures) = session.waits();
        select! {
            happening = next(link) => match happening {
                Happening::Line(Ok(command)) => {
                    if session.obey(command) == ControlFlow::Break(()) {
                        return Ok(());
                    }
                }
                Happening::Line(Err(message)) => session.refuse(message),
                Happening::TooLong => session.refuse_and_close("the line is too long".to_owned()),
                Happening::Written => {}
                Happening::Ended if streams.is_none() => return Ok(()),
                Happening::Ended => session.detach(),
            },
            () = attempts.readable() => {}
            Some(nonce) = nonces.recv() => {
                session.received(&nonce);
                for _ in 0..RECEIVED_QUEUE {
                    let Ok(nonce) = nonces.try_recv() else { break };
                    session.received(&nonce);
                }
            }
            Some(finding) = findings.recv() => session.checked(&finding),
            packet = captured(captures) => session.captured(&packet),
            stream = accept(streams.as_ref()) => {
                let (reader, writer) = stream.into_split();
                session.attach(Link::new(reader, writer));
            }
            () = sleep_until(wake.into()) => {}
            () = signals.end() => return Ok(()),
        }
    }
}

async fn next(link: Option<&mut Link>) -> Happening {
    match link {
        Some(link) => link.next().await,
        None => pending().await,
    }
}

async fn captured(captures: Option<&mut Captures>) -> Packet {
    match captures {
        Some(captures) => captures.watch().await,
        None => pending().await,
    }
}

fn listen(name: &str) -> io::Result<UnixListener> {
    let listener = net::UnixListener::bind_addr(&net::SocketAddr::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Accepts the next stream of this user or of root.
///
/// An abstract socket has no permissions, and pods on their node's network share the names with everything there.
async fn accept(listener: Option<&UnixListener>) -> UnixStream {
    let Some(listener) = listener else {
        return pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let own = geteuid().as_raw();
                if stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0) {
                    return stream;
                }
            }
            // Out of files: the attempts in flight return some within their timeout.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Makes a stream of standard input and output: pipes and sockets without a thread, anything else with one.
fn stdio() -> io::Result<Link> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    Ok(match (kind(&stdin)?, kind(&stdout)?) {
        (Kind::Pipe, Kind::Pipe) => {
            Link::new(pipe::Receiver::from_owned_fd(stdin)?, pipe::Sender::from_owned_fd(stdout)?)
        }
        (Kind::Socket, Kind::Socket) => {
            Link::new(socket(stdin)?.into_split().0, socket(stdout)?.into_split().1)
        }
        _ => Link::new(tokio::io::stdin(), tokio::io::stdout()),
    })
}

enum Kind {
    Pipe,
    Socket,
    Other,
}

fn kind(fd: &OwnedFd) -> io::Result<Kind> {
    let file_type = std::fs::File::from(fd.try_clone()?).metadata()?.file_type();
    Ok(match (file_type.is_fifo(), file_type.is_socket()) {
        (true, _) => Kind::Pipe,
        (_, true) => Kind::Socket,
        _ => Kind::Other,
    })
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    let stream = net::UnixStream::from(fd);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// The signals of a process that may be PID 1 of its pod: it has no default actions, and the kernel gives it orphans.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    child: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            child: signal(SignalKind::child())?,
        })
    }

    /// Waits for a signal to end; in the meantime, reaps dead children.
    async fn end(&mut self) {
        loop {
            select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.child.recv() => {
                    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
                }
            }
        }
    }
}
