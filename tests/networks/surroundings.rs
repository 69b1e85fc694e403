//! Wrong surroundings: each gives a clear message and the right exit code, never a wrong verdict, and leaves nothing behind.

use super::network::{Network, Ran};
use libtest_mimic::{Failed, Trial};
use serde_json::json;
use std::{fmt::Write as _, io::Write as _, path::PathBuf, process::Child, thread, time::Duration};

/// A scenario with one allowed and one denied flow, whose pods have a place in [`Network`]'s lab.
const SCENARIO: &str = "
scenario: one allowed and one denied flow
namespaces: { app: , data: }
workloads:
  app/good: { labels: { role: good } }
  app/bad:
  data/store: { listens: [tcp/5432, udp/5432] }
policies:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: { name: store, namespace: data }
    spec:
      podSelector: {}
      ingress: [{ from: [{ namespaceSelector: {}, podSelector: { matchLabels: { role: good } } }], ports: [{ port: 5432 }] }]
expect:
  allow: [app/good -> data/store tcp/5432]
  deny: [app/bad -> data/store tcp/5432, app/bad -> data/store udp/5432]
";

/// The trials on one network.
pub fn trials(network: &Network) -> Vec<Trial> {
    let trial = |name: &str, test: fn(&Network) -> Result<(), Failed>| {
        let network = network.clone();
        Trial::test(format!("{}: {name}", network.name), move || {
            test(&network).and_then(|()| clean(&network))
        })
    };
    vec![
        trial("two runs at the same time, one with an image and one without", two_runs),
        trial("a service account that may not create namespaces", no_permission),
        trial("an image that no node has", no_image),
        trial("a policy that the API server rejects", rejected_policy),
        trial("SIGINT cleans up", |network| signalled(network, "INT")),
        trial("SIGTERM cleans up", |network| signalled(network, "TERM")),
        trial("SIGKILL, then flowproof clean", killed),
        trial("the report comes before the end of the namespaces", report_first),
        trial("a prober's pod is deleted while flows are tried", pod_deleted),
        trial("a listener's process is stopped", listener_stopped),
        trial("the API server is killed in the middle of a run", api_server_killed),
        trial("the API server is down at the start", api_server_down),
        trial("a thousand flows", thousand_flows),
    ]
}

fn scenario(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = directory.path().join("scenario.yaml");
    std::fs::File::create(&file)
        .and_then(|mut f| f.write_all(text.as_bytes()))
        .expect("the scenario can be written");
    (directory, file)
}

fn check(holds: bool, what: &str, ran: &Ran) -> Result<(), Failed> {
    holds
        .then_some(())
        .ok_or_else(|| format!("{what}; exit code {:?}\n{}\n{:#}", ran.code, ran.stderr, ran.outcome).into())
}

fn clean(network: &Network) -> Result<(), Failed> {
    let left = network.namespaces();
    left.is_empty().then_some(()).ok_or_else(|| format!("left behind: {left:?}").into())
}

/// The run's verdicts on its denied flows: none of them may be `matched`.
fn nothing_called_denied(ran: &Ran) -> bool {
    let denied: Vec<_> = ran.flows().into_iter().filter(|(_, flow)| flow["expectation"] == "deny").collect();
    !denied.is_empty() && denied.iter().all(|(_, flow)| flow["verdict"] == "inconclusive")
}

fn two_runs(network: &Network) -> Result<(), Failed> {
    let (_directory, file) = scenario(SCENARIO);
    let file = file.display().to_string();
    let other = {
        let (network, file) = (network.clone(), file.clone());
        thread::spawn(move || network.run(&["--deliver", "configmap", &file]))
    };
    let one = network.run(&[&file]);
    let other = other.join().expect("the run does not panic");
    check(one.code == Some(0), "the first matches", &one)?;
    check(other.code == Some(0), "the second matches", &other)?;
    check(other.stderr.contains("in ConfigMaps, in pods of"), "the second says how its prober comes", &other)
}

fn no_permission(network: &Network) -> Result<(), Failed> {
    let (_directory, file) = scenario(SCENARIO);
    network.kubectl(&["create", "serviceaccount", "little", "--namespace", "default"]);
    let token = network.kubectl(&["create", "token", "little", "--namespace", "default"]);
    let config = network.kubectl(&["config", "view", "--raw", "--output", "json"]);
    let mut config: serde_json::Value = serde_json::from_str(&config).expect("kubectl prints JSON");
    config["users"][0]["user"] = json!({"token": token.trim()});
    let limited = file.with_file_name("kubeconfig");
    std::fs::write(&limited, config.to_string()).expect("the kubeconfig can be written");
    let ran = network.run(&["--kubeconfig", &limited.display().to_string(), &file.display().to_string()]);
    network.kubectl(&["delete", "serviceaccount", "little", "--namespace", "default"]);
    check(ran.code == Some(4), "the set-up fails", &ran)?;
    check(ran.stderr.contains("create namespaces"), "the missing permission is named", &ran)
}

fn no_image(network: &Network) -> Result<(), Failed> {
    let (_directory, file) = scenario(SCENARIO);
    let image = ["--image", "localhost/not-there:1", "--pull-policy", "Never", "--no-canary"];
    let ran = network.run(&[&image[..], &[&file.display().to_string()]].concat());
    check(ran.code == Some(4), "the set-up fails", &ran)?;
    let end = ran.outcome["scenarios"][0]["end"].to_string();
    check(
        end.contains("localhost/not-there:1") && end.contains("image load"),
        "image and remedy are named",
        &ran,
    )
}

fn rejected_policy(network: &Network) -> Result<(), Failed> {
    let (_directory, file) = scenario(&SCENARIO.replace("port: 5432 }", "port: 99999 }"));
    let ran = network.run(&["--no-canary", &file.display().to_string()]);
    // Our own check of the file may find it, or the API server.
    check(matches!(ran.code, Some(2 | 4)), "it is no mismatch", &ran)?;
    check(format!("{}{}", ran.stderr, ran.outcome).contains("99999"), "the API server's words are told", &ran)
}

/// Starts a run that holds its step for this many seconds, so that there is time to disturb it, with this limit for flows to settle.
fn held(network: &Network, seconds: u32, settle: &str) -> (tempfile::TempDir, Child) {
    let (directory, file) = scenario(SCENARIO);
    let hold = format!("{seconds}s");
    let file = file.display().to_string();
    let child = network
        .flowproof(&["run", "--json", "-", "--no-canary", "--hold", &hold, "--settle", settle, &file])
        .spawn()
        .expect("flowproof can be started");
    // The policy is created last, before the flows settle.
    Network::wait_for("the policy of the run", Duration::from_secs(60), || {
        let policies =
            network.kubectl(&["get", "networkpolicies", "-A", "-l", "flowproof.dev/run", "-o", "name"]);
        (!policies.trim().is_empty()).then_some(())
    });
    (directory, child)
}

fn end(child: Child) -> Ran {
    Ran::from(child.wait_with_output().expect("flowproof ends"))
}

fn signal(pid: u32, signal: &str) {
    let sent = std::process::Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "process {pid} can be sent {signal}");
}

fn signalled(network: &Network, name: &str) -> Result<(), Failed> {
    let (_directory, child) = held(network, 20, "30s");
    signal(child.id(), name);
    let ran = end(child);
    check(ran.code == Some(130), "it says that it was interrupted", &ran)
}

fn killed(network: &Network) -> Result<(), Failed> {
    let (_directory, child) = held(network, 20, "30s");
    signal(child.id(), "KILL");
    let ran = end(child);
    check(ran.code.is_none(), "it had no time for anything", &ran)?;
    check(!network.namespaces().is_empty(), "its namespaces are still there", &ran)?;
    let listed = Network::ran(network.flowproof(&["clean"]));
    check(listed.code == Some(0), "clean lists", &listed)?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("cleaned.json");
    let cleaned = Network::ran(network.flowproof(&["clean", "--all", "--json", &file.display().to_string()]));
    check(cleaned.code == Some(0), "clean removes", &cleaned)?;
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    check(json["schema"] == "flowproof.clean/1", "the JSON has its schema", &cleaned)?;
    let runs = json["runs"].as_array().map_or(&[][..], Vec::as_slice);
    let namespaces = runs.iter().map(|run| run["namespaces"].as_array().map_or(0, Vec::len)).sum::<usize>();
    check(namespaces == 2 && runs[0]["removed"] == true, "the JSON names what was removed", &cleaned)
}

/// The namespace controller waits five seconds before it handles a deletion; the verdicts are reported before that.
fn report_first(network: &Network) -> Result<(), Failed> {
    let (directory, file) = scenario(SCENARIO);
    let saved = directory.path().join("saved.json");
    let (file, save) = (file.display().to_string(), saved.display().to_string());
    let child = network.flowproof(&["run", "--no-canary", "--save", &save, &file]).spawn();
    let child = child.expect("flowproof can be started");
    let outcome = Network::wait_for("the saved outcome", Duration::from_secs(60), || {
        serde_json::from_str::<serde_json::Value>(&std::fs::read_to_string(&saved).ok()?).ok()
    });
    let there = network.namespaces();
    let ran = end(child);
    check(ran.code == Some(0), "it matches", &ran)?;
    check(outcome["remains"] == json!([]), "nothing remained that was to go", &ran)?;
    check(there.len() == 2, "its namespaces were still there", &ran)
}

fn real_namespace(network: &Network, logical: &str) -> String {
    let found = network.namespaces().into_iter().find(|name| name.starts_with(&format!("{logical}-")));
    found.expect("the run's namespace is there")
}

fn pod_deleted(network: &Network) -> Result<(), Failed> {
    let (_directory, child) = held(network, 6, "12s");
    let namespace = real_namespace(network, "data");
    network.kubectl(&["delete", "pod", "store", "--namespace", &namespace, "--grace-period=0", "--force"]);
    let ran = end(child);
    check(ran.code == Some(3), "nothing can be said", &ran)?;
    check(nothing_called_denied(&ran), "no flow is called denied", &ran)
}

fn listener_stopped(network: &Network) -> Result<(), Failed> {
    let (_directory, child) = held(network, 6, "12s");
    let pid = prober("store");
    signal(pid, "STOP");
    let ran = end(child);
    check(ran.code == Some(3), "nothing can be said", &ran)?;
    check(nothing_called_denied(&ran), "no flow is called denied", &ran)
}

/// The process of a prober, by the name of its pod.
fn prober(pod: &str) -> u32 {
    let wanted = format!("serve\0--socket\0flowproof-{pod}-");
    let of = |entry: std::fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let arguments = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        arguments.contains(&wanted).then_some(pid)
    };
    let processes = std::fs::read_dir("/proc").expect("/proc can be read");
    processes.flatten().find_map(of).expect("the prober runs on this machine")
}

fn api_server_killed(network: &Network) -> Result<(), Failed> {
    let (_directory, child) = held(network, 8, "30s");
    network.lab(&["kill", "apiserver"]);
    thread::sleep(Duration::from_secs(3));
    network.lab(&["start", "apiserver"]);
    let ran = end(child);
    // The probers went on, and their records are resumed, so what they saw counts.
    check(matches!(ran.code, Some(0 | 3 | 4)), "it is no mismatch", &ran)?;
    check(
        ran.flows().iter().all(|(_, flow)| flow["verdict"] != "mismatched"),
        "nothing is called mismatched",
        &ran,
    )?;
    Network::ran(network.flowproof(&["clean", "--all"]));
    Ok(())
}

fn api_server_down(network: &Network) -> Result<(), Failed> {
    let (_directory, file) = scenario(SCENARIO);
    network.lab(&["stop", "apiserver"]);
    let ran = network.run(&[&file.display().to_string()]);
    network.lab(&["start", "apiserver"]);
    check(ran.code == Some(4), "the cluster is unreachable", &ran)?;
    check(ran.stderr.contains("hint:"), "there is a hint", &ran)
}

/// Ten sources, two transports, 25 ports, two families.
fn thousand_flows(network: &Network) -> Result<(), Failed> {
    let mut text = String::from("scenario: a thousand flows\nnamespaces: { many: }\nworkloads:\n");
    for source in 1..=10 {
        let _ = writeln!(text, "  many/source-{source}:");
    }
    text += "  many/target: { labels: { role: target }, listens: [tcp/8000-8024, udp/8000-8024] }
policies:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: { name: upper-half, namespace: many }
    spec:
      podSelector: { matchLabels: { role: target } }
      ingress: [{ ports: [{ port: 8000, endPort: 8011 }, { protocol: UDP, port: 8000, endPort: 8011 }] }]
expect:
  allow: [many/source-* -> many/target tcp/8000-8011 udp/8000-8011]
  deny: [many/source-* -> many/target tcp/8012-8024 udp/8012-8024]
";
    let (_directory, file) = scenario(&text);
    let ran = network.run(&["--no-canary", &file.display().to_string()]);
    check(ran.code == Some(0), "all match", &ran)?;
    check(ran.flows().len() == 1000, "there are a thousand", &ran)
}
