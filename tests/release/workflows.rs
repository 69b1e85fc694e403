//! The action and the workflows have the form that GitHub requires: the fields that matter, by GitHub's documentation of both
//! syntaxes; and everything that they name exists.

use super::{between, keys, root, targets, text, yaml};
use serde_json::Value;
use std::{collections::BTreeSet, fs};

fn workflows() -> Vec<(String, Value)> {
    let directory = fs::read_dir(root().join(".github/workflows")).expect("there are workflows");
    let names = directory.map(|entry| entry.expect("it can be listed").file_name().display().to_string());
    let files = names.map(|name| format!(".github/workflows/{name}")).collect::<BTreeSet<_>>();
    assert!(files.len() >= 3, "{files:?}");
    files.into_iter().map(|file| (file.clone(), yaml(&file))).collect()
}

fn only(place: &str, value: &Value, known: &[&str]) {
    let unknown = keys(value).into_iter().filter(|key| !known.contains(key)).collect::<Vec<_>>();
    assert!(unknown.is_empty(), "{place}: {unknown:?}");
}

/// The expressions of a value, `${{ … }}`, trimmed.
fn expressions(value: &Value) -> Vec<String> {
    between(&value.to_string(), "${{", "}}").into_iter().map(|inside| inside.trim().to_owned()).collect()
}

/// What follows `prefix` in the expressions of a value, up to the next character that is not part of a name.
fn named(value: &Value, prefix: &str) -> BTreeSet<String> {
    let name = |rest: &str| {
        rest.split(|c: char| !c.is_alphanumeric() && !"-_.".contains(c)).next().map(str::to_owned)
    };
    let parts = expressions(value).into_iter();
    parts.flat_map(|text| text.split(prefix).skip(1).filter_map(name).collect::<Vec<_>>()).collect()
}

/// A step is a command or an action, and no expression is part of a command, because its value could contain commands.
fn check_step(place: &str, step: &Value) {
    let known = [
        "id",
        "name",
        "if",
        "run",
        "shell",
        "uses",
        "with",
        "env",
        "continue-on-error",
        "working-directory",
        "timeout-minutes",
    ];
    only(place, step, &known);
    assert!(step["run"].is_string() != step["uses"].is_string(), "{place}: either run or uses: {step}");
    let run = step["run"].as_str().unwrap_or_default();
    assert!(!run.contains("${{"), "{place}: an expression in a command; hand it over in env: {run}");
    if let Some(uses) = step["uses"].as_str() {
        let version = uses.rsplit_once("@v").map(|(_, version)| version);
        let pinned =
            version.is_some_and(|v| !v.is_empty() && v.chars().all(|c| c.is_ascii_digit() || c == '.'));
        assert!(uses == "./" || pinned, "{place}: {uses} has no version");
    }
}

#[test]
fn workflows_have_the_shape_that_github_asks_for() {
    for (file, workflow) in workflows() {
        only(
            &file,
            &workflow,
            &["name", "on", "permissions", "concurrency", "env", "defaults", "jobs", "run-name"],
        );
        assert!(workflow["name"].is_string() && workflow["on"].is_object(), "{file}");
        assert_eq!(
            workflow["permissions"]["contents"], "read",
            "{file}: a job that needs more says so itself"
        );
        assert!(!keys(&workflow["jobs"]).is_empty(), "{file}");
        for (name, job) in workflow["jobs"].as_object().expect("jobs are a mapping") {
            let place = format!("{file}: {name}");
            let known = [
                "name",
                "needs",
                "if",
                "runs-on",
                "permissions",
                "environment",
                "concurrency",
                "outputs",
                "env",
                "strategy",
                "timeout-minutes",
                "steps",
                "services",
                "container",
            ];
            only(&place, job, &known);
            assert!(job["runs-on"].is_string() && job["timeout-minutes"].is_u64(), "{place}");
            let steps = job["steps"].as_array().unwrap_or_else(|| panic!("{place}: no steps"));
            for (index, step) in steps.iter().enumerate() {
                check_step(&format!("{place}, step {}", index + 1), step);
            }
        }
    }
}

#[test]
fn what_jobs_name_is_there() {
    for (file, workflow) in workflows() {
        let jobs = &workflow["jobs"];
        for (name, job) in jobs.as_object().expect("jobs are a mapping") {
            let place = format!("{file}: {name}");
            let needs = match &job["needs"] {
                Value::String(one) => vec![one.as_str()],
                Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            };
            assert!(needs.iter().all(|needed| jobs[needed].is_object()), "{place}: {needs:?}");
            for used in named(job, "needs.") {
                let (of, output) =
                    used.split_once(".outputs.").unwrap_or_else(|| panic!("{place}: needs.{used}"));
                assert!(needs.contains(&of), "{place}: needs.{used}");
                assert!(jobs[of]["outputs"][output].is_string(), "{place}: needs.{used}");
            }
            let matrix = &job["strategy"]["matrix"];
            let mut dimensions = keys(matrix);
            dimensions.extend(
                matrix["include"].as_array().and_then(|all| all.first()).map(keys).unwrap_or_default(),
            );
            for used in named(job, "matrix.") {
                assert!(dimensions.contains(&used.as_str()), "{place}: matrix.{used}");
            }
            let steps = job["steps"].as_array().expect("there are steps");
            for used in named(job, "steps.") {
                let (id, output) =
                    used.split_once(".outputs.").unwrap_or_else(|| panic!("{place}: steps.{used}"));
                let step = steps.iter().find(|step| step["id"] == id);
                let step = step.unwrap_or_else(|| panic!("{place}: no step has the id {id}"));
                let run = step["run"].as_str().unwrap_or_default();
                assert!(
                    step["uses"].is_string() || run.contains(&format!("{output}=")),
                    "{place}: steps.{used}"
                );
            }
        }
    }
}

#[test]
fn the_action_has_the_shape_that_github_asks_for() {
    let action = yaml("action.yml");
    only("action.yml", &action, &["name", "author", "description", "inputs", "outputs", "runs", "branding"]);
    assert!(action["name"].is_string() && action["description"].is_string());
    assert!(
        action["description"].as_str().is_some_and(|text| text.len() < 125),
        "the Marketplace shows 125 characters"
    );
    only("branding", &action["branding"], &["icon", "color"]);
    let name = |name: &&str| {
        name.starts_with(|c: char| c.is_alphabetic()) && name.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    for (input, about) in action["inputs"].as_object().expect("there are inputs") {
        only(input, about, &["description", "required", "default", "deprecationMessage"]);
        assert!(name(&input.as_str()) && about["description"].is_string(), "{input}");
        assert!(about.get("default").is_none_or(Value::is_string), "{input}: {about}");
    }
    for (output, about) in action["outputs"].as_object().expect("there are outputs") {
        only(output, about, &["description", "value"]);
        assert!(
            name(&output.as_str()) && about["description"].is_string() && about["value"].is_string(),
            "{output}"
        );
    }
    only("runs", &action["runs"], &["using", "steps"]);
    assert_eq!(action["runs"]["using"], "composite");
    for step in action["runs"]["steps"].as_array().expect("there are steps") {
        check_step("action.yml", step);
        assert!(
            step["uses"].is_string() || step["shell"].is_string(),
            "a command of an action names its shell"
        );
    }
}

#[test]
fn the_action_its_script_and_its_users_agree() {
    let action = yaml("action.yml");
    let script = text(".github/action/run.sh");
    let declared: BTreeSet<_> = keys(&action["inputs"]).into_iter().map(str::to_owned).collect();
    assert_eq!(named(&action["runs"], "inputs."), declared, "inputs that are used, and that are declared");

    let step = &action["runs"]["steps"][0];
    for input in &declared {
        let variable = format!("INPUT_{}", input.to_uppercase());
        assert_eq!(step["env"][&variable], format!("${{{{ inputs.{input} }}}}"), "{input}");
        assert!(
            script.contains(&variable) || script.contains(&format!(" {}", input.to_uppercase())),
            "{variable}"
        );
    }
    let written = |output: &str| {
        script.contains(&format!("output {output} ")) || script.contains("for name in junit json")
    };
    let outputs = named(&action["outputs"], "steps.flowproof.outputs.");
    assert_eq!(outputs, keys(&action["outputs"]).into_iter().map(str::to_owned).collect());
    assert!(outputs.iter().all(|output| written(output)) && step["id"] == "flowproof", "{outputs:?}");

    let mut users = 0;
    for (file, workflow) in workflows() {
        for job in workflow["jobs"].as_object().expect("jobs are a mapping").values() {
            for step in
                job["steps"].as_array().expect("there are steps").iter().filter(|step| step["uses"] == "./")
            {
                users += 1;
                let given = keys(&step["with"]);
                assert!(given.iter().all(|input| declared.contains(*input)), "{file}: {given:?}");
            }
        }
    }
    assert!(users > 0, "no workflow uses the action");
}

#[test]
fn everybody_knows_the_same_targets() {
    let release = yaml(".github/workflows/release.yml");
    let include =
        |job: &str| release["jobs"][job]["strategy"]["matrix"]["include"].as_array().expect("a list");
    let target = |one: &Value| one["target"].as_str().expect("a target").to_owned();
    let built: Vec<String> = ["linux", "macos"].into_iter().flat_map(include).map(target).collect();
    assert_eq!(
        built.iter().collect::<BTreeSet<_>>(),
        targets().iter().collect(),
        "built, and in the krew manifest"
    );
    let script = text(".github/action/run.sh");
    assert!(
        built.iter().all(|target| script.contains(&format!("echo {target} ;;"))),
        "the action fetches each"
    );
}

#[test]
fn scripts_that_workflows_call_exist() {
    for (file, workflow) in workflows() {
        let run = workflow.to_string();
        for script in between(&run, " .ci/", " ").into_iter().chain(between(&run, "$(.ci/", " ")) {
            let name = script.trim_end_matches(['\\', '"']);
            assert!(root().join(".ci").join(name).exists(), "{file}: .ci/{name}");
        }
    }
}

#[test]
fn the_same_mdbook_builds_the_documentation_everywhere() {
    let ci = text(".ci/run");
    let version = between(&ci, "MDBOOK=", "\n");
    let installed = format!("cargo install --locked mdbook@{}\n", version[0]);
    assert!(text(".github/workflows/docs.yml").contains(&installed), "{installed}");
}
