//! The whole program on real networks: the shipped scenarios on every running cluster of the lab, then wrong surroundings.
//!
//! `FLOWPROOF_TEST_LAB=bridge,calico,cilium` names the lab's instances, each with the name of its network. Without it, all trials
//! are listed as ignored. Bridge enforces nothing, and a run of some scenarios must show that. Calico and Cilium have to pass all of them,
//! except for the deviations in `scenarios/known-deviations.yaml`, which must keep failing.
//!
//! On each of them, lint is compared with the API server, too: see `manifests.rs`.
//!
//! `FLOWPROOF_AGREEMENT=1` plays random policies on them instead, and compares with what the oracle says.

#![expect(clippy::print_stderr, reason = "figures are for whoever runs the tests")]

mod admission;
mod agreement;
mod applications;
mod capture;
mod check;
mod inside;
mod manifests;
mod network;
mod registry;
#[path = "../registry/server.rs"]
mod server;
mod shadows;
mod shipped;
mod surroundings;
mod watch;

use libtest_mimic::{Arguments, Trial};
use network::Network;
use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The trials stop components and count what others leave behind, so they run one at a time.
    arguments.test_threads = Some(1);
    let networks = env::var("FLOWPROOF_TEST_LAB").unwrap_or_default();
    let names: Vec<&str> = networks.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.is_empty() || arguments.list {
        let name = "shipped scenarios and wrong surroundings: FLOWPROOF_TEST_LAB names no network that is up";
        return libtest_mimic::run(&arguments, vec![Trial::test(name, || Ok(())).with_ignored_flag(true)])
            .exit_code();
    }
    let mut trials = Vec::new();
    for name in &names {
        let network = Network::named(name);
        network.load_image();
        trials.extend(agreement::trials(&network));
        if agreement::is_wanted() {
            continue;
        }
        trials.extend(manifests::trials(&network));
        trials.extend(shipped::trials(&network));
    }
    if agreement::is_wanted() {
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let enforcing: Vec<Network> =
        names.iter().filter(|name| **name != "bridge").map(|name| Network::named(name)).collect();
    trials.extend(enforcing.iter().flat_map(watch::trials));
    trials.extend(enforcing.iter().flat_map(capture::trials));
    trials.extend(enforcing.iter().flat_map(applications::trials));
    trials.extend(enforcing.iter().flat_map(check::trials));
    if let (Some(before), true) = (enforcing.first(), names.contains(&"bridge")) {
        trials.extend(watch::upgrade_trials(before, &Network::named("bridge")));
    }
    // One network that enforces is enough for the surroundings.
    match names.iter().find(|name| **name != "bridge") {
        Some(name) => {
            trials.extend(watch::trials_on_one_network(&Network::named(name)));
            trials.extend(surroundings::trials(&Network::named(name)));
            trials.extend(shadows::trials(&Network::named(name)));
            trials.push(inside::trial(&Network::named(name)));
            trials.push(registry::trial(&Network::named(name)));
            trials.extend(admission::trials(&Network::named(name)));
        }
        None => trials.push(
            Trial::test("wrong surroundings: they need a network that enforces", || Ok(()))
                .with_ignored_flag(true),
        ),
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
