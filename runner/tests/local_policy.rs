//! The local cluster's policies, seen by probers: what gets through is what the API says.

#[path = "local/support.rs"]
mod support;

use anyhow::Result;
use flowproof::{
    cluster::{Cluster, ClusterError, ServiceSpec},
    local::{LocalCluster, LocalOptions, fault::Fault},
};
use flowproof_core::scenario::{ObjectRef, ServicePort, TargetPort};
use flowproof_wire::{
    Listener, Observation,
    Transport::{Tcp, Udp},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use support::{Scene, answered, labels, lane, options, pod, start};

fn policy(name: &str, namespace: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    })
}

fn object(name: &str, namespace: &str) -> ObjectRef {
    ObjectRef {
        api_version: "networking.k8s.io/v1".to_owned(),
        kind: "NetworkPolicy".to_owned(),
        namespace: Some(namespace.to_owned()),
        name: name.to_owned(),
    }
}

/// Waits until the kernels of all nodes have what was accepted last.
async fn settle(cluster: &LocalCluster) -> Result<()> {
    Ok(cluster.enforced(Duration::from_secs(5)).await.map(drop)?)
}

async fn scene_on(cluster: LocalCluster) -> Result<Scene> {
    let lane = lane(
        &[("a", "team=red"), ("b", "team=blue")],
        vec![
            pod("a/web", "app=web", "node1"),
            pod("a/near", "app=near", "node1"),
            pod("a/far", "app=far", "node2"),
            pod("b/other", "app=near", "node2"),
        ],
        vec![ServiceSpec {
            name: "a/web".parse()?,
            selector: labels("app=web"),
            ports: vec![ServicePort {
                listener: Listener { transport: Tcp, port: 8080 },
                target: TargetPort::Number(80),
            }],
        }],
    );
    Scene::of(cluster, &lane).await
}

async fn apply(scene: &Scene, manifest: Value) -> Result<()> {
    scene.cluster.apply(&manifest).await?;
    settle(&scene.cluster).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_isolates_allows_and_goes() -> Result<()> {
    let mut scene = scene_on(start().await?).await?;
    apply(&scene, policy("deny", "a", json!({"podSelector": {"matchLabels": {"app": "web"}}}))).await?;
    for from in ["a/near", "a/far", "b/other"] {
        for transport in [Tcp, Udp] {
            assert!(!scene.reaches(from, "a/web", transport, 80).await?, "{from}");
        }
        assert!(
            scene.reaches("a/web", from, Tcp, 80).await?,
            "egress is not isolated, and replies come back"
        );
    }
    let near = json!({"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [
        {"from": [{"podSelector": {"matchLabels": {"app": "near"}}}], "ports": [{"port": 80}]},
        {"from": [{"namespaceSelector": {"matchLabels": {"team": "blue"}}}], "ports": [{"port": 81, "protocol": "UDP"}]},
    ]});
    apply(&scene, policy("some", "a", near)).await?;
    for (from, transport, port, wanted) in [
        ("a/near", Tcp, 80, true),
        ("a/near", Udp, 80, false),
        ("a/near", Tcp, 81, false),
        ("a/far", Tcp, 80, false),
        ("b/other", Tcp, 80, false),
        ("b/other", Udp, 81, true),
        ("b/other", Tcp, 81, false),
    ] {
        assert_eq!(
            scene.reaches(from, "a/web", transport, port).await?,
            wanted,
            "{from} {transport:?} {port}"
        );
    }

    let relabel = [("app".to_owned(), Some("near".to_owned()))].into();
    scene.cluster.label_pod(&"a/far".parse()?, &relabel).await?;
    settle(&scene.cluster).await?;
    assert!(scene.reaches("a/far", "a/web", Tcp, 80).await?, "its label changed");
    scene.cluster.label_namespace("b", &[("team".to_owned(), None)].into()).await?;
    settle(&scene.cluster).await?;
    assert!(!scene.reaches("b/other", "a/web", Udp, 81).await?, "its namespace lost the label");

    scene.cluster.delete(&object("some", "a")).await?;
    scene.cluster.delete(&object("deny", "a")).await?;
    settle(&scene.cluster).await?;
    assert!(scene.reaches("b/other", "a/web", Tcp, 81).await?, "no policy is left");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_policed_at_the_pod_and_a_pod_reaches_itself() -> Result<()> {
    let mut scene = scene_on(start().await?).await?;
    let ends: Vec<_> =
        scene.deployed.services[0].iter().map(|ip| (Tcp, SocketAddr::new(*ip, 8080))).collect();
    for from in ["a/web", "a/near", "a/far", "b/other"] {
        let seen = scene.try_all(from, &ends).await?;
        assert!(seen.iter().all(answered), "{from}: {seen:?}");
    }
    let only_near = json!({"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [
        {"from": [{"podSelector": {"matchLabels": {"app": "near"}}}], "ports": [{"port": 80}]}]});
    apply(&scene, policy("p", "a", only_near)).await?;
    for (from, wanted) in [("a/web", true), ("a/near", true), ("a/far", false), ("b/other", false)] {
        let seen = scene.try_all(from, &ends).await?;
        assert!(seen.iter().all(|seen| answered(seen) == wanted), "{from}: {seen:?}");
    }
    let to_service = json!({"podSelector": {"matchLabels": {"app": "near"}}, "policyTypes": ["Egress"], "egress": [
        {"to": [{"podSelector": {"matchLabels": {"app": "web"}}}]}]});
    apply(&scene, policy("q", "a", to_service)).await?;
    let seen = scene.try_all("a/near", &ends).await?;
    assert!(seen.iter().all(answered), "selectors work through Services: {seen:?}");
    assert!(!scene.reaches("a/near", "a/far", Tcp, 80).await?);
    Ok(())
}

fn nobody_to(tier: &str, priority: u32, namespace: &str) -> Value {
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
        "metadata": {"name": format!("nobody-{priority}")},
        "spec": {
            "tier": tier, "priority": priority,
            "subject": {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
            "ingress": [{"action": "Deny", "from": [{"namespaces": {}}], "protocols": [{"tcp": {"destinationPort": {"number": 80}}}]}],
        },
    })
}

/// Policies never apply to a pod that reaches itself by its own address. Through its Service, cluster policies apply (API overview of
/// network-policy-api, *hairpin*), and for NetworkPolicies it is not defined.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_meets_cluster_policies_when_it_reaches_itself_through_a_service() -> Result<()> {
    for (tier, isolated, wanted) in [
        ("Admin", true, false),
        ("Admin", false, false),
        ("Baseline", false, false),
        ("Baseline", true, true),
    ] {
        let mut scene = scene_on(start().await?).await?;
        let ends: Vec<_> =
            scene.deployed.services[0].iter().map(|ip| (Tcp, SocketAddr::new(*ip, 8080))).collect();
        if isolated {
            apply(&scene, policy("closed", "a", json!({}))).await?;
        }
        let seen = scene.try_all("a/web", &ends).await?;
        assert!(seen.iter().all(answered), "without cluster policies: {seen:?}");
        apply(&scene, nobody_to(tier, 5, "a")).await?;
        let seen = scene.try_all("a/web", &ends).await?;
        assert!(seen.iter().all(|seen| answered(seen) == wanted), "{tier} {isolated}: {seen:?}");
        let own = [true, false].map(|v4| (Tcp, SocketAddr::new(scene.address("a/web", v4), 80)));
        let seen = scene.try_all("a/web", &own).await?;
        assert!(seen.iter().all(answered), "by its own address: {seen:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_is_silent_and_a_dead_service_refuses() -> Result<()> {
    let mut scene = scene_on(start().await?).await?;
    apply(&scene, policy("deny", "a", json!({}))).await?;
    let to = scene.address("a/web", true);
    let seen =
        scene.try_all("a/far", &[(Tcp, SocketAddr::new(to, 80)), (Udp, SocketAddr::new(to, 80))]).await?;
    assert_eq!(seen, [Observation::Silent, Observation::Silent]);
    scene.cluster.label_pod(&"a/web".parse()?, &[("app".to_owned(), None)].into()).await?;
    settle(&scene.cluster).await?;
    let service = scene.deployed.services[0][0];
    let seen = scene.try_all("b/other", &[(Tcp, SocketAddr::new(service, 8080))]).await?;
    assert!(matches!(seen[0], Observation::Unreachable { icmp_type: 3, icmp_code: 3 }), "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_holds_changes_back_but_not_new_pods() -> Result<()> {
    // Long enough for an attempt before the delay is over, even on a busy machine.
    let delay = Duration::from_secs(3);
    let options = LocalOptions { enforce_delay: delay, ..options() };
    let mut scene = scene_on(LocalCluster::start(&options).await?).await?;
    let accepted = scene.cluster.apply(&policy("deny", "a", json!({}))).await?;
    assert!(scene.reaches("b/other", "a/web", Tcp, 80).await?, "not yet enforced");
    let at = scene.cluster.enforced(delay * 5).await?;
    let took = at.duration_since(accepted.at);
    let tolerance = Duration::from_millis(20);
    assert!(took + tolerance >= delay && took < delay * 2, "{took:?}");
    assert!(!scene.reaches("b/other", "a/web", Tcp, 80).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_refuses_what_the_api_server_refuses() -> Result<()> {
    let cluster = start().await?;
    let refused = cluster.apply(&policy("p", "nowhere", json!({}))).await.expect_err("no such namespace");
    assert!(refused.to_string().contains("namespaces \"nowhere\" not found"), "{refused}");
    let spec = json!({"ingress": [{"from": [{}]}]});
    let refused = cluster.apply(&policy("p", "a", spec)).await.expect_err("an empty peer");
    assert!(
        matches!(&refused, ClusterError::Rejected { message, .. } if message.contains("spec.ingress[0].from[0]"))
    );
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "a"}});
    let refused = cluster.apply(&other).await.expect_err("not served");
    assert!(matches!(refused, ClusterError::Unsupported { .. }), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_loads_and_the_first_enforces_nothing() -> Result<()> {
    for fault in Fault::all() {
        let options = LocalOptions { fault: Some(fault), ..options() };
        let cluster = LocalCluster::start(&options).await?;
        let cni = cluster.describe().await?.cni;
        assert!(cni.ends_with(fault.info().name), "{cni}");
    }
    let options = LocalOptions { fault: Some(Fault::NothingEnforced), ..options() };
    let mut scene = scene_on(LocalCluster::start(&options).await?).await?;
    apply(&scene, policy("deny", "a", json!({}))).await?;
    assert!(scene.reaches("b/other", "a/web", Tcp, 80).await?);
    Ok(())
}
