//! The cluster DNS: a pod of kube-system that answers for `cluster.local`, over UDP and TCP.
//!
//! Records are those of Kubernetes' DNS specification 1.1.0 for Services with a cluster IP and for pods by address. It serves
//! no other zone and forwards nothing: it refuses queries for other names.

use super::inside::{self, inside};
use crate::local::engine::view::View;
use hickory_net::runtime::Time;
use hickory_proto::{
    op::{Header, HeaderCounts, Metadata, ResponseCode},
    rr::{Name, RData, Record, RecordType},
};
use hickory_server::{
    Server,
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
    thread,
    time::Duration,
};
use tokio::sync::{oneshot, watch};

/// Time to live of a record: short, because the cluster changes during tests.
const TTL_S: u32 = 5;

/// A client that sends nothing for this long is disconnected (RFC 7766, 6.2.3, asks for a few seconds).
const IDLE: Duration = Duration::from_secs(5);

/// How many answers may wait for a slow TCP client.
const WAITING: usize = 16;

/// Serves the zone on port 53 of a pod's addresses until the world ends. It has a thread of its own, because the world does nothing
/// else while it computes rules, and a DNS server that answers late looks like a network that blocks.
pub(super) async fn serve(
    network: &OwnedFd,
    addresses: &[IpAddr],
    view: watch::Receiver<View>,
) -> io::Result<()> {
    let ends: Vec<_> = addresses.iter().map(|address| SocketAddr::new(*address, 53)).collect();
    let sockets = inside(inside::again(network)?, move || {
        ends.into_iter()
            .map(|end| Ok((UdpSocket::bind(end)?, TcpListener::bind(end)?)))
            .collect::<io::Result<Vec<_>>>()
    })
    .await?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (started, starts) = oneshot::channel();
    thread::Builder::new().name("dns".to_owned()).spawn(move || {
        runtime.block_on(async {
            // If the world is ending, nobody waits for the result of the start.
            match register(sockets, Zone { view }) {
                Err(error) => drop(started.send(Err(error))),
                Ok(mut server) => {
                    let _ = started.send(Ok(()));
                    let _ = server.block_until_done().await;
                }
            }
        });
    })?;
    starts.await.unwrap_or_else(|_| Err(io::Error::other("the thread of the cluster DNS panicked")))
}

fn register(sockets: Vec<(UdpSocket, TcpListener)>, zone: Zone) -> io::Result<Server<Zone>> {
    let mut server = Server::new(zone);
    for (udp, tcp) in sockets {
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        server.register_socket(tokio::net::UdpSocket::from_std(udp)?);
        server.register_listener(tokio::net::TcpListener::from_std(tcp)?, IDLE, WAITING);
    }
    Ok(server)
}

struct Zone {
    view: watch::Receiver<View>,
}

#[async_trait::async_trait]
impl RequestHandler for Zone {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        let mut records = Vec::new();
        match request.request_info() {
            Ok(info) => {
                let name: Name = info.query.name().into();
                let found = resolve(&self.view.borrow(), &name.to_ascii().to_lowercase());
                metadata.authoritative = !matches!(found, Found::Foreign);
                match found {
                    Found::Foreign => metadata.response_code = ResponseCode::Refused,
                    Found::Nothing => metadata.response_code = ResponseCode::NXDomain,
                    Found::Addresses(addresses) => {
                        let kind = info.query.query_type();
                        records = addresses
                            .into_iter()
                            .filter_map(|address| record(&name, kind, address))
                            .collect();
                    }
                }
            }
            Err(_) => metadata.response_code = ResponseCode::FormErr,
        }
        let message =
            MessageResponseBuilder::from_message_request(request).build(metadata, &records, [], [], []);
        response.send_response(message).await.unwrap_or_else(|_| {
            // The client is gone. The server only needs a header for its own log.
            Header { metadata, counts: HeaderCounts::default() }.into()
        })
    }
}

fn record(name: &Name, kind: RecordType, address: IpAddr) -> Option<Record> {
    let data = match (kind, address) {
        (RecordType::A, IpAddr::V4(v4)) => RData::A(v4.into()),
        (RecordType::AAAA, IpAddr::V6(v6)) => RData::AAAA(v6.into()),
        _ => return None,
    };
    Some(Record::from_rdata(name.clone(), TTL_S, data))
}

/// The answer for a name.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// It exists. If it has no address of the requested type, the answer is empty.
    Addresses(Vec<IpAddr>),
    /// It does not exist.
    Nothing,
    /// It is not in the zone.
    Foreign,
}

fn resolve(view: &View, name: &str) -> Found {
    let Some(inner) = name.trim_end_matches('.').strip_suffix("cluster.local") else {
        return Found::Foreign;
    };
    let labels: Vec<_> = inner.trim_end_matches('.').split('.').filter(|label| !label.is_empty()).collect();
    match labels.as_slice() {
        // The zone itself, and the names between it and its records.
        [] | ["svc" | "pod"] => Found::Addresses(Vec::new()),
        [namespace, "svc" | "pod"] if view.namespaces.contains_key(*namespace) => {
            Found::Addresses(Vec::new())
        }
        [service, namespace, "svc"] => view
            .services
            .values()
            .find(|known| known.name.name == *service && known.name.namespace == *namespace)
            .map_or(Found::Nothing, |known| Found::Addresses(known.addresses.clone())),
        [dashed, namespace, "pod"] if view.namespaces.contains_key(*namespace) => {
            pod_address(dashed).map_or(Found::Nothing, |address| Found::Addresses(vec![address]))
        }
        _ => Found::Nothing,
    }
}

/// The address in the name of a pod: with dashes for dots and colons.
fn pod_address(dashed: &str) -> Option<IpAddr> {
    let v4 = dashed.replace('-', ".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    v4.or_else(|| dashed.replace('-', ":").parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::{engine::view::Service, object::Name as ObjectName};
    use std::sync::Arc;

    #[test]
    fn names_lead_where_the_specification_says() {
        let mut view = View::default();
        view.namespaces.insert("data".to_owned(), [].into());
        let service = Service {
            name: ObjectName::new("data", "db"),
            selector: [].into(),
            ports: Vec::new(),
            addresses: vec![[10, 96, 0, 20].into()],
        };
        view.services.insert(service.name.clone(), Arc::new(service));
        for (name, found) in [
            ("db.data.svc.cluster.local.", Found::Addresses(vec![[10, 96, 0, 20].into()])),
            ("db.app.svc.cluster.local.", Found::Nothing),
            ("data.svc.cluster.local.", Found::Addresses(vec![])),
            ("10-244-0-1.data.pod.cluster.local.", Found::Addresses(vec![[10, 244, 0, 1].into()])),
            (
                "fd00-10--1.data.pod.cluster.local.",
                Found::Addresses(vec!["fd00:10::1".parse().expect("an address")]),
            ),
            ("x.data.pod.cluster.local.", Found::Nothing),
            ("db.data.svc.example.", Found::Foreign),
        ] {
            assert_eq!(resolve(&view, name), found, "{name}");
        }
    }
}
