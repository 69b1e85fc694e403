//! Shows what is wrong with files: the place, the line, a caret, the message, the hint. Legible without color.

use flowproof_core::text::{Position, Problem, Severity};
use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

/// What is wrong with a file, or why there is nothing to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileProblems {
    /// There is nothing at the path that can be read.
    Unreadable {
        /// The path, as it was given.
        path: String,
        /// Why: lower case, no full stop.
        why: String,
        /// What would help.
        hint: Option<String>,
    },
    /// The file was read, and something in it is wrong.
    Wrong {
        /// What is wrong, sorted by place.
        problems: Vec<Problem>,
        /// The texts of the file and of those that it refers to, by path.
        texts: BTreeMap<String, String>,
    },
}

impl FileProblems {
    /// How many of the problems are errors.
    pub fn errors(&self) -> usize {
        match self {
            Self::Unreadable { .. } => 1,
            Self::Wrong { problems, .. } => problems.iter().filter(|p| p.severity == Severity::Error).count(),
        }
    }

    /// How many problems there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Unreadable { .. } => 1,
            Self::Wrong { problems, .. } => problems.len(),
        }
    }
}

impl fmt::Display for FileProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, why, hint } => {
                writeln!(f, "error: {path}: {why}")?;
                if let Some(hint) = hint {
                    writeln!(f, "  = {hint}")?;
                }
                Ok(())
            }
            Self::Wrong { problems, texts } => {
                for (index, problem) in problems.iter().take(MOST_SHOWN).enumerate() {
                    if index > 0 {
                        writeln!(f)?;
                    }
                    show(f, problem, texts)?;
                }
                match problems.len().saturating_sub(MOST_SHOWN) {
                    0 => Ok(()),
                    more => writeln!(f, "\n… and {more} more"),
                }
            }
        }
    }
}

/// How many problems of one file are shown; nobody reads more of them anyway.
const MOST_SHOWN: usize = 100;

/// How many characters of a line are shown; a longer line is cut around the place.
const WIDTH: usize = 120;

fn show(f: &mut fmt::Formatter<'_>, problem: &Problem, texts: &BTreeMap<String, String>) -> fmt::Result {
    let Problem { severity, message, at, length, hint, related } = problem;
    let gutter = related.iter().map(|(at, _)| at.line).chain([at.line]).max().unwrap_or(1).to_string().len();
    let word = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    writeln!(f, "{word}: {}", visible(message))?;
    excerpt(f, at, *length, "", gutter, texts)?;
    for (place, what) in related {
        excerpt(f, place, 1, what, gutter, texts)?;
    }
    if let Some(hint) = hint {
        writeln!(f, "{:gutter$} = {}", "", visible(hint))?;
    }
    Ok(())
}

/// Shows a line and a caret under the place.
fn excerpt(
    f: &mut fmt::Formatter<'_>,
    at: &Position,
    length: u32,
    label: &str,
    gutter: usize,
    texts: &BTreeMap<String, String>,
) -> fmt::Result {
    writeln!(f, "{:gutter$}--> {at}", "")?;
    let line = texts.get(&at.file).and_then(|text| text.lines().nth(at.line.saturating_sub(1) as usize));
    let Some(line) = line else {
        if !label.is_empty() {
            writeln!(f, "{:gutter$} | {label}", "")?;
        }
        return Ok(());
    };
    let column = at.column.saturating_sub(1) as usize;
    let start = if column < WIDTH - 20 { 0 } else { column - 20 };
    let shown: String = line.chars().skip(start).take(WIDTH).collect();
    let before: String = line.chars().skip(start).take(column - start).collect();
    let room = WIDTH.saturating_sub(column - start).max(1);
    let meant: String = line.chars().skip(column).take((length as usize).min(room)).collect();
    let carets = "^".repeat(columns(&meant).max(1));
    let blank = " ".repeat(columns(&before));
    writeln!(f, "{:gutter$} |", "")?;
    writeln!(f, "{:gutter$} | {}", at.line, visible(&shown))?;
    writeln!(f, "{:gutter$} | {}", "", format!("{blank}{carets} {label}").trim_end())
}

/// A line as it is shown: tabs as four spaces, control characters replaced.
fn visible(line: &str) -> String {
    let mut shown = String::new();
    for c in line.trim_end().chars() {
        match c {
            '\t' => shown.push_str("    "),
            c if c.is_control() => shown.push('\u{fffd}'),
            // Characters that reorder the text around them.
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.push('\u{fffd}');
            }
            c => shown.push(c),
        }
    }
    shown
}

/// Roughly how many columns a text takes up on a terminal: East Asian characters and emoji take two.
fn columns(text: &str) -> usize {
    text.chars()
        .map(|c| match c {
            '\t' => 4,
            '\u{1100}'..='\u{115f}'
            | '\u{2e80}'..='\u{a4cf}'
            | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}'
            | '\u{fe30}'..='\u{fe6f}'
            | '\u{ff00}'..='\u{ff60}'
            | '\u{1f300}'..='\u{1faff}' => 2,
            _ => 1,
        })
        .sum()
}

/// All problems of all files, and how many there are.
#[must_use]
pub fn report(files: &[FileProblems]) -> String {
    let mut text = String::new();
    for file in files {
        let _ = writeln!(text, "{file}");
    }
    let count: usize = files.iter().map(FileProblems::count).sum();
    let (s, places) = (
        if count == 1 { "" } else { "s" },
        match files.len() {
            1 => "1 file".to_owned(),
            files => format!("{files} files"),
        },
    );
    let _ = writeln!(text, "{count} problem{s} in {places}; nothing was run");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str, line: u32, column: u32, length: u32) -> String {
        let at = Position { file: "a.yaml".into(), line, column };
        let mut problem = Problem::new(at, length, "something is wrong");
        problem.hint("do it right");
        FileProblems::Wrong {
            problems: vec![problem],
            texts: [("a.yaml".to_owned(), text.to_owned())].into(),
        }
        .to_string()
    }

    #[test]
    fn the_caret_stands_under_the_place() {
        let expected =
            "error: something is wrong\n --> a.yaml:2:3\n  |\n2 | a bcd e\n  |   ^^^\n  = do it right\n";
        assert_eq!(one("first\na bcd e\n", 2, 3, 3), expected);
    }

    #[test]
    fn tabs_and_wide_characters_do_not_shift_the_caret() {
        assert!(one("\tx\n", 1, 2, 1).contains("1 |     x\n  |     ^\n"), "{}", one("\tx\n", 1, 2, 1));
        assert!(one("日本x\n", 1, 3, 1).contains("1 | 日本x\n  |     ^\n"));
    }

    #[test]
    fn a_place_beyond_the_text_is_shown_without_a_line() {
        assert_eq!(one("x\n", 9, 9, 9), "error: something is wrong\n --> a.yaml:9:9\n  = do it right\n");
        assert!(one("x\n", 1, 900, 9).contains(" --> a.yaml:1:900\n"));
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = format!("{}HERE{}", "x".repeat(500), "y".repeat(500));
        let shown = one(&line, 1, 501, 4);
        assert!(shown.lines().all(|line| line.chars().count() <= WIDTH + 4), "{shown}");
        assert!(shown.contains("HERE"), "{shown}");
    }

    #[test]
    fn a_flood_of_problems_is_cut() {
        let at = Position { file: "a.yaml".into(), line: 1, column: 1 };
        let problem = Problem::new(at, 1, "no");
        let file = FileProblems::Wrong { problems: vec![problem; MOST_SHOWN + 7], texts: BTreeMap::new() };
        assert!(file.to_string().ends_with("… and 7 more\n"));
        assert!(report(&[file]).ends_with("107 problems in 1 file; nothing was run\n"));
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert!(!one("\u{1b}[31mred\n", 1, 1, 1).contains('\u{1b}'));
    }
}
