//! An option either has an effect or is refused with the reason.

use super::{flowproof, stderr, stdout};

const SAVED: &str = "core/src/outcome/read/version-1.json";

#[test]
fn an_option_without_an_effect_is_refused() {
    let local = |option: &'static [&'static str]| [&["run", "--cluster", "local"], option].concat();
    let kube = |option: &'static [&'static str]| [&["run", "--cluster", "kube"], option].concat();
    let refused: &[(Vec<&str>, &str)] = &[
        (kube(&["--fault", "nothing-enforced"]), "--fault has no effect in a Kubernetes cluster"),
        (kube(&["--nodes", "3"]), "--nodes has no effect in a Kubernetes cluster"),
        (kube(&["--enforce-delay", "1s"]), "--enforce-delay has no effect in a Kubernetes cluster"),
        (local(&["--context", "kind-kind"]), "--context has no effect in the local cluster"),
        (local(&["--image", "a/b:1"]), "--image has no effect in the local cluster"),
        (local(&["--toleration", "*"]), "--toleration has no effect in the local cluster"),
        (local(&["--pull-policy", "Never"]), "--pull-policy has no effect in the local cluster"),
        (local(&["--touch-live"]), "--touch-live has no effect in the local cluster"),
        (local(&["--nodes", "0"]), "invalid value '0' for '--nodes <N>'"),
        (vec!["faults", "--jobs", "0"], "invalid value '0' for '--jobs <N>'"),
        (local(&["--keep"]), "--keep has no effect in the local cluster"),
        (local(&["--json", "-", "--html", "-"]), "only one report can go to stdout"),
        (vec!["check", "--no-canary"], "--no-canary has no effect on a check"),
        (
            vec!["check", "--nodes-only", "--filter", "x"],
            "'--nodes-only' cannot be used with '--filter <TEXT>'",
        ),
        (vec!["faults", "--list", "--first"], "'--list' cannot be used with '--first'"),
        (vec!["compare", SAVED, SAVED, "--json", "-", "--markdown", "-"], "only one report can go to stdout"),
        (
            vec!["explain", "a/b -> c/d", "-f", "x", "--context", "y"],
            "cannot be used with '--context <NAME>'",
        ),
        (vec!["map", "x", "--context", "y"], "cannot be used with '--context <NAME>'"),
        (vec!["map", "--diff", "x", "y", "--format", "svg"], "a difference cannot be shown as svg"),
        (vec!["map", "x", "--check", "y", "--format", "dot"], "cannot be used with"),
        (
            vec!["explain", "a/b -> c/d", "-f", "../docs/examples/three-tiers/manifests", "--step", "1"],
            "--step is for a scenario",
        ),
    ];
    for (arguments, reason) in refused {
        let output = flowproof(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}: {}", stdout(&output));
    }
}
