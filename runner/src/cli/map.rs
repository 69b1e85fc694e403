//! `flowproof map`: who may reach whom, by the policies; what a change opens and closes.

use super::{
    Failure,
    args::{MapArgs, MapFailOn, MapFormat},
    explain::{live, read},
    output::write_to,
    say,
};
use flowproof_core::{
    parse,
    reach::{Difference, Reach, WORLD},
    snapshot::Snapshot,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Name and version of the schema of `--format json`.
const SCHEMA: &str = "flowproof.map/1";

/// Begins a path that is read from a revision of git.
const GIT: &str = "git:";

/// Most columns of a table; a wider map is a list.
const MOST_COLUMNS: usize = 8;

/// Carries out `flowproof map`; returns the exit code.
pub async fn map(args: &MapArgs) -> Result<u8, Failure> {
    if let Some(old) = &args.diff {
        let [new] = &args.paths[..] else {
            return Err(
                Failure::usage("--diff OLD takes one NEW".to_owned()).hint("flowproof map --diff OLD NEW")
            );
        };
        let difference = of_path(old)?.difference(&of_path(new)?);
        say(&difference_text(&difference, args.format))?;
        let (opens, closes) = (!difference.opens.is_empty(), !difference.closes.is_empty());
        let fails = match args.fail_on {
            Some(MapFailOn::Opens) => opens,
            Some(MapFailOn::Closes) => closes,
            Some(MapFailOn::Any) => opens || closes,
            None => false,
        };
        return Ok(u8::from(fails));
    }
    let reach = if args.paths.is_empty() {
        Reach::of(&live(&args.kube).await?)
    } else if let [only] = &args.paths[..] {
        of_path(only)?
    } else {
        Reach::of(&snapshot(&args.paths)?)
    };
    if let Some(file) = &args.check {
        return check(file, &reach, args.write);
    }
    say(&shown(&reach, args.format))
}

/// The map of a file, a directory, a revision of git, or one that was saved.
fn of_path(path: &Path) -> Result<Reach, Failure> {
    if let Some(revision) = path.to_str().and_then(|path| path.strip_prefix(GIT)) {
        return of_revision(revision);
    }
    if let Some(saved) = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        && let Some(schema) = saved["schema"].as_str().filter(|schema| schema.starts_with("flowproof."))
    {
        if schema != SCHEMA {
            return Err(Failure::usage(format!("{} is {schema}, and no map ({SCHEMA})", path.display())));
        }
        return serde_json::from_value(saved["map"].clone())
            .map_err(|error| Failure::usage(format!("{} cannot be read as a map: {error}", path.display())));
    }
    Ok(Reach::of(&snapshot(&[path.to_owned()])?))
}

/// Pods and policies of manifests, or of one scenario after its last step.
fn snapshot(paths: &[PathBuf]) -> Result<Snapshot, Failure> {
    let sources = read(paths)?.unwrap_or_default();
    match (&sources.scenarios[..], sources.snapshot) {
        ([], Some(snapshot)) => Ok(snapshot),
        ([scenario], None) => Ok(Snapshot::of_scenario(scenario, scenario.steps.len())),
        _ => Err(Failure::usage("one scenario, or manifests".to_owned())
            .hint("a map is of one scenario file, or of any number of files and directories with manifests")),
    }
}

/// `REV:PATH`: the manifests of a file, or of a folder and all below it, as a revision has them.
fn of_revision(text: &str) -> Result<Reach, Failure> {
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
    let (snapshot, problems) = parse::manifests(&files);
    match problems.into_iter().find(|problem| problem.severity == parse::Severity::Error) {
        None => Ok(Reach::of(&snapshot)),
        Some(problem) => {
            let at = &problem.at;
            Err(Failure::usage(format!("{}:{}:{}: {}", at.file, at.line, at.column, problem.message)))
        }
    }
}

/// Compares with a reviewed file of lines, or writes it.
fn check(file: &Path, reach: &Reach, write: bool) -> Result<u8, Failure> {
    let lines: BTreeSet<String> = reach.lines().iter().map(ToString::to_string).collect();
    let text = lines.iter().fold(String::new(), |text, line| text + line + "\n");
    if write {
        write_to(file, &text)?;
        return Ok(0);
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
    Ok(1)
}

fn shown(reach: &Reach, format: MapFormat) -> String {
    match format {
        MapFormat::Text => text(reach),
        MapFormat::Markdown => markdown(reach),
        MapFormat::Json => format!("{:#}\n", json!({ "schema": SCHEMA, "map": reach })),
        MapFormat::Lines => reach.lines().iter().fold(String::new(), |text, line| format!("{text}{line}\n")),
        MapFormat::Mermaid => graph(reach, &Mermaid),
        MapFormat::Dot => graph(reach, &Dot),
    }
}

/// What stands in a cell: ports, and those that the API leaves open with a `?`.
fn cell(reach: &Reach, from: &str, to: &str) -> String {
    let Some(connection) = reach.between(from, to) else { return String::new() };
    let open = connection.open.iter().map(|port| format!("{port}?"));
    connection.ports.iter().cloned().chain(open).collect::<Vec<_>>().join(" ")
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
            let cells: Vec<String> = columns.iter().map(|to| cell(reach, from, to)).collect();
            if cells.iter().all(String::is_empty) {
                silent.push(from.clone());
                continue;
            }
            // Of two that may do the same neither is a column of the other's.
            let same = |(_, known): &&mut (Vec<String>, Vec<String>)| *known == cells;
            match rows.iter_mut().find(same) {
                Some((sources, _)) => sources.push(from.clone()),
                None => rows.push((vec![from.clone()], cells)),
            }
        }
        let unreached = unreached
            .into_iter()
            .filter(|end| end != WORLD && end.contains('/') && !end.starts_with(|c: char| c.is_ascii_digit()))
            .collect();
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
                .map(|cell| if cell.is_empty() { "·".to_owned() } else { cell.replace(' ', "\n") });
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

/// A language of graphs.
trait Language {
    fn begin(&self) -> &'static str;
    fn group(&self, number: usize, name: &str) -> String;
    fn group_end(&self) -> &'static str;
    fn node(&self, id: usize, name: &str) -> String;
    fn edge(&self, from: usize, to: usize, ports: &str) -> String;
    fn end(&self) -> &'static str;
}

struct Mermaid;
struct Dot;

impl Language for Mermaid {
    fn begin(&self) -> &'static str {
        "flowchart LR\n"
    }
    fn group(&self, number: usize, name: &str) -> String {
        format!("  subgraph g{number} [\"{name}\"]\n")
    }
    fn group_end(&self) -> &'static str {
        "  end\n"
    }
    fn node(&self, id: usize, name: &str) -> String {
        format!("    n{id}[\"{name}\"]\n")
    }
    fn edge(&self, from: usize, to: usize, ports: &str) -> String {
        format!("  n{from} -->|\"{ports}\"| n{to}\n")
    }
    fn end(&self) -> &'static str {
        ""
    }
}

impl Language for Dot {
    fn begin(&self) -> &'static str {
        "digraph reach {\n  rankdir=LR;\n  node [shape=box];\n"
    }
    fn group(&self, number: usize, name: &str) -> String {
        format!("  subgraph cluster_{number} {{\n    label=\"{name}\";\n")
    }
    fn group_end(&self) -> &'static str {
        "  }\n"
    }
    fn node(&self, id: usize, name: &str) -> String {
        format!("    n{id} [label=\"{name}\"];\n")
    }
    fn edge(&self, from: usize, to: usize, ports: &str) -> String {
        format!("  n{from} -> n{to} [label=\"{ports}\"];\n")
    }
    fn end(&self) -> &'static str {
        "}\n"
    }
}

/// The graph, namespaces as groups. Names are DNS names and addresses: nothing in them needs quoting.
fn graph(reach: &Reach, language: &dyn Language) -> String {
    let is_workload =
        |end: &str| end.contains('/') && !end.starts_with(|c: char| c.is_ascii_digit()) && !end.contains(':');
    let mut groups: BTreeMap<&str, Vec<(usize, &str)>> = BTreeMap::new();
    let mut text = language.begin().to_owned();
    for (id, end) in reach.ends.iter().enumerate() {
        match end.split_once('/').filter(|_| is_workload(end)) {
            Some((namespace, name)) => groups.entry(namespace).or_default().push((id, name)),
            None => text.push_str(&language.node(id, end)),
        }
    }
    for (number, (namespace, ends)) in groups.iter().enumerate() {
        text.push_str(&language.group(number, namespace));
        for (id, name) in ends {
            text.push_str(&language.node(*id, name));
        }
        text.push_str(language.group_end());
    }
    let id = |name: &String| reach.ends.iter().position(|end| end == name).unwrap_or_default();
    for connection in &reach.connections {
        let ports = cell(reach, &connection.from, &connection.to);
        text.push_str(&language.edge(id(&connection.from), id(&connection.to), &ports));
    }
    text.push_str(language.end());
    text
}

fn difference_text(difference: &Difference, format: MapFormat) -> String {
    let both = [("opens", "+", &difference.opens), ("closes", "-", &difference.closes)];
    match format {
        MapFormat::Json => {
            let lines = |lines: &[flowproof_core::reach::Line]| {
                lines.iter().map(ToString::to_string).collect::<Vec<_>>()
            };
            let value = json!({ "schema": "flowproof.map-difference/1", "opens": lines(&difference.opens), "closes": lines(&difference.closes) });
            format!("{value:#}\n")
        }
        MapFormat::Markdown => {
            let mut text = "| | connection |\n|---|---|\n".to_owned();
            for (what, _, lines) in both {
                for line in lines {
                    let _ = writeln!(text, "| {what} | `{line}` |");
                }
            }
            if difference.opens.is_empty() && difference.closes.is_empty() {
                "who may reach whom stays the same\n".to_owned()
            } else {
                text
            }
        }
        _ => {
            let mut text = String::new();
            for (what, sign, lines) in both {
                for line in lines {
                    let _ = writeln!(text, "{sign} {what}  {line}");
                }
            }
            if text.is_empty() { "who may reach whom stays the same\n".to_owned() } else { text }
        }
    }
}
