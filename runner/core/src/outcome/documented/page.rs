//! Reads `docs/results.md` and JSON for the tests that keep the page equal to the code.

use serde_json::Value;
use std::collections::BTreeSet;

/// The page.
pub const PAGE: &str = include_str!("../../../../../docs/results.md");

/// The paths of all fields: `scenarios[].steps[].title`. An observation's own fields depend on what was seen.
pub fn paths(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if !at.ends_with("observation") => {
            for (name, value) in fields {
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                // `restore` has the fields of any other step.
                if !path.ends_with("restore") {
                    paths(value, &path, found);
                }
                found.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, &format!("{at}[]"), found)),
        _ => {}
    }
}

/// The fields that a section of the page lists, in the first column of its tables.
pub fn documented(heading: &str) -> BTreeSet<String> {
    let section =
        PAGE.split("\n## ").find(|section| section.starts_with(heading)).expect("the section is there");
    let field = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    section.lines().filter_map(field).collect()
}
