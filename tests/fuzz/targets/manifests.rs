//! Plain manifests: there is an answer for any bytes; and every scenario that is generated from them parses, and its policies do
//! not contradict its expectations.

#![no_main]

#[path = "../keys.rs"]
mod keys;

use flowproof_core::{
    parse::scenario,
    policy::{ApiServer, Channel},
    snapshot::manifests,
    text::Severity,
    tools::{generate, lint},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // A generated scenario contains the policy, experimental fields included.
    let server = ApiServer { channel: Channel::Experimental, ..ApiServer::default() };
    let (snapshot, _) = manifests(&[("fuzzed.yaml".to_owned(), bytes.to_vec())]);
    let _ = lint::snapshot(&snapshot, &server);
    let (generated, _) = generate::scenarios(&snapshot);
    for made in generated {
        let parsed =
            scenario(&made.file, made.text.as_bytes(), &mut |path| Err(format!("{path} is not written out")));
        let problems = match parsed {
            Ok(scenario) => lint::scenario(&scenario, &server),
            Err(problems) => problems,
        };
        let wrong: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        assert!(wrong.is_empty(), "{}\n{wrong:?}", made.text);
    }
});
