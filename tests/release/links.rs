//! Every link of the documentation works, on GitHub and on the site that mdBook makes of `docs/`.
//!
//! The site has only the pages of `docs/`. A page of `docs/` therefore links to other files by their address on GitHub; the test
//! looks for the file in this tree.

use super::{documentation, root, text};
use std::collections::{BTreeMap, BTreeSet};

/// Where the files of this repository are.
const REPOSITORY: &str = "https://github.com/flowproof/flowproof";

/// A page without code, which has no links.
fn without_code(page: &str) -> String {
    let mut inside = false;
    let mut plain = String::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            plain.push_str(line);
        }
        plain.push('\n');
    }
    // Code in a sentence may continue on the next line.
    plain.split('`').enumerate().filter(|(index, _)| index % 2 == 0).map(|(_, part)| part).collect()
}

/// The targets of a page's links and pictures.
fn links(page: &str) -> Vec<String> {
    let plain = without_code(page);
    let targets = plain.split("](").skip(1).filter_map(|part| part.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let (mut inside, mut seen) = (false, BTreeMap::<String, usize>::new());
    let mut anchors = BTreeSet::new();
    for line in page.lines() {
        if line.starts_with("```") {
            inside = !inside;
        }
        let Some(heading) = line.trim_start_matches('#').strip_prefix(' ') else { continue };
        if inside || !line.starts_with('#') {
            continue;
        }
        let slug: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let count = seen.entry(slug.clone()).or_default();
        anchors.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    anchors
}

/// A path without `.` and `..`; `None` if it leaves the repository.
fn normal(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

/// What is wrong with a link of a file.
fn wrong(file: &str, link: &str) -> Option<String> {
    let (target, anchor) =
        link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
    let path = if let Some(path) = target.strip_prefix(REPOSITORY) {
        match path.strip_prefix("/blob/main/") {
            Some(path) => path.to_owned(),
            None if path.is_empty() => "README.md".to_owned(),
            None => return None, // releases, issues
        }
    } else if target.contains("://") {
        return None;
    } else if target.is_empty() {
        file.to_owned()
    } else {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let Some(path) = normal(&format!("{folder}/{target}")) else {
            return Some("it leaves the repository".to_owned());
        };
        if file.starts_with("docs/") && !path.starts_with("docs/") {
            return Some(format!("the site has only docs/: write {REPOSITORY}/blob/main/{path}"));
        }
        path
    };
    if !root().join(&path).exists() {
        return Some(format!("there is no {path}"));
    }
    let anchor = anchor?;
    (!anchors(&text(&path)).contains(anchor)).then(|| format!("{path} has no heading for #{anchor}"))
}

#[test]
fn every_link_leads_to_something() {
    let mut found = Vec::new();
    let mut checked = 0;
    for file in documentation() {
        for link in links(&text(&file)) {
            checked += 1;
            found.extend(wrong(&file, &link).map(|why| format!("{file}: ({link}): {why}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(checked > 100, "only {checked} links were found");
}

/// mdBook leaves out pages that its summary does not list.
#[test]
fn the_summary_lists_every_page() {
    let listed: BTreeSet<_> =
        links(&text("docs/SUMMARY.md")).into_iter().map(|link| format!("docs/{link}")).collect();
    let pages =
        documentation().into_iter().filter(|file| file.starts_with("docs/") && file != "docs/SUMMARY.md");
    let unlisted: Vec<_> = pages.filter(|file| !listed.contains(file)).collect();
    assert!(unlisted.is_empty(), "docs/SUMMARY.md does not list {unlisted:?}");
}

#[test]
fn links_and_headings_are_found() {
    let page = "# A page\nsee [one](a.md), ![two](b.png) and [`code`\nover lines](c.md#d) but not `[x](y)`\n\
                ```\n[no](link)\n# no heading\n```\n## The `code`, and: more\n## Twice\n## Twice\n";
    assert_eq!(links(page), ["a.md", "b.png", "c.md#d"]);
    let anchors: Vec<_> = anchors(page).into_iter().collect();
    assert_eq!(anchors, ["a-page", "the-code-and-more", "twice", "twice-1"]);
}

#[test]
fn wrong_links_are_reported() {
    let why = |file: &str, link: &str| wrong(file, link).unwrap_or_default();
    assert_eq!(why("README.md", "docs/semantics.md#ports-and-protocols"), "");
    assert_eq!(why("README.md", "https://example.org/nothing"), "");
    assert_eq!(why("README.md", "docs/nothing.md"), "there is no docs/nothing.md");
    assert_eq!(why("README.md", "../elsewhere"), "it leaves the repository");
    assert_eq!(why("docs/semantics.md", "#nothing"), "docs/semantics.md has no heading for #nothing");
    assert_eq!(
        why("docs/guides/ci.md", "../results.md#nothing"),
        "docs/results.md has no heading for #nothing"
    );
    let outside = why("docs/semantics.md", "../README.md");
    assert!(
        outside.ends_with("write https://github.com/flowproof/flowproof/blob/main/README.md"),
        "{outside}"
    );
    let anchor = why("docs/semantics.md", "https://github.com/flowproof/flowproof#nothing");
    assert_eq!(anchor, "README.md has no heading for #nothing");
}
