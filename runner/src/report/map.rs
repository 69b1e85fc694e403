//! A map of who may reach whom, and a difference of maps, as text, Markdown, Mermaid and Graphviz.

use flowproof_core::tools::reach::{Change, Connection, Difference, Reach, Why, is_workload};
use std::{collections::BTreeMap, fmt::Write as _};

/// The most columns of a table; a wider map is a list.
const MOST_COLUMNS: usize = 8;

/// The ports of a connection, those that the API leaves open with a `?`.
fn ports_of(connection: &Connection) -> String {
    let open = connection.open.iter().map(|port| format!("{port}?"));
    connection.ports.iter().cloned().chain(open).collect::<Vec<_>>().join(", ")
}

/// Sources with the same connections are one row; destinations that nobody reaches, and sources that reach nobody, are named below.
struct Table {
    columns: Vec<String>,
    rows: Vec<(Vec<String>, Vec<String>)>,
    silent: Vec<String>,
    unreached: Vec<String>,
}

impl Table {
    fn of(reach: &Reach) -> Self {
        let is_reached = |end: &&String| reach.connections.iter().any(|connection| connection.to == **end);
        let (columns, unreached): (Vec<String>, Vec<String>) =
            reach.ends.iter().cloned().partition(|end| is_reached(&end));
        let mut rows: Vec<(Vec<String>, Vec<String>)> = Vec::new();
        let mut silent = Vec::new();
        for from in &reach.ends {
            let cells: Vec<String> =
                columns.iter().map(|to| reach.between(from, to).map(ports_of).unwrap_or_default()).collect();
            if cells.iter().all(String::is_empty) {
                silent.push(from.clone());
                continue;
            }
            let same = |(_, known): &&mut (Vec<String>, Vec<String>)| *known == cells;
            match rows.iter_mut().find(same) {
                Some((sources, _)) => sources.push(from.clone()),
                None => rows.push((vec![from.clone()], cells)),
            }
        }
        let unreached = unreached.into_iter().filter(|end| is_workload(end)).collect();
        Self { columns, rows, silent, unreached }
    }

    fn notes(&self) -> String {
        let mut notes = String::new();
        for (what, ends) in [("may reach nobody", &self.silent), ("nobody may reach", &self.unreached)] {
            if !ends.is_empty() {
                let _ = writeln!(notes, "{what}: {}", ends.join(", "));
            }
        }
        notes
    }
}

/// A table, or a list if it would be too wide.
pub fn text(reach: &Reach) -> String {
    let table = Table::of(reach);
    if table.rows.is_empty() {
        return format!("nobody may reach anybody\n{}", table.notes());
    }
    let mut text = String::new();
    if table.columns.len() <= MOST_COLUMNS {
        let mut shown = comfy_table::Table::new();
        shown.load_style(comfy_table::presets::NOTHING);
        shown.set_header(std::iter::once("from \\ to".to_owned()).chain(table.columns.iter().cloned()));
        for (sources, cells) in &table.rows {
            let cells = cells
                .iter()
                .map(|cell| if cell.is_empty() { "·".to_owned() } else { cell.replace(", ", "\n") });
            shown.add_row(std::iter::once(sources.join("\n")).chain(cells));
        }
        for line in shown.lines() {
            let _ = writeln!(text, "{}", line.trim_end());
        }
    } else {
        for (sources, cells) in &table.rows {
            let _ = writeln!(text, "{}", sources.join(", "));
            for (to, cell) in table.columns.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
                let _ = writeln!(text, "  -> {to}  {cell}");
            }
        }
    }
    let notes = table.notes();
    if notes.is_empty() { text } else { format!("{text}\n{notes}") }
}

/// A table in Markdown.
pub fn markdown(reach: &Reach) -> String {
    let table = Table::of(reach);
    let mut text = format!(
        "| from \\ to | {} |\n|---|{}\n",
        table.columns.join(" | "),
        "---|".repeat(table.columns.len())
    );
    for (sources, cells) in &table.rows {
        let _ = writeln!(text, "| {} | {} |", sources.join("<br>"), cells.join(" | "));
    }
    let notes = table.notes();
    if notes.is_empty() { text } else { format!("{text}\n{notes}") }
}

/// A map as a graph: ends by their numbers, workloads in the groups of their namespaces.
struct Graph<'r> {
    outside: Vec<(usize, &'r str)>,
    groups: BTreeMap<&'r str, Vec<(usize, &'r str)>>,
    /// From, to, ports.
    edges: Vec<(usize, usize, String)>,
}

impl<'r> Graph<'r> {
    fn of(reach: &'r Reach) -> Self {
        let mut graph = Self { outside: Vec::new(), groups: BTreeMap::new(), edges: Vec::new() };
        for (id, end) in reach.ends.iter().enumerate() {
            match end.split_once('/').filter(|_| is_workload(end)) {
                Some((namespace, name)) => graph.groups.entry(namespace).or_default().push((id, name)),
                None => graph.outside.push((id, end)),
            }
        }
        let id = |name: &String| reach.ends.iter().position(|end| end == name);
        let edge = |connection: &Connection| {
            Some((id(&connection.from)?, id(&connection.to)?, ports_of(connection)))
        };
        graph.edges = reach.connections.iter().filter_map(edge).collect();
        graph
    }
}

/// The syntax of a language for graphs. Names are DNS names and addresses: nothing in them needs quoting.
struct Language {
    begin: &'static str,
    node: fn(usize, &str) -> String,
    group: fn(usize, &str) -> String,
    group_end: &'static str,
    edge: fn(usize, usize, &str) -> String,
    end: &'static str,
}

impl Language {
    fn write(&self, reach: &Reach) -> String {
        let graph = Graph::of(reach);
        let nodes =
            |ends: &[(usize, &str)]| ends.iter().map(|(id, name)| (self.node)(*id, name)).collect::<String>();
        let mut text = self.begin.to_owned() + &nodes(&graph.outside);
        for (number, (namespace, ends)) in graph.groups.iter().enumerate() {
            text += &(self.group)(number, namespace);
            text += &nodes(ends);
            text += self.group_end;
        }
        for (from, to, ports) in &graph.edges {
            text += &(self.edge)(*from, *to, ports);
        }
        text + self.end
    }
}

/// A graph in Mermaid.
pub fn mermaid(reach: &Reach) -> String {
    let language = Language {
        begin: "flowchart LR\n",
        node: |id, name| format!("    n{id}[\"{name}\"]\n"),
        group: |number, namespace| format!("  subgraph g{number} [\"{namespace}\"]\n"),
        group_end: "  end\n",
        edge: |from, to, ports| format!("  n{from} -->|\"{ports}\"| n{to}\n"),
        end: "",
    };
    language.write(reach)
}

/// A graph in Graphviz' language.
pub fn dot(reach: &Reach) -> String {
    let language = Language {
        begin: "digraph reach {\n  rankdir=LR;\n  node [shape=box];\n",
        node: |id, name| format!("    n{id} [label=\"{name}\"];\n"),
        group: |number, namespace| format!("  subgraph cluster_{number} {{\n    label=\"{namespace}\";\n"),
        group_end: "  }\n",
        edge: |from, to, ports| format!("  n{from} -> n{to} [label=\"{ports}\"];\n"),
        end: "}\n",
    };
    language.write(reach)
}

/// A difference, a line for each connection and the reasons below.
pub fn difference(difference: &Difference) -> String {
    if let Some(text) = nothing(difference) {
        return text;
    }
    let mut text = String::new();
    for (what, sign, changes) in sides(difference) {
        for (of_one_reason, first) in by_reason(changes) {
            for change in of_one_reason {
                let _ = writeln!(text, "{sign} {what}  {}", change.line);
            }
            for (when, why) in [("now   ", &first.after), ("before", &first.before)] {
                if let Some(why) = why {
                    let _ = writeln!(text, "    {when}  {}", why_text(why));
                }
            }
        }
    }
    text
}

/// A difference as a table in Markdown.
pub fn difference_markdown(difference: &Difference) -> String {
    if let Some(text) = nothing(difference) {
        return text;
    }
    let mut text = "| | connection | because now | before |\n|---|---|---|---|\n".to_owned();
    for (what, _, changes) in sides(difference) {
        for (of_one_reason, first) in by_reason(changes) {
            let lines: Vec<String> =
                of_one_reason.iter().map(|change| format!("`{}`", change.line)).collect();
            let [after, before] = [&first.after, &first.before]
                .map(|why| why.as_ref().map(why_text).unwrap_or_default().replace('|', "\\|"));
            let _ = writeln!(text, "| {what} | {} | {after} | {before} |", lines.join("<br>"));
        }
    }
    text
}

/// What is printed if maps do not differ.
fn nothing(Difference { opens, closes }: &Difference) -> Option<String> {
    (opens.is_empty() && closes.is_empty()).then(|| "who may reach whom stays the same\n".to_owned())
}

fn sides(Difference { opens, closes }: &Difference) -> [(&'static str, &'static str, &[Change]); 2] {
    [("opens", "+", opens), ("closes", "-", closes)]
}

/// Changes with the same reasons together, in the order of the first of each.
fn by_reason(changes: &[Change]) -> Vec<(Vec<&Change>, &Change)> {
    let mut groups: Vec<(Vec<&Change>, &Change)> = Vec::new();
    for change in changes {
        let same = |(_, first): &&mut (Vec<&Change>, &Change)| {
            (&first.before, &first.after) == (&change.before, &change.after)
        };
        match groups.iter_mut().find(same) {
            Some((group, _)) => group.push(change),
            None => groups.push((vec![change], change)),
        }
    }
    groups
}

/// A reason with the places of its rules: `NetworkPolicy shop/db, ingress rule 1 lets it in (shop.yaml:9:12)`.
fn why_text(why: &Why) -> String {
    let places: Vec<&str> = why.rules.iter().filter_map(|rule| rule.at.as_deref()).collect();
    if places.is_empty() { why.reason.clone() } else { format!("{} ({})", why.reason, places.join(", ")) }
}
