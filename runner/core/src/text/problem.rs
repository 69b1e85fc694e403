//! What is wrong with a file, and where.

use super::{Position, tree::Mark};

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: lower case, without a period.
    pub message: String,
    /// Where.
    pub at: Position,
    /// How many characters it covers from there on; at least 1, never more than the line has.
    pub length: u32,
    /// What would help.
    pub hint: Option<String>,
    /// Other places that are involved, and what each one is.
    pub related: Vec<(Position, String)>,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing can be run with it.
    Error,
    /// It is accepted, but surely not what is meant.
    Warning,
}

/// Collects the problems of a file while it is read.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
    /// The last problem beyond the limit, so that there is one to return. It is never reported.
    beyond: Option<Problem>,
}

/// Most problems that are collected: a file with more is broken as a whole.
const MAX_PROBLEMS: usize = 500;

impl Problems {
    /// Adds a problem and returns it, so that the caller can add a hint.
    pub(crate) fn add(&mut self, at: &Mark, message: impl Into<String>) -> &mut Problem {
        let problem = Problem::new(at.position(), at.length, message);
        if self.is_full() {
            return self.beyond.insert(problem);
        }
        self.found.push(problem);
        self.found.last_mut().expect("one was just pushed")
    }

    /// Adds a problem that already exists.
    pub(crate) fn push(&mut self, problem: Problem) {
        if !self.is_full() {
            self.found.push(problem);
        }
    }

    /// Whether there are so many that looking for more is pointless.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= MAX_PROBLEMS
    }

    /// Replaces the hint of the last problem with a better one.
    pub(crate) fn hint_last(&mut self, hint: impl Into<String>) {
        if let Some(last) = self.found.last_mut() {
            last.hint(hint);
        }
    }

    /// Whether nothing was found so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Returns all problems: those of `file` first, each file's from top to bottom. What an alias repeats is listed once.
    pub(crate) fn into_sorted(mut self, file: &str) -> Vec<Problem> {
        self.found.sort_by(|a, b| (a.at.file != file, &a.at).cmp(&(b.at.file != file, &b.at)));
        self.found.dedup_by(|b, a| a.at == b.at && a.message == b.message);
        self.found
    }
}

impl Problem {
    /// An error at a place, which covers this many characters.
    pub fn new(at: Position, length: u32, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            at,
            length: length.max(1),
            hint: None,
            related: Vec::new(),
        }
    }

    /// Makes it a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Sets the hint: what would help.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Points at another place.
    pub fn related(&mut self, at: Position, what: impl Into<String>) -> &mut Self {
        self.related.push((at, what.into()));
        self
    }

    /// Suggests the known word that is nearest to an unknown one. If none is near, lists the known words, or the first of many.
    pub(crate) fn suggest<'a>(&mut self, word: &str, known: impl IntoIterator<Item = &'a str>) -> &mut Self {
        let known: Vec<&str> = known.into_iter().filter(|word| word.len() <= LONGEST_COMPARED).collect();
        if let Some(near) = nearest(word, known.iter().copied()) {
            return self.hint(format!("did you mean '{near}'?"));
        }
        match known.len() {
            0 => self,
            1..=MOST_LISTED => self.hint(format!("one of: {}", known.join(", "))),
            _ => self.hint(format!("one of {}, such as: {}", known.len(), known[..MOST_LISTED].join(", "))),
        }
    }
}

/// The longest words that are compared, in bytes; the time for a comparison grows with the square.
const LONGEST_COMPARED: usize = 200;

/// How many known words a hint lists at most.
const MOST_LISTED: usize = 12;

/// The known word that is nearest to the given one, if it is near enough to be meant: at most a third of the letters may differ.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST_COMPARED {
        return None;
    }
    let word = word.to_lowercase();
    known
        .filter(|candidate| candidate.len() <= LONGEST_COMPARED)
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance * 3 <= candidate.chars().count().max(word.chars().count()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_near_words_are_suggested() {
        let known = || ["allow", "deny", "drop", "reject"].into_iter();
        assert_eq!(nearest("alow", known()), Some("allow"));
        assert_eq!(nearest("Deny", known()), Some("deny"));
        assert_eq!(nearest("rejcet", known()), Some("reject"));
        assert_eq!(nearest("permit", known()), None);
        assert_eq!(nearest("", known()), None);
        assert_eq!(nearest("a", ["b"].into_iter()), None);
        assert_eq!(nearest("app/ap", ["app/api", "data/api"].into_iter()), Some("app/api"));
    }
}
