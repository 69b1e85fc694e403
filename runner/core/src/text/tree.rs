//! A YAML document in which every scalar, key and collection knows its place.

use super::{Places, Position, problem::Problem, scalar};
use serde_json::{Number, Value};
use std::{collections::BTreeMap, sync::Arc};

/// A place in a file, and how many characters it covers from there on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The path, as it was given.
    pub(crate) file: Arc<str>,
    /// The line, from 1.
    pub(crate) line: u32,
    /// The column in characters, from 1.
    pub(crate) column: u32,
    /// Characters on that line; at least 1.
    pub(crate) length: u32,
}

impl Mark {
    /// The start of a file.
    pub(crate) fn start_of(file: &Arc<str>) -> Self {
        Self { file: Arc::clone(file), line: 1, column: 1, length: 1 }
    }

    /// The place without the length, as the model keeps it.
    pub(crate) fn position(&self) -> Position {
        Position { file: self.file.to_string(), line: self.line, column: self.column }
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// The value itself.
    pub(crate) value: Content,
    /// Where it is; for an alias, where the anchor is.
    pub(crate) at: Mark,
    /// For text: how many characters after `at` its first character is, if the file has the text literally.
    pub(crate) inset: Option<u32>,
    /// How a cluster reads it, if that differs.
    pub(crate) in_cluster: Option<Box<InCluster>>,
}

/// How a cluster reads a scalar without quotes that a scenario reads differently.
#[derive(Debug, Clone)]
pub(crate) struct InCluster {
    /// As it is written.
    pub(crate) written: String,
    /// As it is read; `None` if it cannot be passed on to the API server.
    pub(crate) value: Option<Content>,
}

/// A YAML value (core schema).
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Anything else that is not a collection.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file, with merge keys resolved and without duplicate keys.
    Map(Vec<Entry>),
}

/// A key of a mapping, and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// Where the key is.
    pub(crate) at: Mark,
    /// The value.
    pub(crate) value: Node,
    /// How the key is written and which key a cluster reads, if they differ.
    pub(crate) in_cluster: Option<Box<(String, String)>>,
}

/// Something that a cluster reads differently from what people mean.
pub(crate) struct Surprise {
    /// Where it is.
    pub(crate) at: Mark,
    /// What it is: lower case, without a period.
    pub(crate) message: String,
    /// Whether kubectl refuses it.
    pub(crate) is_refused: bool,
}

impl Surprise {
    /// Makes a problem of it: an error if kubectl refuses it, otherwise a warning.
    pub(crate) fn into_problem(self) -> Problem {
        let mut problem = Problem::new(self.at.position(), self.at.length, self.message);
        problem.hint("put it in quotes, or write what is meant");
        if self.is_refused { problem } else { problem.warning() }
    }
}

impl InCluster {
    /// How it is written, and the key that it becomes, if they differ.
    pub(crate) fn as_key(&self) -> Option<Box<(String, String)>> {
        let key = match self.value.as_ref()? {
            Content::Bool(value) => value.to_string(),
            Content::Number(number) => scalar::key_text(number),
            _ => return None,
        };
        (key != self.written).then(|| Box::new((self.written.clone(), key)))
    }
}

impl Node {
    /// A list or a mapping.
    pub(crate) fn collection(value: Content, at: Mark) -> Self {
        Self { value, at, inset: None, in_cluster: None }
    }

    /// Changes the tree to what a cluster reads, and collects the surprises.
    pub(crate) fn read_in_cluster(&mut self, surprises: &mut Vec<Surprise>) {
        if let Some(read) = self.in_cluster.take() {
            let surprise =
                |message: String, is_refused| Surprise { at: self.at.clone(), message, is_refused };
            if let Some(value) = read.value {
                if let Content::Number(number) = &value
                    && is_unlike(&read.written, number)
                {
                    let message = format!("{} is the number {number} to Kubernetes", read.written);
                    surprises.push(surprise(message, false));
                }
                self.value = value;
            } else {
                let message = format!(
                    "{} is a number that cannot be written in JSON: kubectl refuses it",
                    read.written
                );
                surprises.push(surprise(message, true));
            }
        }
        match &mut self.value {
            Content::List(items) => items.iter_mut().for_each(|item| item.read_in_cluster(surprises)),
            Content::Map(entries) => {
                for entry in entries.iter_mut() {
                    if let Some(read) = entry.in_cluster.take() {
                        let (written, key) = *read;
                        let what = if key == "true" || key == "false" { "a boolean" } else { "a number" };
                        let message =
                            format!("the key {written} is {what} to Kubernetes: it becomes '{key}'");
                        surprises.push(Surprise { at: entry.at.clone(), message, is_refused: false });
                        entry.key = key;
                    }
                    entry.value.read_in_cluster(surprises);
                }
            }
            _ => {}
        }
    }
    /// Says what it is, for messages: `a list`, `the number 5`.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Content::Null => "nothing".to_owned(),
            Content::Bool(value) => format!("the boolean {value}"),
            Content::Number(value) => format!("the number {value}"),
            Content::Text(text) => format!("the text '{}'", shortened(text)),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a mapping".to_owned(),
        }
    }

    /// Whether it is null.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Content::Null)
    }

    /// The place of a part of the text, counted in characters; of the whole text if the file does not have it literally.
    pub(crate) fn part(&self, start: usize, length: usize) -> Mark {
        let mut at = self.at.clone();
        if let Some(inset) = self.inset {
            at.column += inset + start as u32;
            at.length = length.max(1) as u32;
        }
        at
    }

    /// The value of a key, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// The text, if this is text.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Where each value inside this one is, by path.
    pub(crate) fn places(&self) -> Places {
        let mut places = BTreeMap::new();
        self.add_places("", &mut places);
        Places::new(places)
    }

    fn add_places(&self, path: &str, places: &mut BTreeMap<String, (Position, u32)>) {
        match &self.value {
            Content::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    places.insert(path.clone(), (item.at.position(), item.at.length));
                    item.add_places(&path, places);
                }
            }
            Content::Map(entries) => {
                for entry in entries {
                    let path = field_path(path, &entry.key);
                    // For a collection or null, readers look for the key.
                    let at = match entry.value.value {
                        Content::List(_) | Content::Map(_) | Content::Null => &entry.at,
                        _ => &entry.value.at,
                    };
                    places.insert(path.clone(), (at.position(), at.length));
                    entry.value.add_places(&path, places);
                }
            }
            _ => {}
        }
    }

    /// The same value as JSON.
    pub(crate) fn to_json(&self) -> Value {
        match &self.value {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(value) => Value::Number(value.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Content::Map(entries) => Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
            ),
        }
    }
}

/// Whether a number differs from what its digits say: `0120` is 80.
fn is_unlike(written: &str, number: &Number) -> bool {
    let digits = written.strip_prefix(['+', '-']).unwrap_or(written).replace('_', "");
    digits.len() > 1
        && digits.starts_with('0')
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && digits.trim_start_matches('0') != number.to_string().trim_start_matches('-')
        && number.as_i64() != Some(0)
}

/// The path of a field within a mapping, as an API server writes it.
pub(crate) fn field_path(path: &str, key: &str) -> String {
    match (path, key.contains(['.', '/', '['])) {
        ("", _) => key.to_owned(),
        (path, false) => format!("{path}.{key}"),
        (path, true) => format!("{path}[{key}]"),
    }
}

/// The first 60 characters of a text, on one line.
pub(crate) fn shortened(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= 60 {
        return line;
    }
    line.chars().take(59).chain(['…']).collect()
}
