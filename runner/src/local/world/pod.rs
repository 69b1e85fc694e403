//! Pods: a network namespace with one link to its node, and a prober in it.

use super::{
    inside::{self, Network, inside, write_settings},
    node::{self, Node},
};
use crate::local::address::{self, GATEWAY_MAC};
use flowproof_wire::First;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use nlink::{
    Connection, Route,
    netlink::link::{LinkCreateExt, VethLink},
};
use std::{
    fs, io,
    io::Read,
    net::IpAddr,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::{
            net::{SocketAddr, UnixStream},
            process::CommandExt,
        },
    },
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// A prober that cannot be reached this long after its start will not come up.
const PROBER_STARTS_WITHIN: Duration = Duration::from_secs(10);

/// How often a connection to a starting prober is tried.
const TRY_EVERY: Duration = Duration::from_millis(1);

/// A process in a pod, and where it is.
pub(crate) struct Running {
    pub(crate) network: OwnedFd,
    pub(crate) socket: String,
    pub(crate) process: Child,
}

/// The link of a pod that does not use its node's network.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) number: u16,
    pub(crate) addresses: Vec<IpAddr>,
}

/// Makes a network namespace for a pod.
pub(crate) async fn make_network() -> io::Result<OwnedFd> {
    inside(Network::New, || {
        write_settings(&[("ipv4/ip_unprivileged_port_start", "0"), ("ipv6/conf/default/accept_dad", "0")])?;
        inside::own_network()
    })
    .await
}

pub(crate) async fn link_to_node(node: &Node, pods: &[(&Link, &OwnedFd)]) -> nlink::Result<()> {
    for (link, network) in pods {
        let pair = VethLink::new(interface(link.number), "eth0")
            .address(GATEWAY_MAC)
            .peer_address(address::pod_mac(node.number, link.number))
            .peer_netns_fd(network);
        node.links.add_link(pair.up()).await?;
        let index = node::index_of(&node.links, &interface(link.number)).await?;
        let mac = address::pod_mac(node.number, link.number);
        let mut batch = node.links.batch();
        for address in &link.addresses {
            batch = node::add_host(batch, index, *address, mac);
        }
        batch.execute_all().await?;

        let links = Connection::<Route>::new_in(network.as_fd())?;
        let index = node::index_of(&links, "eth0").await?;
        links.set_link_up("lo").await?;
        links.set_link_up_by_index(index).await?;
        node::end_point(&links, index, &link.addresses, GATEWAY_MAC).await?;
    }
    Ok(())
}

/// Removes the node's end of a pod's link, and with it the pod's.
pub(crate) async fn unlink(node: &Node, number: u16) -> nlink::Result<()> {
    node.links.del_link_if_exists(interface(number)).await.map(drop)
}

fn interface(number: u16) -> String {
    format!("pod{number}")
}

/// How a prober is started.
pub(crate) struct Prober {
    pub(crate) socket: String,
    pub(crate) program: Arc<OwnedFd>,
    /// Text of its `/etc/resolv.conf`.
    pub(crate) resolver: String,
    /// What it tries from its start.
    pub(crate) first: Option<First>,
    /// Whether it captures. It may, as root of the user namespace that owns its network namespace.
    pub(crate) capture: bool,
}

/// Starts a prober and waits until it can be reached.
pub(crate) async fn start(network: OwnedFd, prober: Prober) -> io::Result<Running> {
    let Prober { socket, program, resolver, first, capture } = prober;
    let first = first.map(|first| serde_json::to_string(&first).expect("it is valid JSON"));
    let name = socket.clone();
    let process = inside(inside::again(&network)?, move || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        // The pod gets an `/etc` of its own; programs and libraries are those of this machine.
        mount(Some("flowproof"), "/etc", Some("tmpfs"), MsFlags::empty(), Some("size=64k,mode=755"))?;
        fs::write("/etc/resolv.conf", resolver)?;
        let mut process = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
            .arg0("flowproof-prober")
            .args(["serve", "--socket", &name])
            .args(first.iter().flat_map(|first| ["--first".to_owned(), first.clone()]))
            .args(capture.then_some("--capture"))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        match reach(&name, &mut process) {
            Ok(()) => Ok(process),
            Err(error) => {
                // It may already have ended by itself.
                let _ = process.kill();
                process.wait()?;
                Err(error)
            }
        }
    })
    .await?;
    Ok(Running { network, socket, process })
}

/// Waits until a prober listens. This first stream ends at once; the prober drops it for the next one.
fn reach(socket: &str, process: &mut Child) -> io::Result<()> {
    let deadline = Instant::now() + PROBER_STARTS_WITHIN;
    loop {
        let Err(error) = connect_here(socket) else { return Ok(()) };
        if let Some(status) = process.try_wait()? {
            let mut said = String::new();
            if let Some(stderr) = &mut process.stderr {
                stderr.read_to_string(&mut said)?;
            }
            return Err(io::Error::other(format!("the prober ended with {status}: {}", said.trim())));
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the prober did not listen within {} s: {error}", PROBER_STARTS_WITHIN.as_secs()),
            ));
        }
        std::thread::sleep(TRY_EVERY);
    }
}

/// Connects to the prober of a pod.
pub(crate) async fn connect(network: Network, socket: String) -> io::Result<UnixStream> {
    inside(network, move || connect_here(&socket)).await
}

fn connect_here(socket: &str) -> io::Result<UnixStream> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(socket)?)
}

/// Ends the process of a pod.
pub(crate) fn stop(running: &mut Running) -> io::Result<()> {
    // If it has already ended, that is fine.
    let _ = running.process.kill();
    running.process.wait().map(drop)
}

/// The text of a pod's `/etc/resolv.conf`, as a kubelet writes it for `dnsPolicy: ClusterFirst`.
pub(crate) fn resolver_configuration(name_servers: &[IpAddr], namespace: &str) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for address in name_servers {
        writeln!(text, "nameserver {address}").expect("writing to a string cannot fail");
    }
    writeln!(text, "search {namespace}.svc.cluster.local svc.cluster.local cluster.local")
        .and_then(|()| writeln!(text, "options ndots:5"))
        .expect("writing to a string cannot fail");
    text
}
