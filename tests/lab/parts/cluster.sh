# Cluster: the whole of it, up and down.
# shellcheck shell=bash

BLAMED='' # the component whose failure has been told

is_up() { [ -e "$STATE/ready" ] || die "no cluster '$INSTANCE' is up"; }
use_cni() {
  # shellcheck source=/dev/null
  . "$LAB/cni/$(cat "$STATE/cni").sh"
}
up() { # CNI [NODES]
  local cni=${1:-} count=${2:-2} began=$SECONDS worker
  [ -n "$cni" ] || die "up needs a CNI: bridge, calico or cilium"
  known_cni "$cni"
  [[ $count =~ ^[1-9][0-9]?$ ]] || die "'$count' is no number of nodes (1 to 99)"
  [ "$EUID" = 0 ] || die "only root can make a cluster's namespaces"
  [[ ! $HOME_DIR/ =~ ^/(etc|run|var/lib|var/log)/ ]] || die "$HOME_DIR would be hidden inside the nodes; set FLOWPROOF_LAB_HOME"
  [ ! -e "$STATE" ] || die "cluster '$INSTANCE' is up already, or its remains are there ($STATE); 'lab down' first"
  build "$cni"
  mkdir -p "$HOME_DIR/clusters"
  mkdir "$STATE" 2>/dev/null || die "cluster '$INSTANCE' is just being started by another 'lab up'"
  echo "$count" > "$STATE/nodes"
  echo "$cni" > "$STATE/cni"
  apiserver_module > "$STATE/apiserver"
  identity $$ > "$STATE/owner"
  # The steps run in a session of their own, so that whatever ends them, this shell is left to clean up; and they end with it.
  setsid setpriv --pdeathsig KILL "$LAB/lab" up-steps &
  worker=$!
  trap 'give_up "$worker" 130' INT
  trap 'give_up "$worker" 143' TERM
  wait "$worker" || give_up "$worker" $?
  trap - INT TERM
  rm "$STATE/owner"
  say "$cni cluster '$INSTANCE' with $count nodes is ready after $((SECONDS - began)) s; export KUBECONFIG=$KUBECONFIG"
}
step() { echo "$*" > "$STATE/step"; }
up_steps() {
  local cni count i
  cni=$(cat "$STATE/cni") count=$(cat "$STATE/nodes")
  trap '[ $? = 0 ] || blame_the_dead' EXIT
  mkdir "$STATE"/{log,pid,command,bin,cni-bin}
  use_cni
  event up "$cni" "$count"

  step "laying out programs"
  for i in kube coredns "$cni"; do [ ! -d "$LAB/go/$i" ] || ln -s "$(programs "$i")"/* "$STATE/bin/"; done
  ln -sf "$(programs "$(cat "$STATE/apiserver")")/kube-apiserver" "$STATE/bin/"
  cp /usr/lib/cni/* "$STATE/cni-bin/"
  step "wiring the network"
  switch
  outside
  for i in $(nodes); do attach_node "$i"; done
  step "starting the control plane"
  identities
  control_plane
  step "starting the nodes"
  start_nodes
  routes
  step "installing $cni"
  install_cni
  for i in $(nodes); do start_agent "$i"; done
  step "waiting for the nodes"
  for i in $(nodes); do [ ! -e "$STATE/command/node$i-agent" ] || answers "node$i-agent"; done
  for i in $(nodes); do wait_for 120 "node$i-kubelet" "the node is Ready" node_is_ready "$i"; done
  step "starting the cluster's DNS"
  kubectl apply -f "$LAB/manifests/coredns.yaml" >/dev/null
  wait_for 120 coredns "its deployment is available" \
    kubectl -n kube-system wait --for=condition=Available deployment/coredns --timeout=0 --request-timeout=10s
  event ready cluster
  touch "$STATE/ready"
}
blame_the_dead() { # shows the log of every component that has ended, when none has been blamed yet
  local file
  [ -z "$BLAMED" ] || return 0
  for file in "$STATE"/pid/*; do
    [ ! -e "$file" ] || alive "$(basename "$file")" || (fail "$(basename "$file")" "has ended") || true
  done
}
give_up() { # WORKER EXIT_CODE: ends the steps where they are, and takes down what they built
  trap '' INT TERM
  { kill -KILL -- "-$1" && wait "$1"; } 2>/dev/null || true
  case $2 in
    130 | 143) say "interrupted while $(cat "$STATE/step")" ;;
    *) say "up failed while $(cat "$STATE/step")" ;;
  esac
  rm -f "$STATE/owner"
  down
  exit "$2"
}
down() {
  local i file
  [ -e "$STATE" ] || return 0
  ! same "$STATE/owner" || die "another 'lab up' (pid $(cut -d' ' -f1 "$STATE/owner")) is starting this cluster; end that one"
  trap '' INT TERM # half a clean-up is none
  rm -f "$STATE/ready"
  if [ -s "$STATE/nodes" ]; then for i in $(nodes); do end_node "node$i"; done; fi
  for file in "$STATE"/pid/*; do [ ! -e "$file" ] || halt "$(basename "$file")" KILL; done
  unwire
  until_gone "control groups" remove_cgroups
  until_gone "files" rm -rf --one-file-system "$STATE" # the kernel takes a moment to drop a dead node's mounts
}
until_gone() { # WHAT COMMAND…: repeats a removal that has to wait for the kernel
  local what=$1 deadline=$((SECONDS + 20))
  shift
  until "$@" 2>/dev/null; do
    [ "$SECONDS" -lt "$deadline" ] || die "could not remove the cluster's $what: $("$@" 2>&1 | tail -n 1)"
    sleep 0.1
  done
}
remove_cgroups() {
  local top
  for top in $(hierarchies); do
    [ ! -d "$top/$(cgroup)" ] || find "$top/$(cgroup)" -depth -type d -exec rmdir {} +
  done
}
load() { # IMAGE.tar…
  local archives=() file
  is_up
  [ $# -gt 0 ] || die "load which archive?"
  for file in "$@"; do [ -r "$file" ] || die "no archive '$file'"; archives+=("$(realpath "$file")"); done
  import "${archives[@]}"
}
list_clusters() {
  local dir state
  for dir in "$HOME_DIR"/clusters/*/; do
    [ -s "$dir/cni" ] || continue
    state=incomplete
    [ ! -e "$dir/ready" ] || state=ready
    # A machine that was restarted has the files still.
    STATE=${dir%/} alive apiserver || state=dead
    echo "$(basename "$dir") $(cat "$dir/cni") $(cat "$dir/nodes") $state $dir"
  done
}
