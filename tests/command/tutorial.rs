//! `docs/tutorial.md` and the guides are right: their blocks are carried out, in order, in a directory with the examples.
//!
//! | block | what happens |
//! |---|---|
//! | `console` | a shell runs each line after `$ `; the output is compared, except times and ids of runs. The line must succeed, unless `$ echo $?` follows, which prints its exit code |
//! | `yaml FILE` | is written to the file |
//! | `sh` | needs helm, kubectl or a cluster, and is not run |
//! | `text`, `yaml` without a file, or no name | is shown and not run. `tests/release` looks at the commands in it |
//!
//! For `flowproof run` and `flowproof check`, only stdout is compared, because stderr has only progress. `UPDATE=1` rewrites the
//! outputs in the pages.

use std::{
    env, fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::{Command, Stdio},
};

/// What marks an `sh` block that this machine need not be able to run.
const ELSEWHERE: [&str; 3] = ["helm ", "kubectl ", "--context "];

/// A directory in which the commands of the page run, and the exit code of the last.
struct Shell<'d> {
    directory: &'d Path,
    code: i32,
}

impl Shell<'_> {
    /// Runs one line; returns its output as a reader sees it.
    fn run(&mut self, line: &str) -> String {
        if line == "echo $?" {
            return format!("{}\n", std::mem::take(&mut self.code));
        }
        let seen = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        let open = || Stdio::from(seen.reopen().expect("it can be opened again"));
        // One offset for both, so that their order is kept.
        let both = seen.reopen().expect("it can be opened again");
        let program = Path::new(env!("CARGO_BIN_EXE_flowproof")).parent().expect("it is in a folder");
        let path =
            [program.as_os_str().as_bytes(), env::var_os("PATH").unwrap_or_default().as_bytes()].join(&b':');
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.directory).stdin(Stdio::null());
        command.env("PATH", std::ffi::OsStr::from_bytes(&path)).env("HOME", "/nonexistent");
        command.env_remove("KUBECONFIG").env_remove("GITHUB_STEP_SUMMARY");
        if line.starts_with("flowproof run ") || line.starts_with("flowproof check ") {
            command.stdout(open()).stderr(Stdio::null());
        } else {
            command
                .stderr(Stdio::from(both.try_clone().expect("it can be shared")))
                .stdout(Stdio::from(both));
        }
        self.code = command.status().expect("there is a shell").code().expect("nothing ends it");
        fs::read_to_string(seen.path()).expect("it is text")
    }
}

/// Runs the blocks of a page; returns the page with the current outputs, and all differences.
fn played(page: &str, directory: &Path) -> (String, Vec<String>) {
    let mut shell = Shell { directory, code: 0 };
    let (mut now, mut wrong) = (String::new(), Vec::new());
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        now.push_str(line);
        now.push('\n');
        let Some(info) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let mut text = block.iter().fold(String::new(), |text, line| text + line + "\n");
        match info.split_once(' ').unwrap_or((info, "")) {
            ("console", "") => {
                let printed = console(&text, &mut shell, &mut wrong);
                if differs(&text, &printed) {
                    wrong.push(format!("--- the page\n{text}--- now\n{printed}"));
                }
                text = printed;
            }
            ("yaml", file) if !file.is_empty() => {
                let file = directory.join(file);
                fs::create_dir_all(file.parent().expect("it is in a folder")).expect("it can be made");
                fs::write(file, &text).expect("it can be written");
            }
            ("sh", "") => {
                for line in block.iter().filter(|line| !ELSEWHERE.iter().any(|word| line.contains(word))) {
                    wrong.push(format!("'{line}' is not run, and could be"));
                }
            }
            ("" | "text" | "yaml", "") => {
                let prompts = block.iter().filter(|line| line.starts_with("$ "));
                wrong.extend(prompts.map(|line| format!("'{line}' is not run in a block of '{info}'")));
            }
            _ => wrong.push(format!("what is a block of '{info}'?")),
        }
        now.push_str(&text);
        now.push_str("```\n");
    }
    (now, wrong)
}

/// Runs the commands of a block; returns it with what they print.
fn console(text: &str, shell: &mut Shell<'_>, wrong: &mut Vec<String>) -> String {
    let mut printed = String::new();
    let commands: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    for (index, command) in commands.iter().enumerate() {
        let seen = shell.run(command);
        if shell.code != 0 && commands.get(index + 1) != Some(&"echo $?") {
            wrong.push(format!("'{command}' ends with {}", shell.code));
        }
        printed.extend(["$ ", command, "\n"]);
        for line in seen.trim_end().lines() {
            printed.push_str(line.trim_end());
            printed.push('\n');
        }
    }
    printed
}

/// Whether two outputs differ in anything but times, ids and the width of columns.
fn differs(one: &str, other: &str) -> bool {
    let lines = |text: &str| text.lines().map(told).collect::<Vec<_>>();
    lines(one) != lines(other)
}

/// A line without what differs each time.
fn told(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in line.split_whitespace() {
        let unit = word.trim_end_matches([',', '.', ')']);
        let is_time =
            matches!(unit, "s" | "ms") && words.last().is_some_and(|last| last.parse::<f64>().is_ok());
        let is_id = words.last() == Some(&"(run");
        if is_time {
            words.pop();
        } else if !is_id {
            words.push(word);
        }
    }
    words.join(" ")
}

/// Plays a page, in a directory of its own.
fn prints_what_it_says(page: &str, commands: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = root.join(page);
    let text = fs::read_to_string(&page).expect("the page is there");
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let docs = directory.path().join("docs");
    fs::create_dir(&docs).expect("it can be made");
    let copied = Command::new("cp").arg("-r").arg(root.join("docs/examples")).arg(&docs).status();
    assert!(copied.expect("cp can be started").success());
    let (now, wrong) = played(&text, directory.path());
    if env::var_os("UPDATE").is_some() {
        fs::write(&page, now).expect("the page can be written");
    } else {
        assert!(wrong.is_empty(), "{}: {}", page.display(), wrong.join("\n"));
    }
    assert!(text.matches("$ flowproof ").count() >= commands, "{} has lost its commands", page.display());
}

#[test]
fn the_tutorial_prints_what_it_says() {
    prints_what_it_says("docs/tutorial.md", 10);
}

#[test]
fn the_first_look_prints_what_it_says() {
    prints_what_it_says("docs/guides/first-look.md", 2);
}

#[test]
fn the_guide_to_scenarios_prints_what_it_says() {
    prints_what_it_says("docs/guides/write-a-scenario.md", 3);
}

#[test]
fn a_page_that_is_not_true_is_told() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let wrong = |page: &str| played(page, directory.path()).1.len();
    assert_eq!(wrong("```console\n$ echo took 3 ms\ntook 2 ms\n```\n"), 0, "times differ");
    assert_eq!(wrong("```console\n$ echo yes\nno\n```\n"), 1);
    assert_eq!(wrong("```console\n$ false\n```\n"), 1);
    assert_eq!(wrong("```console\n$ false\n$ echo $?\n1\n```\n"), 0);
    assert_eq!(wrong("```sh\nhelm template .\n```\n"), 0);
    assert_eq!(wrong("```sh\nflowproof lint\n```\n"), 1);
    assert_eq!(wrong("```\n$ flowproof lint\n```\n"), 1);
    assert_eq!(wrong("```\nflowproof lint\n```\n"), 0, "shown, not run");
}
