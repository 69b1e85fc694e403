# Node: PID, mount, UTS and network namespaces of its own, with containerd, kubelet, kube-proxy and the CNI's agent inside.
# shellcheck shell=bash

nodes() { seq 1 "$(cat "$STATE/nodes")"; }
cgroup() { echo "flowproof-lab-$INSTANCE"; } # the parent of all containers' cgroups

within() { # PLACE: sets WITHIN to the words that, put before a command, run it there
  local place=$1
  [[ ! $place =~ ^[0-9]+$ ]] || place=node$place
  if [[ $place =~ ^(control|outside)$ ]]; then
    WITHIN=(ip netns exec "$(namespace "$place")")
  else
    [ -d "$STATE/$place" ] || die "no place '$place'; there are: $(nodes | sed 's/^/node/' | tr '\n' ' ')control outside"
    same "$STATE/$place/pid" || die "$place does not run"
    WITHIN=(nsenter --target "$(cut -d' ' -f1 "$STATE/$place/pid")" --net --mount --uts --pid --)
  fi
}
enter() { # PLACE COMMAND…: replaces this shell
  [ $# -ge 2 ] || die "enter needs a place (node1, control or outside) and a command"
  within "$1"
  shift
  exec "${WITHIN[@]}" "$@"
}
on() { # NODE COMMAND…
  within "$1"
  shift
  "${WITHIN[@]}" "$@"
}
component() { # NODE NAME COMMAND…: a component of the node, which must have booted
  local node=$1 name=$2
  shift 2
  within "$node"
  background "$node-$name" "${WITHIN[@]}" "$@"
}
healthy() { # NODE PORT PATH: the node's program answers a request with 2xx
  # shellcheck disable=SC2016 # the inner shell expands them
  on "$1" timeout 3 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && printf "GET %s HTTP/1.0\r\n\r\n" "$1" >&3 && grep -q "^HTTP/1.[01] 2" <&3' "$2" "$3"
}

hierarchies() { findmnt -rno TARGET -t cgroup,cgroup2 | grep '^/sys/fs/cgroup'; } # one in version 2, one per controller in version 1
cgroups() { # INDEX: makes the parent of the node's control groups, in every hierarchy
  local root
  for root in $(hierarchies); do
    mkdir -p "$root/$(cgroup)/node$1"
    pass_on "$root"
    pass_on "$root/$(cgroup)"
    weigh "$root/$(cgroup)"
  done
}
weigh() { # CGROUP: pods get CPU before the components, all of which share this machine; version 1 has shares, version 2 weights
  [ ! -e "$1/cpu.shares" ] || echo $((4 * 1024)) > "$1/cpu.shares"
  [ ! -e "$1/cpu.weight" ] || echo $((4 * 100)) > "$1/cpu.weight"
}
pass_on() { # CGROUP: in version 2, what a group may use, its parents must pass on
  local controller
  [ -e "$1/cgroup.controllers" ] || return 0
  for controller in $(cat "$1/cgroup.controllers"); do
    echo "+$controller" > "$1/cgroup.subtree_control" 2>/dev/null || true # a few are for the root only
  done
}
boot() { # INDEX: makes the node's namespaces and its private view of the file system
  local n=node$1 dir=$STATE/node$1 file
  mkdir -p "$dir"/{containerd,kubelet,cni-conf,cni-state,pod-logs,container-logs,calico,cgroup,private}
  rm -f "$dir/ready"
  cgroups "$1"
  if [ ! -e "$PKI/$n.crt" ]; then
    certificate "$n" "/O=system:nodes/CN=system:node:$n" "IP:$(node_address "$1"),IP:$(node_address6 "$1"),DNS:$n"
    kubeconfig "$dir/kubelet.conf" "$n"
  fi
  for file in containerd.toml kubelet.yaml proxy.yaml init; do
    sed -e "s#@NODE@#$n#g; s#@DIR@#$dir#g; s#@STATE@#$STATE#g; s#@PKI@#$PKI#g; s#@CGROUP@#$(cgroup)#g" \
      -e "s|@POD_RANGE@|$POD_RANGE,$POD_RANGE6|g" "$LAB/node/$file" > "$dir/$file"
  done
  background "$n-init" nsenter --net="/run/netns/$(namespace "$n")" \
    unshare --mount --uts --pid --fork --mount-proc --kill-child --propagation private bash "$dir/init"
  wait_for 10 "$n-init" "$n has booted" test -e "$dir/ready"
  identity "$(pgrep -P "$(cut -d' ' -f1 "$STATE/pid/$n-init")")" > "$dir/pid"
}
runtime() { component "node$1" containerd containerd -c "$STATE/node$1/containerd.toml"; } # INDEX
services() { # INDEX: what a node runs beside containerd
  local dir=$STATE/node$1
  component "node$1" kubelet "$STATE/bin/kubelet" --config="$dir/kubelet.yaml" --kubeconfig="$dir/kubelet.conf" \
    --hostname-override="node$1" --node-ip="$(node_address "$1"),$(node_address6 "$1")"
  component "node$1" proxy "$STATE/bin/kube-proxy" --config="$dir/proxy.yaml"
}
import() { # ARCHIVE…: loads them into every node, all nodes at the same time
  local i archive pids=() failed=0
  for i in $(nodes); do
    ( for archive in "$@"; do on "node$i" ctr -n k8s.io images import "$archive" >/dev/null; done ) &
    pids+=($!)
  done
  for i in "${pids[@]}"; do wait "$i" || failed=1; done
  [ "$failed" = 0 ] || die "not every node could import $*"
}
start_nodes() { # all nodes, stage by stage
  local i packed
  for i in $(nodes); do boot "$i"; done
  for i in $(nodes); do runtime "$i"; done
  for i in $(nodes); do answers "node$i-containerd"; done
  mapfile -t packed < <(images)
  import "${packed[@]}"
  for i in $(nodes); do services "$i"; done
}
start_node() { # INDEX: one node that was ended; its images and its kubelet's files are still there, its network state is not
  local began
  began=$(date -u +%Y-%m-%dT%H:%M:%S)
  use_cni
  attach_node "$1"
  boot "$1"
  runtime "$1"
  answers "node$1-containerd"
  routes
  services "$1"
  start_agent "$1"
  answers "node$1-kubelet"
  wait_for 60 "node$1-kubelet" "its lease is renewed" renewed_since "node$1" "$began"
  wait_for 60 "node$1-kubelet" "the node is Ready" node_is_ready "$1"
  event ready "node$1"
}
end_node() { # NODE: as if its power had failed
  local file pid
  if same "$STATE/$1/pid"; then
    event stop "$1" SIGKILL
    pid=$(cut -d' ' -f1 "$STATE/$1/pid")
    kill -KILL "$pid" || true # its PID 1: all of the node ends with it
    while same "$STATE/$1/pid"; do sleep 0.02; done
    event stopped "$1"
  fi
  for file in "$STATE/pid/$1"-*; do [ ! -e "$file" ] || halt "$(basename "$file")" KILL; done
  rm -f "$STATE/$1/pid"
  ip netns del "$(namespace "$1")" 2>/dev/null || true
  ip -n "$(namespace control)" link del "$1" 2>/dev/null || true # a namespace goes later than its name; its link need not
}
renewed_since() { [[ $(kubectl -n kube-node-lease get lease "$1" -o jsonpath='{.spec.renewTime}') > $2 ]]; } # NODE TIME
node_is_ready() { kubectl wait --for=condition=Ready "node/node$1" --timeout=0 --request-timeout=10s; }
