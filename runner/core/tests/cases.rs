//! Cases from public reports: manifests, what API servers of two versions do with them, and what they mean for flows.
//!
//! Each file of `tests/cases` is one case. Its `cast` lists what exists: namespaces with labels; pods with labels, ports (`listens`; of
//! `sidecar` and `init` containers, too), addresses, and node; Services as `proto/port -> target`. Every API server accepts a manifest,
//! unless `rejected` names the fields for which it is refused. Lint must report what `warns` lists, and must not report what `quiet`
//! lists. A flow is `MANIFESTS: SOURCE => TARGET PORT = VERDICT`.

use flowproof_core::{
    policy::{Answer, ApiServer, Ask, Channel, End, Oracle, Protocol, Via},
    scenario::{flow::Family, name::Qualified},
    snapshot::{self, Snapshot},
    text::{Problem, Severity},
    tools::lint,
};
use serde_json::{Map, Value, json};
use std::{fs, path::Path};

/// All cases, with the names of their files.
fn cases() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let read = |path: &Path| {
        let text = fs::read_to_string(path).expect("it can be read");
        let case: Value =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.file_stem().expect("a name").to_string_lossy().into_owned(), case)
    };
    files.iter().map(|path| read(path)).collect()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Manifests as API servers would get them, from a text or from what a lenient client stores.
fn manifest(case: &Value, name: &str) -> String {
    let manifest = &case["manifests"][name];
    let text = manifest["text"].as_str().unwrap_or_else(|| panic!("there is no manifest {name}"));
    if manifest["stored"].is_null() {
        return text.to_owned();
    }
    let mut object: Value = serde_saphyr::from_str(text).expect("it is YAML");
    object["spec"] = manifest["stored"].clone();
    object.to_string()
}

fn read(texts: &[String]) -> (Snapshot, Vec<Problem>) {
    let files: Vec<(String, Vec<u8>)> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| (format!("{index}.yaml"), text.clone().into_bytes()))
        .collect();
    snapshot::manifests(&files)
}

fn errors(text: &str, version: &str) -> Vec<String> {
    let (snapshot, mut problems) = read(&[text.to_owned()]);
    let server = ApiServer { version: version.parse().ok(), channel: Channel::Standard };
    problems.extend(lint::snapshot(&snapshot, &server));
    problems.retain(|problem| problem.severity == Severity::Error);
    problems.into_iter().map(|problem| problem.message).collect()
}

/// Whether an error names a field, or a field within it: decoders name the field `labels`, but not the label.
fn names(errors: &[String], field: &str) -> bool {
    errors.iter().any(|error| {
        let rest = error.strip_prefix(field);
        rest.is_some_and(|rest| rest.starts_with([':', '.', '[']))
    })
}

#[test]
fn lint_says_what_api_servers_say() {
    let mut wrong = Vec::new();
    for (file, case) in cases() {
        for (name, manifest) in entries(&case["manifests"]) {
            let text = manifest["text"].as_str().expect("a text");
            let both = || list(&manifest["rejected"]);
            let later = both().chain(list(&manifest["rejected-since-1.36"]));
            let fields: [(&str, Vec<&Value>); 2] = [("1.35", both().collect()), ("1.37", later.collect())];
            for (version, fields) in fields {
                let errors = errors(text, version);
                // Of two equal keys, kubectl silently sends the last one: an error is the better answer.
                let twice =
                    errors.iter().all(|error| error.contains("duplicate key '") && error.ends_with('\''));
                let missing: Vec<_> =
                    fields.iter().filter(|field| !names(&errors, field.as_str().expect("a field"))).collect();
                if fields.is_empty() && !errors.is_empty() && !twice || !missing.is_empty() {
                    wrong.push(format!("{file} {name}, {version}: wanted {fields:?}, found {errors:#?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lint_warns_of_what_is_taken_and_not_meant() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (file, case) in cases() {
        for (name, manifest) in entries(&case["manifests"]) {
            let text = manifest["text"].as_str().expect("a text").to_owned();
            let (snapshot, mut problems) = read(&[objects(&case["cast"]), text]);
            problems.extend(lint::snapshot(&snapshot, &ApiServer::default()));
            problems.retain(|problem| problem.severity == Severity::Warning);
            let told = |words: &str| problems.iter().any(|problem| problem.message.contains(words));
            for (key, wanted) in [("warns", true), ("quiet", false)] {
                if let Some(words) = manifest[key].as_str() {
                    count += 1;
                    if told(words) != wanted {
                        wrong.push(format!("{file} {name} {key} '{words}': {problems:#?}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 20, "{count} are looked at");
}

/// A listener of a cast, as a container's port: `tcp/80` or `{ web: tcp/80 }`.
fn port(listener: &Value) -> Value {
    let (name, text) = match listener {
        Value::Object(named) => {
            let (name, text) = named.iter().next().expect("a name");
            (json!(name), text)
        }
        text => (Value::Null, text),
    };
    let (protocol, number) = text.as_str().expect("a text").split_once('/').expect("a protocol");
    json!({"name": name, "protocol": protocol.to_uppercase(), "containerPort": number.parse::<u16>().expect("a number")})
}

fn container(ports: &Value) -> Value {
    json!({"name": "c", "ports": list(ports).map(port).collect::<Vec<_>>()})
}

fn service_port(text: &str, node_port: &Value) -> Value {
    let (front, target) = text.split_once(" -> ").unwrap_or((text, ""));
    let (protocol, number) = front.split_once('/').expect("a protocol");
    let target = match target {
        "" => Value::Null,
        target => target.parse::<u16>().map_or_else(|_| json!(target), |number| json!(number)),
    };
    json!({"protocol": protocol.to_uppercase(), "port": number.parse::<u16>().expect("a number"), "targetPort": target, "nodePort": node_port})
}

/// The objects of a cast, one document after another.
fn objects(cast: &Value) -> String {
    let mut objects = Vec::new();
    for (name, labels) in entries(&cast["namespaces"]) {
        objects.push(
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}),
        );
    }
    for (name, addresses) in entries(&cast["nodes"]) {
        let addresses: Vec<Value> = list(addresses).map(|address| json!({"address": address})).collect();
        objects.push(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"addresses": addresses}}));
    }
    for (index, (name, pod)) in entries(&cast["pods"]).enumerate() {
        let (namespace, name) = name.split_once('/').expect("namespace/name");
        let given: Vec<Value> = list(&pod["ips"]).map(|ip| json!({"ip": ip})).collect();
        let ips = if given.is_empty() {
            vec![
                json!({"ip": format!("10.99.0.{}", index + 1)}),
                json!({"ip": format!("fd99::{}", index + 1)}),
            ]
        } else {
            given
        };
        let mut sidecar = container(&pod["sidecar"]);
        sidecar["restartPolicy"] = "Always".into();
        let init = if pod["sidecar"].is_null() { container(&pod["init"]) } else { sidecar };
        objects.push(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": pod["labels"]},
            "spec": {
                "nodeName": pod["node"].as_str().map_or_else(|| format!("node-of-{name}"), str::to_owned),
                "hostNetwork": pod["hostNetwork"], "containers": [container(&pod["listens"])], "initContainers": [init],
            },
            "status": {"podIPs": ips, "phase": pod["phase"]},
        }));
    }
    for (name, service) in entries(&cast["services"]) {
        let (namespace, name) = name.split_once('/').expect("namespace/name");
        let ports = list(&service["ports"]);
        let ports: Vec<Value> =
            ports.map(|port| service_port(port.as_str().expect("a text"), &service["nodePort"])).collect();
        objects.push(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": service["selector"], "ports": ports},
        }));
    }
    objects.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n---\n")
}

/// Where a flow arrives: the end, the port there, the Service that it came through.
type Arrival = (End, u16, Option<Via>);

struct World<'a> {
    snapshot: &'a Snapshot,
}

impl World<'_> {
    fn pod(&self, name: &str) -> End {
        let pods = &self.snapshot.cluster.pods;
        let index = pods.iter().position(|pod| pod.name.to_string() == name);
        End::Pod(index.unwrap_or_else(|| panic!("there is no pod {name}")))
    }

    fn end(&self, words: &[&str]) -> End {
        match words {
            ["outside", address] | ["node", _, address] => End::Address(address.parse().expect("an address")),
            ["node", name] => End::Address(self.snapshot.cluster.nodes[*name][0]),
            [name] => self.pod(name),
            other => panic!("{other:?} is not an end"),
        }
    }

    fn behind(&self, name: &str, protocol: Protocol, port: u16, via: u16) -> Vec<Arrival> {
        let name: Qualified = name.parse().expect("namespace/name");
        let via = Some(Via { address: None, port: Some(via) });
        self.snapshot
            .behind(&name, protocol, port)
            .into_iter()
            .map(|(pod, at)| (End::Pod(pod), at, via))
            .collect()
    }

    fn arrivals(&self, source: End, to: &str, protocol: Protocol, port: u16) -> Vec<Arrival> {
        let words: Vec<&str> = to.split_whitespace().collect();
        match &words[..] {
            ["self", ..] => vec![(source, port, None)],
            ["service", name] => self.behind(name, protocol, port, port),
            // (443 -> 172.30.0.11:6443)
            ["service", _, front, "->", behind] => {
                let front = front.trim_start_matches('(').parse().expect("a port");
                let (address, at) = behind.trim_end_matches(')').split_once(':').expect("address:port");
                let end = End::Address(address.parse().expect("an address"));
                vec![(end, at.parse().expect("a port"), Some(Via { address: None, port: Some(front) }))]
            }
            ["node", entry, "->", name] => {
                let node_port = entry.split_once(':').expect("node:port").1.parse().expect("a port");
                let service = &self.snapshot.services[&name.parse::<Qualified>().expect("namespace/name")];
                assert!(service.node_ports.contains(&(protocol, node_port)), "{entry}");
                self.behind(name, protocol, service.ports[0].1, node_port)
            }
            words => vec![(self.end(words), port, None)],
        }
    }

    fn answer(&self, from: &str, to: &str, port: &str) -> &'static str {
        let (port, family) = port.split_once(' ').unwrap_or((port, ""));
        let (protocol, number) = port.split_once('/').expect("a protocol");
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            other => panic!("there is no protocol {other}"),
        };
        let source = self.end(&from.split_whitespace().collect::<Vec<_>>());
        let arrivals = self.arrivals(source, to, protocol, number.parse().expect("a number"));
        assert!(!arrivals.is_empty(), "nobody is behind {to}");
        let oracle = Oracle::new(&self.snapshot.cluster);
        let answers = arrivals.into_iter().map(|(destination, port, service)| {
            let of = |end: End| match end {
                End::Address(address) => Some(Family::of(address)),
                End::Pod(_) => None,
            };
            let written = match family {
                "v6" => Some(Family::V6),
                _ => None,
            };
            let family = written.or(of(source)).or(of(destination)).unwrap_or(Family::V4);
            oracle.judge(&Ask { source, destination, family, protocol, port, service })
        });
        let mut words: Vec<&str> = answers.map(Answer::word).collect();
        words.dedup();
        if let [one] = words[..] { one } else { "unspecified" }
    }
}

#[test]
fn the_oracle_means_what_the_api_says() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (file, case) in cases() {
        for flow in list(&case["flows"]) {
            let flow = flow.as_str().expect("a text");
            let (in_force, rest) = flow.split_once(": ").expect("manifests");
            let (ends, verdict) = rest.rsplit_once(" = ").expect("a verdict");
            let (from, rest) = ends.split_once(" => ").expect("two ends");
            let at = rest.find(" tcp/").or_else(|| rest.find(" udp/")).expect("a port");
            let (to, port) = (&rest[..at], &rest[at + 1..]);
            let cast =
                if case["casts"][in_force].is_null() { &case["cast"] } else { &case["casts"][in_force] };
            let policies = case["in-force"][in_force].as_str().unwrap_or(in_force);
            let mut texts = vec![objects(cast)];
            texts.extend(policies.split('+').map(|name| manifest(&case, name)));
            let (snapshot, _) = read(&texts);
            assert_eq!(snapshot.left_out, [""; 0], "{file} {in_force}");
            let answer = World { snapshot: &snapshot }.answer(from, to, port);
            count += 1;
            if answer != verdict {
                wrong.push(format!("{file}: {flow}, and it says {answer}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 150, "{count} flows");
}

#[test]
fn windows_line_ends_change_nothing() {
    for (file, case) in cases() {
        for (name, manifest) in entries(&case["manifests"]) {
            let text = manifest["text"].as_str().expect("a text");
            let (unix, _) = read(&[text.to_owned()]);
            let (windows, _) = read(&[text.replace('\n', "\r\n")]);
            let values = |snapshot: &Snapshot| -> Vec<Value> {
                snapshot.policies.iter().map(|policy| policy.value.clone()).collect()
            };
            assert_eq!(values(&unix), values(&windows), "{file} {name}");
        }
    }
}

/// What API servers 1.35.4 and 1.37.2 do with a scalar at a place of a NetworkPolicy.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Becomes<'a> {
    Refused,
    Text(&'a str),
    Number(u16),
    Absent,
}

#[test]
fn scalars_are_what_api_servers_read() {
    use Becomes::{Absent, Number, Refused, Text};
    let label = ("spec: { podSelector: { matchLabels: { k: @ } } }", "/spec/podSelector/matchLabels/k");
    let value = (
        "spec: { podSelector: { matchExpressions: [{ key: k, operator: In, values: [@] }] } }",
        "/spec/podSelector/matchExpressions/0/values/0",
    );
    let port = ("spec: { ingress: [{ ports: [{ port: @ }] }] }", "/spec/ingress/0/ports/0/port");
    let end =
        ("spec: { ingress: [{ ports: [{ port: 80, endPort: @ }] }] }", "/spec/ingress/0/ports/0/endPort");
    let protocol = ("spec: { ingress: [{ ports: [{ protocol: @ }] }] }", "/spec/ingress/0/ports/0/protocol");
    let mut table = vec![
        (label, "2024-01-01", Text("2024-01-01")),
        (label, "12:30", Refused),
        (label, "2024-01-01T00:00:00Z", Refused),
        (label, "~", Absent),
        (label, "\"yes\"", Text("yes")),
        (label, "'1.20'", Text("1.20")),
        (label, "!!str on", Text("on")),
        (port, "~", Absent),
        (port, "1a", Text("1a")),
        (port, "abcdefghijklmno", Text("abcdefghijklmno")),
        (port, "1e2", Number(100)),
        (port, "80.5", Refused),
        (port, "true", Refused),
        (end, "90.0", Number(90)),
        (end, "~", Absent),
        (end, "80", Number(80)),
        (end, "\"90\"", Refused),
        (protocol, "~", Absent),
        (protocol, "tcp", Refused),
    ];
    for truth in ["yes", "no", "on", "off", "y", "n", "Y", "N", "true", "True", "TRUE"] {
        table.extend([(label, truth, Refused), (value, truth, Refused)]);
    }
    for number in ["1", "1.20", "1e3", "0x1f", "0o7", "01", "08", "+1", "1_000"] {
        table.extend([(label, number, Refused), (value, number, Refused)]);
    }
    for eighty in ["0x50", "0o120", "0b1010000", "8_0", "+80", "!!int \"80\"", "080", "80.0", ".8e2", "0120"]
    {
        table.push((port, eighty, Number(80)));
    }
    for name in ["\"1\"", "80-90", "HTTP", "a_b", "-a", "a-", "a--b", "a.b", "abcdefghijklmnop"] {
        table.push((port, name, Refused));
    }
    for ((place, pointer), written, becomes) in table {
        let text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{ name: p }}\n{}\n",
            place.replace('@', written)
        );
        let errors = errors(&text, "1.35");
        let (snapshot, _) = read(std::slice::from_ref(&text));
        let found = match snapshot.policies[0].value.pointer(pointer) {
            _ if !errors.is_empty() => Refused,
            None | Some(Value::Null) => Absent,
            Some(Value::String(found)) => Text(found),
            Some(found) => Number(found.as_u64().and_then(|number| number.try_into().ok()).expect("a port")),
        };
        assert_eq!(found, becomes, "{text}{errors:?}");
    }
}

#[test]
fn keys_without_quotes_become_what_they_are_to_yaml_and_that_is_said() {
    for (written, key) in [("y", "true"), ("on", "true"), ("off", "false"), ("1.20", "1.2"), ("010", "8")] {
        let text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{ name: p }}\nspec: {{ podSelector: {{ matchLabels: {{ {written}: x }} }} }}\n"
        );
        let (snapshot, problems) = read(&[text]);
        let labels: &Map<String, Value> =
            snapshot.policies[0].value["spec"]["podSelector"]["matchLabels"].as_object().expect("labels");
        assert_eq!(labels.keys().collect::<Vec<_>>(), [key]);
        let warned = |problem: &Problem| {
            problem.severity == Severity::Warning && problem.message.contains(&format!("becomes '{key}'"))
        };
        assert!(problems.iter().any(warned), "{written}: {problems:?}");
    }
}
