//! Answers connections: a nonce, or DNS queries.

use super::{Received, dns, modes::Modes};
use crate::{attempt::framed, clock::Clock};
use flowproof_wire::Nonce;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};

/// How long a connection may take to bring its first nonces or its next query. A working network needs far less, even with
/// retransmissions; the limit is there so that connections that are cut off do not hold memory forever.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// How long a connection that has brought a second nonce may take to bring the next one: it is a kept connection, and must end
/// when TCP itself gives it up (tcp(7), `tcp_retries2`), not because this end stops waiting.
const KEPT_DEADLINE: Duration = Duration::from_mins(20);

/// The most connections per port at a time; further ones wait in the backlog.
const MOST_CONNECTIONS: usize = 8192;

/// Pause after a failed accept (out of files, out of memory): trying again at once would take the CPU that is needed to recover.
const ACCEPT_REST: Duration = Duration::from_millis(10);

#[derive(Clone)]
struct Connection {
    modes: Modes,
    clock: Clock,
    received: mpsc::Sender<Received>,
    peer: SocketAddr,
}

/// Accepts until it is aborted.
pub(super) async fn serve(
    listener: TcpListener,
    modes: Modes,
    clock: Clock,
    received: mpsc::Sender<Received>,
) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (modes, received, peer) = (modes.clone(), received.clone(), super::canonical(peer));
                tokio::spawn(async move {
                    Connection { modes, clock, received, peer }.answer(stream).await;
                    drop(place);
                });
            }
            Err(_) => sleep(ACCEPT_REST).await,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndedBy {
    Peer,
    Us,
}

impl Connection {
    /// Answers one connection until it ends. Whatever fails, the only thing to do is to close it.
    async fn answer(self, mut stream: TcpStream) {
        if self.requests(&mut stream).await == EndedBy::Us {
            // Without this, the side that closes first keeps a TIME_WAIT: here, one for every source that is cut off.
            let _ = stream.set_zero_linger();
        }
    }

    async fn requests(&self, stream: &mut TcpStream) -> EndedBy {
        let mut start = [0; 2];
        match read(stream, &mut start, REQUEST_DEADLINE).await {
            // Read as a length, the magic's first two bytes mean 17996 octets; no query is that long.
            Ok(()) if start == Nonce::MAGIC[..2] && self.modes.echo() => self.echo(stream, start).await,
            Ok(()) if self.modes.dns() => self.queries(stream, start).await,
            Ok(()) => EndedBy::Us,
            Err(ended) => ended,
        }
    }

    /// Sends every nonce back. Most sources close after one; some keep the connection and send many.
    async fn echo(&self, stream: &mut TcpStream, start: [u8; 2]) -> EndedBy {
        let mut bytes = [0; Nonce::LENGTH];
        bytes[..2].copy_from_slice(&start);
        if let Err(ended) = read(stream, &mut bytes[2..], REQUEST_DEADLINE).await {
            return ended;
        }
        let mut patience = REQUEST_DEADLINE;
        loop {
            let Ok(nonce) = Nonce::decode(&bytes) else {
                return EndedBy::Us;
            };
            if !self.note(nonce).await || stream.write_all(&bytes).await.is_err() {
                return EndedBy::Us;
            }
            if let Err(ended) = read(stream, &mut bytes, patience).await {
                return ended;
            }
            patience = KEPT_DEADLINE;
        }
    }

    /// Answers queries one after the other on the same connection (RFC 7766, 6.2.1).
    async fn queries(&self, stream: &mut TcpStream, mut length: [u8; 2]) -> EndedBy {
        loop {
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            if let Err(ended) = read(stream, &mut query, REQUEST_DEADLINE).await {
                return ended;
            }
            let Some(reply) = dns::answer(&query) else {
                return EndedBy::Us;
            };
            if let Some(nonce) = reply.nonce
                && !self.note(nonce).await
            {
                return EndedBy::Us;
            }
            let Some(bytes) = framed(&reply.message) else {
                return EndedBy::Us;
            };
            if stream.write_all(&bytes).await.is_err() {
                return EndedBy::Us;
            }
            if let Err(ended) = read(stream, &mut length, REQUEST_DEADLINE).await {
                return ended;
            }
        }
    }

    async fn note(&self, nonce: Nonce) -> bool {
        self.received.send(Received { nonce, at_us: self.clock.now_us(), peer: self.peer }).await.is_ok()
    }
}

/// Fills the buffer in time, or returns which side has to end the connection.
async fn read(stream: &mut TcpStream, buffer: &mut [u8], within: Duration) -> Result<(), EndedBy> {
    match timeout(within, stream.read_exact(buffer)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(EndedBy::Peer),
        Err(_) => Err(EndedBy::Us),
    }
}
