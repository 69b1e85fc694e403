//! Checks over loopback that a listener answers, as a flow would ask it.

use crate::attempt::framed;
use flowproof_wire::{
    Attempt, FlowId, HOLE_MS, Listener, ListenerState, ListenerStatus, NONCE_ZONE, Nonce, Transport,
};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
};
use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// How often every listener is checked.
pub(crate) const CHECK_EVERY: Duration = Duration::from_millis(500);

/// How long a listener may take to answer over loopback; one that answers late because of too little CPU is alive. The next check
/// does not wait for this one, so a single check without an answer leaves no hole.
const CHECK_DEADLINE: Duration = Duration::from_secs(1);

/// Checks further apart than this leave a hole: the prober was stopped or starved in between.
const LONGEST_HOLE_US: u64 = HOLE_MS * 1000 + CHECK_EVERY.as_micros() as u64;

/// The flow of checks: never recorded.
pub(crate) const CHECK_FLOW: FlowId = FlowId(u32::MAX);

/// The health of a listener.
#[derive(Debug)]
pub(super) struct Health {
    status: ListenerState,
    since_us: Option<u64>,
    alive_us: Option<u64>,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Answered { at_us: u64 },
    Nothing { asked_us: u64 },
}

impl Health {
    /// Starts after the attempt to bind.
    pub(super) fn after_bind(bound: Result<(), i32>) -> Self {
        let status = bound.map_or_else(|errno| ListenerState::Failed { errno }, |()| ListenerState::Bound);
        Self { status, since_us: None, alive_us: None }
    }

    /// Records what a check found. A listener that is not bound stays failed.
    pub(super) fn checked(&mut self, found: Found) {
        if matches!(self.status, ListenerState::Failed { .. }) {
            return;
        }
        match found {
            Found::Answered { at_us } => {
                let hole = self.alive_us.is_none_or(|last| at_us.saturating_sub(last) > LONGEST_HOLE_US);
                if hole {
                    self.since_us = Some(at_us);
                }
                self.status = ListenerState::Alive;
                self.alive_us = Some(at_us);
            }
            // One missed check may mean too little CPU; the next success shows whether the hole was too long.
            Found::Nothing { asked_us } if self.alive_us.is_none_or(|last| last < asked_us) => {
                self.status = ListenerState::Dead;
            }
            Found::Nothing { .. } => {}
        }
    }

    /// Converts it for a report.
    pub(super) fn report(&self, listener: Listener) -> ListenerStatus {
        ListenerStatus {
            listener,
            status: self.status.clone(),
            since_us: self.since_us,
            alive_us: self.alive_us,
        }
    }
}

/// Asks a listener once. A check that cannot be made finds nothing, because then nothing shows that the listener is alive.
pub(super) async fn answers(listener: Listener, run: u64) -> bool {
    let nonce = Nonce { run, flow: CHECK_FLOW, attempt: Attempt(1) };
    timeout(CHECK_DEADLINE, ask(listener, nonce)).await.is_ok_and(|answered| answered.unwrap_or(false))
}

async fn ask(listener: Listener, nonce: Nonce) -> io::Result<bool> {
    match ask_at(Ipv4Addr::LOCALHOST.into(), listener, nonce).await {
        // Without IPv4, IPv6 is tried.
        Err(error) if matches!(error.kind(), ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable) => {
            ask_at(Ipv6Addr::LOCALHOST.into(), listener, nonce).await
        }
        answered => answered,
    }
}

async fn ask_at(address: IpAddr, Listener { transport, port }: Listener, nonce: Nonce) -> io::Result<bool> {
    let to = SocketAddr::new(address, port);
    let mut buffer = [0; 512];
    match transport {
        Transport::Tcp => {
            let mut stream = connect(to).await?;
            stream.write_all(&nonce.encode()).await?;
            let answer = &mut buffer[..Nonce::LENGTH];
            stream.read_exact(answer).await?;
            Ok(*answer == nonce.encode())
        }
        Transport::DnsTcp => {
            let mut stream = connect(to).await?;
            let query = framed(&query(nonce)?).ok_or(ErrorKind::InvalidData)?;
            stream.write_all(&query).await?;
            let length = usize::from(stream.read_u16().await?);
            let answer = buffer.get_mut(..length).ok_or(ErrorKind::InvalidData)?;
            stream.read_exact(answer).await?;
            Ok(is_answer(answer))
        }
        Transport::Udp => {
            let count = exchange(to, &nonce.encode(), &mut buffer).await?;
            Ok(buffer[..count] == nonce.encode())
        }
        Transport::DnsUdp => {
            let count = exchange(to, &query(nonce)?, &mut buffer).await?;
            Ok(is_answer(&buffer[..count]))
        }
    }
}

async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    stream.set_zero_linger()?;
    Ok(stream)
}

async fn exchange(to: SocketAddr, bytes: &[u8], buffer: &mut [u8]) -> io::Result<usize> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    socket.send(bytes).await?;
    socket.recv(buffer).await
}

fn query(nonce: Nonce) -> io::Result<Vec<u8>> {
    let name = Name::from_ascii(format!("{}.{NONCE_ZONE}", nonce.to_label())).map_err(io::Error::other)?;
    let mut query = Message::new(0, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(name, RecordType::A));
    query.to_vec().map_err(io::Error::other)
}

fn is_answer(bytes: &[u8]) -> bool {
    Message::from_vec(bytes).is_ok_and(|answer| {
        answer.metadata.message_type == MessageType::Response
            && answer.metadata.response_code == ResponseCode::NoError
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTENER: Listener = Listener { transport: Transport::Tcp, port: 80 };

    fn status(health: &Health) -> (ListenerState, Option<u64>) {
        let ListenerStatus { status, alive_us, .. } = health.report(LISTENER);
        (status, alive_us)
    }

    #[test]
    fn a_listener_lives_and_dies_with_its_checks() {
        let mut health = Health::after_bind(Ok(()));
        assert_eq!(status(&health), (ListenerState::Bound, None));
        health.checked(Found::Answered { at_us: 7 });
        assert_eq!(status(&health), (ListenerState::Alive, Some(7)));
        health.checked(Found::Nothing { asked_us: 6 });
        assert_eq!(status(&health), (ListenerState::Alive, Some(7)), "a later check was answered");
        health.checked(Found::Nothing { asked_us: 8 });
        assert_eq!(status(&health), (ListenerState::Dead, Some(7)));
        health.checked(Found::Answered { at_us: 9 });
        assert_eq!(status(&health), (ListenerState::Alive, Some(9)));
    }

    #[test]
    fn a_period_of_life_ends_when_no_check_succeeds_for_too_long() {
        let mut health = Health::after_bind(Ok(()));
        let since = |health: &Health| health.report(LISTENER).since_us;
        for at_us in [1_000, 501_000, 1_001_000] {
            health.checked(Found::Answered { at_us });
            assert_eq!(since(&health), Some(1_000));
        }
        health.checked(Found::Answered { at_us: 1_002_000 + LONGEST_HOLE_US });
        assert_eq!(since(&health), Some(1_002_000 + LONGEST_HOLE_US), "checks were missing");
        health.checked(Found::Nothing { asked_us: 1_502_000 + LONGEST_HOLE_US });
        health.checked(Found::Answered { at_us: 2_002_000 + LONGEST_HOLE_US });
        assert_eq!(since(&health), Some(1_002_000 + LONGEST_HOLE_US), "one check failed");
        health.checked(Found::Answered { at_us: 9_000_000 });
        assert_eq!(since(&health), Some(9_000_000));
    }

    #[test]
    fn a_listener_that_is_not_bound_is_not_alive_by_somebody_elses_answer() {
        let mut health = Health::after_bind(Err(98));
        health.checked(Found::Answered { at_us: 7 });
        assert_eq!(status(&health), (ListenerState::Failed { errno: 98 }, None));
    }
}
