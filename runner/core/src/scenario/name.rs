//! The names of things in a scenario: logical until [`crate::place::rewrite`] gives them the run's suffix.

use serde::{Deserialize, Serialize};
use std::fmt;

/// `namespace/name`: names a workload or a service of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Qualified {
    /// The namespace.
    pub namespace: String,
    /// The name within it.
    pub name: String,
}

/// A pod of a scenario, played by a prober.
pub type Workload = Qualified;

/// A Service of a scenario.
pub type Service = Qualified;

/// Why text is not `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no slash, or more than one.
    #[error("'{0}' is not of the form namespace/name")]
    Form(String),
    /// One half is not a DNS label.
    #[error(
        "'{0}' is not a DNS label: lower-case letters, digits and '-', at most 63, no '-' at either end (RFC 1123)"
    )]
    Label(String),
}

/// Whether the text is a DNS label as Kubernetes requires it (RFC 1123, 2.1).
#[must_use]
pub fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether a text is a DNS subdomain (RFC 1123, at most 253 characters), as names of nodes and of most objects are.
#[must_use]
pub fn is_subdomain(text: &str) -> bool {
    // Unlike a label, a part may have more than 63 characters (`IsDNS1123Subdomain`).
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_part)
}

/// Whether a text can be the key of a label: `[prefix/]name`.
#[must_use]
pub fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_subdomain) && !name.is_empty() && is_label_value(name)
}

/// Whether a text can be a label's value, or the name in its key.
#[must_use]
pub fn is_label_value(text: &str) -> bool {
    let alphanumeric = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && alphanumeric(text.chars().next())
        && alphanumeric(text.chars().next_back())
}

impl Qualified {
    /// Joins two halves that are known to be labels.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl std::str::FromStr for Qualified {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (namespace, name) = text.split_once('/').ok_or_else(|| NameError::Form(text.to_owned()))?;
        if name.contains('/') {
            return Err(NameError::Form(text.to_owned()));
        }
        match [namespace, name].into_iter().find(|half| !is_label(half)) {
            Some(half) => Err(NameError::Label(half.to_owned())),
            None => Ok(Self::new(namespace, name)),
        }
    }
}

impl TryFrom<String> for Qualified {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Qualified> for String {
    fn from(name: Qualified) -> Self {
        name.to_string()
    }
}

impl fmt::Display for Qualified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_labels_are_a_name() {
        assert_eq!("app/api".parse(), Ok(Qualified::new("app", "api")));
        assert_eq!("app".parse::<Qualified>(), Err(NameError::Form("app".into())));
        assert_eq!("a/b/c".parse::<Qualified>(), Err(NameError::Form("a/b/c".into())));
        assert_eq!("app/Api".parse::<Qualified>(), Err(NameError::Label("Api".into())));
        assert_eq!("app/".parse::<Qualified>(), Err(NameError::Label(String::new())));
        assert_eq!("app/-a".parse::<Qualified>(), Err(NameError::Label("-a".into())));
    }
}
