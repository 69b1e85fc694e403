//! Nodes: network namespaces with routes to one another, through the hub.
//!
//! The hub is the world's own network namespace. It forwards between the nodes and drops everything else, so no packet can leave
//! the cluster. All neighbors are known in advance, so nothing ever waits for ARP or neighbor discovery.

use super::{
    inside::{self, Network, inside, write_settings},
    route::Via,
};
use crate::local::address::{self, Families};
use nlink::{
    Connection, Ipv4Address, Ipv4Route, Ipv6Address, Ipv6Route, Route,
    netlink::{
        link::{LinkCreateExt, VethLink},
        neigh::Neighbor,
        types::route::{RouteScope, RouteType},
    },
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, OwnedFd},
};

pub(crate) struct Node {
    /// Counted from 1.
    pub(crate) number: u8,
    pub(crate) network: OwnedFd,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) links: Connection<Route>,
}

/// Settings of every namespace that forwards.
const ROUTER: &[(&str, &str)] = &[
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    // Refusals are evidence, so they must not be rate-limited.
    ("ipv4/icmp_ratelimit", "0"),
    ("ipv4/icmp_msgs_per_sec", "1000000"),
    ("ipv4/icmp_msgs_burst", "1000000"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/icmp/ratelimit", "0"),
];

/// Connections live for milliseconds here. Entries that stay longer would fill the table of a node with many attempts.
const TRACKING: &[(&str, &str)] = &[
    ("netfilter/nf_conntrack_tcp_timeout_time_wait", "2"),
    ("netfilter/nf_conntrack_tcp_timeout_fin_wait", "5"),
    ("netfilter/nf_conntrack_tcp_timeout_close", "1"),
    ("netfilter/nf_conntrack_tcp_timeout_close_wait", "5"),
    ("netfilter/nf_conntrack_tcp_timeout_last_ack", "5"),
    ("netfilter/nf_conntrack_tcp_timeout_syn_sent", "10"),
    ("netfilter/nf_conntrack_tcp_timeout_syn_recv", "10"),
    ("netfilter/nf_conntrack_udp_timeout", "5"),
    ("netfilter/nf_conntrack_udp_timeout_stream", "30"),
];

/// Makes the nodes and their routes.
pub(crate) async fn make_nodes(count: u8, families: Families) -> io::Result<Vec<Node>> {
    let hub = inside::own_network()?;
    inside(inside::again(&hub)?, || write_settings(ROUTER)).await?;
    let links = Connection::<Route>::new().map_err(io::Error::other)?;
    set_up(&links, "lo").await?;
    let mut nodes = Vec::new();
    for number in 1..=count {
        let network = inside(Network::New, || {
            write_settings(ROUTER)?;
            write_settings(TRACKING)?;
            inside::own_network()
        })
        .await?;
        let node = Node {
            number,
            addresses: address::node(number, families),
            links: Connection::new_in(network.as_fd()).map_err(io::Error::other)?,
            network,
        };
        join(&links, &node, families).await.map_err(io::Error::other)?;
        nodes.push(node);
    }
    // Packets to addresses that no node has are silently dropped.
    let mut drops = links.batch();
    if families.has_v4() {
        drops = drops.add_route(Ipv4Route::default_route().route_type(RouteType::Blackhole));
    }
    if families.has_v6() {
        drops = drops.add_route(Ipv6Route::default_route().route_type(RouteType::Blackhole));
    }
    drops.execute_all().await.map_err(io::Error::other)?;
    Ok(nodes)
}

async fn join(hub: &Connection<Route>, node: &Node, families: Families) -> nlink::Result<()> {
    let name = format!("node{}", node.number);
    let (hub_mac, node_mac) = (address::GATEWAY_MAC, [0x02, 0x02, 0, 0, 0, node.number]);
    hub.add_link(
        VethLink::new(&name, "eth0")
            .address(hub_mac)
            .peer_address(node_mac)
            .peer_netns_fd(&node.network)
            .up(),
    )
    .await?;
    let here = index_of(hub, &name).await?;
    let there = index_of(&node.links, "eth0").await?;
    node.links.set_link_up("lo").await?;
    node.links.set_link_up_by_index(there).await?;
    end_point(&node.links, there, &node.addresses, hub_mac).await?;
    let mut routes = hub.batch();
    for address in &node.addresses {
        routes = match address {
            IpAddr::V4(v4) => add_host_v4(routes, here, *v4, node_mac),
            IpAddr::V6(v6) => add_host_v6(routes, here, *v6, node_mac),
        };
    }
    for (network, length) in address::pod_network(node.number, families) {
        routes = match (network, gateway(&node.addresses, network.is_ipv4())) {
            (IpAddr::V4(network), IpAddr::V4(via)) => {
                routes.add_route(Via(Ipv4Route::from_addr(network, length).gateway(via).onlink(), here))
            }
            (IpAddr::V6(network), IpAddr::V6(via)) => {
                routes.add_route(Via(Ipv6Route::from_addr(network, length).gateway(via), here))
            }
            _ => routes,
        };
    }
    routes.execute_all().await
}

fn gateway(addresses: &[IpAddr], v4: bool) -> IpAddr {
    *addresses
        .iter()
        .find(|address| address.is_ipv4() == v4)
        .expect("a node has an address of each family that its pods have")
}

/// Gives an interface addresses and sends everything else to the other end of its link.
pub(crate) async fn end_point(
    links: &Connection<Route>,
    index: u32,
    addresses: &[IpAddr],
    gateway_mac: [u8; 6],
) -> nlink::Result<()> {
    let mut batch = links.batch();
    for address in addresses {
        batch = match address {
            IpAddr::V4(v4) => batch
                .add_address(Ipv4Address::with_index(index, *v4, 32), index)
                .add_neighbor(neighbour(index, address::GATEWAY_V4.into(), gateway_mac), index)
                .add_route(Via(Ipv4Route::from_addr(address::GATEWAY_V4, 32).scope(RouteScope::Link), index))
                .add_route(Via(Ipv4Route::default_route().gateway(address::GATEWAY_V4).prefsrc(*v4), index)),
            IpAddr::V6(v6) => batch
                .add_address(Ipv6Address::with_index(index, *v6, 128).nodad(), index)
                .add_neighbor(neighbour(index, address::GATEWAY_V6.into(), gateway_mac), index)
                .add_route(Via(Ipv6Route::default_route().gateway(address::GATEWAY_V6), index)),
        };
    }
    batch.execute_all().await
}

type Batch<'a> = nlink::netlink::Batch<'a>;

/// Routes an address to the other end of a link whose hardware address is known.
pub(crate) fn add_host(batch: Batch<'_>, index: u32, address: IpAddr, mac: [u8; 6]) -> Batch<'_> {
    match address {
        IpAddr::V4(v4) => add_host_v4(batch, index, v4, mac),
        IpAddr::V6(v6) => add_host_v6(batch, index, v6, mac),
    }
}

fn add_host_v4(batch: Batch<'_>, index: u32, address: Ipv4Addr, mac: [u8; 6]) -> Batch<'_> {
    batch
        .add_neighbor(neighbour(index, address.into(), mac), index)
        .add_route(Via(Ipv4Route::from_addr(address, 32).scope(RouteScope::Link), index))
}

fn add_host_v6(batch: Batch<'_>, index: u32, address: Ipv6Addr, mac: [u8; 6]) -> Batch<'_> {
    batch
        .add_neighbor(neighbour(index, address.into(), mac), index)
        .add_route(Via(Ipv6Route::from_addr(address, 128), index))
}

fn neighbour(index: u32, address: IpAddr, mac: [u8; 6]) -> Neighbor {
    Neighbor::with_index(index, address).lladdr(mac).permanent()
}

pub(crate) async fn index_of(links: &Connection<Route>, name: &str) -> nlink::Result<u32> {
    links
        .get_link_by_name(name)
        .await?
        .map(|link| link.ifindex())
        .ok_or_else(|| nlink::netlink::Error::from(io::Error::other(format!("there is no interface {name}"))))
}

async fn set_up(links: &Connection<Route>, name: &str) -> io::Result<()> {
    links.set_link_up(name).await.map_err(io::Error::other)
}
