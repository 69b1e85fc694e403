//! `flowproof lint` for a cluster: its version decides what is an error, and its network plugin decides what gets a warning.

use super::{flowproof, stderr};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::Path,
};

/// A block with host bits, which Kubernetes rejects since 1.36.
const LOOSE: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: loose, namespace: default }
spec: { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: 10.1.2.3/8 } }] }] }
";

/// An API server that only knows its version; returns the path of a kubeconfig for it. It ends with the test.
fn cluster(directory: &Path, version: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("it is accepted");
            let head: Vec<String> = BufReader::new(&stream)
                .lines()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            assert!(head[0].starts_with("GET /version "), "nothing else is asked: {head:?}");
            let body = format!(
                r#"{{"major":"1","minor":"0","gitVersion":"{version}","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}}"#
            );
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).expect("the client reads");
        }
    });
    let file = directory.join(format!("config-{version}"));
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: lab\nclusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n\
         users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: lab, context: {{cluster: c, user: u}}}}]\n"
    );
    std::fs::write(&file, config).expect("it can be written");
    file.display().to_string()
}

#[test]
fn a_plugin_that_is_known_to_differ_is_warned_of() {
    let output = flowproof(&["lint", "--cni", "cilium", "../scenarios/addresses"]);
    assert!(output.status.success(), "a warning only: {}", stderr(&output));
    for part in ["warning: cilium is known to differ from the API here", "issues/9209"] {
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
    let output = flowproof(&["lint", "--cni", "cilium", "../scenarios/ports"]);
    assert!(output.status.success(), "a warning only: {}", stderr(&output));
    let text = stderr(&output);
    let warned: Vec<&str> = text.split("cilium is known to differ").skip(1).collect();
    let named =
        |warning: &&str| warning.lines().nth(1).is_some_and(|line| line.contains("named-port-of-a-sidecar"));
    assert!(warned.len() == 2 && warned.iter().all(named), "both policies of one file: {text}");

    let output = flowproof(&["lint", "--cni", "nobodys", "../scenarios/ports"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("faults are known of: "), "{}", stderr(&output));
}

#[test]
fn the_version_of_the_cluster_decides_what_is_an_error() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let manifest = directory.path().join("loose.yaml");
    std::fs::write(&manifest, LOOSE).expect("it can be written");
    let manifest = manifest.display().to_string();
    for (version, code) in [("v1.35.4", 0), ("v1.36.3", 2), ("v1.37.2-gke.100", 2)] {
        let kubeconfig = cluster(directory.path(), version);
        let output = flowproof(&["lint", "--kubeconfig", &kubeconfig, "--context", "lab", &manifest]);
        assert_eq!(output.status.code(), Some(code), "{version}: {}", stderr(&output));
        assert!(stderr(&output).contains("context lab, server http://127.0.0.1:"), "{}", stderr(&output));
        assert!(stderr(&output).contains("10.1.2.3/8"), "{}", stderr(&output));
    }
}

#[test]
fn a_version_that_cannot_be_read_is_an_error_with_a_way_out() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let manifest = directory.path().join("loose.yaml");
    std::fs::write(&manifest, LOOSE).expect("it can be written");
    let kubeconfig = cluster(directory.path(), "unknown");
    let output = flowproof(&["lint", "--kubeconfig", &kubeconfig, &manifest.display().to_string()]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("'unknown'") && stderr(&output).contains("--kubernetes"),
        "{}",
        stderr(&output)
    );
}
