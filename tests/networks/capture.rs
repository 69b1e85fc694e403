//! Captures on real nodes: kubelet and runtime give the probers what they need, and the sentences are right.

use super::network::{Network, Ran};
use libtest_mimic::{Failed, Trial};
use std::path::PathBuf;

/// The policy lets nobody in, whatever is expected, and nothing listens on the node's port 9.
const SCENARIO: &str = "
scenario: what is expected and is not so
namespaces: { app: , data: }
workloads:
  app/api:
  data/postgres: { labels: { app: postgres }, listens: [tcp/5432, udp/5432], node: other-than app/api }
services:
  data/db: { selector: { app: postgres }, ports: [tcp/5432] }
policies:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: { name: nobody, namespace: data }
    spec: { podSelector: {} }
expect:
  allow:
    - app/api -> data/postgres tcp/5432
    - app/api -> data/postgres udp/5432
    - app/api -> service data/db tcp/5432
    - app/api -> node of data/postgres tcp/9
    - app/api -> cluster-dns dns/udp
";

/// The trials on a network that enforces.
pub fn trials(network: &Network) -> Vec<Trial> {
    let network = network.clone();
    vec![Trial::test(format!("{}: captures tell where a flow died", network.name), move || {
        where_it_died(&network)
    })]
}

fn where_it_died(network: &Network) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let file: PathBuf = folder.path().join("scenario.yaml");
    std::fs::write(&file, SCENARIO)?;
    let ran = network.run(&["--capture", "--no-canary", "--settle", "4s", &file.display().to_string()]);
    let check = |holds: bool, what: &str| {
        let all = |ran: &Ran| format!("{what}; exit code {:?}\n{}\n{:#}", ran.code, ran.stderr, ran.outcome);
        holds.then_some(()).ok_or_else(|| Failed::from(all(&ran)))
    };
    check(ran.stderr.contains("enforce=privileged"), "the level of Pod Security is told")?;
    for (to, found, words) in [
        (
            "-> data/postgres tcp",
            "never-arrived",
            "the SYN left app/api's interface and never reached data/postgres's",
        ),
        (
            "-> data/postgres udp",
            "never-arrived",
            "the datagram left app/api's interface and never reached data/postgres's",
        ),
        (
            "-> service data/db tcp",
            "never-arrived",
            "the SYN left app/api's interface and never reached data/postgres's",
        ),
        ("node of", "reset", "a RST came from "),
        ("cluster-dns", "", ""),
    ] {
        let flows: Vec<_> = ran
            .flows()
            .into_iter()
            .map(|(_, flow)| flow)
            .filter(|flow| flow["flow"].as_str().is_some_and(|name| name.contains(to)))
            .collect();
        let says = |flow: &&serde_json::Value| {
            let captured = &flow["evidence"]["captured"];
            captured["found"].as_str().unwrap_or_default() == found
                && captured["text"].as_str().unwrap_or_default().contains(words)
        };
        check(!flows.is_empty() && flows.iter().all(says), &format!("{to}: {found}: {words}"))?;
    }
    let left = network.namespaces();
    check(left.is_empty(), "nothing is left behind")
}
