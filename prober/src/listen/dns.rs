//! Answers DNS queries: a nonce below [`NONCE_ZONE`] exists, no other name does. Pure.

use flowproof_wire::{NONCE_ZONE, Nonce};
use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata},
};
use std::net::Ipv6Addr;

/// Address of every nonce: from the block for documentation (RFC 5737).
const A: [u8; 4] = [192, 0, 2, 1];

/// IPv6 address of every nonce: from the block for documentation (RFC 3849).
const AAAA: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// An answer, and the nonce that the query carried.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) message: Vec<u8>,
    pub(super) nonce: Option<Nonce>,
}

/// Answers one query; `None` if it is not a query, such as a response (which must never be answered).
pub(super) fn answer(query: &[u8]) -> Option<Reply> {
    let query =
        Message::from_vec(query).ok().filter(|query| query.metadata.message_type == MessageType::Query)?;
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.authoritative = true;
    let mut nonce = None;
    reply.metadata.response_code = match (query.metadata.op_code, &query.queries[..]) {
        (OpCode::Query, [question]) => {
            nonce = nonce_of(question.name());
            let data = match question.query_type() {
                RecordType::A => Some(RData::A(rdata::A(A.into()))),
                RecordType::AAAA => Some(RData::AAAA(rdata::AAAA(AAAA))),
                _ => None,
            };
            if let (Some(_), Some(data)) = (nonce, data) {
                reply.answers.push(Record::from_rdata(question.name().clone(), 0, data));
            }
            if nonce.is_some() { ResponseCode::NoError } else { ResponseCode::NXDomain }
        }
        (OpCode::Query, _) => ResponseCode::FormErr,
        _ => ResponseCode::NotImp,
    };
    reply.queries = query.queries;
    Some(Reply { message: reply.to_vec().ok()?, nonce })
}

fn nonce_of(name: &Name) -> Option<Nonce> {
    let (label, zone) = (name.iter().next()?, name.base_name());
    let nonce = Nonce::from_label(label).ok()?;
    let wanted = NONCE_ZONE.trim_end_matches('.').split('.').map(str::as_bytes);
    zone.iter().map(<[u8]>::to_ascii_lowercase).eq(wanted).then_some(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowproof_wire::{Attempt, FlowId};
    use hickory_proto::op::Query;

    const NONCE: Nonce = Nonce { run: 3, flow: FlowId(2), attempt: Attempt(1) };

    fn asked(name: &str, record: RecordType) -> (Message, Option<Nonce>) {
        let mut query = Message::new(77, MessageType::Query, OpCode::Query);
        query.add_query(Query::query(Name::from_ascii(name).expect("a name"), record));
        let reply = answer(&query.to_vec().expect("a message")).expect("a reply");
        (Message::from_vec(&reply.message).expect("it reads back"), reply.nonce)
    }

    #[test]
    fn a_nonce_has_an_address_in_either_family_and_case() {
        let name = format!("{}.{NONCE_ZONE}", NONCE.to_label());
        for (name, record, answer) in [
            (name.clone(), RecordType::A, "192.0.2.1"),
            (name.to_uppercase(), RecordType::AAAA, "2001:db8::1"),
        ] {
            let (reply, nonce) = asked(&name, record);
            assert_eq!((reply.metadata.id, reply.metadata.response_code), (77, ResponseCode::NoError));
            assert_eq!(reply.answers[0].data.to_string(), answer);
            assert_eq!(nonce, Some(NONCE));
        }
        let (reply, nonce) = asked(&name, RecordType::TXT);
        assert_eq!((reply.answers.len(), nonce), (0, Some(NONCE)));
    }

    #[test]
    fn other_names_do_not_exist() {
        let label = NONCE.to_label();
        for name in [
            "web.example.test.",
            NONCE_ZONE,
            &format!("x{}.{NONCE_ZONE}", &label[1..]),
            &format!("{label}.test."),
        ] {
            let (reply, nonce) = asked(name, RecordType::A);
            assert_eq!((reply.metadata.response_code, nonce), (ResponseCode::NXDomain, None), "{name}");
        }
    }

    #[test]
    fn what_is_no_query_is_not_answered() {
        assert!(answer(&NONCE.encode()).is_none());
        let response = Message::response(1, OpCode::Query).to_vec().expect("a message");
        assert!(answer(&response).is_none());
    }
}
