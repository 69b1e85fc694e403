//! Known deviations excuse flows under policies, but none after the policies are deleted.

use super::{flowproof, stderr};

const SCENARIO: &str = "
scenario: nobody reaches the database
namespaces: { app: }
workloads: { app/api: , app/db: { listens: [tcp/5432] } }
policies:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: { name: nobody, namespace: app }
    spec: { podSelector: {} }
expect: { deny: [app/api -> app/db] }
";

const DEVIATIONS: &str = "
- cni: flowproof
  scenario: closed
  flows: [app/api -> app/db]
  expected: allow
  observed: deny
  reason: for this test
  reference: none
";

#[test]
fn what_stays_denied_without_any_policy_is_no_deviation() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    for (name, text) in [("closed.yaml", SCENARIO), ("known-deviations.yaml", DEVIATIONS)] {
        std::fs::write(directory.path().join(name), text).expect("it can be written");
    }
    let path = directory.path().display().to_string();
    let run = |more: &[&str]| {
        let always = ["run", "--cluster", "local", "--no-canary", "--settle", "3s", &path];
        flowproof(&[&always, more].concat())
    };
    let good = run(&[]);
    assert_eq!(good.status.code(), Some(0), "{}", stderr(&good));
    let stuck = run(&["--fault", "deletion-leaves-deny"]);
    let told = String::from_utf8_lossy(&stuck.stdout);
    assert_eq!(stuck.status.code(), Some(1), "{told}");
    assert!(told.contains("still denied after everything was deleted"), "{told}");
}
