//! Which networks and flows an entry is about, and what is wrong with bad entries.

use super::*;
use crate::scenario::{flow::Target, name::Qualified};
use flowproof_wire::Transport;

const ENTRY: &str = "
- cni: cilium
  versions: '>=1.10, <2'
  scenario: ipblock
  flows: [app/* -> data/postgres tcp/5432, any -> cluster-dns]
  expected: allow
  observed: deny
  reason: identities
  reference: https://example.org
";

const FAULTS: &[&str] = &["block-misses-pods", "end-port-ignored"];

fn flow(source: &str, target: Target, transport: Transport, port: u16) -> Flow {
    Flow { source: Qualified::new("app", source), target, transport, port, established: false }
}

#[test]
fn an_entry_covers_its_flows_and_no_others() {
    let all = deviations("d.yaml", ENTRY.as_bytes(), FAULTS).expect("the entry is good");
    let entry = &all[0];
    let database = || Target::Workload(Qualified::new("data", "postgres"));
    let table = [
        ("a/ipblock.yaml", flow("api", database(), Transport::Tcp, 5432), Expectation::Allow, true),
        ("ipblock.yml", flow("api", Target::ClusterDns, Transport::DnsTcp, 53), Expectation::Allow, true),
        ("other.yaml", flow("api", database(), Transport::Tcp, 5432), Expectation::Allow, false),
        ("ipblock.yaml", flow("api", database(), Transport::Tcp, 5432), Expectation::Deny, false),
        ("ipblock.yaml", flow("api", database(), Transport::Udp, 5432), Expectation::Allow, false),
        ("ipblock.yaml", flow("api", database(), Transport::Tcp, 5433), Expectation::Allow, false),
        (
            "ipblock.yaml",
            flow("api", Target::Service(Qualified::new("data", "postgres")), Transport::Tcp, 5432),
            Expectation::Allow,
            false,
        ),
    ];
    for (file, flow, expectation, covered) in table {
        assert_eq!(entry.covers(file, &flow, expectation).is_some(), covered, "{file} {flow} {expectation}");
    }
}

#[test]
fn an_entry_is_about_some_versions_of_one_network() {
    let all = deviations("d.yaml", ENTRY.as_bytes(), FAULTS).expect("the entry is good");
    for (cni, about) in [
        ("cilium v1.18.1", true),
        ("Cilium 1.10", true),
        ("cilium v1.9.9", false),
        ("cilium v2.0.0-rc.1", false),
        ("cilium", true),
        ("calico v3.30.1", false),
        ("unknown", false),
        ("", false),
    ] {
        assert_eq!(all[0].is_about(cni), about, "{cni}");
    }
}

#[test]
fn an_entry_may_name_a_fault_instead_of_flows() {
    let about = "{ cni: cilium, reason: r, reference: r, ";
    let text = format!("[{about} fault: block-misses-pods }}]");
    let all = deviations("d.yaml", text.as_bytes(), FAULTS).expect("the entry is good");
    assert_eq!(all[0].subject, Subject::Fault("block-misses-pods".into()));
    let bad =
        format!("- {about} fault: block-misses-pod }}\n- {about} fault: end-port-ignored, flows: [] }}\n");
    let problems = deviations("d.yaml", bad.as_bytes(), FAULTS).expect_err("both are bad");
    let told: Vec<_> = problems.iter().map(|p| (p.message.as_str(), p.hint.as_deref())).collect();
    assert_eq!(
        told,
        [
            ("there is no fault named 'block-misses-pod'", Some("did you mean 'block-misses-pods'?")),
            (
                "'flows' beside 'fault': a fault says by itself which flows differ",
                Some("write either 'fault', or 'scenario', 'flows', 'expected' and 'observed'")
            ),
        ]
    );
}

#[test]
fn an_empty_file_has_no_deviations() {
    assert_eq!(deviations("d.yaml", b"", FAULTS), Ok(Vec::new()));
    assert_eq!(deviations("d.yaml", b"# none\n", FAULTS), Ok(Vec::new()));
    assert_eq!(deviations("d.yaml", b"[]\n", FAULTS), Ok(Vec::new()));
}

#[test]
fn every_problem_of_an_entry_is_reported() {
    let text = "
- cni: cilium
  version: 1
  scenario: ipblock.yaml
  flows: [app/api]
  expected: allowed
  observed: deny
- { cni: c, versions: 'newer', scenario: s, flows: [a/b -> c/d], expected: deny, observed: drop, reason: r, reference: r }
- text
";
    let messages: Vec<String> = deviations("d.yaml", text.as_bytes(), FAULTS)
        .expect_err("it is bad")
        .into_iter()
        .map(|p| p.message)
        .collect();
    assert_eq!(
        messages,
        [
            "a known deviation has no reason",
            "a known deviation has no reference",
            "a known deviation has no field 'version'",
            "a scenario is named without '.yaml' here",
            "a flow has no '->'",
            "'expected' cannot be 'allowed'",
            "'newer' is not a version condition",
            "'drop' is not a deviation from 'deny'",
            "a known deviation must be a mapping, here it is the text 'text'",
        ]
    );
}
