//! Places in files.

use std::{collections::BTreeMap, sync::Arc};

/// A place in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The path, as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Where each field of a manifest is written, by its path: `spec.ingress[0].from`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    fields: Arc<BTreeMap<String, (Position, u32)>>,
    surprises: Vec<(Position, u32, String)>,
}

impl Places {
    /// Makes it from paths, with the place and the number of characters of each.
    #[must_use]
    pub fn new(places: BTreeMap<String, (Position, u32)>) -> Self {
        Self { fields: Arc::new(places), surprises: Vec::new() }
    }

    /// Adds the surprises: what a cluster reads differently from what people mean. Each has its place, how many characters it
    /// covers, and what it is.
    #[must_use]
    pub fn with_surprises(self, surprises: Vec<(Position, u32, String)>) -> Self {
        Self { surprises, ..self }
    }

    /// What a cluster reads differently from what people mean.
    #[must_use]
    pub fn surprises(&self) -> &[(Position, u32, String)] {
        &self.surprises
    }

    /// Where a field is written, and how many characters that covers; for a missing field, the nearest one that holds it.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&(Position, u32)> {
        let mut path = path;
        loop {
            if let Some(place) = self.fields.get(path) {
                return Some(place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}
