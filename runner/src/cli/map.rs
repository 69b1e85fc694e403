//! `flowproof map`: who may reach whom, by the policies; what a change opens and closes.

use super::{
    Failure,
    cluster::KubeArgs,
    exits,
    given::{live, of_files, sound},
    outputs::{JsonArgs, write_to},
    say,
};
use crate::{report::map, sources::Sources};
use clap::{Args, ValueEnum};
use flowproof_core::{
    outcome::Exit,
    snapshot::Snapshot,
    tools::{
        picture::Picture,
        reach::{Difference, Reach},
    },
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Name and version of the schema of a map as JSON.
const SCHEMA: &str = "flowproof.map/1";

/// Name and version of the schema of a difference as JSON.
const DIFFERENCE_SCHEMA: &str = "flowproof.map-difference/1";

/// The prefix of a path that is read from a revision of git.
const GIT: &str = "git:";

/// `flowproof map`.
#[derive(Debug, Clone, Args)]
#[command(after_help = exits::of(&[
    (Exit::Success, "nothing that --fail-on or --check looks for"),
    (Exit::Mismatched, "the change is one that --fail-on names, or --check found a difference"),
    (Exit::Usage, "usage, or files that cannot be read"),
    (Exit::SetUpFailed, "the cluster is unreachable or forbids what is needed"),
]))]
pub struct MapArgs {
    /// Manifests (files, directories, - for stdin), a scenario, a saved map, or git:REVISION:PATH [default: the cluster, which is
    /// only read]
    #[arg(value_name = "PATH", conflicts_with_all = ["kubeconfig", "context"])]
    pub paths: Vec<PathBuf>,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    pub format: MapFormat,
    /// The map or the difference as JSON.
    #[command(flatten)]
    pub json: JsonArgs,
    /// Show what changes from this map to that of PATH
    #[arg(long, value_name = "OLD", conflicts_with = "check")]
    pub diff: Option<PathBuf>,
    /// Exit with 1 if the change opens something, closes something, or either
    #[arg(long, value_enum, requires = "diff")]
    pub fail_on: Option<MapFailOn>,
    /// Compare with a reviewed file, one connection per line; exit with 1 if they differ
    #[arg(long, value_name = "FILE", conflicts_with_all = ["format", "json"])]
    pub check: Option<PathBuf>,
    /// Write the file of --check instead of comparing
    #[arg(long, requires = "check")]
    pub write: bool,
    /// Which Kubernetes cluster.
    #[command(flatten)]
    pub kube: KubeArgs,
}

/// How a map is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MapFormat {
    /// A table, or a list if it would be too wide
    Text,
    /// A table in Markdown
    Markdown,
    /// JSON: what `--json -` writes
    #[value(hide = true)]
    Json,
    /// One connection per line, sorted
    Lines,
    /// A graph in Mermaid, which GitHub draws
    Mermaid,
    /// A graph in Graphviz' language
    Dot,
    /// An SVG picture
    Svg,
}

/// What makes `map --diff` fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MapFailOn {
    /// Something is allowed that was not
    Opens,
    /// Something was allowed that is not
    Closes,
    /// Either
    Any,
}

/// Carries out `flowproof map`; returns the exit code.
pub async fn map(args: &MapArgs) -> Result<Exit, Failure> {
    if let Some(old) = &args.diff {
        return diff(old, args);
    }
    let reach = if args.paths.is_empty() {
        Reach::of(&live(&args.kube).await?)
    } else if let [only] = &args.paths[..] {
        of_path(only)?.reach
    } else {
        Reach::of(&of_files(&args.paths, None)?)
    };
    if let Some(file) = &args.check {
        return if args.write { write(file, &reach) } else { check(file, &reach) };
    }
    let json = json!({ "schema": SCHEMA, "map": reach });
    args.json.write(&json)?;
    if args.json.replaces_text() {
        return Ok(Exit::Success);
    }
    say(&match args.format {
        MapFormat::Text => map::text(&reach),
        MapFormat::Markdown => map::markdown(&reach),
        MapFormat::Json => format!("{json:#}\n"),
        MapFormat::Lines => reach.lines().iter().fold(String::new(), |text, line| format!("{text}{line}\n")),
        MapFormat::Mermaid => map::mermaid(&reach),
        MapFormat::Dot => map::dot(&reach),
        MapFormat::Svg => Picture::of(&reach).svg(),
    })
}

/// Shows what changes from one map to another.
fn diff(old: &Path, args: &MapArgs) -> Result<Exit, Failure> {
    let [new] = &args.paths[..] else {
        return Err(Failure::usage("--diff OLD takes one NEW").hint("flowproof map --diff OLD NEW"));
    };
    let show: fn(&Difference) -> String = match args.format {
        MapFormat::Text => map::difference,
        MapFormat::Markdown => map::difference_markdown,
        MapFormat::Json => |difference| format!("{:#}\n", difference_json(difference)),
        MapFormat::Lines | MapFormat::Mermaid | MapFormat::Dot | MapFormat::Svg => {
            let format =
                args.format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
            return Err(Failure::usage(format!("a difference cannot be shown as {format}"))
                .hint("--format text and --format markdown show one"));
        }
    };
    let (before, after) = (of_path(old)?, of_path(new)?);
    let mut difference = before.reach.difference(&after.reach);
    difference.explain(before.snapshot.as_ref(), after.snapshot.as_ref());
    args.json.write(&difference_json(&difference))?;
    if !args.json.replaces_text() {
        say(&show(&difference))?;
    }
    let (opens, closes) = (!difference.opens.is_empty(), !difference.closes.is_empty());
    let fails = match args.fail_on {
        Some(MapFailOn::Opens) => opens,
        Some(MapFailOn::Closes) => closes,
        Some(MapFailOn::Any) => opens || closes,
        None => false,
    };
    Ok(if fails { Exit::Mismatched } else { Exit::Success })
}

fn difference_json(Difference { opens, closes }: &Difference) -> Value {
    json!({ "schema": DIFFERENCE_SCHEMA, "opens": opens, "closes": closes })
}

/// A map, and what it was made from unless it was a saved map.
struct Mapped {
    reach: Reach,
    snapshot: Option<Snapshot>,
}

impl Mapped {
    fn of(snapshot: Snapshot) -> Self {
        Self { reach: Reach::of(&snapshot), snapshot: Some(snapshot) }
    }
}

/// The map of a file, a directory or a revision of git, or a saved map.
fn of_path(path: &Path) -> Result<Mapped, Failure> {
    if let Some(revision) = path.to_str().and_then(|path| path.strip_prefix(GIT)) {
        return of_revision(revision);
    }
    if let Some(saved) = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        && let Some(schema) = saved["schema"].as_str().filter(|schema| schema.starts_with("flowproof."))
    {
        if schema != SCHEMA {
            return Err(Failure::usage(format!("{} is {schema}, not a map ({SCHEMA})", path.display())));
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

/// `REV:PATH`: the manifests of a file, or of a folder and everything below it, as they are in a revision.
fn of_revision(text: &str) -> Result<Mapped, Failure> {
    let (revision, path) = text.split_once(':').ok_or_else(|| {
        Failure::usage(format!("'{GIT}{text}' has no path"))
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

/// The connections of a map, one per line.
fn connections(reach: &Reach) -> BTreeSet<String> {
    reach.lines().iter().map(ToString::to_string).collect()
}

/// Writes the file to review.
fn write(file: &Path, reach: &Reach) -> Result<Exit, Failure> {
    let text = connections(reach).iter().fold(String::new(), |text, line| text + line + "\n");
    write_to(file, &text).map(|()| Exit::Success)
}

/// Compares with a reviewed file.
fn check(file: &Path, reach: &Reach) -> Result<Exit, Failure> {
    let lines = connections(reach);
    let known = fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!("{} cannot be read: {error}", file.display())).hint("--write creates it")
    })?;
    let reviewed: BTreeSet<String> = known
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let mut differences = String::new();
    for line in lines.difference(&reviewed) {
        let _ = writeln!(differences, "+ {line}   (allowed, and not in {})", file.display());
    }
    for line in reviewed.difference(&lines) {
        let _ = writeln!(differences, "- {line}   (in {}, and not allowed)", file.display());
    }
    if differences.is_empty() {
        let all = match lines.len() {
            1 => "the connection is".to_owned(),
            several => format!("all {several} connections are"),
        };
        return say(&format!("{}: {all} as reviewed\n", file.display()));
    }
    say(&differences)?;
    Ok(Exit::Mismatched)
}
