//! A YAML document in which every scalar, key and collection knows its place.

use crate::scenario::{Places, Position};
use serde_json::{Number, Value};
use std::{collections::BTreeMap, sync::Arc};

/// A place in a file and how many characters from there on are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// The path, as it was given.
    pub(super) file: Arc<str>,
    /// The line, from 1.
    pub(super) line: u32,
    /// The column in characters, from 1.
    pub(super) column: u32,
    /// Characters on that line; at least 1.
    pub(super) length: u32,
}

impl Mark {
    /// The start of a file.
    pub(super) fn start_of(file: &Arc<str>) -> Self {
        Self { file: Arc::clone(file), line: 1, column: 1, length: 1 }
    }

    /// The place without the length, as the model keeps it.
    pub(super) fn position(&self) -> Position {
        Position { file: self.file.to_string(), line: self.line, column: self.column }
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// What stands there.
    pub(super) value: Content,
    /// Where it stands; of an alias, where the anchor stands.
    pub(super) at: Mark,
    /// For text: how many characters after `at` its first character stands, if the file has the text literally.
    pub(super) inset: Option<u32>,
}

/// A YAML value (core schema).
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Anything else that is no collection.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file, merge keys resolved, no key twice.
    Map(Vec<Entry>),
}

/// A key of a mapping, and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: String,
    /// Where the key stands.
    pub(super) at: Mark,
    /// The value.
    pub(super) value: Node,
}

impl Node {
    /// Names what stands here, for messages: `a list`, `the number 5`.
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Content::Null => "nothing".to_owned(),
            Content::Bool(value) => format!("the truth value {value}"),
            Content::Number(value) => format!("the number {value}"),
            Content::Text(text) => format!("the text '{}'", shortened(text)),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a mapping".to_owned(),
        }
    }

    /// Tells whether nothing stands here.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Content::Null)
    }

    /// The place of a part of the text, counted in characters; of the whole text where the file does not have it literally.
    pub(super) fn part(&self, start: usize, length: usize) -> Mark {
        let mut at = self.at.clone();
        if let Some(inset) = self.inset {
            at.column += inset + start as u32;
            at.length = length.max(1) as u32;
        }
        at
    }

    /// The value of a key, if this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// The text, if this is text.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Where this value and each one in it stands, by path.
    pub(super) fn places(&self) -> Places {
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
                    // Of a collection the key is what readers look for.
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
    pub(super) fn to_json(&self) -> Value {
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

/// The path of a field within a mapping, as an API server writes it.
pub(crate) fn field_path(path: &str, key: &str) -> String {
    match (path, key.contains(['.', '/', '['])) {
        ("", _) => key.to_owned(),
        (path, false) => format!("{path}.{key}"),
        (path, true) => format!("{path}[{key}]"),
    }
}

/// The first 60 characters of a text, on one line.
pub(super) fn shortened(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= 60 {
        return line;
    }
    line.chars().take(59).chain(['…']).collect()
}
