//! `docs/results.md` lists exactly the fields that a check's report has.

use super::*;
use page::{documented, paths};
use std::collections::BTreeSet;

#[path = "../../core/src/outcome/documented/page.rs"]
mod page;

#[test]
fn every_field_of_a_check_is_documented_and_no_other() {
    let part = node::Part {
        direction: String::new(),
        same_node: true,
        open: vec![String::new()],
        unclear: vec![String::new()],
    };
    let node = NodeReport {
        node: String::new(),
        state: State::Open,
        because: Vec::new(),
        slowest_ms: None,
        open_for_ms: None,
        parts: vec![part],
    };
    let line = Line {
        capability: None,
        title: String::new(),
        status: Status::Enforced,
        note: None,
        tried: 0,
        matched: 0,
        flows: Vec::new(),
        shown_by: Vec::new(),
    };
    let report = Report { schema: SCHEMA, nodes: vec![node], capabilities: vec![line] };
    let mut found = BTreeSet::new();
    paths(&serde_json::to_value(report).expect("it is JSON"), "", &mut found);
    assert_eq!(documented("A check"), found);
}
