//! `flowproof run`.

use super::{
    Failure,
    args::{
        ClusterKind, DeliverChoice, FamilyChoice, KubeArgs, PlacementChoice, PlayArgs, PodArgs, RunArgs,
        ViaChoice, WatchArgs,
    },
    diagnose,
    session::Session,
};
use crate::{
    cluster::Cluster,
    kube::{self, Deliver, Kube, KubeOptions, PullPolicy},
    local::{LocalCluster, LocalOptions, fault::Fault},
    problems::FileProblems,
    report::live,
    run::{
        Context, Judged, Settings, Teller, run as play,
        watch::{Watch, WatchOptions},
    },
    scenarios,
};
use flowproof_core::{
    flow::Family,
    outcome::{Conclusion, Exit, Outcome},
    parse::Deviation,
    scenario::{Labels, Scenario},
    variant::{self, Via, Where},
};
use serde_json::{Value, json};
use std::{io::Write, path::PathBuf, sync::Arc};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Carries out `flowproof run`; returns the exit code.
pub async fn run(args: Box<RunArgs>) -> Result<Exit, Failure> {
    let kind = kind(&args.play);
    let defaults = settings(&args.play, kind)?;
    let settings = Settings {
        budget: args.budget,
        jobs: args.jobs.unwrap_or(defaults.jobs),
        fail_fast: args.fail_fast,
        keep: args.keep,
        timeout: args.timeout,
        ..defaults
    };
    let after = |outcome: &mut Outcome, scenarios: &[Scenario]| {
        if args.diagnose {
            diagnose::add_to(outcome, scenarios);
        }
        let kept = args.keep && outcome.conclusion() != Conclusion::Interrupted;
        if kept { kept_text(outcome) } else { String::new() }
    };
    carry_out(&args.play, kind, settings, None, after).await
}

/// Carries out `flowproof watch`; returns the exit code.
pub async fn watch(args: Box<WatchArgs>) -> Result<Exit, Failure> {
    let WatchArgs { play, at_least, until_stable, command } = *args;
    let options = WatchOptions { at_least, until_stable, command };
    let kind = kind(&play);
    let settings = settings(&play, kind)?;
    carry_out(&play, kind, settings, Some(options), |_, _| String::new()).await
}

/// Plays the scenarios of the arguments and reports; `after` may add to the outcome, and says what follows the tables. Returns the
/// exit code.
async fn carry_out(
    args: &PlayArgs,
    kind: ClusterKind,
    settings: Settings,
    watch: Option<WatchOptions>,
    after: impl FnOnce(&mut Outcome, &[Scenario]) -> String,
) -> Result<Exit, Failure> {
    let scenarios = scenarios_of(args)?;
    may_play(args, kind, &scenarios)?;
    let deviations = deviations(args)?;
    if watch.is_some()
        && scenarios.len() > 1
        && let Some(alone) = scenarios.iter().find(|scenario| scenario.must_run_alone())
    {
        return Err(Failure::usage(format!(
            "{} applies a cluster-scoped object: it can only be watched alone",
            alone.file
        ))
        .hint("name the scenarios to watch, or choose them with --filter"));
    }
    args.outputs.check()?;
    let cluster = cluster(args, kind).await?;
    let watch = watch.map(|options| Arc::new(Watch::new(options, CancellationToken::new())));
    let mut session = Session::begin(watch.as_ref().map(|watch| watch.end.clone()));
    let play = Play { cluster, scenarios: scenarios.clone(), deviations, settings, watch };
    // What fails here has created nothing.
    let mut outcome = play.carry_out(&mut session, args.progress, Box::new(|_| None)).await?;
    let after = after(&mut outcome, &scenarios);
    let written = args.outputs.write(&outcome, &after);
    let changed = session.end().await.amend(&mut outcome);
    written.and(args.outputs.finish(&outcome, changed))?;
    Ok(outcome.conclusion().exit())
}

/// What is played where.
pub struct Play {
    /// The cluster.
    pub cluster: Arc<dyn Cluster>,
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
    /// Where the cluster's network plugin is known to differ.
    pub deviations: Vec<Deviation>,
    /// The options.
    pub settings: Settings,
    /// What happens once the scenarios have settled.
    pub watch: Option<Arc<Watch>>,
}

impl Play {
    /// Plays it and tells progress; returns when everything is judged. The session waits for the removal in its end.
    pub async fn carry_out(
        self,
        session: &mut Session,
        style: live::Style,
        remark: live::Remark,
    ) -> Result<Outcome, Failure> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let live_report = tokio::spawn(live::tell(style, receiver, remark));
        let mut context = Context::new(self.settings, Teller(sender), session.cancel.clone());
        context.deviations = Arc::new(self.deviations);
        context.watch = self.watch;
        let judged = play(self.cluster, self.scenarios, context, session.live.clone()).await;
        let _ = live_report.await;
        let Judged { outcome, clean_up } = judged?;
        session.await_in_the_end(clean_up);
        Ok(outcome)
    }
}

/// The scenarios of the arguments, in the variants that they ask for.
pub fn scenarios_of(args: &PlayArgs) -> Result<Vec<Scenario>, Failure> {
    let mut scenarios =
        if args.paths.is_empty() && !args.manifests.is_empty() { Vec::new() } else { load(&args.paths)? };
    if !args.manifests.is_empty() {
        let of_manifests = scenarios::of_manifests(&args.manifests, args.namespace.as_deref());
        scenarios.push(of_manifests.map_err(|wrong| problems(&[wrong]))?);
    }
    let scenarios = select(scenarios, &args.filter)?;
    let via = match args.via {
        ViaChoice::Pod => Via::Pod,
        ViaChoice::Service => Via::Service,
        ViaChoice::Both => Via::Both,
    };
    let named = |scenarios: Vec<Scenario>, suffix: &str| {
        let claim = |mut scenario: Scenario| {
            scenario.claim = format!("{} ({suffix})", scenario.claim);
            scenario
        };
        scenarios.into_iter().map(claim).collect::<Vec<_>>()
    };
    // The Services come last: they must not hide whose flows cross nodes.
    let placed = match args.placement {
        None => scenarios,
        Some(PlacementChoice::SameNode) => variant::placed(scenarios, Where::SameNode),
        Some(PlacementChoice::CrossNode) => variant::placed(scenarios, Where::CrossNode),
        Some(PlacementChoice::Both) => {
            let same = named(variant::placed(scenarios.clone(), Where::SameNode), "within a node");
            let cross = named(variant::placed(scenarios, Where::CrossNode), "between nodes");
            same.into_iter().chain(cross).collect()
        }
    };
    Ok(placed.into_iter().map(|scenario| variant::via(scenario, via)).collect())
}

/// The known deviations that go with the scenarios of the arguments.
pub fn deviations(args: &PlayArgs) -> Result<Vec<Deviation>, Failure> {
    let known = scenarios::known_deviations(&args.paths).map_err(|wrong| problems(&wrong))?;
    Ok(if args.strict { Vec::new() } else { known })
}

pub fn load(paths: &[PathBuf]) -> Result<Vec<Scenario>, Failure> {
    scenarios::load(paths).map_err(|wrong| problems(&wrong))
}

/// All problems of all files on stderr, and how many there are.
pub fn problems(files: &[FileProblems]) -> Failure {
    let count: usize = files.iter().map(FileProblems::count).sum();
    let texts: Vec<String> = files.iter().map(ToString::to_string).collect();
    let _ = writeln!(std::io::stderr(), "{}", texts.join("\n"));
    Failure::usage(format!("{count} problem{} in {} file{}", plural(count), files.len(), plural(files.len())))
}

pub fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Keeps the scenarios whose file or claim contains one of the texts.
pub fn select(scenarios: Vec<Scenario>, filter: &[String]) -> Result<Vec<Scenario>, Failure> {
    let all = scenarios.len();
    let wanted = |scenario: &Scenario| {
        filter.is_empty()
            || filter.iter().any(|text| scenario.file.contains(text) || scenario.claim.contains(text))
    };
    let selected: Vec<Scenario> = scenarios.into_iter().filter(wanted).collect();
    if selected.is_empty() {
        return Err(Failure::nothing(format!("none of {all} scenarios contains {}", filter.join(" or "))));
    }
    Ok(selected)
}

/// Refuses scenarios about what lives in a cluster where nothing does, and flows to live Services that nobody asked for.
pub fn may_play(args: &PlayArgs, kind: ClusterKind, scenarios: &[Scenario]) -> Result<(), Failure> {
    if kind == ClusterKind::Local {
        return none_live(scenarios);
    }
    let touching = |scenario: &Scenario| Some((scenario.file.clone(), scenario.touched().next()?.clone()));
    match scenarios.iter().find_map(touching) {
        Some((file, service)) if !args.touch_live => Err(Failure::usage(format!(
            "{file} connects to {service}, a Service of the cluster and not of the run: that needs --touch-live"
        ))
        .hint("every attempt is a TCP handshake without a byte of payload")),
        _ => Ok(()),
    }
}

/// Refuses what the local cluster cannot have.
pub fn none_live(scenarios: &[Scenario]) -> Result<(), Failure> {
    match scenarios.iter().find(|scenario| scenario.live) {
        Some(live) => Err(Failure::usage(format!(
            "{} is about the policies and workloads of a cluster (policies: live), and the local cluster has none",
            live.file
        ))
        .hint("play it with `flowproof run --cluster kube`, or choose others with --filter")),
        None => Ok(()),
    }
}

pub fn settings(args: &PlayArgs, kind: ClusterKind) -> Result<Settings, Failure> {
    let defaults = match kind {
        ClusterKind::Kube => Settings::default(),
        ClusterKind::Local => Settings::local(args.enforce_delay.unwrap_or_default()),
    };
    Ok(Settings {
        settle: args.settle.unwrap_or(defaults.settle),
        settle_labels: args.settle.unwrap_or(defaults.settle_labels),
        patience: args.patience.unwrap_or(defaults.patience),
        hold: args.hold.unwrap_or(defaults.hold),
        interval: args.interval,
        families: match args.family {
            FamilyChoice::V4 => [Family::V4].into(),
            FamilyChoice::V6 => [Family::V6].into(),
            FamilyChoice::Both => [Family::V4, Family::V6].into(),
        },
        canary: !args.no_canary,
        arguments: std::env::args().skip(1).collect(),
        tolerations: args.pods.tolerations.iter().map(|text| toleration(text)).collect::<Result<_, _>>()?,
        node_selector: pairs("--node-selector", &args.pods.node_selector)?,
        ..defaults
    })
}

/// The kind of cluster that was asked for; without a word, Kubernetes where there is a kubeconfig, else the local cluster.
pub fn kind(args: &PlayArgs) -> ClusterKind {
    args.cluster.unwrap_or_else(|| {
        let asked = args.kube.kubeconfig.is_some() || args.kube.context.is_some();
        if asked || kube::configured() {
            return ClusterKind::Kube;
        }
        let _ = writeln!(
            std::io::stderr(),
            "no kubeconfig found: using the local cluster (--cluster kube to require Kubernetes)"
        );
        ClusterKind::Local
    })
}

pub async fn cluster(args: &PlayArgs, kind: ClusterKind) -> Result<Arc<dyn Cluster>, Failure> {
    match kind {
        ClusterKind::Local => Ok(Arc::new(LocalCluster::start(&local_options(args)?).await?)),
        ClusterKind::Kube => {
            let options = KubeOptions { capture: args.capture, ..kube_options(&args.kube, &args.pods)? };
            if options.capture {
                let _ = writeln!(
                    std::io::stderr(),
                    "--capture: the probers run as root with NET_RAW and nothing else; Pod Security's levels restricted and \
                     baseline forbid that, so that the run's own namespaces get the label {}=privileged",
                    kube::ENFORCE_LABEL
                );
            }
            Ok(Arc::new(Kube::connect(options).await?))
        }
    }
}

fn local_options(args: &PlayArgs) -> Result<LocalOptions, Failure> {
    let defaults = LocalOptions::default();
    let fault = match &args.fault {
        None => None,
        Some(name) => Some(fault(name)?),
    };
    Ok(LocalOptions {
        nodes: args.nodes.unwrap_or(defaults.nodes),
        enforce_delay: args.enforce_delay.unwrap_or(defaults.enforce_delay),
        fault,
        capture: args.capture,
        ..defaults
    })
}

/// The fault with this name.
pub fn fault(name: &str) -> Result<Fault, Failure> {
    Fault::named(name).map_err(|unknown| {
        let list = "`flowproof faults --list` lists all of them";
        let hint = unknown
            .nearest
            .map_or_else(|| list.to_owned(), |nearest| format!("did you mean '{nearest}'? {list}"));
        Failure::usage(unknown.to_string()).hint(hint)
    })
}

/// The backend's options.
fn kube_options(kube: &KubeArgs, pods: &PodArgs) -> Result<KubeOptions, Failure> {
    let secrets = pods
        .pull_secrets
        .iter()
        .map(|text| text.parse().map_err(|error| Failure::usage(format!("--pull-secret {text}: {error}"))));
    let contradiction = match (pods.deliver, &pods.image, &pods.base_image) {
        (DeliverChoice::ConfigMap, Some(_), _) => {
            Some("--deliver configmap takes no --image: name the image of the pods with --base-image")
        }
        (DeliverChoice::Image, _, Some(_)) => Some("--base-image is for --deliver configmap"),
        (_, Some(_), Some(_)) => {
            Some("--image and --base-image exclude each other: an image of the prober, or any other one")
        }
        _ => None,
    };
    if let Some(contradiction) = contradiction {
        return Err(Failure::usage(contradiction.to_owned()));
    }
    Ok(KubeOptions {
        image: pods.image.clone(),
        deliver: match pods.deliver {
            DeliverChoice::Auto => Deliver::Auto,
            DeliverChoice::Image => Deliver::Image,
            DeliverChoice::ConfigMap => Deliver::ConfigMap,
        },
        base_image: pods.base_image.clone(),
        pull_policy: match pods.pull_policy.as_str() {
            "Always" => PullPolicy::Always,
            "Never" => PullPolicy::Never,
            _ => PullPolicy::IfNotPresent,
        },
        pull_secrets: secrets.collect::<Result<_, _>>()?,
        pod_labels: pairs("--pod-label", &pods.pod_labels)?,
        pod_annotations: pairs("--pod-annotation", &pods.pod_annotations)?,
        namespace_labels: pairs("--namespace-label", &pods.namespace_labels)?,
        namespace_annotations: pairs("--namespace-annotation", &pods.namespace_annotations)?,
        priority_class: pods.priority_class.clone(),
        runtime_class: pods.runtime_class.clone(),
        cpu_request: pods.cpu.clone(),
        cpu_limit: pods.cpu_limit.clone(),
        memory_request: pods.memory.clone(),
        ..connection(kube)
    })
}

/// Only how to reach the cluster.
pub fn connection(kube: &KubeArgs) -> KubeOptions {
    KubeOptions {
        kubeconfig: kube.kubeconfig.clone(),
        context: kube.context.clone(),
        ..KubeOptions::default()
    }
}

/// `KEY=VALUE` pairs of an option.
pub fn pairs(option: &str, pairs: &[String]) -> Result<Labels, Failure> {
    let pair = |text: &String| {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("{option} {text}: write it as KEY=VALUE")))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    pairs.iter().map(pair).collect()
}

/// `KEY[=VALUE][:EFFECT]`, or `*` for every taint.
fn toleration(text: &str) -> Result<Value, Failure> {
    if text == "*" {
        return Ok(json!({"operator": "Exists"}));
    }
    let (taint, effect) = text.split_once(':').map_or((text, None), |(taint, effect)| (taint, Some(effect)));
    if let Some(effect) = effect
        && !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect)
    {
        let message = format!(
            "--toleration {text}: '{effect}' is not an effect; there are NoSchedule, PreferNoSchedule, NoExecute"
        );
        return Err(Failure::usage(message));
    }
    let mut toleration = match taint.split_once('=') {
        Some((key, value)) => json!({"key": key, "operator": "Equal", "value": value}),
        None => json!({"key": taint, "operator": "Exists"}),
    };
    if let Some(effect) = effect {
        toleration["effect"] = effect.into();
    }
    Ok(toleration)
}

/// How to look at what `--keep` left.
fn kept_text(outcome: &Outcome) -> String {
    let namespaces = outcome.remains.join("\n  ");
    format!(
        "kept as asked:\n  {namespaces}\nlook at one:  kubectl -n NAMESPACE get pods,networkpolicies -o wide\n\
         enter a pod:  kubectl -n NAMESPACE debug POD -it --image=nicolaka/netshoot --target=prober\n"
    )
}
