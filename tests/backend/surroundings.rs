//! Wrong surroundings: the error names each one and says what would help.

use crate::{
    conversation::Conversation,
    kubernetes::Ground,
    lanes::{lane, unique},
    suite::with_lane,
};
use anyhow::{Context, Result, bail, ensure};
use flowproof::{
    cluster::{Cluster, ClusterError, Wait},
    kube::{CLUSTER_ROLE, Kube, KubeOptions},
};
use libtest_mimic::Trial;
use std::{
    fs,
    future::Future,
    path::PathBuf,
    pin::Pin,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, runtime::Runtime};

/// Far more than the error takes, even on a busy machine; the connection itself has 10 s.
const PATIENCE: Duration = Duration::from_secs(30);

type Check = fn() -> Pin<Box<dyn Future<Output = Result<()>>>>;

/// Checks that need no cluster.
const ALONE: &[(&str, Check)] = &[
    ("no kubeconfig", || Box::pin(no_kubeconfig())),
    ("an API server that is down", || Box::pin(down())),
    ("an API server that does not answer", || Box::pin(mute())),
    ("something that speaks no TLS", || Box::pin(no_tls())),
];

pub(crate) fn trials(runtime: &Arc<Runtime>) -> Vec<Trial> {
    let trial = |&(name, check): &(&'static str, Check)| {
        let runtime = Arc::clone(runtime);
        let run = move || runtime.block_on(check()).map_err(|error| format!("{error:#}").into());
        Trial::test(format!("kube: names {name}"), run)
    };
    ALONE.iter().map(trial).collect()
}

async fn no_kubeconfig() -> Result<()> {
    let options =
        KubeOptions { kubeconfig: Some(PathBuf::from("/nowhere/kubeconfig")), ..KubeOptions::default() };
    expect(Kube::connect(options).await.map(drop), "/nowhere/kubeconfig", "path")
}

async fn down() -> Result<()> {
    // A port that was free a moment ago, on loopback.
    let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    expect(describe(&format!("https://127.0.0.1:{port}")).await?, "refused", "is the cluster up")
}

async fn mute() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let begun = Instant::now();
    let answer = describe(&format!("https://{}", listener.local_addr()?)).await?;
    ensure!(begun.elapsed() < PATIENCE, "it took {:?}", begun.elapsed());
    expect(answer, "no answer in time", "VPN")
}

async fn no_tls() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The client may already be gone.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-other\r\n").await;
        }
    });
    let answer = describe(&format!("https://{address}")).await?;
    server.abort();
    expect(answer, "", "TLS")
}

/// Describes the cluster at an address without a cluster.
async fn describe(server: &str) -> Result<Result<(), ClusterError>> {
    let file = tempfile::NamedTempFile::new()?;
    let cluster = format!("clusters: [{{name: c, cluster: {{server: '{server}'}}}}]");
    let context = "contexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c";
    fs::write(file.path(), format!("{cluster}\n{context}\nusers: [{{name: u, user: {{token: t}}}}]\n"))?;
    let options = KubeOptions { kubeconfig: Some(file.path().to_owned()), ..KubeOptions::default() };
    let kube = Kube::connect(options).await.context("the kubeconfig itself is fine")?;
    Ok(kube.describe().await.map(drop))
}

/// Expects that the cluster is unreachable, with these words in the message and in the hint.
pub(crate) fn expect(answer: Result<(), ClusterError>, said: &str, hinted: &str) -> Result<()> {
    match answer {
        Err(ClusterError::Unreachable { what, hint }) => {
            ensure!(what.contains(said) && hint.contains(hinted), "{what}; hint: {hint}");
            Ok(())
        }
        other => bail!("{other:?}"),
    }
}

/// A context that the kubeconfig does not have.
pub(crate) async fn wrong_context(Ground { options, .. }: Ground) -> Result<()> {
    let context = Some(unique("nowhere"));
    expect(Kube::connect(KubeOptions { context, ..options }).await.map(drop), "nowhere", "it has: ")
}

/// A kubeconfig that trusts another authority than the cluster's, as after the cluster was recreated.
pub(crate) async fn wrong_authority(Ground { lab, .. }: Ground) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let [key, certificate] =
        ["ca.key", "ca.crt"].map(|name| directory.path().join(name).display().to_string());
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "1",
        ])
        .args(["-subj", "/CN=other", "-keyout", &key, "-out", &certificate])
        .output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let kubeconfig = directory.path().join("kubeconfig");
    fs::copy(lab.kubeconfig(), &kubeconfig)?;
    let kubeconfig_text = kubeconfig.display().to_string();
    lab.run(&[
        "kubectl",
        "config",
        "--kubeconfig",
        &kubeconfig_text,
        "set-cluster",
        "lab",
        "--certificate-authority",
        &certificate,
        "--embed-certs=true",
    ]);
    let kube = Kube::connect(KubeOptions { kubeconfig: Some(kubeconfig), ..KubeOptions::default() }).await?;
    expect(kube.describe().await.map(drop), "certificate", "TLS")
}

/// A token that the API server does not know.
pub(crate) async fn wrong_token(ground: Ground) -> Result<()> {
    let (kube, _directory) = as_token(&ground, "nobody").await?;
    expect(kube.describe().await.map(drop), "credentials", "log in")
}

/// A service account that may only look at nodes and namespaces.
pub(crate) async fn forbidden(ground: Ground) -> Result<()> {
    let name = unique("little");
    let lab = &ground.lab;
    lab.run(&["kubectl", "create", "namespace", &name]);
    lab.run(&["kubectl", "-n", &name, "create", "serviceaccount", "little"]);
    lab.run(&[
        "kubectl",
        "create",
        "clusterrole",
        &name,
        "--verb=get,list,watch",
        "--resource=nodes,namespaces",
    ]);
    let account = format!("{name}:little");
    lab.run(&[
        "kubectl",
        "create",
        "clusterrolebinding",
        &name,
        "--clusterrole",
        &name,
        "--serviceaccount",
        &account,
    ]);
    let token = lab.run(&["kubectl", "-n", &name, "create", "token", "little"]);
    let (kube, _directory) = as_token(&ground, token.trim()).await?;
    let answer = kube.describe().await;
    let lane = lane(&ground.kube.describe().await?, 1, 1);
    let deployed = kube.deploy(&lane).await.map(drop);

    // With the role that the project ships, it may.
    lab.apply_text(CLUSTER_ROLE);
    lab.run(&[
        "kubectl",
        "create",
        "clusterrolebinding",
        &format!("{name}-all"),
        "--clusterrole=flowproof",
        "--serviceaccount",
        &account,
    ]);
    let (kube, _directory) = as_token(&ground, token.trim()).await?;
    let allowed = kube.describe().await.map(drop);
    let played = with_lane(&kube, &lane, async || {
        Conversation::open(&kube, &lane.pods[0].name).await?.ping(1).await?;
        kube.restart(&lane.pods[0]).await?;
        Ok(())
    })
    .await;
    let listed = kube.runs().await.map(drop);
    lab.run(&["kubectl", "delete", "clusterrolebinding", &name, &format!("{name}-all")]);
    lab.run(&["kubectl", "delete", "clusterrole", &name, "flowproof"]);
    lab.run(&["kubectl", "delete", "namespace", &name, "--wait=false"]);

    match answer {
        Err(ClusterError::Forbidden { missing }) => {
            let has = |wanted: &str| missing.iter().any(|permission| permission == wanted);
            ensure!(has("create namespaces") && has("create pods/exec"), "{missing:?}");
            ensure!(has("patch networkpolicies.networking.k8s.io") && !has("list nodes"), "{missing:?}");
        }
        other => bail!("{other:?}"),
    }
    ensure!(
        matches!(&deployed, Err(ClusterError::Forbidden { missing }) if missing == &["create namespaces"]),
        "{deployed:?}"
    );
    allowed?;
    played?;
    listed?;
    Ok(())
}

/// A node whose kubelet is dead: its pods do not come up, and the reason names the node.
pub(crate) async fn dead_kubelet(Ground { kube, lab, .. }: Ground) -> Result<()> {
    let mut lane = lane(&kube.describe().await?, 1, 1);
    lane.without_headway = Duration::from_secs(6);
    let node = lane.pods[0].node.clone();
    lab.run(&["kill", &format!("{node}-kubelet")]);
    let answer = kube.deploy(&lane).await.map(drop);
    lab.run(&["start", &format!("{node}-kubelet")]);
    kube.remove(&lane, Wait::UntilGone).await?;
    match answer {
        Err(ClusterError::PodFailed { why, hint, .. }) => {
            ensure!(why.contains(&node) && hint.contains("kubelet"), "{why}; hint: {hint}");
            Ok(())
        }
        other => bail!("{other:?}"),
    }
}

/// The lab's cluster as the owner of a token sees it; the directory holds the kubeconfig.
async fn as_token(ground: &Ground, token: &str) -> Result<(Kube, tempfile::TempDir)> {
    let directory = tempfile::tempdir()?;
    let kubeconfig = directory.path().join("kubeconfig");
    fs::copy(ground.lab.kubeconfig(), &kubeconfig)?;
    let text = kubeconfig.display().to_string();
    ground.lab.run(&[
        "kubectl",
        "config",
        "--kubeconfig",
        &text,
        "set-credentials",
        "token",
        "--token",
        token,
    ]);
    ground.lab.run(&["kubectl", "config", "--kubeconfig", &text, "set-context", "--current", "--user=token"]);
    let kube = Kube::connect(KubeOptions { kubeconfig: Some(kubeconfig), ..KubeOptions::default() }).await?;
    Ok((kube, directory))
}
