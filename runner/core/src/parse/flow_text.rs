//! The notation of flows: `SOURCE -> TARGET [PORTS] [established]`.

use crate::{
    policy::validate::is_port_name,
    scenario::{
        flow::{ESTABLISHED, Flow, Target},
        name::{NameError, Qualified, is_label},
    },
    text::port_text::{PortRange, TextError, Word, port_ranges, words},
};
use std::net::IpAddr;

/// A flow as it is written, before globs are expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlowText {
    /// Who starts it.
    pub(super) source: Part<Pattern>,
    /// Where it goes.
    pub(super) target: Part<TargetText>,
    /// The ports; empty for all listeners of the target, unless ports are named.
    pub(super) ports: Vec<PortRange>,
    /// Ports by their names at the target.
    pub(super) named: Vec<Part<String>>,
    /// The word that says that the flow's connections exist before the policies.
    pub(super) established: Option<Part<()>>,
}

/// A part of a text and where it is, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part<T> {
    pub(super) value: T,
    pub(super) start: usize,
    pub(super) length: usize,
}

/// A pattern for the names of workloads or services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    /// `any`: all of them.
    Any,
    /// At least one half has a `*`, which stands for any characters.
    Glob(String, String),
    /// Exactly one.
    Exact(Qualified),
}

/// Where a flow goes, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TargetText {
    Workload(Pattern),
    Service(Pattern),
    NodeOf(Pattern),
    Address(IpAddr),
    ClusterDns,
    Itself,
}

impl Pattern {
    /// Whether a name matches.
    pub(super) fn matches(&self, name: &Qualified) -> bool {
        match self {
            Self::Any => true,
            Self::Glob(namespace, half) => glob(namespace, &name.namespace) && glob(half, &name.name),
            Self::Exact(exact) => exact == name,
        }
    }

    /// Whether the name is written out.
    pub(super) fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }
}

impl TargetText {
    /// Whether the target is written out.
    pub(super) fn is_exact(&self) -> bool {
        match self {
            Self::Workload(pattern) | Self::Service(pattern) | Self::NodeOf(pattern) => pattern.is_exact(),
            Self::Address(_) | Self::ClusterDns | Self::Itself => true,
        }
    }
}

impl FlowText {
    /// Whether a flow is one of those that this line stands for, whatever workloads there are.
    pub(super) fn covers(&self, flow: &Flow) -> bool {
        let target = match (&self.target.value, &flow.target) {
            (TargetText::Workload(pattern), Target::Workload(name)) => {
                pattern.matches(name) && (self.is_exact() || *name != flow.source)
            }
            (TargetText::Itself, Target::Workload(name)) => *name == flow.source,
            (TargetText::Service(pattern), Target::Service(name))
            | (TargetText::NodeOf(pattern), Target::NodeOf(name)) => pattern.matches(name),
            (TargetText::Address(written), Target::Address(address)) => written == address,
            (TargetText::ClusterDns, Target::ClusterDns) => true,
            _ => false,
        };
        let on = |range: &PortRange| {
            range.transport == flow.transport && (range.first..=range.last).contains(&flow.port)
        };
        target
            && self.source.value.matches(&flow.source)
            && self.established.is_some() == flow.established
            && (self.ports.is_empty() && self.named.is_empty() || self.ports.iter().any(on))
    }

    /// Whether source and target are both written out.
    pub(super) fn is_exact(&self) -> bool {
        self.source.value.is_exact() && self.target.value.is_exact()
    }

    /// Reads a flow. Returns all mistakes of source, target and ports at once.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<TextError>> {
        let whole = |message: &str, hint: &str| {
            let length = text.trim_end().chars().count();
            Err(vec![TextError::new(0, length, message).with_hint(hint)])
        };
        let Some((left, right)) = text.split_once("->") else {
            return whole(
                "a flow has no '->'",
                "a flow is SOURCE -> TARGET [PORTS] [established], for example: app/api -> data/postgres tcp/5432",
            );
        };
        if right.contains("->") {
            return whole("a flow has one '->'", "write one flow per line");
        }
        let arrow = left.chars().count();
        let right = words(right, arrow + 2);
        let mut errors = Vec::new();
        let source = keep(source(&words(left, 0), arrow), &mut errors);
        let (target, rest) = match target(&right, arrow) {
            Ok((target, rest)) => (Some(target), rest),
            Err(error) => {
                errors.push(error);
                (None, &right[right.len()..])
            }
        };
        let (rest, established) = match rest {
            [rest @ .., last] if last.text == ESTABLISHED => (rest, Some(part((), last, last))),
            rest => (rest, None),
        };
        let is_name = |word: &&Word<'_>| {
            is_port_name(word.text) && !matches!(word.text, "tcp" | "udp" | "dns" | ESTABLISHED)
        };
        let (port_names, rest): (Vec<&Word<'_>>, Vec<&Word<'_>>) = rest.iter().partition(is_name);
        let ports: Vec<PortRange> =
            rest.into_iter().filter_map(|word| keep(port_ranges(*word), &mut errors)).flatten().collect();
        let named = port_names.into_iter().map(|word| part(word.text.to_owned(), word, word)).collect();
        match (source, target) {
            (Some(source), Some(target)) if errors.is_empty() => {
                Ok(Self { source, target, ports, named, established })
            }
            _ => Err(errors),
        }
    }
}

fn keep<T>(result: Result<T, TextError>, errors: &mut Vec<TextError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

fn source(words: &[Word<'_>], arrow: usize) -> Result<Part<Pattern>, TextError> {
    match words {
        [] => Err(TextError::new(arrow, 2, "a flow has no source")
            .with_hint("write a workload, a glob or any before '->'")),
        [word] => pattern(*word).map(|value| part(value, word, word)),
        [word, .., last] => {
            let error = TextError::new(
                word.start,
                last.start + last.length() - word.start,
                "a source is one workload, a glob or any",
            );
            Err(match word.text {
                "service" | "node" | "ip" => error.with_hint("only workloads start flows: probers run there"),
                _ => error.with_hint("write one flow per line"),
            })
        }
    }
}

type TargetAndRest<'w, 't> = (Part<TargetText>, &'w [Word<'t>]);

fn target<'w, 't>(words: &'w [Word<'t>], arrow: usize) -> Result<TargetAndRest<'w, 't>, TextError> {
    let missing = |after: &Word<'_>, what: &str| {
        Err(TextError::new(after.start, after.length(), format!("'{}' without {what}", after.text)))
    };
    let Some((word, rest)) = words.split_first() else {
        return Err(TextError::new(arrow, 2, "a flow has no target").with_hint("write a workload, a glob, any, service ns/name, node of ns/name, ip ADDRESS, cluster-dns or self after '->'"));
    };
    match (word.text, rest) {
        ("cluster-dns", rest) => Ok((part(TargetText::ClusterDns, word, word), rest)),
        ("self", rest) => Ok((part(TargetText::Itself, word, word), rest)),
        ("service", []) => missing(word, "a name"),
        ("service", [name, rest @ ..]) => Ok((part(TargetText::Service(pattern(*name)?), word, name), rest)),
        ("node", [of, name, rest @ ..]) if of.text == "of" => {
            Ok((part(TargetText::NodeOf(pattern(*name)?), word, name), rest))
        }
        ("node", _) => missing(word, "'of' and a workload")
            .map_err(|e: TextError| e.with_hint("write node of ns/workload")),
        ("ip", []) => missing(word, "an address"),
        ("ip", [address, rest @ ..]) => Ok((part(TargetText::Address(ip(*address)?), word, address), rest)),
        (text, _) if text.parse::<IpAddr>().is_ok() => {
            Err(word.error("an address stands alone").with_hint(format!("write ip {text}")))
        }
        _ => Ok((part(TargetText::Workload(pattern(*word)?), word, word), rest)),
    }
}

fn ip(word: Word<'_>) -> Result<IpAddr, TextError> {
    word.text.parse().map_err(|_| {
        let error = word.error(format!("'{}' is not an IP address", word.text));
        if word.text.contains('/') {
            error.with_hint("a flow goes to one address, without a prefix length")
        } else {
            error
        }
    })
}

fn part<T>(value: T, first: &Word<'_>, last: &Word<'_>) -> Part<T> {
    Part { value, start: first.start, length: last.start + last.length() - first.start }
}

/// Reads `any`, `ns/name` or a glob.
fn pattern(word: Word<'_>) -> Result<Pattern, TextError> {
    if word.text == "any" {
        return Ok(Pattern::Any);
    }
    if !word.text.contains('*') {
        return word.text.parse().map(Pattern::Exact).map_err(|error: NameError| match error {
            NameError::Form(_) => word
                .error(format!("'{}' is not of the form namespace/name", word.text))
                .with_hint("there are also: any, globs such as app/*, and as a target service, node of, ip, cluster-dns, self"),
            label @ NameError::Label(_) => word.error(label.to_string()),
        });
    }
    let Some((namespace, name)) = word.text.split_once('/') else {
        return Err(word
            .error(format!("the glob '{}' is not of the form namespace/name", word.text))
            .with_hint("write */* or any for all workloads"));
    };
    // A star stands for any characters, so a half is possible if it is a label without its stars.
    let possible = |half: &str| half.contains('*') && is_label(&half.replace('*', "x")) || is_label(half);
    if name.contains('/') || !possible(namespace) || !possible(name) {
        return Err(word
            .error(format!("the glob '{}' can match no name", word.text))
            .with_hint("names are namespace/name in lower-case letters, digits and '-'"));
    }
    Ok(Pattern::Glob(namespace.to_owned(), name.to_owned()))
}

/// Matches a text against a pattern in which `*` stands for any characters, or for none.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests;
