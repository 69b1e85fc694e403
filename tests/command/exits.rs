//! The exit codes that the documentation and `--help` list are those of the code.

use super::{flowproof, stdout};
use flowproof_core::outcome::Exit;
use std::{
    fs,
    path::{Path, PathBuf},
};
use walkdir::WalkDir;

/// README.md, and every page below `docs`.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let entries = WalkDir::new(root.join("docs")).into_iter();
    let below = entries.map(|entry| entry.expect("the folder can be read").into_path());
    let pages = below.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.chain([root.join("README.md")]).collect()
}

/// The rows `| number | meaning |…` below a heading "Exit codes".
fn listed(page: &str) -> Option<Vec<(String, String)>> {
    let heading = |line: &&str| line.starts_with('#') && line.trim_start_matches(['#', ' ']) == "Exit codes";
    let mut lines = page.lines();
    lines.find(heading)?;
    let below = lines.take_while(|line| !line.starts_with('#'));
    let row = |line: &str| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let (number, meaning) = (cells.next()?, cells.next()?);
        number.parse::<u8>().ok()?;
        Some((number.to_owned(), meaning.to_owned()))
    };
    Some(below.filter_map(row).collect())
}

#[test]
fn the_documented_exit_codes_are_those_of_the_code() {
    let known = Exit::ALL.map(|exit| (exit.code().to_string(), exit.meaning().to_owned())).to_vec();
    let mut found = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page can be read");
        if let Some(listed) = listed(&text) {
            assert_eq!(listed, known, "{}", page.display());
            found += 1;
        }
    }
    assert!(found > 0, "no page has the heading \"Exit codes\"");
}

#[test]
fn the_help_lists_all_exit_codes() {
    let help = stdout(&flowproof(&["--help"]));
    for exit in Exit::ALL {
        let line = format!("  {:>3}  {}", exit.code(), exit.meaning());
        assert!(help.lines().any(|shown| shown == line), "{line}\n{help}");
    }
}
