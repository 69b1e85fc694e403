//! The shipped scenarios: complete, readable, valid by the schema, and right by the rules of the API.

use super::super::*;
use crate::diagnose::{
    script::{Script, Stage},
    suspect::{Place, Suspect},
};
use flowproof_core::{
    parse::{DeviationSubject, json_schema},
    place::schedule::{self, Limits},
    policy::ApiServer,
};
use serde_json::Value;

/// The folder of the shipped scenarios.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

#[test]
fn every_scenario_of_the_folder_is_shipped() {
    let files: Vec<String> = find(&folder())
        .expect("the folder is there")
        .iter()
        .map(|path| path.strip_prefix(folder()).expect("it is in the folder").display().to_string())
        .collect();
    let shipped: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
    assert_eq!(files, shipped);
}

#[test]
fn all_are_read_and_small() {
    let scenarios = shipped().unwrap_or_else(|problems| panic!("{}", crate::problems::report(&problems)));
    assert_eq!(scenarios.len(), SHIPPED.len());
    for scenario in scenarios {
        assert!(!scenario.why.is_empty(), "{} says why", scenario.file);
        assert!(scenario.topology.workloads.len() <= 9, "{} has few pods", scenario.file);
        let denies =
            |step: &flowproof_core::scenario::Step| step.expectations.iter().any(|e| e.wanted.may_deny());
        assert!(scenario.steps.iter().any(denies), "{} denies something", scenario.file);
    }
}

/// Pods are what a run waits for: scenarios whose topologies agree share them, and each says only what it needs itself.
#[test]
fn they_share_few_deployments() {
    let scenarios = shipped().expect("all are read");
    let limits = Limits { jobs: 1, lane_share: 1, urgent: 0 };
    let lanes = schedule::lanes(&scenarios, limits, |_| true);
    assert!(lanes.len() <= 6, "{} deployments", lanes.len());
}

/// Known deviations name a scenario by its file's name alone.
#[test]
fn no_two_have_the_same_name() {
    let stems: BTreeSet<&str> = SHIPPED.iter().filter_map(|(name, _)| name.rsplit('/').next()).collect();
    assert_eq!(stems.len(), SHIPPED.len());
}

#[test]
fn every_capability_is_shown() {
    use flowproof_core::scenario::capability::Capability;
    let scenarios = shipped().expect("all are read");
    let shown: BTreeSet<Capability> =
        scenarios.iter().flat_map(|s| &s.steps).flat_map(|step| step.shows.iter().copied()).collect();
    for scenario in &scenarios {
        assert!(scenario.steps.iter().all(|step| !step.shows.is_empty()), "{}", scenario.file);
    }
    let missing: Vec<_> = Capability::ALL.iter().filter(|c| !c.is_read() && !shown.contains(c)).collect();
    assert!(missing.is_empty(), "no scenario shows {missing:?}");
}

#[test]
fn known_deviations_are_about_flows_of_the_scenarios() {
    let scenarios = shipped().expect("all are read");
    let deviations =
        known_deviations(&[]).unwrap_or_else(|problems| panic!("{}", crate::problems::report(&problems)));
    assert!(!deviations.is_empty());
    let covers = |deviation: &Deviation, scenario: &Scenario| match &deviation.subject {
        DeviationSubject::Flows { .. } => {
            let mut expected = scenario.steps.iter().flat_map(|step| &step.expectations);
            expected.any(|e| {
                let wanted = e.wanted.written();
                wanted.is_some_and(|wanted| deviation.covers(&scenario.file, &e.flow, wanted).is_some())
            })
        }
        DeviationSubject::Fault(name) => {
            let suspect =
                Suspect { fault: Fault::named(name).expect("it was read"), place: Place::Everywhere };
            let script = Script::of(scenario, &Stage::planned(&scenario.topology), None);
            script.is_ok_and(|script| script.predict(Some(suspect)) != script.predict(None))
        }
    };
    for deviation in deviations {
        let covered = scenarios.iter().any(|scenario| covers(&deviation, scenario));
        assert!(covered, "{}: no flow of a scenario is meant", deviation.at);
    }
}

/// `UPDATE=1 cargo test -p flowproof shipped` writes the file anew.
#[test]
fn the_schema_file_is_current() {
    let path = folder().join("schema.json");
    let wanted = format!("{:#}\n", json_schema());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &wanted).expect("the file can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "scenarios/schema.json is out of date: UPDATE=1 cargo test -p flowproof shipped"
    );
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&json_schema()).expect("the schema is one")
}

#[test]
fn all_are_valid_by_the_schema_that_their_first_line_names() {
    let validator = validator();
    for (name, text) in SHIPPED {
        assert!(text.starts_with("# yaml-language-server: $schema=../schema.json\n"), "{name}");
        let value: Value = serde_saphyr::from_str(text).expect("it is YAML");
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
}

#[test]
fn the_schema_refuses_what_has_no_place() {
    let validator = validator();
    let good = include_str!("../../../../scenarios/basics/default-deny-ingress.yaml");
    assert!(validator.is_valid(&serde_saphyr::from_str(good).expect("it is YAML")));
    for (from, to) in [
        ("\nscenario:", "\nscenaro:"),
        ("labels:", "lables:"),
        ("[tcp/8080]", "[tcp]"),
        ("-> data/postgres", "=> data/postgres"),
        ("expect:", "steps: []\nexpect:"),
        ("app/api:", "api:"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "'{from}' is there to be replaced");
        assert!(!validator.is_valid(&serde_saphyr::from_str(&bad).expect("it is YAML")), "{to}");
    }
}

#[test]
fn all_expect_what_the_api_says() {
    for scenario in shipped().expect("all are read") {
        // Some are about what only looks wrong: warnings are fine.
        let found = flowproof_core::tools::lint::scenario(&scenario, &ApiServer::default());
        assert!(!sources::has_errors(&found), "{found:#?}");
    }
}
