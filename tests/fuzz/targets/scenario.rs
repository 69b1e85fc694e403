//! Scenario files: there is an answer for any bytes. A file that parses is linted, and every problem has a place and a text.
//!
//! A file that a scenario refers to has the same bytes, so that they also reach the readers of manifests and policies.

#![no_main]

#[path = "../keys.rs"]
mod keys;

use flowproof_core::{
    parse::{Loaded, deviations, scenario},
    policy::ApiServer,
    tools::lint,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut load = |name: &str| Ok(vec![Loaded { name: name.to_owned(), bytes: bytes.to_vec() }]);
    let problems = match scenario("fuzzed.yaml", bytes, &mut load) {
        Ok(scenario) => lint::scenario(&scenario, &ApiServer::default()),
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            problems
        }
    };
    for problem in problems {
        assert!(problem.at.line >= 1 && problem.at.column >= 1 && !problem.message.is_empty(), "{problem:?}");
    }
    let _ = deviations("fuzzed.yaml", bytes, &["block-misses-pods"]);
});
