//! Shadows of a live workload: its clients never reach one, the workload does not change, and nothing is left behind.

use super::network::{FLOWPROOF, Network, Ran};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The live namespace of these trials; its objects are created with kubectl and belong to no run.
const LIVE: &str = "payments";

/// How long three replicas may take to come or go on a loaded machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A Deployment with three replicas behind a Service, a budget that asks the owners of pods for their scale, a policy,
/// and a steady client. The prober's image plays all pods; standard input says where it listens.
fn live(image: &str) -> String {
    let container = |name: &str| {
        json!({
            "name": name, "image": image, "imagePullPolicy": "Never",
            "args": ["serve", "--lease-ms", "900000", "--socket", format!("live-{name}")],
            "ports": [{ "name": "http", "containerPort": 8080 }],
        })
    };
    let pod = |name: &str| {
        json!({
            "metadata": { "labels": { "app": name, "app.kubernetes.io/managed-by": "helm" } },
            "spec": { "terminationGracePeriodSeconds": 1, "serviceAccountName": "payer", "containers": [container(name)] },
        })
    };
    let deployment = |name: &str, replicas: u32| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": LIVE },
            "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": name } }, "template": pod(name) },
        })
    };
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "api", "namespace": LIVE },
        "spec": {
            "podSelector": { "matchLabels": { "app": "api", "app.kubernetes.io/managed-by": "helm" } },
            "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "app": "client" } } }], "ports": [{ "port": "http" }] }],
        },
    });
    let objects = [
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": LIVE } }),
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "payer", "namespace": LIVE } }),
        deployment("api", 3),
        deployment("client", 1),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "api", "namespace": LIVE },
            "spec": { "selector": { "app": "api" }, "ports": [{ "port": 80, "targetPort": "http" }] },
        }),
        json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "api", "namespace": LIVE },
            "spec": { "maxUnavailable": 1, "selector": { "matchLabels": { "app": "api" } } },
        }),
        policy,
    ];
    json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string()
}

const SCENARIO: &str = "
scenario: who reaches the payments API
namespaces: { outside: }
workloads:
  pay/api: { like: deployment/api, in: payments, listens: [http: tcp/8080] }
  pay/client: { like: deployment/client, in: payments, listens: [http: tcp/8080] }
  outside/pod: { listens: [tcp/8080] }
policies: live
expect: policy
";

/// The trials on one network.
pub fn trials(network: &Network) -> Vec<Trial> {
    let trial = |name: &str, test: fn(&Town) -> Result<(), Failed>| {
        let network = network.clone();
        Trial::test(format!("{}: shadows: {name}", network.name), move || {
            let town = Town::built(&network)?;
            test(&town)
        })
    };
    vec![
        trial("a run leaves a live workload and its clients alone", left_alone),
        trial("what a killed run left is cleaned, and nothing else", killed),
        trial("what was made for the cluster by one command matches", generated),
        trial("a live Service is only touched on request, and without a byte", touched),
        trial("a Service that publishes what is not ready keeps shadows out", published),
    ]
}

/// The live namespace, for as long as this value lives.
struct Town {
    network: Network,
    directory: tempfile::TempDir,
}

impl Town {
    fn built(network: &Network) -> Result<Self, Failed> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let town = Self { network: network.clone(), directory };
        let image = Command::new(FLOWPROOF).args(["image", "name"]).output().map_err(|e| e.to_string())?;
        let image = String::from_utf8_lossy(&image.stdout).trim().to_owned();
        town.apply(&live(&image));
        Network::wait_for("the live pods", LIMIT, || (town.ready() == 4).then_some(()));
        for pod in town.pods("app=api") {
            town.listen(&pod)?;
        }
        Ok(town)
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        self.network.kubectl(&[&["--namespace", LIVE], arguments].concat())
    }

    fn apply(&self, objects: &str) {
        let file = self.write("live.json", objects);
        self.network.kubectl(&["apply", "-f", &file.display().to_string()]);
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.directory.path().join(name);
        std::fs::write(&file, text).expect("a file can be written");
        file
    }

    fn get(&self, kinds: &str) -> Vec<Value> {
        let list = self.kubectl(&["get", kinds, "-o", "json"]);
        let list: Value = serde_json::from_str(&list).expect("kubectl prints JSON");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    fn pods(&self, selector: &str) -> Vec<String> {
        let names = self.kubectl(&["get", "pods", "-l", selector, "-o", "name"]);
        names.lines().map(|name| name.trim_start_matches("pod/").to_owned()).collect()
    }

    fn ready(&self) -> usize {
        let is_ready = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array();
            conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
        };
        self.get("pods").iter().filter(is_ready).count()
    }

    /// Makes the prober in a live pod listen, as its container's own program would.
    fn listen(&self, pod: &str) -> Result<(), Failed> {
        let told =
            self.tell(pod, "live-api", r#"{"listen":{"listeners":[{"transport":"tcp","port":8080}]}}"#, 3)?;
        told.contains("alive").then_some(()).ok_or_else(|| format!("{pod} does not listen: {told}").into())
    }

    /// Sends a command to the prober of a live pod, and returns what it prints within a few seconds.
    fn tell(&self, pod: &str, socket: &str, command: &str, seconds: u32) -> Result<String, Failed> {
        let hello = json!({ "hello": { "protocol": flowproof_wire::PROTOCOL, "run": 1, "have": 0 } });
        let script = format!(
            "{{ echo '{hello}'; echo '{command}'; sleep {seconds}; }} | {lab} kubectl --namespace {LIVE} exec -i {pod} -- /flowproof-prober relay --socket {socket}",
            lab = self.network.script().display(),
        );
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).env("FLOWPROOF_LAB_INSTANCE", &self.network.name);
        let output = shell.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The objects in the namespace, by kind, name and identity, with their spec and readiness.
    fn objects(&self) -> BTreeSet<String> {
        let kinds = "deployments,replicasets,pods,services,endpointslices,serviceaccounts,secrets,configmaps,networkpolicies,poddisruptionbudgets";
        let told = |object: &Value| {
            let metadata = &object["metadata"];
            let mut text = format!("{} {} {}", object["kind"], metadata["name"], metadata["uid"]);
            // Left out: status that describes what others did, versions, and times, because they are not changes of the object.
            for field in [
                "/metadata/labels",
                "/spec",
                "/endpoints",
                "/status/readyReplicas",
                "/status/disruptionsAllowed",
            ] {
                if let Some(value) = object.pointer(field) {
                    let _ = write!(text, " {field}={value}");
                }
            }
            text
        };
        self.get(kinds).iter().map(told).collect()
    }

    /// Starts the steady client of the Service: five requests a second, each on a connection of its own. It is steady after the first
    /// answer, because nodes take a while to program a new Service.
    fn client(&self) -> Result<Client<'_>, Failed> {
        let pod = self.pods("app=client").into_iter().next().ok_or("there is no client")?;
        let service = self.kubectl(&["get", "service", "api", "-o", "jsonpath={.spec.clusterIP}"]);
        let flows = json!({ "try": {
            "pace": { "interval_ms": 200, "timeout_ms": 1000, "report_ms": 100 },
            "flows": [{ "flow": 1, "transport": "tcp", "to": format!("{}:80", service.trim()) }],
        } });
        self.tell(&pod, "live-client", &flows.to_string(), 1)?;
        let lost_first = Network::wait_for("the Service", LIMIT, || {
            let told = self.tell(&pod, "live-client", PING, 1).ok()?;
            let answered = spans(&told, "source", is_answered);
            let all = spans(&told, "source", |_| true);
            let lost = all.difference(&answered).max().copied().unwrap_or(0);
            all.last().is_some_and(|last| answered.contains(last)).then_some(lost)
        });
        Ok(Client { town: self, pod, lost_first })
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let file = self.write("scenario.yaml", SCENARIO).display().to_string();
        self.network.run(&[&["--no-canary", "--settle", "30s", &file], arguments].concat())
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        self.network.kubectl(&["delete", "namespace", LIVE, "--ignore-not-found", "--timeout", "120s"]);
    }
}

/// A client that goes on without a reader; at the end it is asked for what it saw.
struct Client<'a> {
    town: &'a Town,
    pod: String,
    /// The last request before it was steady.
    lost_first: u64,
}

const PING: &str = r#"{"ping":{"id":1}}"#;

fn is_answered(span: &Value) -> bool {
    span["observation"]["saw"] == "answered"
}

impl Client<'_> {
    /// Ends it. Fails if a request was not answered, or did not arrive at one of the replicas.
    fn reached_replicas_only(self) -> Result<(), Failed> {
        let stop = json!({ "try": { "flows": [], "pace": { "interval_ms": 100, "timeout_ms": 1000, "report_ms": 100 } } });
        let told = self.town.tell(&self.pod, "live-client", &stop.to_string(), 3)?;
        let answered = spans(&told, "source", is_answered);
        let mut all = spans(&told, "source", |_| true);
        all.retain(|request| *request > self.lost_first);
        let mut arrived = BTreeSet::new();
        for replica in self.town.pods("app=api,!flowproof.dev/run") {
            let told = self.town.tell(&replica, "live-api", PING, 1)?;
            arrived.extend(spans(&told, "arrivals", |_| true));
        }
        let lost: Vec<_> = all.difference(&answered).collect();
        let elsewhere: Vec<_> = answered.difference(&arrived).collect();
        if all.len() < 50 || !lost.is_empty() || !elsewhere.is_empty() {
            return Err(format!(
                "of {} requests {} were not answered, and {} by somebody else than a replica: {lost:?} {elsewhere:?}",
                all.len(),
                lost.len(),
                elsewhere.len()
            )
            .into());
        }
        eprintln!(
            "{}: {} requests of the client, all answered by replicas",
            self.town.network.name,
            all.len()
        );
        Ok(())
    }
}

/// The attempts that a prober reports.
fn spans(told: &str, of: &str, counts: impl Fn(&Value) -> bool) -> BTreeSet<u64> {
    let mut attempts = BTreeSet::new();
    for line in told.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        for span in event["report"][of].as_array().into_iter().flatten().filter(|span| counts(span)) {
            if let (Some(first), Some(last)) = (span["first"].as_u64(), span["last"].as_u64()) {
                attempts.extend(first..=last);
            }
        }
    }
    attempts
}

fn check(holds: bool, what: &str, ran: &Ran) -> Result<(), Failed> {
    holds
        .then_some(())
        .ok_or_else(|| format!("{what}; exit code {:?}\n{}\n{:#}", ran.code, ran.stderr, ran.outcome).into())
}

fn unchanged(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Result<(), Failed> {
    if before == after {
        return Ok(());
    }
    let gone: Vec<_> = before.difference(after).collect();
    let new: Vec<_> = after.difference(before).collect();
    Err(format!("the namespace has changed\ngone: {gone:#?}\nnew: {new:#?}").into())
}

fn left_alone(town: &Town) -> Result<(), Failed> {
    let client = town.client()?;
    let before = town.objects();
    let (child, shadows) = held(town)?;
    // While they exist: the number of replicas does not change, the budget allows what it allowed before, and no Service has a new
    // ready endpoint.
    let during = town.objects();
    let kept = |object: &&String| !object.contains("EndpointSlice");
    let gone: Vec<&String> = before.iter().filter(kept).filter(|object| !during.contains(*object)).collect();
    if !gone.is_empty() {
        return Err(format!("changed by the shadows: {gone:#?}").into());
    }
    let slices = town.get("endpointslices");
    let endpoints = || slices.iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
    for shadow in &shadows {
        let serving = endpoints().any(|one| {
            one["targetRef"]["name"] == **shadow
                && (one["conditions"]["ready"] == true || one["conditions"]["serving"] == true)
        });
        if serving {
            return Err(format!("{shadow} serves the Service: {slices:#?}").into());
        }
    }
    let ran = end(child);
    check(ran.code == Some(0), "all flows do what the live policies say, and every deny is proven", &ran)?;
    let flows = ran.flows();
    let proven = |(_, flow): &(&str, &Value)| {
        flow["expectation"] == "deny"
            && flow["verdict"] == "matched"
            && flow["evidence"]["control"] == "ends-work"
    };
    check(flows.iter().any(proven), "a deny is proven by two half controls", &ran)?;
    client.reached_replicas_only()?;
    Network::wait_for("the endpoints as they were", LIMIT, || (town.objects() == before).then_some(()));
    unchanged(&before, &town.objects())
}

/// Starts a run that holds its step, and returns its shadows once they exist.
fn held(town: &Town) -> Result<(Child, Vec<String>), Failed> {
    let file = town.write("scenario.yaml", SCENARIO).display().to_string();
    let child = town
        .network
        .flowproof(&["run", "--json", "-", "--no-canary", "--hold", "8s", "--settle", "40s", &file])
        .spawn()
        .map_err(|error| error.to_string())?;
    let shadows = Network::wait_for("the shadows", LIMIT, || {
        let running = town.kubectl(&[
            "get",
            "pods",
            "-l",
            "flowproof.dev/run",
            "--field-selector",
            "status.phase=Running",
            "-o",
            "name",
        ]);
        let names: Vec<String> =
            running.lines().map(|name| name.trim_start_matches("pod/").to_owned()).collect();
        (names.len() == 2).then_some(names)
    });
    Ok((child, shadows))
}

fn end(child: Child) -> Ran {
    Ran::from(child.wait_with_output().expect("flowproof ends"))
}

fn killed(town: &Town) -> Result<(), Failed> {
    let before = town.objects();
    let (mut child, shadows) = held(town)?;
    child.kill().map_err(|error| error.to_string())?;
    let ran = end(child);
    let left = town.pods("flowproof.dev/run");
    check(shadows.iter().all(|shadow| left.contains(shadow)), "its shadows are still there", &ran)?;
    let listed =
        Command::output(&mut town.network.flowproof(&["clean"])).map_err(|error| error.to_string())?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    check(
        listed.contains(&format!("deployment {LIVE}/flowproof-")),
        &format!("clean lists what holds them: {listed}"),
        &ran,
    )?;
    let cleaned = Network::ran(town.network.flowproof(&["clean", "--all"]));
    check(cleaned.code == Some(0), "clean removes them", &cleaned)?;
    check(town.pods("flowproof.dev/run").is_empty(), "they are gone when it says so", &cleaned)?;
    check(town.network.namespaces().is_empty(), "so are the run's namespaces", &cleaned)?;
    Network::wait_for("the endpoints as they were", LIMIT, || (town.objects() == before).then_some(()));
    unchanged(&before, &town.objects())
}

fn generated(town: &Town) -> Result<(), Failed> {
    let out = town.directory.path().join("generated").display().to_string();
    let made = Network::ran(town.network.flowproof(&["generate", "--from-cluster", "--out", &out]));
    check(made.code == Some(0), "scenarios are made", &made)?;
    let ran = town.network.run(&["--no-canary", "--settle", "30s", &out]);
    // A target that nobody may reach stays unproven.
    check(matches!(ran.code, Some(0 | 3)), "nothing is mismatched", &ran)?;
    let matched = ran.flows().iter().filter(|(_, flow)| flow["verdict"] == "matched").count();
    check(matched > 0, "something is proven", &ran)
}

fn touched(town: &Town) -> Result<(), Failed> {
    let text = "
scenario: the client reaches the real Service
workloads:
  pay/client: { like: deployment/client, in: payments, listens: [tcp/8080] }
  pay/api: { like: deployment/api, in: payments, listens: [http: tcp/8080] }
policies: live
expect: { policy: [pay/client -> service payments/api tcp/80, pay/client -> pay/api], allow: [pay/client -> cluster-dns] }
";
    let file = town.write("touching.yaml", text).display().to_string();
    let refused = town.network.run(&["--no-canary", &file]);
    check(
        refused.code == Some(2) && refused.stderr.contains("--touch-live"),
        "the flag is asked for",
        &refused,
    )?;
    check(refused.stderr.contains("payments/api"), "the Service is named", &refused)?;
    let ran = town.network.run(&["--no-canary", "--settle", "30s", "--touch-live", &file]);
    check(ran.code == Some(0), "with it the Service is reached", &ran)?;
    let flows = ran.flows();
    let service = flows.iter().find(|(_, flow)| flow["target"] == "service payments/api");
    check(service.is_some_and(|(_, flow)| flow["verdict"] == "matched"), "by a flow of its own", &ran)
}

fn published(town: &Town) -> Result<(), Failed> {
    town.kubectl(&["patch", "service", "api", "-p", r#"{"spec":{"publishNotReadyAddresses":true}}"#]);
    let before = town.objects();
    let ran = town.run(&[]);
    check(ran.code == Some(4), "the set-up fails", &ran)?;
    let end = ran.outcome["scenarios"][0]["end"].to_string();
    check(
        end.contains("publishNotReadyAddresses") && end.contains("payments/api"),
        "the Service is named",
        &ran,
    )?;
    unchanged(&before, &town.objects())
}
