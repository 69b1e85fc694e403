//! What listeners answer, record and report.

mod driver;

use driver::{DEADLINE, RUN, Runner, answered, flow, free_port, v4};
use flowproof_wire::{Attempt, FlowId, ListenerState, Nonce, Transport};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
};

fn nonce(run: u64, flow: u32, attempt: u32) -> [u8; Nonce::LENGTH] {
    Nonce { run, flow: FlowId(flow), attempt: Attempt(attempt) }.encode()
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, DEADLINE).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a valid timeout");
    stream
}

/// Sends bytes over a connection and returns what comes back before it ends, at most a nonce.
fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).expect("it is open");
    let mut answer = vec![0; Nonce::LENGTH];
    match stream.read_exact(&mut answer) {
        Ok(()) => answer,
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            Vec::new()
        }
        Err(error) => panic!("{error}"),
    }
}

fn datagrams(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port is free");
    socket.connect(to).expect("a route");
    socket.set_read_timeout(Some(DEADLINE)).expect("a valid timeout");
    socket
}

#[test]
fn a_nonce_of_another_run_is_answered_and_not_recorded() {
    let port = free_port();
    let mut prober = Runner::stdio();
    prober.serve(&[(Transport::Tcp, port), (Transport::Udp, port)]);
    let foreign = nonce(RUN + 1, 1, 1);
    assert_eq!(exchange(&mut connect(v4(port)), &foreign), foreign);
    let socket = datagrams(v4(port));
    socket.send(&foreign).expect("it listens");
    let mut buffer = [0; 64];
    assert_eq!(socket.recv(&mut buffer).expect("it answers"), Nonce::LENGTH);
    // Our own comes later, so the foreign ones would have been reported before it.
    let own = nonce(RUN, 2, 1);
    assert_eq!(exchange(&mut connect(v4(port)), &own), own);
    prober.until("our own arrived", |record| !record.arrived(FlowId(2)).is_empty());
    assert_eq!(prober.record.arrivals.len(), 1, "{:?}", prober.record.arrivals);
}

#[test]
fn what_is_no_nonce_gets_no_answer() {
    let port = free_port();
    let mut prober = Runner::stdio();
    prober.serve(&[(Transport::Tcp, port), (Transport::Udp, port)]);
    assert_eq!(exchange(&mut connect(v4(port)), b"GET / HTTP/1.1\r\n\r\n  "), b"");
    assert_eq!(exchange(&mut connect(v4(port)), b"FLPx01234567890123456789"), b"");
    let socket = datagrams(v4(port));
    let own = nonce(RUN, 2, 1);
    let longer = [&own[..], b"x"].concat();
    for bytes in [b"hello".as_slice(), &longer, &own] {
        socket.send(bytes).expect("it listens");
    }
    let mut buffer = [0; 64];
    let count = socket.recv(&mut buffer).expect("the last one is answered");
    assert_eq!(buffer[..count], own);
}

#[test]
fn a_connection_without_a_nonce_is_no_arrival() {
    let port = free_port();
    let mut prober = Runner::stdio();
    prober.serve(&[(Transport::Tcp, port)]);
    let mut silent = connect(v4(port));
    silent.write_all(&nonce(RUN, 1, 1)[..10]).expect("it is open");
    assert_eq!(exchange(&mut connect(v4(port)), &nonce(RUN, 2, 1)), nonce(RUN, 2, 1));
    prober.until("the other one arrived", |record| !record.arrived(FlowId(2)).is_empty());
    assert!(prober.record.arrived(FlowId(1)).is_empty());
    // Once its bytes are complete it is.
    assert_eq!(exchange(&mut silent, &nonce(RUN, 1, 1)[10..]), nonce(RUN, 1, 1));
    prober.until("it arrived", |record| !record.arrived(FlowId(1)).is_empty());
}

#[test]
fn arrivals_out_of_order_and_twice_are_joined() {
    let port = free_port();
    let mut prober = Runner::stdio();
    prober.serve(&[(Transport::Udp, port)]);
    let socket = datagrams(v4(port));
    let mut buffer = [0; 64];
    for attempt in [3, 1, 3, 5, 2] {
        socket.send(&nonce(RUN, 1, attempt)).expect("it listens");
        socket.recv(&mut buffer).expect("it answers");
    }
    prober.until("the last one arrived", |record| {
        record.arrived(FlowId(1)).iter().any(|span| span.last.0 == 3 && span.first.0 == 1)
    });
    assert!(prober.record.arrived(FlowId(1)).iter().any(|span| (span.first.0, span.last.0) == (5, 5)));
    assert!(!prober.record.arrived(FlowId(1)).iter().any(|span| (span.first.0..=span.last.0).contains(&4)));
}

#[test]
fn an_answer_comes_from_the_address_that_was_asked() {
    let port = free_port();
    let mut prober = Runner::stdio();
    prober.serve(&[(Transport::Udp, port), (Transport::DnsUdp, port)]);
    // A connected socket accepts datagrams from its peer only.
    let socket = datagrams(SocketAddr::from(([127, 1, 2, 3], port)));
    let own = nonce(RUN, 1, 1);
    socket.send(&own).expect("it listens");
    let mut buffer = [0; 64];
    let count = socket.recv(&mut buffer).expect("it answers from there");
    assert_eq!(buffer[..count], own);
}

#[test]
fn echo_and_dns_share_a_port_and_neither_answers_for_the_other() {
    let (both, only_dns) = (free_port(), free_port());
    let mut prober = Runner::stdio();
    prober.serve(&[
        (Transport::Tcp, both),
        (Transport::DnsTcp, both),
        (Transport::Udp, both),
        (Transport::DnsUdp, both),
        (Transport::DnsTcp, only_dns),
        (Transport::DnsUdp, only_dns),
    ]);
    let mut source = Runner::stdio();
    for (id, transport) in [(1, Transport::Tcp), (2, Transport::Udp)] {
        assert_eq!(source.observe(flow(id, transport, v4(both))), answered());
        assert_ne!(source.observe(flow(id + 10, transport, v4(only_dns))), answered());
    }
    for (id, transport) in [(3, Transport::DnsTcp), (4, Transport::DnsUdp)] {
        let answered = flowproof_wire::Observation::Answered { answers: vec!["A 192.0.2.1".to_owned()] };
        assert_eq!(source.observe(flow(id, transport, v4(both))), answered);
        assert_eq!(source.observe(flow(id + 10, transport, v4(only_dns))), answered);
    }
    prober.until("both arrived", |record| {
        [1, 2, 3, 4, 13, 14].iter().all(|id| !record.arrived(FlowId(*id)).is_empty())
    });
    // Taking one away leaves the other.
    prober.serve(&[(Transport::Udp, both)]);
    assert_eq!(source.observe(flow(20, Transport::Udp, v4(both))), answered());
    assert_eq!(source.observe(flow(21, Transport::DnsUdp, v4(both))), flowproof_wire::Observation::Silent);
}

#[test]
fn a_listener_in_both_sets_is_left_untouched_and_one_that_is_taken_away_is_closed() {
    let (stays, goes) = (free_port(), free_port());
    let mut prober = Runner::stdio();
    prober.serve(&[(Transport::Tcp, stays), (Transport::Tcp, goes)]);
    let alive = prober.listeners()[0].alive_us;
    let mut stream = connect(v4(stays));
    prober.listen(&[(Transport::Tcp, stays)]);
    prober.until("the set is smaller", |record| record.last.listeners.len() == 1);
    assert!(prober.listeners()[0].alive_us >= alive, "it was not opened anew");
    assert_eq!(prober.listeners()[0].status, ListenerState::Alive);
    let own = nonce(RUN, 1, 1);
    assert_eq!(exchange(&mut stream, &own), own);
    let refused = TcpStream::connect_timeout(&v4(goes), DEADLINE).expect_err("it is closed");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_port_that_is_taken_is_reported_and_taken_over_once_it_is_free() {
    let port = free_port();
    let taken = TcpListener::bind(("::", port)).expect("it was free");
    let mut prober = Runner::stdio();
    prober.listen(&[(Transport::Tcp, port)]);
    prober.until("it failed", |record| {
        let failed = ListenerState::Failed { errno: nix::libc::EADDRINUSE };
        record.last.listeners.first().is_some_and(|listener| listener.status == failed)
    });
    drop(taken);
    prober.until("it is alive", |record| record.last.listeners[0].status == ListenerState::Alive);
    assert!(prober.listeners()[0].alive_us.is_some());
}
