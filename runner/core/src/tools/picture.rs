//! A picture of who reaches whom, as an SVG: workloads in the frames of their namespaces, ends outside at the sides, and lines
//! with their ports.
//!
//! Equal lines are joined: what all workloads of a namespace may do is one line from its frame, and what everybody may do is a
//! word at the destination. Ports are at the destination, once for all lines that end there. The layout depends on the names and
//! lines only.

mod join;
mod layout;
mod svg;

use super::reach::{Reach, is_workload};

/// The style of a picture, for a page that holds several: it follows the reader's choice of a dark or light page.
pub const STYLE: &str = include_str!("picture/picture.css");

/// Ends, and lines between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// What it shows, in one sentence.
    pub title: String,
    /// Names of the ends: `shop/web` is in the frame of the namespace shop, everything else is outside.
    pub ends: Vec<String>,
    /// Who reaches whom; at most one arrow of each pair is drawn.
    pub arrows: Vec<Arrow>,
}

/// A line from one end to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrow {
    /// Index of the end that it leaves.
    pub from: usize,
    /// Index of the end that it goes to.
    pub to: usize,
    /// Its ports, as they are shown.
    pub ports: String,
    /// How it looks.
    pub tone: Tone,
}

/// How a line looks. A later one is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tone {
    /// Allowed by the policies.
    Plain,
    /// As expected.
    Matched,
    /// Left open by the API.
    Open,
    /// Not as expected, but known for this network plugin.
    Known,
    /// Unproven or inconclusive.
    Unclear,
    /// Not as expected.
    Mismatched,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Matched => "matched",
            Self::Open => "open",
            Self::Known => "known",
            Self::Unclear => "unclear",
            Self::Mismatched => "mismatched",
        }
    }
}

impl Picture {
    /// The picture of a map.
    #[must_use]
    pub fn of(reach: &Reach) -> Self {
        let id = |name: &String| reach.ends.iter().position(|end| end == name);
        let arrows = reach.connections.iter().filter_map(|connection| {
            let open = connection.open.iter().map(|port| format!("{port}?"));
            let ports: Vec<String> = connection.ports.iter().cloned().chain(open).collect();
            let tone = if connection.ports.is_empty() { Tone::Open } else { Tone::Plain };
            Some(Arrow {
                from: id(&connection.from)?,
                to: id(&connection.to)?,
                ports: ports.join(", "),
                tone,
            })
        });
        Self { title: "Who may reach whom".to_owned(), ends: reach.ends.clone(), arrows: arrows.collect() }
    }

    /// The picture as a document of its own.
    #[must_use]
    pub fn svg(&self) -> String {
        svg::document(self)
    }

    /// The picture as an element, for a page that has [`STYLE`]; its nodes can be focused.
    #[must_use]
    pub fn element(&self) -> String {
        svg::element(self)
    }

    fn namespace(&self, end: usize) -> Option<&str> {
        let name = &self.ends[end];
        name.split_once('/').filter(|_| is_workload(name)).map(|(namespace, _)| namespace)
    }
}

#[cfg(test)]
mod tests;
