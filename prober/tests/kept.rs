//! Flows over one connection, or from one port: what a source sees while it lasts, stalls and ends. Over loopback.

mod driver;

use driver::{DEADLINE, PACE, Runner, flow, free_port, v4};
use flowproof_wire::{Attempt, Connection, FlowId, FlowSpec, Nonce, Observation, Pace, Transport};
use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

const ANSWERED: Observation = Observation::Answered { answers: Vec::new() };

fn kept(transport: Transport, to: SocketAddr, connection: Connection) -> FlowSpec {
    FlowSpec { connection, ..flow(1, transport, to) }
}

/// Accepts connections one after the other, and calls `answer` for each; the receiver reports when one comes.
fn accept(listener: TcpListener, mut answer: impl FnMut(TcpStream) + Send + 'static) -> Receiver<()> {
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if tell.send(()).is_err() {
                return;
            }
            answer(stream);
        }
    });
    told
}

fn echo(stream: &mut TcpStream) -> bool {
    let mut nonce = [0; Nonce::LENGTH];
    stream.read_exact(&mut nonce).and_then(|()| stream.write_all(&nonce)).is_ok()
}

fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(v4(0)).expect("a port is free");
    let to = listener.local_addr().expect("it is bound");
    (listener, to)
}

/// What the source saw, in order.
fn seen(source: &Runner) -> Vec<Observation> {
    source.record.source.values().map(|span| span.observation.clone()).collect()
}

#[test]
fn all_attempts_go_over_one_connection_and_both_ends_agree() {
    let port = free_port();
    let mut destination = Runner::stdio();
    destination.serve(&[(Transport::Tcp, port), (Transport::Udp, port)]);
    let mut source = Runner::stdio();
    let udp = FlowSpec { flow: FlowId(2), ..kept(Transport::Udp, v4(port), Connection::Kept) };
    source.try_flows(vec![kept(Transport::Tcp, v4(port), Connection::Kept), udp], PACE);
    for id in [FlowId(1), FlowId(2)] {
        source.until("attempts are answered", |record| {
            record.newest(id).is_some_and(|span| span.last >= Attempt(20) && span.observation == ANSWERED)
        });
        let first = |source: &Runner| source.record.newest(id).map(|span| span.first);
        assert_eq!(first(&source), Some(Attempt(1)), "{:?}", seen(&source));
        let mut peers = BTreeSet::new();
        destination.until("they arrived", |record| {
            peers.extend(record.arrived(id).iter().map(|span| span.peer));
            record.arrived(id).iter().any(|span| span.last >= Attempt(20))
        });
        assert_eq!(peers.len(), 1, "one source port: {peers:?}");
    }
}

#[test]
fn a_connection_that_ends_has_ended_for_good_unless_it_is_to_be_reopened() {
    for (connection, connections) in [(Connection::Kept, 1), (Connection::Reopened, 3)] {
        let (listener, to) = bound();
        let accepted = accept(listener, |mut stream| {
            for _ in 0..5 {
                echo(&mut stream);
            }
        });
        let mut source = Runner::stdio();
        source.try_flows(vec![kept(Transport::Tcp, to, connection)], PACE);
        for _ in 0..connections {
            accepted.recv_timeout(DEADLINE).expect("it connects");
        }
        let enough = Instant::now();
        source.until("it was cut", |record| {
            record.source.values().any(|span| span.observation == Observation::Cut { reset: true })
        });
        source.until("attempts go on", |record| {
            record.newest(FlowId(1)).is_some_and(|span| span.last >= Attempt(30))
        });
        let again = accepted.try_iter().count();
        let answers = seen(&source).iter().filter(|saw| **saw == ANSWERED).count();
        match connection {
            Connection::Kept => {
                assert_eq!((again, answers), (0, 1), "{:?} after {:?}", seen(&source), enough.elapsed());
                let newest = source.record.newest(FlowId(1)).map(|span| span.observation.clone());
                assert_eq!(newest, Some(Observation::Cut { reset: true }));
            }
            _ => assert!(answers >= 3, "{:?}", seen(&source)),
        }
    }
}

#[test]
fn a_connection_that_stalls_goes_on_where_it_was() {
    let (listener, to) = bound();
    let (stall, stalls) = channel::<()>();
    let (go_on, goes_on) = channel::<()>();
    let accepted = accept(listener, move |mut stream| {
        while echo(&mut stream) {
            if stalls.try_recv().is_ok() {
                let _ = goes_on.recv_timeout(DEADLINE);
            }
        }
    });
    let mut source = Runner::stdio();
    source.try_flows(vec![kept(Transport::Tcp, to, Connection::Kept)], PACE);
    source.until("it is answered", |record| record.newest(FlowId(1)).is_some());
    stall.send(()).expect("it is there");
    let cut = Observation::Cut { reset: false };
    source.until("it stalls", |record| record.newest(FlowId(1)).is_some_and(|span| span.observation == cut));
    go_on.send(()).expect("it is there");
    source.until("it goes on", |record| {
        record.newest(FlowId(1)).is_some_and(|span| span.observation == ANSWERED && span.first > Attempt(1))
    });
    assert_eq!(seen(&source), [ANSWERED, cut, ANSWERED]);
    assert_eq!(accepted.try_iter().count(), 1);
}

#[test]
fn a_connection_is_waited_for_until_there_is_one() {
    let to = v4(free_port());
    let mut source = Runner::stdio();
    source.try_flows(vec![kept(Transport::Tcp, to, Connection::Kept)], PACE);
    source.until("it is refused", |record| {
        record.newest(FlowId(1)).is_some_and(|span| span.observation == Observation::Refused)
    });
    let listener = TcpListener::bind(to).expect("the port is free");
    let accepted = accept(listener, |mut stream| while echo(&mut stream) {});
    source.until("it is answered", |record| {
        record.newest(FlowId(1)).is_some_and(|span| span.observation == ANSWERED && span.last.0 >= 20)
    });
    assert_eq!(accepted.try_iter().count(), 1);
}

#[test]
fn a_datagram_that_nobody_answers_is_silence_and_the_port_stays_the_same() {
    let socket = UdpSocket::bind(v4(0)).expect("a port is free");
    let to = socket.local_addr().expect("it is bound");
    let mut source = Runner::stdio();
    source.try_flows(vec![kept(Transport::Udp, to, Connection::Kept)], PACE);
    let mut peers = BTreeSet::new();
    socket.set_read_timeout(Some(DEADLINE)).expect("a limit can be set");
    for number in 0..20 {
        let mut nonce = [0; Nonce::LENGTH];
        let (_, peer) = socket.recv_from(&mut nonce).expect("it sends");
        peers.insert(peer);
        if number >= 10 {
            socket.send_to(&nonce, peer).expect("it is there");
        }
    }
    source.until("all are decided", |record| {
        record.newest(FlowId(1)).is_some_and(|span| span.last >= Attempt(20))
    });
    assert_eq!(peers.len(), 1);
    assert_eq!(seen(&source)[..2], [Observation::Silent, ANSWERED]);
}

#[test]
fn a_flow_that_is_not_tried_any_more_closes_its_connection() {
    let (listener, to) = bound();
    let (tell, closed) = channel();
    let _accepted = accept(listener, move |mut stream| {
        while echo(&mut stream) {}
        let _ = tell.send(());
    });
    let mut source = Runner::stdio();
    source.try_flows(vec![kept(Transport::Tcp, to, Connection::Kept)], PACE);
    source.until("it is answered", |record| record.newest(FlowId(1)).is_some());
    assert!(closed.recv_timeout(Duration::from_millis(1)).is_err());
    source.try_flows(Vec::new(), PACE);
    closed.recv_timeout(DEADLINE).expect("it is closed");
}

#[test]
fn what_waits_is_decided_by_a_longer_timeout_too() {
    let (listener, to) = bound();
    let (tell, closed) = channel();
    let _accepted = accept(listener, move |mut stream| {
        // Takes everything and answers nothing.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
        let _ = tell.send(());
    });
    let mut source = Runner::stdio();
    source.try_flows(vec![kept(Transport::Tcp, to, Connection::Kept)], PACE);
    source.until("attempts are decided", |record| record.newest(FlowId(1)).is_some());
    source.try_flows(Vec::new(), Pace { timeout_ms: 3 * PACE.timeout_ms, ..PACE });
    closed.recv_timeout(DEADLINE).expect("nothing waits any more, and it is closed");
}
