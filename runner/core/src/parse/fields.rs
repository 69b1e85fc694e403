//! Reads mappings, lists, texts and labels out of a tree, and says what is there instead.

use crate::{
    scenario::{
        Labels,
        name::{is_label_key, is_label_value},
    },
    text::{
        port_text::TextError,
        problem::{Problem, Problems, nearest},
        tree::{Content, Entry, Mark, Node, shortened},
    },
};

/// A mapping whose keys are all known.
pub(super) struct Fields<'n> {
    node: &'n Node,
    /// Known fields that unknown ones were probably meant to be.
    misspelled: Vec<String>,
}

impl<'n> Fields<'n> {
    /// Opens a mapping. Reports a value that is not a mapping, and every unknown key with the nearest known one.
    pub(super) fn open(node: &'n Node, what: &str, known: &[&str], problems: &mut Problems) -> Option<Self> {
        let mut misspelled = Vec::new();
        for entry in entries(node, what, problems)? {
            if problems.is_full() {
                break;
            }
            if !known.contains(&entry.key.as_str()) {
                problems
                    .add(&entry.at, format!("{what} has no field '{}'", shortened(&entry.key)))
                    .suggest(&entry.key, known.iter().copied());
                misspelled.extend(nearest(&entry.key, known.iter().copied()).map(str::to_owned));
            }
        }
        Some(Self { node, misspelled })
    }

    /// Whether a field is missing. False if it is only misspelled, which was reported already.
    pub(super) fn lacks(&self, field: &str) -> bool {
        self.get(field).is_none() && !self.misspelled.iter().any(|meant| meant == field)
    }

    /// Whether a field is probably there under another name.
    pub(super) fn misspells(&self, field: &str) -> bool {
        self.get(field).is_none() && !self.lacks(field)
    }

    /// Where the key of a field is.
    pub(super) fn place(&self, field: &str) -> Option<&'n Mark> {
        match &self.node.value {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == field).map(|entry| &entry.at),
            _ => None,
        }
    }

    /// The value of a field; `None` if it is absent or null.
    pub(super) fn get(&self, field: &str) -> Option<&'n Node> {
        self.node.get(field).filter(|node| !node.is_null())
    }

    /// The text of a field.
    pub(super) fn text(&self, field: &str, problems: &mut Problems) -> Option<(&'n Node, &'n str)> {
        let node = self.get(field)?;
        text(node, &format!("'{field}'"), problems).map(|text| (node, text))
    }
}

/// The entries of a mapping; null has none.
pub(super) fn entries<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> Option<&'n [Entry]> {
    match &node.value {
        Content::Map(entries) => Some(entries),
        Content::Null => Some(&[]),
        _ => {
            wrong_type(node, what, "a mapping", problems);
            None
        }
    }
}

/// The items of a list; null has none.
pub(super) fn items<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> Option<&'n [Node]> {
    match &node.value {
        Content::List(items) => Some(items),
        Content::Null => Some(&[]),
        _ => {
            let problem = wrong_type(node, what, "a list", problems);
            if node.as_text().is_some() {
                problem.hint("write it in [ ], or on a line of its own after '- '");
            }
            None
        }
    }
}

/// The text of a scalar.
pub(super) fn text<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> Option<&'n str> {
    if let Content::Text(text) = &node.value {
        return Some(text);
    }
    let problem = wrong_type(node, what, "text", problems);
    if matches!(node.value, Content::Number(_) | Content::Bool(_)) {
        problem.hint("put it in quotes");
    }
    None
}

/// Reports that something else was expected.
pub(super) fn wrong_type<'p>(
    node: &Node,
    what: &str,
    expected: &str,
    problems: &'p mut Problems,
) -> &'p mut Problem {
    problems.add(&node.at, format!("{what} must be {expected}, here it is {}", node.describe()))
}

/// Reports what is wrong with a part of a text.
pub(super) fn text_problem<'p>(node: &Node, error: TextError, problems: &'p mut Problems) -> &'p mut Problem {
    let problem = problems.add(&node.part(error.start, error.length), error.message);
    problem.hint = error.hint;
    problem
}

/// A mapping from label keys to values.
pub(super) fn labels(node: &Node, what: &str, problems: &mut Problems) -> Labels {
    let mut labels = Labels::new();
    for entry in entries(node, what, problems).unwrap_or_default() {
        label_key(&entry.key, &entry.at, problems);
        if let Some(value) = label_value(&entry.key, &entry.value, problems) {
            labels.insert(entry.key.clone(), value.to_owned());
        }
    }
    labels
}

/// The prefix of the labels that a run sets itself.
const OWN_PREFIX: &str = "flowproof.dev/";

/// The label that the control plane sets on every namespace.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Reports a key that is not a valid label key, or that a scenario may not set.
pub(super) fn label_key(key: &str, at: &Mark, problems: &mut Problems) {
    if key == NAMESPACE_NAME_LABEL {
        problems
            .add(at, format!("the label {key} is set by the cluster"))
            .hint("every namespace has it already; policies can select by it");
    } else if key.starts_with(OWN_PREFIX) {
        problems.add(at, format!("the label {key} belongs to flowproof"));
    } else if !is_label_key(key) {
        problems
            .add(at, format!("'{}' is not a valid label key", shortened(key)))
            .hint("a key is [prefix/]name: letters, digits, '-', '_' and '.', at most 63, a letter or digit at both ends");
    }
}

/// The value of a label.
pub(super) fn label_value<'n>(key: &str, node: &'n Node, problems: &mut Problems) -> Option<&'n str> {
    let value = text(node, &format!("the label '{}'", shortened(key)), problems)?;
    if !is_label_value(value) {
        problems
            .add(&node.at, format!("'{}' is not a valid label value", shortened(value)))
            .hint("a value is empty, or letters, digits, '-', '_' and '.', at most 63, a letter or digit at both ends");
        return None;
    }
    Some(value)
}
