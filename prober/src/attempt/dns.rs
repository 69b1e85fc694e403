//! Attempts that ask a DNS server, over UDP and TCP.
//!
//! The messages are hickory-proto's; the sockets are ours. hickory's resolver and clients retry, cache, choose ports and
//! servers, and convert ICMP errors to their own. Here one attempt must be one query from one chosen port, and its failure
//! must stay distinguishable.

use super::echo::{self, Phase};
use flowproof_wire::{NONCE_ZONE, Nonce, Observation, Question};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
};
use nix::sys::epoll::EpollFlags;
use socket2::Socket;
use std::{fmt::Write, str::FromStr};

/// The most answers that an observation keeps.
const MOST_ANSWERS: usize = 8;

/// The most characters of an answer that an observation keeps.
const LONGEST_ANSWER: usize = 255;

/// The buffer for a datagram. A query without EDNS may be answered with 512 octets at most (RFC 1035, 4.2.1); some servers send more.
const DATAGRAM: usize = 4096;

/// What a flow asks, checked.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    Nonce,
    Name { name: Name, record: RecordType },
}

impl Asked {
    /// Checks a question; the error is a message for people.
    pub(super) fn check(question: Option<&Question>) -> Result<Self, String> {
        match question {
            None | Some(Question::Nonce) => Ok(Self::Nonce),
            Some(Question::Name { name, record }) => {
                let mut parsed =
                    Name::from_ascii(name).map_err(|error| format!("{name:?} is not a DNS name: {error}"))?;
                parsed.set_fqdn(true);
                let record = RecordType::from_str(&record.to_ascii_uppercase())
                    .map_err(|_| format!("{record:?} is not a DNS record type"))?;
                Ok(Self::Name { name: parsed, record })
            }
        }
    }
}

/// A query and its answer, while the attempt lasts.
#[derive(Debug)]
pub(super) struct Exchange {
    id: u16,
    query: Query,
    phase: Phase,
    /// What came over TCP so far: two octets of length, then the message (RFC 1035, 4.2.2).
    stream: Vec<u8>,
}

impl Exchange {
    /// Prepares the query of an attempt. The identifier comes from the attempt's number, so consecutive attempts have different ones.
    pub(super) fn new(asked: &Asked, nonce: Nonce) -> Result<Self, String> {
        let query = match asked {
            Asked::Nonce => {
                let name = Name::from_ascii(format!("{}.{NONCE_ZONE}", nonce.to_label()))
                    .map_err(|error| error.to_string())?;
                Query::query(name, RecordType::A)
            }
            Asked::Name { name, record } => Query::query(name.clone(), *record),
        };
        // An odd multiplier spreads the identifiers without repetition, so that they do not simply count up.
        let id = (nonce.attempt.0 as u16).wrapping_mul(0x9e37) ^ (nonce.run as u16);
        Ok(Self { id, query, phase: Phase::Connecting, stream: Vec::new() })
    }

    /// Encodes the query.
    pub(super) fn message(&self) -> Result<Vec<u8>, String> {
        let mut message = Message::new(self.id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(self.query.clone());
        message.to_vec().map_err(|error| error.to_string())
    }

    /// Goes on over UDP. Answers to other queries are ignored: they are late answers to an earlier attempt from the same port.
    pub(super) fn receive(&self, socket: &Socket, ready: EpollFlags) -> Option<Observation> {
        let mut buffer = [0; DATAGRAM];
        loop {
            let count = match echo::read_datagram(socket, ready, &mut buffer)? {
                Ok(count) => count,
                Err(observation) => return Some(observation),
            };
            if let Some(observation) = self.judge(&buffer[..count]) {
                return Some(observation);
            }
        }
    }

    /// Goes on over TCP.
    pub(super) fn go_on(&mut self, socket: &Socket, ready: EpollFlags) -> Option<Observation> {
        if self.phase == Phase::Connecting {
            let framed = self.message().ok().and_then(|message| framed(&message))?;
            if let Err(observation) = self.phase.connect(socket, ready, &framed)? {
                return Some(observation);
            }
        }
        let mut buffer = [0; DATAGRAM];
        loop {
            match echo::read_connected(socket, ready, &mut buffer)? {
                Ok(count) => self.stream.extend_from_slice(&buffer[..count]),
                Err(observation) => return Some(observation),
            }
            let Some((length, message)) = self.stream.split_first_chunk::<2>() else {
                continue;
            };
            if let Some(message) = message.get(..usize::from(u16::from_be_bytes(*length))) {
                // On a connection of its own, an answer to another query cannot be a late one.
                return Some(self.judge(message).unwrap_or(Observation::Garbled));
            }
        }
    }

    /// Says what was seen over TCP when the time is up.
    pub(super) fn too_late(&self) -> Observation {
        self.phase.too_late()
    }

    /// Says what a message means; `None` if it answers another query.
    fn judge(&self, bytes: &[u8]) -> Option<Observation> {
        let Ok(message) = Message::from_vec(bytes) else {
            return Some(Observation::Garbled);
        };
        if message.metadata.id != self.id {
            return None;
        }
        // A server that could not read the question need not repeat it.
        let same = message
            .queries
            .first()
            .map_or(message.metadata.response_code != ResponseCode::NoError, |query| {
                query.name() == self.query.name() && query.query_type() == self.query.query_type()
            });
        if message.metadata.message_type != MessageType::Response || !same {
            return Some(Observation::Garbled);
        }
        Some(match message.metadata.response_code {
            ResponseCode::NoError => Observation::Answered { answers: answers(&message) },
            code => Observation::DnsFailed { rcode: rcode(code) },
        })
    }
}

/// Puts the length before a message (RFC 1035, 4.2.2); `None` if the message is too long.
pub(crate) fn framed(message: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(message.len()).ok()?;
    Some([&length.to_be_bytes(), message].concat())
}

/// Writes the answers as text, in an order that does not depend on the server's: many servers rotate them.
fn answers(message: &Message) -> Vec<String> {
    let mut answers: Vec<String> = message
        .answers
        .iter()
        .filter_map(|record| {
            let mut text = String::new();
            write!(text, "{} {}", record.record_type(), record.data).ok()?;
            text.truncate(text.floor_char_boundary(LONGEST_ANSWER));
            Some(text)
        })
        .collect();
    answers.sort_unstable();
    answers.truncate(MOST_ANSWERS);
    answers
}

/// Names an RCODE as IANA's registry does, in capitals ("Domain Name System (DNS) Parameters", DNS RCODEs).
fn rcode(code: ResponseCode) -> String {
    const NAMES: [&str; 24] = [
        "NOERROR",
        "FORMERR",
        "SERVFAIL",
        "NXDOMAIN",
        "NOTIMP",
        "REFUSED",
        "YXDOMAIN",
        "YXRRSET",
        "NXRRSET",
        "NOTAUTH",
        "NOTZONE",
        "DSOTYPENI",
        "RCODE12",
        "RCODE13",
        "RCODE14",
        "RCODE15",
        "BADVERS",
        "BADKEY",
        "BADTIME",
        "BADMODE",
        "BADNAME",
        "BADALG",
        "BADTRUNC",
        "BADCOOKIE",
    ];
    let number = u16::from(code);
    NAMES.get(usize::from(number)).map_or_else(|| format!("RCODE{number}"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowproof_wire::{Attempt, FlowId};
    use hickory_proto::rr::{RData, Record, rdata};

    const NONCE: Nonce = Nonce { run: 9, flow: FlowId(1), attempt: Attempt(2) };

    fn asked(name: &str, record: &str) -> Result<Asked, String> {
        Asked::check(Some(&Question::Name { name: name.to_owned(), record: record.to_owned() }))
    }

    fn exchange() -> Exchange {
        let asked = asked("web.example.test.", "A").expect("a valid question");
        Exchange::new(&asked, NONCE).expect("a query")
    }

    fn answer(change: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message =
            Message::from_vec(&exchange().message().expect("a message")).expect("it reads back");
        message.metadata.message_type = MessageType::Response;
        change(&mut message);
        message.to_vec().expect("a message")
    }

    fn address(last: u8) -> Record {
        let name = Name::from_ascii("web.example.test.").expect("a name");
        Record::from_rdata(name, 5, RData::A(rdata::A::new(192, 0, 2, last)))
    }

    #[test]
    fn answers_are_text_sorted_and_few() {
        let bytes = answer(|message| message.answers = (0..9).rev().map(address).collect());
        let Some(Observation::Answered { answers }) = exchange().judge(&bytes) else {
            panic!("not answered")
        };
        assert_eq!(answers.len(), 8);
        assert_eq!(answers[..2], ["A 192.0.2.0", "A 192.0.2.1"]);
    }

    #[test]
    fn rcodes_have_their_registered_names() {
        for (code, name) in [(2, "SERVFAIL"), (3, "NXDOMAIN"), (5, "REFUSED"), (11, "DSOTYPENI")] {
            let bytes = answer(|message| message.metadata.response_code = ResponseCode::from(0, code));
            assert_eq!(exchange().judge(&bytes), Some(Observation::DnsFailed { rcode: name.to_owned() }));
        }
        assert_eq!(rcode(ResponseCode::BADVERS), "BADVERS");
        assert_eq!(rcode(ResponseCode::Unknown(3841)), "RCODE3841");
    }

    #[test]
    fn what_is_no_answer_to_the_query_is_garbled_or_late() {
        assert_eq!(exchange().judge(b"FLP1"), Some(Observation::Garbled));
        let echoed = answer(|message| message.metadata.message_type = MessageType::Query);
        assert_eq!(exchange().judge(&echoed), Some(Observation::Garbled));
        let other_question = answer(|message| message.queries[0] = Query::query(Name::root(), RecordType::A));
        assert_eq!(exchange().judge(&other_question), Some(Observation::Garbled));
        let late = answer(|message| message.metadata.id ^= 1);
        assert_eq!(exchange().judge(&late), None);
    }

    #[test]
    fn questions_are_checked() {
        assert!(matches!(asked("web", "srv"), Ok(Asked::Name { record: RecordType::SRV, .. })));
        assert_eq!(asked("web", "Q7").expect_err("no such type"), "\"Q7\" is not a DNS record type");
        assert!(asked("a..b", "A").is_err());
    }
}
