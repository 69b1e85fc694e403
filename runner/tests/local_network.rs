//! The local cluster's network without policies: every pod reaches every other over both families, and nothing remains.

#[path = "local/support.rs"]
mod support;

use anyhow::Result;
use flowproof::cluster::{Cluster, ClusterError, ServiceSpec, Wait};
use flowproof_wire::{
    Observation,
    Transport::{Tcp, Udp},
};
use support::{Scene, lane, pod, start};

#[tokio::test(flavor = "multi_thread")]
async fn pods_reach_each_other_on_one_node_and_across() -> Result<()> {
    let mut host = pod("a/host", "", "node2");
    host.host_network = true;
    let lane = lane(
        &[("a", ""), ("b", "")],
        vec![pod("a/one", "", "node1"), pod("a/two", "", "node1"), pod("b/far", "", "node2"), host],
        vec![],
    );
    let mut scene = Scene::of(start().await?, &lane).await?;
    for from in ["a/one", "a/two", "b/far", "a/host"] {
        for to in ["a/one", "a/two", "b/far", "a/host"] {
            for transport in [Tcp, Udp] {
                assert!(scene.reaches(from, to, transport, 80).await?, "{from} -> {to} {transport:?}");
            }
        }
    }
    assert!(!scene.reaches("a/one", "b/far", Tcp, 82).await?, "nobody listens there");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_pod_has_another_address_and_a_removed_one_is_gone() -> Result<()> {
    let target = pod("a/two", "", "node2");
    let lane = lane(&[("a", "")], vec![pod("a/one", "", "node1"), target.clone()], vec![]);
    let mut scene = Scene::of(start().await?, &lane).await?;
    let before = scene.address("a/two", true);
    scene.restart(&target).await?;
    assert_ne!(scene.address("a/two", true), before);
    assert!(scene.reaches("a/one", "a/two", Tcp, 80).await?);

    scene.cluster.remove(&lane, Wait::UntilGone).await?;
    let error = scene.cluster.attach(&target.name).await.map(drop).expect_err("it is gone");
    assert!(matches!(error, ClusterError::PodGone { .. }), "{error}");
    scene.cluster.deploy(&lane).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn several_clusters_do_not_see_each_other() -> Result<()> {
    let lane = lane(&[("a", "")], vec![pod("a/one", "", "node1"), pod("a/two", "", "node2")], vec![]);
    let (first, second) = tokio::try_join!(start(), start())?;
    let mut first = Scene::of(first, &lane).await?;
    let mut second = Scene::of(second, &lane).await?;
    assert_eq!(first.address("a/two", true), second.address("a/two", true));
    drop(first);
    assert!(second.reaches("a/one", "a/two", Tcp, 80).await?);
    first = Scene::of(start().await?, &lane).await?;
    assert!(first.reaches("a/one", "a/two", Udp, 80).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_dns_answers_over_both_transports_and_families() -> Result<()> {
    let service = ServiceSpec { name: "a/web".parse()?, selector: [].into(), ports: vec![] };
    let lane = lane(&[("a", "")], vec![pod("a/one", "", "node1"), pod("a/two", "", "node2")], vec![service]);
    let mut scene = Scene::of(start().await?, &lane).await?;
    let address = scene.deployed.services[0][0];
    for from in ["a/one", "a/two"] {
        let seen = scene.ask(from, "web.a.svc.cluster.local.", "A").await?;
        let answer = Observation::Answered { answers: vec![format!("A {address}")] };
        assert_eq!(seen, vec![answer; 4]);
    }
    assert_eq!(scene.prober("a/one").search[0], "a.svc.cluster.local");
    let seen = scene.ask("a/one", "none.a.svc.cluster.local.", "A").await?;
    assert_eq!(seen, vec![Observation::DnsFailed { rcode: "NXDOMAIN".to_owned() }; 4]);
    Ok(())
}
