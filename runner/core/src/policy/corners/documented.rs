//! `docs/semantics.md` has exactly the rules that the table of corners has, with the same verdicts and sources.

use super::{Expect, cluster_network_policy, network_policy};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

const PAGE: &str = include_str!("../../../../../docs/semantics.md");

/// What [`super::unknown_peers_of_cluster_policies_fail_closed`] tests: manifests that the table cannot hold.
const BESIDE: [(&str, &str, &str); 2] = [("C23", "A", "allow"), ("C23", "A", "deny")];

/// The verdicts and the sources of a rule.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rule {
    verdicts: BTreeSet<String>,
    sources: BTreeSet<String>,
}

fn list(text: &str) -> BTreeSet<String> {
    text.split(", ").map(str::to_owned).collect()
}

/// The rules of the table, by number.
fn tested() -> BTreeMap<String, Rule> {
    let rows = network_policy().into_iter().chain(cluster_network_policy());
    let rows = rows.map(|(number, source, _, _, expect)| {
        let verdict = match expect {
            Expect::Allow => "allow",
            Expect::Deny => "deny",
            Expect::Open(_) => "unspecified",
            Expect::Invalid(_) => "invalid",
            Expect::Elsewhere(_) => "elsewhere",
        };
        (number, source, verdict)
    });
    let mut rules = BTreeMap::<String, Rule>::new();
    for (number, source, verdict) in rows.chain(BESIDE) {
        let rule = rules.entry(number.to_owned()).or_default();
        rule.verdicts.insert(verdict.to_owned());
        rule.sources.extend(list(source));
    }
    rules
}

/// The number and the text of each section of the page that is a rule, in the order of the page.
fn sections() -> Vec<(&'static str, &'static str)> {
    let sections = PAGE.split("\n### ").skip(1);
    sections.map(|section| section.split_once(". ").expect("a rule begins with its number")).collect()
}

#[test]
fn the_page_has_the_rules_that_are_tested() {
    let mut documented = BTreeMap::new();
    for (number, text) in sections() {
        let last = text.lines().find_map(|line| line.strip_prefix("Verdict: ")?.strip_suffix('.'));
        let last = last.unwrap_or_else(|| panic!("rule {number} has no line with its verdict and source"));
        let (verdicts, sources) = last.split_once(". Source: ").expect("the source follows the verdict");
        let rule = Rule { verdicts: list(verdicts), sources: list(sources) };
        assert!(documented.insert(number.to_owned(), rule).is_none(), "rule {number} is there twice");
    }
    let tested = tested();
    let mut differences = String::new();
    for number in documented.keys().chain(tested.keys()).collect::<BTreeSet<_>>() {
        let (page, table) = (documented.get(number), tested.get(number));
        if page != table {
            writeln!(differences, "rule {number}: the page has {page:?}, the table has {table:?}")
                .expect("text");
        }
    }
    assert!(differences.is_empty(), "docs/semantics.md and corners.rs differ:\n{differences}");
}

#[test]
fn the_page_counts_its_rules() {
    let expected =
        (1..=53).map(|number| number.to_string()).chain((1..=23).map(|number| format!("C{number}")));
    let numbers: Vec<&str> = sections().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, expected.collect::<Vec<_>>());
}

/// A reader has no use for an abbreviation that the page does not explain.
#[test]
fn every_source_is_explained() {
    let known: Vec<&str> =
        PAGE.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
    for (number, rule) in tested() {
        for source in rule.sources {
            let source = if source.starts_with("k/k #") { "k/k #N" } else { &source };
            assert!(known.contains(&source), "rule {number}: the page does not explain '{source}'");
        }
    }
}
