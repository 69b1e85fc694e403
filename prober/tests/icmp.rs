//! What a source sees when a router refuses: a network namespace with the prober, another one with a router, and a link
//! between them.
//!
//! Needs `unshare`, `nsenter` (util-linux) and `ip` (iproute2), and a kernel that lets this user make namespaces.

mod driver;

use driver::{PACE, RUN, Runner, flow, program};
use flowproof_wire::{FlowId, Observation, PROTOCOL, Pace, Revision, Transport};
use std::{net::SocketAddr, process::Command};

/// Builds both ends, then becomes the prober. Rate limits of ICMP errors are lifted where possible, and a neighbor is given up
/// after 3 × 50 ms.
const SURROUNDINGS: &str = r#"
set -e
unshare --net sleep infinity &
ROUTER=$!
while [ "$(readlink /proc/$ROUTER/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do :; done
ip link set lo up
ip link add near type veth peer name far
ip link set far netns $ROUTER
ip address add 10.9.0.1/24 dev near
ip -6 address add fd09::1/64 dev near nodad
echo 50 > /proc/sys/net/ipv4/neigh/near/retrans_time_ms
echo 50 > /proc/sys/net/ipv6/neigh/near/retrans_time_ms
ip link set near up
nsenter --target $ROUTER --net sh -ec '
  ip link set lo up
  ip address add 10.9.0.2/24 dev far
  ip -6 address add fd09::2/64 dev far nodad
  ip link set far up
  ip address add 10.9.2.2/24 dev far
  echo 50 > /proc/sys/net/ipv4/neigh/far/retrans_time_ms
  echo 0 > /proc/sys/net/ipv4/conf/all/send_redirects
  echo 0 > /proc/sys/net/ipv4/conf/far/send_redirects
  echo 1 > /proc/sys/net/ipv4/ip_forward
  echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
  echo 0 > /proc/sys/net/ipv4/icmp_ratemask
  echo 0 > /proc/sys/net/ipv6/icmp/ratelimit
  ip route add prohibit 10.9.1.0/24
  ip route add blackhole 10.9.3.0/24
  ip -6 route add prohibit fd09:0:0:1::/64
  ip -6 route add unreachable fd09:0:0:2::/64
  ip -6 route add blackhole fd09:0:0:3::/64
'
ip route add default via 10.9.0.2
ip -6 route add default via fd09::2
ip route add unreachable 10.9.4.0/24
exec "$@"
"#;

fn prober_behind_a_router() -> Runner {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net", "--pid", "--mount-proc", "--fork", "--kill-child"]);
    command
        .args(["sh", "-c", SURROUNDINGS, "surroundings"])
        .arg(program().get_program())
        .args(["serve", "--stdio"]);
    let mut runner = Runner::open(command);
    runner.hello(PROTOCOL, RUN, Revision(0));
    runner
}

#[test]
fn a_routers_refusal_is_told_with_its_type_and_code_and_silence_is_silence() {
    let unreachable = |icmp_type, icmp_code| Observation::Unreachable { icmp_type, icmp_code };
    let expected = [
        // RFC 1812, 5.2.7.1: communication administratively prohibited (first attempts only: see below); host unreachable,
        // because the router's neighbor does not answer.
        ("10.9.1.1:80", unreachable(3, 13)),
        ("10.9.2.1:80", unreachable(3, 1)),
        ("10.9.3.1:80", Observation::Silent),
        // RFC 4443, 3.1: administratively prohibited; no route to destination.
        ("[fd09:0:0:1::1]:80", unreachable(1, 1)),
        ("[fd09:0:0:2::1]:80", unreachable(1, 0)),
        ("[fd09:0:0:3::1]:80", Observation::Silent),
        // The router itself, where nothing listens.
        ("10.9.0.2:80", Observation::Refused),
        ("[fd09::2]:80", Observation::Refused),
        // Nobody has these addresses: the source's own kernel says so, and no packet came.
        ("10.9.0.77:80", Observation::Silent),
        ("[fd09::77]:80", Observation::Silent),
        // The source's own routing table refuses: nothing was sent.
        (
            "10.9.4.1:80",
            Observation::LocalError { errno: nix::libc::EHOSTUNREACH, call: "connect".to_owned() },
        ),
    ];
    let transports = [Transport::Tcp, Transport::Udp, Transport::DnsUdp, Transport::DnsTcp];
    let mut runner = prober_behind_a_router();
    let mut flows = Vec::new();
    for (place, (to, _)) in expected.iter().enumerate() {
        let to: SocketAddr = to.parse().expect("an address");
        flows.extend(
            transports
                .iter()
                .enumerate()
                .map(|(kind, transport)| flow((place * 10 + kind) as u32, *transport, to)),
        );
    }
    runner.try_flows(flows.clone(), Pace { interval_ms: 250, timeout_ms: 2000, ..PACE });
    for spec in &flows {
        let place = spec.flow.0 as usize / 10;
        let id = FlowId(spec.flow.0);
        runner.until("three attempts are decided", |record| {
            record.newest(id).is_some_and(|span| span.last.0 >= 3)
        });
        let spans: Vec<_> = runner.record.source.values().filter(|span| span.flow == id).collect();
        assert_eq!(spans[0].observation, expected[place].1, "{spec:?}");
        // Linux routers send a source five such refusals and then one per second, which cannot be changed in a namespace.
        let limited = expected[place].1 == unreachable(3, 13);
        assert!(
            spans.len() == 1 || limited && spans[1].observation == Observation::Silent,
            "{spec:?}: {spans:?}"
        );
        let at_once = !expected[place].0.contains("09:0:0:3") && !expected[place].0.starts_with("10.9.3.");
        assert_eq!(spans[0].max_us < 1_500_000, at_once, "{spec:?}: {spans:?}");
    }
}
