//! What a source sees, over loopback: one prober tries, another one or the test itself answers.

mod driver;

use driver::{DEADLINE, PACE, Runner, flow, free_port, question, v4, v6};
use flowproof_wire::{Attempt, FlowId, Nonce, Observation, Pace, Transport};
use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{Name, RData, Record, rdata},
};
use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

#[test]
fn a_prober_answers_in_every_transport_and_family_and_both_ends_agree() {
    let (port, dns) = (free_port(), free_port());
    let mut destination = Runner::stdio();
    destination.serve(&[
        (Transport::Tcp, port),
        (Transport::Udp, port),
        (Transport::DnsUdp, dns),
        (Transport::DnsTcp, dns),
    ]);
    let mut source = Runner::stdio();
    let mut flows = Vec::new();
    for (index, address) in [v4, v6].iter().enumerate() {
        let base = index as u32 * 10;
        flows.push(flow(base + 1, Transport::Tcp, address(port)));
        flows.push(flow(base + 2, Transport::Udp, address(port)));
        flows.push(flow(base + 3, Transport::DnsUdp, address(dns)));
        flows.push(flow(base + 4, Transport::DnsTcp, address(dns)));
    }
    source.try_flows(flows.clone(), PACE);
    for spec in &flows {
        let id = spec.flow;
        source.until("five attempts are answered", |record| {
            record.newest(id).is_some_and(|span| span.last >= Attempt(5))
        });
        let span = source.record.newest(id).expect("it was there");
        let answers = match spec.transport {
            Transport::Tcp | Transport::Udp => Vec::new(),
            Transport::DnsUdp | Transport::DnsTcp => vec!["A 192.0.2.1".to_owned()],
        };
        assert_eq!(span.observation, Observation::Answered { answers }, "{spec:?}");
        assert_eq!(span.first, Attempt(1), "{spec:?}");
        destination.until("the same attempts arrived", |record| {
            record.arrived(id).first().is_some_and(|span| span.first == Attempt(1) && span.last >= Attempt(5))
        });
        let arrived = destination.record.arrived(id);
        assert_eq!(arrived[0].peer.ip(), spec.to.ip(), "the peer is told in its own family");
        assert!((32_768..=60_999).contains(&arrived[0].peer.port()), "{:?}", arrived[0].peer);
    }
    assert_eq!(source.record.arrivals.len(), 0);
    assert_eq!(destination.record.source.len(), 0);
}

#[test]
fn a_closed_port_refuses() {
    let mut source = Runner::stdio();
    for (id, transport, to) in [
        (1, Transport::Tcp, v4(free_port())),
        (2, Transport::Tcp, v6(free_port())),
        (3, Transport::Udp, v4(free_port())),
        (4, Transport::Udp, v6(free_port())),
        (5, Transport::DnsUdp, v4(free_port())),
        (6, Transport::DnsTcp, v4(free_port())),
    ] {
        assert_eq!(source.observe(flow(id, transport, to)), Observation::Refused, "{transport:?} {to}");
    }
}

/// Accepts connections as long as the test runs, and calls `with` for each; returns the address.
fn accept(mut with: impl FnMut(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(&mut with));
    address
}

/// Answers datagrams as long as the test runs, except those for which `with` returns `None`.
fn answer(mut with: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("it is bound");
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((count, peer)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = with(&buffer[..count]) {
                // The source may have given up this attempt.
                let _ = socket.send_to(&answer, peer);
            }
        }
    });
    address
}

#[test]
fn a_connection_that_brings_no_answer_is_cut() {
    let mut source = Runner::stdio();
    let closes = accept(drop);
    assert_eq!(source.observe(flow(1, Transport::Tcp, closes)), Observation::Cut { reset: true });
    let resets = accept(|stream| {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("the stream is open");
    });
    assert_eq!(source.observe(flow(2, Transport::Tcp, resets)), Observation::Cut { reset: true });
    let mut kept = Vec::new();
    let keeps_silent = accept(move |stream| kept.push(stream));
    assert_eq!(source.observe(flow(3, Transport::Tcp, keeps_silent)), Observation::Cut { reset: false });
    assert_eq!(source.observe(flow(4, Transport::DnsTcp, closes)), Observation::Cut { reset: true });
    assert_eq!(source.observe(flow(5, Transport::DnsTcp, keeps_silent)), Observation::Cut { reset: false });
}

#[test]
fn half_an_answer_is_no_answer() {
    let mut source = Runner::stdio();
    let mut kept = Vec::new();
    let half = accept(move |mut stream| {
        let mut nonce = [0; Nonce::LENGTH];
        if stream.read_exact(&mut nonce).and_then(|()| stream.write_all(&nonce[..10])).is_ok() {
            kept.push(stream);
        }
    });
    assert_eq!(source.observe(flow(1, Transport::Tcp, half)), Observation::Cut { reset: false });
}

#[test]
fn what_is_not_what_was_sent_is_garbled() {
    let mut source = Runner::stdio();
    let tcp = accept(|mut stream| {
        let mut nonce = [0; Nonce::LENGTH];
        if stream.read_exact(&mut nonce).is_ok() {
            nonce[19] ^= 1;
            // The source may close in the middle.
            let _ = stream.write_all(&nonce);
        }
    });
    assert_eq!(source.observe(flow(1, Transport::Tcp, tcp)), Observation::Garbled);
    let udp = answer(|_| Some(b"hello".to_vec()));
    assert_eq!(source.observe(flow(2, Transport::Udp, udp)), Observation::Garbled);
    assert_eq!(source.observe(flow(3, Transport::DnsUdp, udp)), Observation::Garbled);
}

#[test]
fn nobody_who_answers_is_silence() {
    let mut source = Runner::stdio();
    let swallows = answer(|_| None);
    assert_eq!(source.observe(flow(1, Transport::Udp, swallows)), Observation::Silent);
    assert_eq!(source.observe(flow(2, Transport::DnsUdp, swallows)), Observation::Silent);
    // A listener whose backlog is full drops SYNs.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    listener.bind(&v4(0).into()).expect("a port is free");
    listener.listen(0).expect("it is bound");
    let full = listener.local_addr().expect("it is bound").as_socket().expect("it is IPv4");
    let _queued: Vec<_> =
        (0..3).map_while(|_| TcpStream::connect_timeout(&full, Duration::from_millis(200)).ok()).collect();
    assert_eq!(source.observe(flow(3, Transport::Tcp, full)), Observation::Silent);
}

#[test]
fn overlapping_attempts_are_told_in_order_and_each_within_its_time() {
    // Answers every second one, so that answered attempts wait for silent ones before them.
    let mut odd = false;
    let every_other = answer(move |bytes| {
        odd = !odd;
        odd.then(|| bytes.to_vec())
    });
    let mut source = Runner::stdio();
    let pace = Pace { interval_ms: 10, timeout_ms: 200, ..PACE };
    source.try_flows(vec![flow(1, Transport::Udp, every_other)], pace);
    source.until("50 attempts are decided", |record| {
        record.newest(FlowId(1)).is_some_and(|span| span.last >= Attempt(50))
    });
    let mut next = 1;
    for span in source.record.source.values() {
        assert_eq!(span.first, Attempt(next), "no attempt is missing or out of order");
        next = span.last.0 + 1;
        let silent = span.observation == Observation::Silent;
        assert_eq!(silent, span.first.0 % 2 == 0, "{span:?}");
        assert!(span.min_us >= if silent { 200_000 } else { 0 }, "{span:?}");
        assert!(span.first_us <= span.last_us && span.min_us <= span.max_us, "{span:?}");
    }
}

/// Answers DNS queries over UDP and TCP on one port; returns where, and the identifiers and ports seen over UDP.
fn name_server(answer: fn(&mut Message)) -> (SocketAddr, Receiver<(u16, u16)>) {
    let reply = move |query: &[u8]| {
        let mut message = Message::from_vec(query).expect("the prober sends DNS messages");
        message.metadata.message_type = MessageType::Response;
        answer(&mut message);
        message.to_vec().expect("a message")
    };
    let (sender, seen) = channel();
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let address = udp.local_addr().expect("it is bound");
        if let Ok(tcp) = TcpListener::bind(address) {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().expect("it is bound");
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((count, peer)) = udp.recv_from(&mut buffer) {
            let _ = sender.send((u16::from_be_bytes([buffer[0], buffer[1]]), peer.port()));
            let _ = udp.send_to(&reply(&buffer[..count]), peer);
        }
    });
    thread::spawn(move || {
        for mut stream in tcp.incoming().map_while(Result::ok) {
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_ok() {
                let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                if stream.read_exact(&mut query).is_ok() {
                    let reply = reply(&query);
                    let length = u16::try_from(reply.len()).expect("it is short");
                    // In two pieces, as a network may split it.
                    let _ = stream.write_all(&length.to_be_bytes());
                    let _ = stream.write_all(&reply);
                }
            }
        }
    });
    (address, seen)
}

#[test]
fn a_real_name_server_is_told_by_its_answers_or_its_rcode() {
    let (found, _) = name_server(|message| {
        let name = Name::from_ascii("db.data.svc.cluster.local.").expect("a name");
        assert_eq!(*message.queries[0].name(), name);
        for last in [9, 7] {
            message.add_answer(Record::from_rdata(
                name.clone(),
                30,
                RData::A(rdata::A::new(10, 96, 0, last)),
            ));
        }
    });
    let (missing, _) = name_server(|message| message.metadata.response_code = ResponseCode::NXDomain);
    let (broken, _) = name_server(|message| message.metadata.response_code = ResponseCode::ServFail);
    let (refusing, _) = name_server(|message| message.metadata.response_code = ResponseCode::Refused);
    let mut source = Runner::stdio();
    let failed = |rcode: &str| Observation::DnsFailed { rcode: rcode.to_owned() };
    let answers = ["A 10.96.0.7".to_owned(), "A 10.96.0.9".to_owned()].into();
    let answered = Observation::Answered { answers };
    for (id, transport) in [(0, Transport::DnsUdp), (10, Transport::DnsTcp)] {
        let ask = |id, to| question(id, transport, to, "db.data.svc.cluster.local", "a");
        assert_eq!(source.observe(ask(id, found)), answered, "{transport:?}");
        assert_eq!(source.observe(ask(id + 1, missing)), failed("NXDOMAIN"), "{transport:?}");
        assert_eq!(source.observe(ask(id + 2, broken)), failed("SERVFAIL"), "{transport:?}");
        // A nonce that is not answered well is a failure of DNS, too.
        assert_eq!(source.observe(flow(id + 3, transport, refusing)), failed("REFUSED"), "{transport:?}");
    }
}

#[test]
fn every_attempt_has_its_own_port_and_neighbours_have_different_identifiers() {
    let (server, seen) = name_server(|_| {});
    let mut source = Runner::stdio();
    source.try_flows(vec![question(1, Transport::DnsUdp, server, "a.test.", "A")], PACE);
    let seen: Vec<_> = (0..20).map(|_| seen.recv_timeout(DEADLINE).expect("attempts go on")).collect();
    let ports: BTreeSet<_> = seen.iter().map(|(_, port)| port).collect();
    let identifiers: BTreeSet<_> = seen.iter().map(|(identifier, _)| identifier).collect();
    assert_eq!((ports.len(), identifiers.len()), (20, 20));
    assert!(ports.iter().all(|port| (32_768..=60_999).contains(*port)), "{ports:?}");
}

#[test]
fn a_flow_that_comes_back_goes_on_counting_and_an_unchanged_one_never_stops() {
    let echo = answer(|bytes| Some(bytes.to_vec()));
    let mut source = Runner::stdio();
    let (steady, comes_and_goes) = (flow(1, Transport::Udp, echo), flow(2, Transport::Udp, echo));
    let at_least = |source: &mut Runner, id: u32, attempts: u32| {
        source.until("attempts go on", |record| {
            record.newest(FlowId(id)).is_some_and(|span| span.last.0 >= attempts)
        });
    };
    source.try_flows(vec![steady.clone(), comes_and_goes.clone()], PACE);
    at_least(&mut source, 2, 5);
    source.try_flows(vec![steady.clone()], PACE);
    let stopped = source.record.newest(FlowId(2)).expect("it was tried").last;
    at_least(&mut source, 1, stopped.0 + 20);
    source.try_flows(vec![steady, comes_and_goes], PACE);
    source.until("the flow is back", |record| {
        record.newest(FlowId(2)).is_some_and(|span| span.first > Attempt(1) && span.last.0 > span.first.0 + 3)
    });
    let spans: Vec<_> = source.record.source.values().filter(|span| span.flow == FlowId(2)).collect();
    assert_eq!(spans.len(), 2, "a span does not reach over the time without attempts: {spans:?}");
    assert_eq!(spans[1].first.0, spans[0].last.0 + 1, "no number is used twice: {spans:?}");
    assert!(spans[1].first_us - spans[0].last_us > 200_000, "{spans:?}");
    let steady: Vec<_> = source.record.source.values().filter(|span| span.flow == FlowId(1)).collect();
    assert_eq!(steady.len(), 1, "{steady:?}");
}

#[test]
fn what_the_kernel_refuses_is_a_local_error() {
    let mut source = Runner::stdio();
    let nowhere = SocketAddr::from(([255, 255, 255, 255], 9));
    let Observation::LocalError { errno, call } = source.observe(flow(1, Transport::Udp, nowhere)) else {
        panic!("{:?}", source.record.source)
    };
    // Broadcasting needs an option that the prober never sets (ip(7)).
    assert_eq!((errno, call.as_str()), (nix::libc::EACCES, "connect"));
}

#[test]
fn a_question_that_cannot_be_asked_is_refused_and_the_others_are_tried() {
    let echo = answer(|bytes| Some(bytes.to_vec()));
    let mut source = Runner::stdio();
    let wrong = question(7, Transport::DnsUdp, echo, "a.test.", "NONSENSE");
    source.try_flows(vec![wrong, flow(8, Transport::Udp, echo)], PACE);
    assert_eq!(source.refusal(), "not tried: flow 7: \"NONSENSE\" is not a DNS record type");
    source.until("the other flow is tried", |record| record.newest(FlowId(8)).is_some());
    assert!(source.record.newest(FlowId(7)).is_none());
    let twice = flow(9, Transport::Udp, echo);
    source.try_flows(vec![twice.clone(), twice.clone()], PACE);
    assert_eq!(source.refusal(), "not tried: flow 9 a second time");
    source.try_flows(vec![twice], Pace { interval_ms: 0, timeout_ms: 10, ..PACE });
    assert_eq!(source.refusal(), "flows not changed: interval, timeout and report must be at least 1 ms");
}

#[test]
fn a_shorter_timeout_holds_for_attempts_under_way() {
    let swallows = answer(|_| None);
    let mut source = Runner::stdio();
    let spec = || vec![flow(1, Transport::Udp, swallows)];
    let (sender, heard) = channel();
    let tells = answer(move |_| {
        // The test may be over.
        let _ = sender.send(());
        None
    });
    // Both are tried for a while, with a timeout that is longer than this test may take.
    let both = [spec(), vec![flow(2, Transport::Udp, tells)]].concat();
    source.try_flows(both, Pace { interval_ms: 10, timeout_ms: 3_600_000, ..PACE });
    for _ in 0..10 {
        heard.recv_timeout(DEADLINE).expect("attempts go on");
    }
    source.try_flows(spec(), Pace { interval_ms: 10, timeout_ms: 100, ..PACE });
    source.until("the first attempts are decided", |record| {
        record.newest(FlowId(1)).is_some_and(|span| span.last.0 > 10) && record.newest(FlowId(2)).is_some()
    });
}

#[test]
fn a_bare_connection_is_answered_by_the_handshake_and_carries_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let to = listener.local_addr().expect("it is bound");
    let mut source = Runner::stdio();
    let mut bare = flow(1, Transport::Tcp, to);
    bare.bare = true;
    let nobody = SocketAddr::new(to.ip(), free_port());
    let mut refused = flow(2, Transport::Tcp, nobody);
    refused.bare = true;
    source.try_flows(vec![bare, refused], PACE);
    let mut got = Vec::new();
    let (mut connection, _) = listener.accept().expect("it is connected to");
    connection.set_read_timeout(Some(DEADLINE)).expect("a limit can be set");
    // The end or a reset, whichever the closing of an idle connection causes, but no byte before it.
    let _ = connection.read_to_end(&mut got);
    assert_eq!(got, Vec::<u8>::new());
    source.until("both are decided", |record| {
        [1, 2].iter().all(|id| record.newest(FlowId(*id)).is_some_and(|span| span.last >= Attempt(2)))
    });
    let saw = |id| source.record.newest(FlowId(id)).map(|span| span.observation.clone());
    assert_eq!(saw(1), Some(Observation::Answered { answers: Vec::new() }));
    assert_eq!(saw(2), Some(Observation::Refused));
}
