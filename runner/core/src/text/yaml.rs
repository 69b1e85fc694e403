//! From bytes to positioned YAML trees, within limits.

use super::{
    problem::Problems,
    raw::{Raw, RawContent},
    scalar,
    tree::{Content, Entry, InCluster, Mark, Node, shortened},
};
use serde_saphyr::{DefaultMessageFormatter, DuplicateKeyPolicy, Location, MessageFormatter, Options};
use std::{collections::HashMap, panic::resume_unwind, sync::Arc, thread};

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// The largest file of plain manifests that is read, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 32 * 1024 * 1024;

/// The deepest nesting of collections.
pub const MAX_DEPTH: usize = 48;

/// The stack of the parser: many times what the deepest nesting needs, which is about 40 KiB a level in a debug build.
const STACK: usize = 16 * 1024 * 1024;

/// Most events of the parser per value: the value, its key, and the ends of collections.
const EVENTS: usize = 4;

/// What a file may contain at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    bytes: usize,
    /// That many bytes in words.
    bytes_text: &'static str,
    /// Values, counted after aliases are expanded.
    values: usize,
    documents: usize,
    hint: &'static str,
}

/// Limits of what people write.
pub(crate) const WRITTEN: Limits = Limits {
    bytes: MAX_FILE_BYTES,
    bytes_text: "1 MiB",
    values: 100_000,
    documents: 256,
    hint: "a scenario makes one claim: split it",
};

/// Limits of what programs write: all manifests of a cluster.
pub(crate) const GENERATED: Limits = Limits {
    bytes: MAX_MANIFEST_BYTES,
    bytes_text: "32 MiB",
    values: 4_000_000,
    documents: 100_000,
    hint: "leave out what has nothing to do with policies",
};

/// Reads all documents of a file; empty ones are left out. Returns `None` if the file cannot be read as YAML.
///
/// Duplicate keys are reported, and the last one counts, as in kubectl; merge keys (`<<`) are resolved.
pub(crate) fn read(file: &Arc<str>, bytes: &[u8], problems: &mut Problems) -> Option<Vec<Node>> {
    read_within(&WRITTEN, file, bytes, problems)
}

/// Does the same within other limits.
pub(crate) fn read_within(
    limits: &Limits,
    file: &Arc<str>,
    bytes: &[u8],
    problems: &mut Problems,
) -> Option<Vec<Node>> {
    let text = decode(limits, file, bytes, problems)?;
    match documents(text, limits) {
        Ok(documents) => {
            let mut builder = Builder { file, text, problems };
            Some(documents.into_iter().map(|raw| builder.node(raw)).collect())
        }
        Err(error) => {
            refuse(limits, file, text, &error, problems);
            None
        }
    }
}

/// Parses a text on a stack of its own, which is large enough for [`MAX_DEPTH`], however little the caller's stack has left.
fn documents(text: &str, limits: &Limits) -> Result<Vec<Raw>, serde_saphyr::Error> {
    let parse = || serde_saphyr::from_multiple_with_options::<Raw>(text, options(limits));
    thread::scope(|scope| match thread::Builder::new().stack_size(STACK).spawn_scoped(scope, parse) {
        Ok(parser) => parser.join().unwrap_or_else(|panic| resume_unwind(panic)),
        Err(_) => parse(),
    })
}

/// The text of a file, without a byte order mark. `None` if the file is too large or not UTF-8.
fn decode<'a>(limits: &Limits, file: &Arc<str>, bytes: &'a [u8], problems: &mut Problems) -> Option<&'a str> {
    let mut at = Mark::start_of(file);
    if bytes.len() > limits.bytes {
        problems.add(&at, format!("the file has more than {}", limits.bytes_text)).hint(limits.hint);
        return None;
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        problems.add(&at, "the file is UTF-16").hint("save it as UTF-8");
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = good.rsplit('\n').next().unwrap_or_default();
            at.line = good.matches('\n').count() as u32 + 1;
            at.column = line.chars().count() as u32 + 1;
            let byte = bytes[error.valid_up_to()];
            problems
                .add(&at, format!("the file is not UTF-8: byte 0x{byte:02x} cannot stand here"))
                .hint("save it as UTF-8");
            None
        }
    }
}

fn options(limits: &Limits) -> Options {
    serde_saphyr::options! {
        // All equal keys reach the visitor, so that each of them can be reported.
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::AsOrdinary,
        strict_booleans: true,
        with_snippet: false,
        emit_comments: false,
        reject_unsupported_tags: true,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: limits.values },
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_events: EVENTS * limits.values, max_total_scalar_bytes: MAX_MANIFEST_BYTES, max_nodes: limits.values, max_documents: limits.documents, max_anchors: 1_000, max_aliases: 10_000 },
    }
}

/// Reports an error of the YAML parser in words for people who write scenarios.
fn refuse(
    limits: &Limits,
    file: &Arc<str>,
    text: &str,
    error: &serde_saphyr::Error,
    problems: &mut Problems,
) {
    let mut at = Mark::start_of(file);
    if let Some(location) = error.location().filter(|location| location.line() > 0) {
        at.line = location.line() as u32;
        at.column = location.column() as u32;
    }
    let line = text.lines().nth(at.line as usize - 1).unwrap_or_default();
    let indent = line.len() - line.trim_start().len();
    if let Some(tab) = line[..indent].chars().position(|c| c == '\t') {
        at.column = tab as u32 + 1;
        problems.add(&at, "a tab in the indentation").hint("YAML is indented by spaces");
        return;
    }
    problems.add(&at, describe(limits, error));
}

/// The message of an error, without its place.
fn describe(limits: &Limits, error: &serde_saphyr::Error) -> String {
    use serde_saphyr::{Error as E, budget::BudgetBreach};
    match error {
        E::AliasError { error, .. } | E::WithSnippet { error, .. } => describe(limits, error),
        E::AliasReplayLimitExceeded { .. } | E::AliasExpansionLimitExceeded { .. } => {
            format!("aliases expand to more than {} values", limits.values)
        }
        E::AliasReplayStackDepthExceeded { .. } => "aliases refer to aliases too deeply".to_owned(),
        E::RecursiveReferencesRequireWeakTypes { .. } => "an alias within its own anchor".to_owned(),
        E::UnknownAnchor { .. } => "an alias without an anchor".to_owned(),
        E::Budget { breach, .. } => match breach {
            BudgetBreach::Depth { .. } => format!("nested more than {MAX_DEPTH} deep"),
            BudgetBreach::Documents { .. } => format!("more than {} documents", limits.documents),
            BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => {
                format!("more than {} values", limits.values)
            }
            _ => "too many aliases or anchors".to_owned(),
        },
        other => {
            let message = DefaultMessageFormatter.format_message(other);
            let words: Vec<&str> = message.split_whitespace().collect();
            format!("not YAML: {}", words.join(" "))
        }
    }
}

/// The first characters of a text that a cluster may read as something else.
const READ_OTHERWISE: &[char] =
    &['y', 'Y', 'n', 'N', 'o', 'O', '.', '+', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];

/// Turns raw trees into checked ones.
struct Builder<'a> {
    file: &'a Arc<str>,
    text: &'a str,
    problems: &'a mut Problems,
}

impl Builder<'_> {
    fn node(&mut self, raw: Raw) -> Node {
        let at = self.mark(raw.at);
        match raw.value {
            RawContent::Scalar(value) => {
                let inset = match &value {
                    Content::Text(text) => self.inset(raw.at, text),
                    _ => None,
                };
                let in_cluster = if raw.is_tagged { None } else { self.in_cluster(raw.at, &value) };
                Node { value, at, inset, in_cluster }
            }
            RawContent::List(items) => {
                Node::collection(Content::List(items.into_iter().map(|item| self.node(item)).collect()), at)
            }
            RawContent::Map(entries) => Node::collection(Content::Map(self.entries(entries)), at),
        }
    }

    /// How a cluster reads a scalar, if that differs.
    fn in_cluster(&self, at: Location, value: &Content) -> Option<Box<InCluster>> {
        let written = match value {
            // Only a plain scalar, which the file spells out; one that is folded or quoted is text everywhere.
            Content::Text(text) if text.starts_with(READ_OTHERWISE) => {
                self.slice(at).map(str::trim).filter(|slice| slice == text)?
            }
            Content::Number(_) | Content::Bool(_) => self.slice(at)?.trim(),
            _ => return None,
        };
        let read = scalar::read(written);
        let differs = match (&read, value) {
            (Ok(Content::Text(_)), Content::Text(_)) => false,
            (Ok(Content::Bool(one)), Content::Bool(other)) => one != other,
            (Ok(Content::Number(one)), Content::Number(_)) => one.to_string() != written,
            _ => true,
        };
        differs.then(|| Box::new(InCluster { written: written.to_owned(), value: read.ok() }))
    }

    /// Checks the keys of a mapping and merges what `<<` refers to. The mapping's own keys take precedence.
    fn entries(&mut self, raw: Vec<(Raw, Raw)>) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::with_capacity(raw.len());
        let mut places: HashMap<String, usize> = HashMap::with_capacity(raw.len());
        let mut merged: Vec<Entry> = Vec::new();
        for (key, value) in raw {
            let at = self.mark(key.at);
            let value = self.node(value);
            let key = self.node(key);
            let in_cluster = key.in_cluster.as_ref().and_then(|read| read.as_key());
            match self.key(&key) {
                Some(key) if key == "<<" => merged.extend(self.merge(value)),
                Some(key) => {
                    if let Some(first) = places.get(&key).map(|first| &mut entries[*first]) {
                        let message = format!("duplicate key '{}'", shortened(&key));
                        let problem = self.problems.add(&at, message);
                        problem.related(first.at.position(), "first here");
                        *first = Entry { key, at, value, in_cluster };
                    } else {
                        places.insert(key.clone(), entries.len());
                        entries.push(Entry { key, at, value, in_cluster });
                    }
                }
                None => {}
            }
        }
        for entry in merged {
            if !places.contains_key(&entry.key) {
                places.insert(entry.key.clone(), entries.len());
                entries.push(entry);
            }
        }
        entries
    }

    /// The text of a key; numbers and booleans count as their text.
    fn key(&mut self, key: &Node) -> Option<String> {
        match &key.value {
            Content::Text(text) => Some(text.clone()),
            Content::Bool(value) => Some(value.to_string()),
            Content::Number(value) => Some(value.to_string()),
            Content::Null | Content::List(_) | Content::Map(_) => {
                self.problems.add(&key.at, format!("a key must be text, here it is {}", key.describe()));
                None
            }
        }
    }

    fn merge(&mut self, value: Node) -> Vec<Entry> {
        match value.value {
            Content::Map(entries) => entries,
            Content::List(items) => items.into_iter().flat_map(|item| self.merge(item)).collect(),
            _ => {
                self.problems.add(
                    &value.at,
                    format!("'<<' merges a mapping or a list of mappings, here it is {}", value.describe()),
                );
                Vec::new()
            }
        }
    }

    fn mark(&self, at: Location) -> Mark {
        let slice = self.slice(at).unwrap_or_default();
        let length = slice.lines().next().unwrap_or_default().trim_end().chars().count();
        Mark {
            file: Arc::clone(self.file),
            line: (at.line() as u32).max(1),
            column: (at.column() as u32).max(1),
            length: length.max(1) as u32,
        }
    }

    /// The text of the file at a place.
    fn slice(&self, at: Location) -> Option<&str> {
        let start = at.span().byte_offset()? as usize;
        let length = at.span().byte_len()? as usize;
        self.text.get(start..start + length)
    }

    /// How many characters after its place a text begins; `None` if the file does not have it literally.
    fn inset(&self, at: Location, text: &str) -> Option<u32> {
        let slice = self.slice(at)?;
        if slice.starts_with(text) {
            return Some(0);
        }
        let quoted = slice.strip_prefix('"').or_else(|| slice.strip_prefix('\''))?;
        quoted.starts_with(text).then_some(1)
    }
}
