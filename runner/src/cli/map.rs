//! `flowproof map`: who may reach whom, by the policies; what a change opens and closes.

use super::{
    Failure,
    args::{MapArgs, MapFailOn, MapFormat},
    explain::{live, of_files, sound},
    output::write_to,
    say,
};
use crate::sources::Sources;
use flowproof_core::{
    outcome::Exit,
    picture::Picture,
    reach::{Change, Connection, Difference, Reach, Why, is_workload},
    snapshot::Snapshot,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
    process::Command,
};

/// Name and version of the schema of `--format json`.
const SCHEMA: &str = "flowproof.map/1";

/// Begins a path that is read from a revision of git.
const GIT: &str = "git:";

/// Most columns of a table; a wider map is a list.
const MOST_COLUMNS: usize = 8;

/// Carries out `flowproof map`; returns the exit code.
pub async fn map(args: &MapArgs) -> Result<Exit, Failure> {
    if let Some(old) = &args.diff {
        let [new] = &args.paths[..] else {
            return Err(
                Failure::usage("--diff OLD takes one NEW".to_owned()).hint("flowproof map --diff OLD NEW")
            );
        };
        let (before, after) = (of_path(old)?, of_path(new)?);
        let mut difference = before.reach.difference(&after.reach);
        difference.explain(before.snapshot.as_ref(), after.snapshot.as_ref());
        say(&difference_text(&difference, args.format))?;
        let (opens, closes) = (!difference.opens.is_empty(), !difference.closes.is_empty());
        let fails = match args.fail_on {
            Some(MapFailOn::Opens) => opens,
            Some(MapFailOn::Closes) => closes,
            Some(MapFailOn::Any) => opens || closes,
            None => false,
        };
        return Ok(if fails { Exit::Mismatched } else { Exit::Success });
    }
    let reach = if args.paths.is_empty() {
        Reach::of(&live(&args.kube).await?)
    } else if let [only] = &args.paths[..] {
        of_path(only)?.reach
    } else {
        Reach::of(&of_files(&args.paths, None)?)
    };
    if let Some(file) = &args.check {
        return check(file, &reach, args.write);
    }
    say(&shown(&reach, args.format))
}

/// A map, and what it was made from, if it was not saved.
struct Mapped {
    reach: Reach,
    snapshot: Option<Snapshot>,
}

impl Mapped {
    fn of(snapshot: Snapshot) -> Self {
        Self { reach: Reach::of(&snapshot), snapshot: Some(snapshot) }
    }
}

/// The map of a file, a directory, a revision of git, or one that was saved.
fn of_path(path: &Path) -> Result<Mapped, Failure> {
    if let Some(revision) = path.to_str().and_then(|path| path.strip_prefix(GIT)) {
        return of_revision(revision);
    }
    if let Some(saved) = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        && let Some(schema) = saved["schema"].as_str().filter(|schema| schema.starts_with("flowproof."))
    {
        if schema != SCHEMA {
            return Err(Failure::usage(format!("{} is {schema}, and no map ({SCHEMA})", path.display())));
        }
        let unreadable =
            |why: String| Failure::usage(format!("{} cannot be read as a map: {why}", path.display()));
        let reach: Reach =
            serde_json::from_value(saved["map"].clone()).map_err(|error| unreadable(error.to_string()))?;
        if let Some(port) = reach.unreadable() {
            return Err(unreadable(format!("'{port}' is not a port, as in tcp/80 or udp/* but 53")));
        }
        return Ok(Mapped { reach, snapshot: None });
    }
    Ok(Mapped::of(of_files(&[path.to_owned()], None)?))
}

/// `REV:PATH`: the manifests of a file, or of a folder and all below it, as a revision has them.
fn of_revision(text: &str) -> Result<Mapped, Failure> {
    let (revision, path) = text.split_once(':').ok_or_else(|| {
        Failure::usage(format!("'{GIT}{text}' names no path"))
            .hint("write git:REVISION:PATH, as in git:main:chart/rendered.yaml")
    })?;
    let git = |arguments: &[&str]| -> Result<Vec<u8>, Failure> {
        let failed = |why: String| Failure::usage(format!("git {}: {why}", arguments.join(" ")));
        let output =
            Command::new("git").args(arguments).output().map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    };
    let listed = git(&["ls-tree", "-r", "--name-only", revision, "--", path])?;
    let names: Vec<String> = String::from_utf8_lossy(&listed).lines().map(str::to_owned).collect();
    let is_manifest = |name: &&String| {
        *name == path || [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending))
    };
    let mut files = Vec::new();
    for name in names.iter().filter(is_manifest) {
        files.push((format!("{GIT}{revision}:{name}"), git(&["show", &format!("{revision}:{name}")])?));
    }
    if files.is_empty() {
        return Err(Failure::usage(format!("{revision} has no manifests at {path}")));
    }
    Ok(Mapped::of(sound(Sources::of_manifests(files))?.snapshot.unwrap_or_default()))
}

/// Compares with a reviewed file of lines, or writes it.
fn check(file: &Path, reach: &Reach, write: bool) -> Result<Exit, Failure> {
    let lines: BTreeSet<String> = reach.lines().iter().map(ToString::to_string).collect();
    let text = lines.iter().fold(String::new(), |text, line| text + line + "\n");
    if write {
        write_to(file, &text)?;
        return Ok(Exit::Success);
    }
    let known = fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!("{} cannot be read: {error}", file.display())).hint("--write makes it")
    })?;
    let reviewed: BTreeSet<String> = known
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let mut told = String::new();
    for line in lines.difference(&reviewed) {
        let _ = writeln!(told, "+ {line}   (allowed, and not in {})", file.display());
    }
    for line in reviewed.difference(&lines) {
        let _ = writeln!(told, "- {line}   (in {}, and not allowed)", file.display());
    }
    if told.is_empty() {
        return say(&format!("{}: all {} connections are as reviewed\n", file.display(), lines.len()));
    }
    say(&told)?;
    Ok(Exit::Mismatched)
}

fn shown(reach: &Reach, format: MapFormat) -> String {
    match format {
        MapFormat::Text => text(reach),
        MapFormat::Markdown => markdown(reach),
        MapFormat::Json => format!("{:#}\n", json!({ "schema": SCHEMA, "map": reach })),
        MapFormat::Lines => reach.lines().iter().fold(String::new(), |text, line| format!("{text}{line}\n")),
        MapFormat::Mermaid => mermaid(&Graph::of(reach)),
        MapFormat::Dot => dot(&Graph::of(reach)),
        MapFormat::Svg => Picture::of(reach).svg(),
    }
}

/// The ports of a connection, those that the API leaves open with a `?`.
fn ports_of(connection: &Connection) -> String {
    let open = connection.open.iter().map(|port| format!("{port}?"));
    connection.ports.iter().cloned().chain(open).collect::<Vec<_>>().join(", ")
}

/// Sources that may do the same are one row; destinations that nobody reaches, and sources that reach nobody, are named below.
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

fn text(reach: &Reach) -> String {
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

fn markdown(reach: &Reach) -> String {
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

/// In Mermaid. Names are DNS names and addresses: nothing in them needs quoting.
fn mermaid(graph: &Graph<'_>) -> String {
    let mut text = "flowchart LR\n".to_owned();
    let node = |text: &mut String, (id, name): &(usize, &str)| {
        let _ = writeln!(text, "    n{id}[\"{name}\"]");
    };
    for end in &graph.outside {
        node(&mut text, end);
    }
    for (number, (namespace, ends)) in graph.groups.iter().enumerate() {
        let _ = writeln!(text, "  subgraph g{number} [\"{namespace}\"]");
        for end in ends {
            node(&mut text, end);
        }
        text.push_str("  end\n");
    }
    for (from, to, ports) in &graph.edges {
        let _ = writeln!(text, "  n{from} -->|\"{ports}\"| n{to}");
    }
    text
}

/// In Graphviz' language.
fn dot(graph: &Graph<'_>) -> String {
    let mut text = "digraph reach {\n  rankdir=LR;\n  node [shape=box];\n".to_owned();
    let node = |text: &mut String, (id, name): &(usize, &str)| {
        let _ = writeln!(text, "    n{id} [label=\"{name}\"];");
    };
    for end in &graph.outside {
        node(&mut text, end);
    }
    for (number, (namespace, ends)) in graph.groups.iter().enumerate() {
        let _ = writeln!(text, "  subgraph cluster_{number} {{\n    label=\"{namespace}\";");
        for end in ends {
            node(&mut text, end);
        }
        text.push_str("  }\n");
    }
    for (from, to, ports) in &graph.edges {
        let _ = writeln!(text, "  n{from} -> n{to} [label=\"{ports}\"];");
    }
    text + "}\n"
}

/// Name and version of the schema of a difference as JSON.
const DIFFERENCE_SCHEMA: &str = "flowproof.map-difference/1";

fn difference_text(difference: &Difference, format: MapFormat) -> String {
    let Difference { opens, closes } = difference;
    if format == MapFormat::Json {
        let value = json!({ "schema": DIFFERENCE_SCHEMA, "opens": opens, "closes": closes });
        return format!("{value:#}\n");
    }
    if opens.is_empty() && closes.is_empty() {
        return "who may reach whom stays the same\n".to_owned();
    }
    let mut text = String::new();
    if format == MapFormat::Markdown {
        text.push_str("| | connection | because now | before |\n|---|---|---|---|\n");
    }
    for (what, sign, changes) in [("opens", "+", opens), ("closes", "-", closes)] {
        for (of_one_reason, first) in by_reason(changes) {
            let lines = of_one_reason.iter().map(|change| &change.line);
            if format == MapFormat::Markdown {
                let lines: Vec<String> = lines.map(|line| format!("`{line}`")).collect();
                let [after, before] = [&first.after, &first.before]
                    .map(|why| why.as_ref().map(why_text).unwrap_or_default().replace('|', "\\|"));
                let _ = writeln!(text, "| {what} | {} | {after} | {before} |", lines.join("<br>"));
            } else {
                lines.for_each(|line| {
                    let _ = writeln!(text, "{sign} {what}  {line}");
                });
                for (when, why) in [("now   ", &first.after), ("before", &first.before)] {
                    if let Some(why) = why {
                        let _ = writeln!(text, "    {when}  {}", why_text(why));
                    }
                }
            }
        }
    }
    text
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
