//! The whole of a scenario: its claim, its families, its steps. The other modules read what these refer to.

use super::{
    application,
    expand::Scope,
    expect,
    fields::{Fields, items},
    service,
    step::{self, Draft, Stage},
    topology::Declared,
};
use crate::{
    scenario::{Scenario, Step, capability::Capability, flow::Family},
    text::{
        problem::{Problem, Problems},
        tree::{Content, Mark, Node, shortened},
        yaml,
    },
};
use std::{collections::BTreeSet, sync::Arc};

/// Returns the content of a file that a scenario refers to, or of all manifests in a directory, or says why it cannot. The path
/// is as the scenario has it, relative to the scenario's own file.
pub type Load<'a> = dyn FnMut(&str) -> Result<Vec<Loaded>, String> + 'a;

/// A file that a scenario refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its path, as problems and positions show it.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Fields of a scenario.
pub(super) const SCENARIO_FIELDS: &[&str] = &[
    "scenario",
    "why",
    "shows",
    "families",
    "manifests",
    "namespaces",
    "workloads",
    "services",
    "policies",
    "expect",
    "steps",
];

/// The longest claim, in characters: it is a heading in reports.
const MAX_CLAIM: usize = 200;

/// Reads a scenario. Returns all its problems at once, sorted by place.
pub fn scenario(file: &str, bytes: &[u8], load: &mut Load<'_>) -> Result<Scenario, Vec<Problem>> {
    let mut problems = Problems::default();
    let read = document(file, bytes, &mut problems).and_then(|node| read(file, &node, load, &mut problems));
    match read {
        Some(scenario) if problems.is_empty() => Ok(scenario),
        _ => Err(problems.into_sorted(file)),
    }
}

/// Whether a file makes a claim: its first document has the key `scenario` at the top, however the key is written. If the file
/// cannot be read, a line that begins with `scenario:` is enough.
#[must_use]
pub fn is_scenario(bytes: &[u8]) -> bool {
    const KEY: &[u8] = b"scenario";
    if !bytes.windows(KEY.len()).any(|window| window == KEY) {
        return false;
    }
    match yaml::read(&"".into(), bytes, &mut Problems::default()) {
        Some(documents) => documents.first().is_some_and(|first| first.get("scenario").is_some()),
        None => bytes.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"scenario:")),
    }
}

/// The only document of a file.
fn document(file: &str, bytes: &[u8], problems: &mut Problems) -> Option<Node> {
    let file: Arc<str> = file.into();
    let mut documents = yaml::read(&file, bytes, problems)?.into_iter();
    let Some(first) = documents.next() else {
        problems
            .add(&Mark::start_of(&file), "the file is empty")
            .hint("a scenario starts with scenario: and its claim");
        return None;
    };
    if let Some(second) = documents.next() {
        problems.add(&second.at, "a second document in the file").hint("one scenario per file");
    }
    Some(first)
}

fn read(file: &str, node: &Node, load: &mut Load<'_>, problems: &mut Problems) -> Option<Scenario> {
    if let (None, Some(kind)) = (node.get("scenario"), node.get("kind").and_then(Node::as_text)) {
        problems
            .add(&node.at, format!("this is a manifest, not a scenario ({})", shortened(kind)))
            .hint("a scenario names it under 'policies', as - file: PATH; keep manifests in a folder named 'policies'");
        return None;
    }
    let merged = application::merged(node, load, problems);
    let (node, notes) = merged.as_ref().map_or((node, &[][..]), |merged| (&merged.node, &merged.notes));
    let top = Fields::open(node, "a scenario", SCENARIO_FIELDS, problems)?;
    let start = Mark::start_of(&node.at.file);
    let claim = claim(&top, &start, problems);
    let why = top.text("why", problems).map(|(_, text)| text.trim().to_owned()).unwrap_or_default();
    let shows = step::shows(&top, problems).unwrap_or_default();
    let families = families(&top, problems);
    let live = top.get("policies").and_then(Node::as_text) == Some("live");
    let declared = Declared::read(&top, &start, problems);
    let mut stage = Stage::new(&declared);
    let drafts = drafts(&top, &start, &mut stage, load, problems);
    let backends = service::backends(&declared, &stage.history, problems);
    let scope = Scope { declared: &declared, backends: &backends, families: &families, live };
    if let (Some((logical, real)), false) = (declared.topology.live.first_key_value(), live) {
        let at = top.place("policies").or(top.place("steps")).unwrap_or(&start);
        problems
            .add(at, format!("shadows are for testing the policies that are in the cluster, and '{logical}' stands for its '{real}'"))
            .hint("write policies: live, and expect: …; a run changes nothing in a live namespace");
    }
    let steps = drafts.into_iter().map(|draft| finish(draft, &shows, &scope, problems)).collect();
    Some(Scenario {
        claim,
        why,
        file: file.to_owned(),
        topology: declared.topology,
        families,
        steps,
        live,
        notes: notes.to_vec(),
    })
}

fn claim(top: &Fields<'_>, start: &Mark, problems: &mut Problems) -> String {
    if top.get("scenario").is_none() {
        if top.misspells("scenario") {
            return String::new();
        }
        problems
            .add(start, "the scenario makes no claim")
            .hint("add scenario: and what it proves, in one sentence");
        return String::new();
    }
    let Some((node, text)) = top.text("scenario", problems) else {
        return String::new();
    };
    let claim = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if claim.is_empty() {
        problems.add(&node.at, "the claim is empty").hint("say what the scenario proves, in one sentence");
    }
    if claim.chars().count() > MAX_CLAIM {
        problems
            .add(&node.at, format!("the claim has more than {MAX_CLAIM} characters"))
            .hint("say more in 'why'");
    }
    claim
}

fn families(top: &Fields<'_>, problems: &mut Problems) -> BTreeSet<Family> {
    let both = BTreeSet::from([Family::V4, Family::V6]);
    let Some(node) = top.get("families") else {
        return both;
    };
    let mut families = BTreeSet::new();
    let Some(items) = items(node, "'families'", problems) else {
        return both;
    };
    for item in items {
        match &item.value {
            Content::Number(number) if number.as_u64() == Some(4) => families.insert(Family::V4),
            Content::Number(number) if number.as_u64() == Some(6) => families.insert(Family::V6),
            _ => {
                let message = format!("{} is not an address family", item.describe());
                problems.add(&item.at, message).hint("write families: [4], [6] or [4, 6]");
                continue;
            }
        };
    }
    if families.is_empty() {
        if items.is_empty() {
            problems.add(&node.at, "no address family").hint("leave 'families' out for both");
        }
        return both;
    }
    families
}

/// The steps of the short or the long form.
fn drafts<'n>(
    top: &Fields<'n>,
    start: &Mark,
    stage: &mut Stage<'_>,
    load: &mut Load<'_>,
    problems: &mut Problems,
) -> Vec<Draft<'n>> {
    let Some(steps) = top.get("steps") else {
        return vec![stage.short_form(top, start, load, problems)];
    };
    for (field, hint) in
        [("policies", "make it the first step: - apply: […]"), ("expect", "every step has its own 'expect'")]
    {
        if let (Some(_), Some(at)) = (top.get(field), top.place(field)) {
            problems
                .add(at, format!("'{field}' beside 'steps'"))
                .hint(hint)
                .related(top.place("steps").unwrap_or(&steps.at).position(), "the steps");
        }
    }
    let items = items(steps, "'steps'", problems).unwrap_or_default();
    if items.is_empty() && matches!(steps.value, Content::List(_)) {
        problems.add(&steps.at, "there are no steps");
    }
    items.iter().filter_map(|item| stage.step(item, load, problems)).collect()
}

/// Reads the expectations of a step.
fn finish(draft: Draft<'_>, shows: &[Capability], scope: &Scope<'_>, problems: &mut Problems) -> Step {
    let hint = "add expect: { allow: […], deny: […] }";
    let mut expectations = Vec::new();
    if let Some(node) = draft.expect {
        let read = expect::expectations(node, scope, problems);
        if read.expected.is_empty() && !read.unclear {
            problems.add(&node.at, "nothing is expected here").hint(hint);
        }
        expectations = read.expected;
    } else if !draft.unclear {
        let message = format!("nothing is expected after '{}'", shortened(&draft.title));
        problems.add(&draft.at, message).hint(hint);
    }
    let shows = draft.shows.unwrap_or_else(|| shows.to_vec());
    Step { title: draft.title, changes: draft.changes, expectations, shows }
}
