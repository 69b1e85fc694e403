//! A value and the path that leads to it.

use super::{Only, Violation};
use crate::text::{field_path, nearest};
use serde_json::{Map, Value};

/// A value at a path; `Null` if it is not there.
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
        found.push(Violation { path: self.path.clone(), message: message.into(), hint: None, only: None });
    }

    /// Reports something about this field that only some API servers reject.
    pub(super) fn wrong_for(&self, only: Only, message: impl Into<String>, found: &mut Vec<Violation>) {
        found.push(Violation {
            path: self.path.clone(),
            message: message.into(),
            hint: None,
            only: Some(only),
        });
    }

    /// Reports a value of another type than the field has.
    fn wrong_type(&self, wanted: &str, found: &mut Vec<Violation>) {
        let (here, hint) = match self.value {
            Value::Null => ("nothing".to_owned(), None),
            Value::Bool(value) => {
                let hint = "put it in quotes; without them yes, no, on, off, y and n are booleans, too";
                (format!("the boolean {value}"), Some(hint))
            }
            Value::Number(number) => (format!("the number {number}"), Some("put it in quotes")),
            Value::String(_) => ("text".to_owned(), None),
            Value::Array(_) => ("a list".to_owned(), None),
            Value::Object(_) => ("a mapping".to_owned(), None),
        };
        found.push(Violation {
            path: self.path.clone(),
            message: format!("must be {wanted}, here it is {here}"),
            hint: hint.filter(|_| wanted == "text").map(str::to_owned),
            only: None,
        });
    }

    /// Opens a mapping and reports keys that the API does not know. An absent mapping has no keys.
    pub(super) fn object(&self, known: &[&str], found: &mut Vec<Violation>) -> Option<Object<'a>> {
        let object = self.mapping(found)?;
        for key in object.fields.keys().filter(|key| !known.contains(&key.as_str())) {
            let at = object.get(key);
            let hint = nearest(key, known.iter().copied()).map(|near| format!("did you mean '{near}'?"));
            let message = format!("unknown field '{key}'");
            found.push(Violation { path: at.path, message, hint, only: None });
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
                self.wrong_type("a mapping", found);
                None
            }
        }
    }

    /// The items of a list; an absent list has none.
    pub(super) fn items(&self, found: &mut Vec<Violation>) -> Vec<Field<'a>> {
        match self.value {
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, value)| Field { value, path: format!("{}[{index}]", self.path) })
                .collect(),
            Value::Null => Vec::new(),
            _ => {
                self.wrong_type("a list", found);
                Vec::new()
            }
        }
    }

    /// Reports a null entry of a list. A custom resource must not have one; in an object of the API's own, null is the empty
    /// value.
    pub(super) fn is_there(&self, wanted: &str, found: &mut Vec<Violation>) -> bool {
        if self.is_null() {
            self.wrong_type(wanted, found);
        }
        !self.is_null()
    }

    /// The text of a field; null is the empty text, as it is to Go.
    pub(super) fn text_or_empty(&self, found: &mut Vec<Violation>) -> Option<&'a str> {
        if self.is_null() { Some("") } else { self.text(found) }
    }

    /// The text of a field, if it is there.
    pub(super) fn text(&self, found: &mut Vec<Violation>) -> Option<&'a str> {
        match self.value {
            Value::String(text) => Some(text),
            Value::Null => None,
            _ => {
                self.wrong_type("text", found);
                None
            }
        }
    }

    /// A field that must be there, and must be one of some words.
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
            found.push(Violation { path: self.path.clone(), message, hint, only: None });
        }
        word
    }

    /// The number of a port, if it is there.
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

    /// Those of some fields that are there. There must be exactly one: none, or several, are reported.
    pub(super) fn chosen<'k>(
        &self,
        keys: &[&'k str],
        what: &Field<'_>,
        found: &mut Vec<Violation>,
    ) -> Vec<(&'k str, Field<'a>)> {
        let there: Vec<&'k str> = keys.iter().copied().filter(|key| !self.get(key).is_null()).collect();
        match there[..] {
            [_] => {}
            [] => what.wrong(format!("required: one of {}", keys.join(", ")), found),
            _ => what.wrong(format!("only one of these may be set: {}", there.join(", ")), found),
        }
        there.into_iter().map(|key| (key, self.get(key))).collect()
    }
}
