# Network: each cluster's switch is a bridge in its `control` namespace; the machine itself sees one link, labN.
# shellcheck shell=bash

OUTSIDE=198.51.100.10 # an address outside the cluster (documentation range), served by the gateway's namespace
OUTSIDE6=2001:db8::10
POD_RANGE=10.244.0.0/16 # every range has an IPv6 twin: the cluster is dual-stack
POD_RANGE6=fd44::/56
SERVICE_RANGE=10.96.0.0/16
SERVICE_RANGE6=fd96::/112

# N, the cluster's number on this machine, makes its node range 172.30.N.0/24 and fd30:0:0:N::/64
number() { cat "$STATE/number"; }
address() { echo "172.30.$(number).$1"; } # HOST_PART
address6() { echo "fd30:0:0:$(printf %x "$(number)")::$(printf %x "$1")"; }
MACHINE=1 CONTROL=2 GATEWAY=3 # host parts: this machine, the API server, the nodes' default gateway
node_address() { address $((10 + $1)); }
node_address6() { address6 $((10 + $1)); }
namespace() { echo "lab-$INSTANCE-$1"; } # control | outside | nodeN

switch() { # takes the first free number: creating link labN is what claims it, for every user of the machine
  local control n
  control=$(namespace control)
  ip netns add "$control"
  ip -n "$control" link set lo up
  for n in $(seq 1 250); do
    [ -z "$(ip -4 route show root "172.30.$n.0/24")" ] || continue
    ip link add "lab$n" type veth peer name machine netns "$control" 2>/dev/null || continue
    echo "$n" > "$STATE/number"
    break
  done
  [ -s "$STATE/number" ] || die "no free network 172.30.N.0/24 and no free link name labN"
  ip netns exec "$control" sysctl -qw net.ipv6.conf.default.accept_dad=0
  # An address of its own: a bridge without one takes the lowest of its ports', and changes it when a node comes or goes.
  ip -n "$control" link add switch address 02:00:00:00:00:01 type bridge
  ip -n "$control" addr add "$(address "$CONTROL")/24" dev switch
  ip -n "$control" addr add "$(address6 "$CONTROL")/64" dev switch nodad
  ip -n "$control" link set switch up
  ip -n "$control" link set machine master switch up
  ip addr add "$(address "$MACHINE")/24" dev "lab$(number)"
  ip addr add "$(address6 "$MACHINE")/64" dev "lab$(number)" nodad
  ip link set "lab$(number)" up
}
attach() { # PLACE ADDRESS ADDRESS6: a namespace whose eth0 is a port of the switch
  local name
  name=$(namespace "$1")
  ip netns add "$name"
  ip -n "$(namespace control)" link add "$1" type veth peer name eth0 netns "$name"
  ip -n "$(namespace control)" link set "$1" master switch up
  ip -n "$name" addr add "$2/24" dev eth0
  ip -n "$name" addr add "$3/64" dev eth0 nodad
  ip -n "$name" link set lo up
  ip -n "$name" link set eth0 up
}
outside() { # the nodes' default gateway: answers for the outside addresses and drops the rest, so that nothing leaves the machine
  attach outside "$(address "$GATEWAY")" "$(address6 "$GATEWAY")"
  ip -n "$(namespace outside)" addr add $OUTSIDE/32 dev lo
  ip -n "$(namespace outside)" addr add $OUTSIDE6/128 dev lo
}
attach_node() { # INDEX
  local name
  name=$(namespace "node$1")
  attach "node$1" "$(node_address "$1")" "$(node_address6 "$1")"
  ip -n "$name" route add default via "$(address "$GATEWAY")"
  ip -n "$name" -6 route add default via "$(address6 "$GATEWAY")"
  ip netns exec "$name" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
    net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0
}
pod_range() { kubectl get node "node$1" -o jsonpath='{.spec.podCIDRs[0]}'; }
pod_range6() { kubectl get node "node$1" -o jsonpath='{.spec.podCIDRs[1]}'; }
has_pod_ranges() { [ -n "$(pod_range6 "$1")" ]; }
routes() { # every node's pod ranges are reached through that node's addresses, without encapsulation
  local i place range range6
  for i in $(nodes); do
    wait_for 60 controller-manager "node$i has pod ranges" has_pod_ranges "$i"
    range=$(pod_range "$i") range6=$(pod_range6 "$i")
    for place in control outside $(nodes | sed 's/^/node/'); do
      if [ "$place" = "node$i" ] || [ ! -e "/run/netns/$(namespace "$place")" ]; then continue; fi
      ip -n "$(namespace "$place")" route replace "$range" via "$(node_address "$i")"
      ip -n "$(namespace "$place")" -6 route replace "$range6" via "$(node_address6 "$i")"
    done
  done
}
unwire() { # removes every namespace and the link
  local name
  for name in $(ip netns list | cut -d' ' -f1 | grep -xE "lab-$INSTANCE-(control|outside|node[0-9]+)"); do ip netns del "$name"; done
  [ ! -s "$STATE/number" ] || ip link del "lab$(number)" 2>/dev/null || true
}
