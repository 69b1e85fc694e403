//! Every command line of flowproof in the documentation is valid, and every option in it exists.

use super::{documentation, text, yaml};
use clap::{CommandFactory, Parser, error::ErrorKind};
use flowproof::cli::Cli;
use std::collections::BTreeSet;

/// Splits as a shell does, as far as documentation needs it, and drops a comment. `None` inside an open quote.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote): (Vec<String>, Option<String>, Option<char>) =
        (Vec::new(), None, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            (None, ';' | '|' | '&') => {
                words.extend(word.take());
                words.push(c.to_string());
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// The arguments of each call of flowproof in a command line, with `flowproof` first; `cargo run … -- ` counts, too.
fn calls(line: &str) -> Vec<Vec<String>> {
    let Some(words) = words(line) else { return Vec::new() };
    let separator = |word: &String| [";", "|", "&"].contains(&word.as_str());
    let call = |command: &[String]| {
        let mut at = 0;
        if command.first().is_some_and(|word| word == "cargo")
            && command.get(1).is_some_and(|word| word == "run")
        {
            at = command.iter().position(|word| word == "--")?;
        } else {
            // Variables, `time`, and `kubectl`, of which flowproof can be a plugin.
            while command
                .get(at)
                .is_some_and(|word| word.contains('=') || word == "time" || word == "kubectl")
            {
                at += 1;
            }
            (command.get(at)?.rsplit('/').next() == Some("flowproof")).then_some(())?;
        }
        let mut call = vec!["flowproof".to_owned()];
        let arguments = command[at + 1..].iter().take_while(|word| *word != ">");
        call.extend(arguments.map(|word| word.trim_matches(['[', ']']).to_owned()));
        Some(call)
    };
    words.split(separator).filter_map(call).collect()
}

/// A line of the documentation with commands in it.
struct Shown {
    place: String,
    line: String,
    /// Whether it is in a code block; inside a sentence, a command may be incomplete.
    whole: bool,
}

fn shown() -> Vec<Shown> {
    let mut shown = Vec::new();
    for file in documentation() {
        let (mut inside, mut continued) = (false, String::new());
        for (number, line) in text(&file).lines().enumerate() {
            let place = format!("{file}:{}", number + 1);
            if line.trim_start().starts_with("```") {
                inside = !inside;
            } else if let Some(begun) = line.strip_suffix('\\').filter(|_| inside) {
                continued.push_str(begun);
            } else if inside {
                shown.push(Shown { place, line: std::mem::take(&mut continued) + line, whole: true });
            } else {
                let spans = line.split('`').skip(1).step_by(2);
                shown.extend(spans.map(|span| Shown {
                    place: place.clone(),
                    line: span.to_owned(),
                    whole: false,
                }));
            }
        }
    }
    shown
}

#[test]
fn every_command_that_is_shown_can_be_given() {
    let mut seen = BTreeSet::new();
    for Shown { place, line, whole } in shown() {
        for call in calls(&line) {
            let Err(error) = Cli::try_parse_from(&call) else {
                seen.insert(call.get(1).cloned().unwrap_or_default());
                continue;
            };
            let short = [
                ErrorKind::MissingRequiredArgument,
                ErrorKind::MissingSubcommand,
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                ErrorKind::InvalidValue, // a placeholder
            ];
            let help = [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind());
            assert!(help || !whole && short.contains(&error.kind()), "{place}: {line}\n{error}");
        }
    }
    let commands = Cli::command();
    let commands: BTreeSet<_> =
        commands.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let untold: Vec<_> = commands.difference(&seen).collect();
    assert!(untold.is_empty(), "commands that no page shows: {untold:?}");
}

#[test]
fn every_option_that_is_named_exists() {
    fn options(command: &clap::Command, found: &mut BTreeSet<String>) {
        for argument in command.get_arguments() {
            found.extend(argument.get_long().map(str::to_owned));
            found.extend(argument.get_all_aliases().into_iter().flatten().map(str::to_owned));
        }
        command.get_subcommands().for_each(|command| options(command, found));
    }
    let mut known = BTreeSet::from(["help".to_owned(), "version".to_owned()]);
    options(&Cli::command(), &mut known);
    // Options of other programs, named as such.
    let foreign = ["lib-dir"];
    let mut checked = 0;
    for Shown { place, line, .. } in
        shown().into_iter().filter(|shown| !shown.whole && shown.line.starts_with("--"))
    {
        let option = line.trim_start_matches('-').split([' ', '=', '|', ',']).next().unwrap_or_default();
        assert!(
            known.contains(option) || foreign.contains(&option),
            "{place}: there is no option --{option}"
        );
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}

/// The action's default arguments, and those that its description shows.
#[test]
fn the_commands_of_the_action_can_be_given() {
    let action = yaml("action.yml");
    let default = |input: &str| action["inputs"][input]["default"].as_str().unwrap_or_default().to_owned();
    for command in ["run", "check", "watch"] {
        let call = [
            "flowproof",
            command,
            "--context",
            "a",
            "--junit",
            &default("junit"),
            "--save",
            &default("json"),
            "b/",
        ];
        Cli::try_parse_from(call).unwrap_or_else(|error| panic!("{error}"));
    }
    Cli::try_parse_from(["flowproof", "image", "load", "--kind", "kind"])
        .unwrap_or_else(|error| panic!("{error}"));
    for shell in ["bash", "zsh", "fish"] {
        Cli::try_parse_from(["flowproof", "completions", shell]).unwrap_or_else(|error| panic!("{error}"));
    }
    let workflows = ["ci", "release"].map(|name| text(&format!(".github/workflows/{name}.yml"))).concat();
    let calls: Vec<_> = workflows.lines().flat_map(calls).collect();
    assert!(calls.len() >= 8, "{calls:?}");
    for call in calls {
        Cli::try_parse_from(&call).unwrap_or_else(|error| panic!("{call:?}: {error}"));
    }
    let workflow = yaml(".github/workflows/kind.yml").to_string();
    for arguments in super::between(&workflow, "\"args\":\"", "\"") {
        let call = format!("flowproof run {arguments}");
        assert!(Cli::try_parse_from(words(&call).expect("quotes are closed")).is_ok(), "{call}");
    }
}

#[test]
fn commands_are_found_as_a_shell_finds_them() {
    let call = |line: &str| calls(line).into_iter().map(|call| call.join("|")).collect::<Vec<_>>();
    assert_eq!(call("helm template . | flowproof run -f -   # your chart"), ["flowproof|run|-f|-"]);
    assert_eq!(call("flowproof lint a ; flowproof lint 'b c'"), ["flowproof|lint|a", "flowproof|lint|b c"]);
    assert_eq!(
        call("cargo run --release -p flowproof -- run --cluster local"),
        ["flowproof|run|--cluster|local"]
    );
    assert_eq!(call("KUBECONFIG=x time flowproof mutate"), ["flowproof|mutate"]);
    assert_eq!(call("kubectl flowproof check"), ["flowproof|check"]);
    assert_eq!(call("target/release/flowproof schema > schema.json"), ["flowproof|schema"]);
    assert_eq!(call("cargo test -p flowproof"), [""; 0]);
}
