//! The epoll set that holds the sockets of all attempts, itself watched by tokio.
//!
//! The only module with `unsafe`: tokio requires a promise about the descriptor, and offers no safe way for one that is
//! neither a socket nor a pipe.
#![expect(unsafe_code, reason = "`AsyncFd::register_with_interest` is unsafe and has no safe form")]

use super::in_flight::Key;
use flowproof_wire::Observation;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::Socket;
use std::{
    io,
    os::fd::{AsRawFd, RawFd},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Sockets and the keys of their attempts.
#[derive(Debug)]
pub(super) struct Sockets(AsyncFd<Set>);

/// An epoll set in the shape that tokio wants.
#[derive(Debug)]
struct Set(Epoll);

impl AsRawFd for Set {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

impl Sockets {
    /// Makes an empty set. Must be called within the runtime.
    pub(super) fn new() -> io::Result<Self> {
        let set = Set(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        // SAFETY: the set owns its descriptor, which is open until the set is dropped, and never gives it away or
        // replaces it; `as_raw_fd` returns that one every time.
        let watched = unsafe { AsyncFd::register_with_interest(set, Interest::READABLE) };
        Ok(Self(watched?))
    }

    /// Adds a socket. Closing it takes it out again.
    pub(super) fn add(&self, socket: &Socket, key: Key) -> Result<(), Observation> {
        let interest =
            EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        let added = self.0.get_ref().0.add(socket, EpollEvent::new(interest, key.0));
        added.map_err(|errno| Observation::LocalError { errno: errno as i32, call: "epoll_ctl".to_owned() })
    }

    /// Waits until a socket is ready.
    pub(super) async fn readable(&self) {
        match self.0.readable().await {
            Ok(mut guard) => guard.clear_ready(),
            // This happens only when the runtime shuts down: nothing will be ready any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// Returns the sockets that are ready now, as many as fit.
    pub(super) fn ready<'a>(&self, events: &'a mut [EpollEvent]) -> &'a [EpollEvent] {
        // If the wait is interrupted, the next one returns the events.
        let count = self.0.get_ref().0.wait(events, EpollTimeout::ZERO).unwrap_or(0);
        &events[..count]
    }
}
