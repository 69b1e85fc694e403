//! `docs/results.md` lists exactly the fields that maps and their differences have.

use super::*;
use crate::outcome::documented::page::{documented, paths};
use serde_json::json;

#[test]
fn every_field_of_a_map_is_documented_and_no_other() {
    let connection = Connection {
        from: String::new(),
        to: String::new(),
        ports: vec![String::new()],
        open: vec![String::new()],
    };
    let map = Reach { ends: vec![String::new()], connections: vec![connection] };
    let mut found = BTreeSet::new();
    paths(&json!({ "schema": "", "map": map }), "", &mut found);
    assert_eq!(documented("A map"), found);
}

#[test]
fn every_field_of_a_difference_is_documented_and_no_other() {
    let rule = Cited { policy: String::new(), field: None, at: None };
    let why = Why { answer: "", reason: String::new(), rules: vec![rule] };
    let line = Line { from: String::new(), to: String::new(), port: String::new() };
    let change = Change { line, before: Some(why), after: None };
    let difference = Difference { opens: vec![change], closes: Vec::new() };
    let mut value = json!(difference);
    value["schema"] = "".into();
    let mut found = BTreeSet::new();
    paths(&value, "", &mut found);
    assert_eq!(documented("A difference of maps"), found);
}
