//! A value and the path that leads to it.

use super::Violation;
use crate::parse::{field_path, nearest};
use serde_json::{Map, Value};

/// A value at a path; `Null` when it is not there.
#[derive(Clone)]
pub(super) struct Field<'a> {
    pub(super) value: &'a Value,
    pub(super) path: String,
}

/// A mapping whose keys are all known.
pub(super) struct Object<'a> {
    fields: &'a Map<String, Value>,
    path: String,
}

static NOTHING: Value = Value::Null;

impl<'a> Field<'a> {
    pub(super) fn top(value: &'a Value) -> Self {
        Self { value, path: String::new() }
    }

    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// Reports something about this field.
    pub(super) fn wrong(&self, message: impl Into<String>, found: &mut Vec<Violation>) {
        found.push(Violation { path: self.path.clone(), message: message.into(), hint: None });
    }

    /// Opens a mapping and reports keys that the API does not know. An absent one has no keys.
    pub(super) fn object(&self, known: &[&str], found: &mut Vec<Violation>) -> Option<Object<'a>> {
        let object = self.mapping(found)?;
        for key in object.fields.keys().filter(|key| !known.contains(&key.as_str())) {
            let at = object.get(key);
            let hint = nearest(key, known.iter().copied()).map(|near| format!("did you mean '{near}'?"));
            let message = format!("unknown field '{key}'");
            found.push(Violation { path: at.path, message, hint });
        }
        Some(object)
    }

    /// Opens a mapping with any keys.
    pub(super) fn mapping(&self, found: &mut Vec<Violation>) -> Option<Object<'a>> {
        static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        match self.value {
            Value::Object(fields) => Some(Object { fields, path: self.path.clone() }),
            Value::Null => Some(Object { fields: &EMPTY, path: self.path.clone() }),
            _ => {
                self.wrong("must be a mapping", found);
                None
            }
        }
    }

    /// The items of a list; none of an absent one.
    pub(super) fn items(&self, found: &mut Vec<Violation>) -> Vec<Field<'a>> {
        match self.value {
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, value)| Field { value, path: format!("{}[{index}]", self.path) })
                .collect(),
            Value::Null => Vec::new(),
            _ => {
                self.wrong("must be a list", found);
                Vec::new()
            }
        }
    }

    /// The text of a field that is there.
    pub(super) fn text(&self, found: &mut Vec<Violation>) -> Option<&'a str> {
        match self.value {
            Value::String(text) => Some(text),
            Value::Null => None,
            _ => {
                self.wrong("must be text", found);
                None
            }
        }
    }

    /// A field that must be there and one of some words.
    pub(super) fn one_of(&self, words: &[&'static str], found: &mut Vec<Violation>) -> Option<&'static str> {
        if self.is_null() {
            self.wrong(format!("required: one of {}", words.join(", ")), found);
            return None;
        }
        let text = self.text(found)?;
        let word = words.iter().copied().find(|word| *word == text);
        if word.is_none() {
            let message = format!("'{text}' is not supported: one of {}", words.join(", "));
            let hint = nearest(text, words.iter().copied()).map(|near| format!("did you mean '{near}'?"));
            found.push(Violation { path: self.path.clone(), message, hint });
        }
        word
    }

    /// A number of a port that is there.
    pub(super) fn port(&self, found: &mut Vec<Violation>) -> Option<u16> {
        let number = self.value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|n| *n > 0);
        if number.is_none() && !self.is_null() {
            let what =
                if self.value.is_i64() || self.value.is_u64() { "must be" } else { "must be a number" };
            self.wrong(format!("{what} between 1 and 65535"), found);
        }
        number
    }
}

impl<'a> Object<'a> {
    pub(super) fn get(&self, key: &str) -> Field<'a> {
        let path = field_path(&self.path, key);
        Field { value: self.fields.get(key).unwrap_or(&NOTHING), path }
    }

    /// All fields that are there.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'a String, Field<'a>)> + use<'a, '_> {
        self.fields.keys().map(|key| (key, self.get(key)))
    }

    /// The only one of some fields that is there; reports none and several.
    pub(super) fn exactly_one<'k>(
        &self,
        keys: &[&'k str],
        what: &Field<'_>,
        found: &mut Vec<Violation>,
    ) -> Option<(&'k str, Field<'a>)> {
        let there: Vec<&'k str> = keys.iter().copied().filter(|key| !self.get(key).is_null()).collect();
        match there[..] {
            [only] => Some((only, self.get(only))),
            [] => {
                what.wrong(format!("required: one of {}", keys.join(", ")), found);
                None
            }
            _ => {
                what.wrong(format!("only one of these may be set: {}", there.join(", ")), found);
                None
            }
        }
    }
}
