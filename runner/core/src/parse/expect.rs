//! Expectations of a step: lines that are written out, lines with globs, and what holds for the rest.

use super::{
    expand::{MAX_FLOWS, Scope},
    fields::{Fields, items, text},
};
use crate::{
    scenario::{
        Expected, Wanted,
        flow::{Expectation, Flow},
    },
    text::{
        problem::Problems,
        tree::{Content, Mark, Node, shortened},
    },
};
use std::collections::BTreeMap;

/// The kinds of lines, and what each one expects; `None` means that it expects nothing.
pub(super) const KINDS: &[(&str, Option<Wanted>)] = &[
    ("allow", Some(Wanted::Written(Expectation::Allow))),
    ("deny", Some(Wanted::Written(Expectation::Deny))),
    ("drop", Some(Wanted::Written(Expectation::Drop))),
    ("reject", Some(Wanted::Written(Expectation::Reject))),
    ("policy", Some(Wanted::Policy)),
    ("unchecked", None),
];

/// Fields of `expect`.
pub(super) const EXPECT_FIELDS: &[&str] =
    &["allow", "deny", "drop", "reject", "policy", "unchecked", "otherwise"];

/// Most flows that the lines of a step name together; a flow counts as often as it is named.
const MAX_NAMED: usize = 10 * MAX_FLOWS;

/// What `otherwise` can say.
pub(super) const OTHERWISE: &[&str] = &["allow", "deny", "policy", "unchecked"];

/// What a line says about a flow.
struct Said {
    wanted: Option<Wanted>,
    exact: bool,
    at: Mark,
}

impl Said {
    fn about(self, flow: Flow) -> Option<Expected> {
        Some(Expected { flow, wanted: self.wanted?, at: self.at.position() })
    }
}

/// The expectations of a step.
#[derive(Default)]
pub(super) struct Expectations {
    /// Sorted by flow.
    pub(super) expected: Vec<Expected>,
    /// Whether something could not be read, so that there may be more.
    pub(super) unclear: bool,
}

/// Reads the expectations of a step.
pub(super) fn expectations(node: &Node, scope: &Scope<'_>, problems: &mut Problems) -> Expectations {
    let mut read = Expectations::default();
    if node.as_text() == Some("policy") {
        let said = |flow| Expected { flow, wanted: Wanted::Policy, at: node.at.position() };
        read.expected = scope.all_pairs().take(MAX_FLOWS + 1).map(said).collect();
        read.expected.sort_by(|one, other| one.flow.cmp(&other.flow));
        check_size(node, read.expected.len(), problems);
        return read;
    }
    let Some(fields) = Fields::open(node, "'expect'", EXPECT_FIELDS, problems) else {
        if let Content::List(_) = node.value {
            problems.hint_last("put the flows under allow: or deny:");
        }
        read.unclear = true;
        return read;
    };
    let mut all: BTreeMap<Flow, Said> = BTreeMap::new();
    let mut named = 0;
    for (kind, wanted) in KINDS {
        let Some(list) = fields.get(kind) else { continue };
        let Some(items) = items(list, &format!("'{kind}'"), problems) else {
            read.unclear = true;
            continue;
        };
        for item in items {
            if problems.is_full() {
                break;
            }
            let expansion = line(item, problems).and_then(|line| scope.expand(item, line, problems));
            let Some(expansion) = expansion else {
                read.unclear = true;
                continue;
            };
            if expansion.flows.iter().any(|flow| flow.established)
                && wanted.is_some_and(|wanted| wanted.written().is_some_and(Expectation::denies))
            {
                problems
                    .add(&item.at, format!("an established flow under '{kind}': the API does not say that policies end connections"))
                    .hint("write it under policy: to be told what becomes of it, or under allow: if it must go on");
                read.unclear = true;
                continue;
            }
            named += expansion.flows.len();
            if named > MAX_NAMED {
                problems
                    .add(&item.at, format!("up to here, the lines of this step name {named} flows; at most {MAX_NAMED} are read"))
                    .hint("the same flows are named again and again");
                read.unclear = true;
                return read;
            }
            let mut disputed = false;
            for flow in expansion.flows {
                let said = Said { wanted: *wanted, exact: expansion.exact, at: item.at.clone() };
                disputed |= !say(&mut all, flow, said, disputed, problems);
            }
        }
    }
    if let Some(said) = otherwise(&fields, problems) {
        for flow in scope.all_pairs().take(MAX_FLOWS + 1) {
            all.entry(flow).or_insert_with(|| Said { at: said.at.clone(), ..said });
        }
    }
    check_size(node, all.len(), problems);
    read.unclear |= EXPECT_FIELDS.iter().any(|field| fields.misspells(field));
    read.expected = all.into_iter().filter_map(|(flow, said)| said.about(flow)).collect();
    read
}

fn check_size(node: &Node, flows: usize, problems: &mut Problems) {
    if flows > MAX_FLOWS {
        problems.add(&node.at, format!("this step has {flows} flows; at most {MAX_FLOWS} are possible"));
    }
}

/// A line of a list of flows.
fn line<'n>(item: &'n Node, problems: &mut Problems) -> Option<&'n str> {
    if let Content::Number(number) = &item.value {
        problems
            .add(&item.at, format!("a flow must be text, here it is the number {number}"))
            .hint("a list of ports within [ ] needs quotes: [\"a/b -> c/d tcp/80,443\"]");
        return None;
    }
    text(item, "a flow", problems)
}

/// Adds what a line says about a flow; returns whether no line of equal rank contradicts it.
///
/// A line that writes out source and target takes precedence over one with globs; among those, `unchecked` takes precedence.
fn say(
    all: &mut BTreeMap<Flow, Said>,
    flow: Flow,
    said: Said,
    silent: bool,
    problems: &mut Problems,
) -> bool {
    use std::collections::btree_map::Entry;
    let mut entry = match all.entry(flow) {
        Entry::Vacant(entry) => {
            entry.insert(said);
            return true;
        }
        Entry::Occupied(entry) => entry,
    };
    let earlier = entry.get();
    if said.exact != earlier.exact {
        if said.exact {
            entry.insert(said);
        }
        return true;
    }
    if said.wanted == earlier.wanted {
        return true;
    }
    if !said.exact && said.wanted.is_none() {
        entry.insert(said);
        return true;
    }
    if !silent {
        let word = |wanted: Option<Wanted>| match wanted {
            None => "unchecked".to_owned(),
            Some(Wanted::Policy) => "policy".to_owned(),
            Some(Wanted::Written(expectation)) => expectation.to_string(),
        };
        let flow = entry.key();
        let now = word(said.wanted);
        let before = word(earlier.wanted);
        let problem =
            problems.add(&said.at, format!("{flow} is expected to be '{now}' here and '{before}' elsewhere"));
        problem.related(earlier.at.position(), format!("'{before}' here"));
        if said.exact {
            problem.hint("a flow has one expectation in a step");
        } else {
            problem.hint("a line that writes out source and target goes before one with globs");
        }
    }
    false
}

/// What holds for the pairs that no line names.
fn otherwise(fields: &Fields<'_>, problems: &mut Problems) -> Option<Said> {
    let node = fields.get("otherwise")?;
    let Some(word) = text(node, "'otherwise'", problems) else {
        problems.hint_last(format!("one of: {}", OTHERWISE.join(", ")));
        return None;
    };
    let wanted = match word {
        "allow" => Wanted::Written(Expectation::Allow),
        "deny" => Wanted::Written(Expectation::Deny),
        "policy" => Wanted::Policy,
        "unchecked" => return None,
        other => {
            problems
                .add(&node.at, format!("'otherwise' cannot be '{}'", shortened(other)))
                .suggest(other, OTHERWISE.iter().copied());
            return None;
        }
    };
    Some(Said { wanted: Some(wanted), exact: false, at: node.at.clone() })
}
