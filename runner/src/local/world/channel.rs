//! Carries JSON lines and file descriptors between the runner and its world.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

/// How many bytes are read at once.
const CHUNK: usize = 64 * 1024;

/// The receiving half.
///
/// Descriptors queue up in the order in which they were sent: after reading a message that announces one, take it. The
/// kernel delivers a descriptor no later than the first byte of the message that it was sent with (unix(7)).
pub(crate) struct Inbox {
    stream: UnixStream,
    pending: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Inbox {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, pending: Vec::new(), descriptors: VecDeque::new() }
    }

    /// Waits for the next message; `None` if the other side is gone.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.pending[searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.pending.split_off(searched + end + 1);
                let line = std::mem::replace(&mut self.pending, rest);
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
            }
            searched = self.pending.len();
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Takes the oldest descriptor that has arrived.
    pub(crate) fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = vec![0; CHUNK];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let outcome = rustix::net::recvmsg(
                &self.stream,
                &mut [IoSliceMut::new(&mut chunk)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            );
            match outcome {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CONNRESET) => return Ok(0),
                other => break other?,
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        self.pending.extend_from_slice(&chunk[..received.bytes]);
        Ok(received.bytes)
    }
}

/// Sends one message, and a descriptor with it.
pub(crate) fn send<T: Serialize>(
    mut stream: &UnixStream,
    message: &T,
    with: Option<OwnedFd>,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let Some(descriptor) = with else {
        return stream.write_all(&line);
    };
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = rustix::net::sendmsg(stream, &[IoSlice::new(&line)], &mut control, SendFlags::NOSIGNAL)?;
    stream.write_all(&line[sent..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn messages_and_descriptors_arrive_in_order() {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let (mut far, passed) = UnixStream::pair().expect("a pair of sockets");
        send(&ours, &"x".repeat(3 * CHUNK / 2 - 40_000), None).expect("sending works");
        send(&ours, &2, Some(passed.into())).expect("sending works");
        drop(ours);

        let mut inbox = Inbox::new(theirs);
        let first: String = inbox.next().expect("it reads").expect("a message");
        assert_eq!(first.len(), 3 * CHUNK / 2 - 40_000);
        assert_eq!(inbox.next::<u8>().expect("it reads"), Some(2));
        let mut near = UnixStream::from(inbox.descriptor().expect("a descriptor"));
        assert_eq!(inbox.next::<u8>().expect("it reads"), None);
        near.write_all(b"hi").expect("writing works");
        drop(near);
        let mut text = String::new();
        far.read_to_string(&mut text).expect("reading works");
        assert_eq!(text, "hi");
    }
}
