# Cilium: every node's agent compiles BPF programs with clang and attaches them to the pods' interfaces; kube-proxy serves Services.
# shellcheck shell=bash

collect() { # DIR: keeps, beside the programs, what else of the sources a cluster needs
  local source
  source=$(module_source cilium github.com/cilium/cilium)
  mkdir "$1/cilium-crds"
  cp "$source"/pkg/k8s/apis/cilium.io/client/crds/{v2,v2alpha1}/*.yaml "$1/cilium-crds/"
  cp "$(module_source cilium sigs.k8s.io/network-policy-api)/config/crd/standard/policy.networking.k8s.io_clusternetworkpolicies.yaml" \
    "$1/cilium-crds/"
  cp -r "$source/bpf" "$1/cilium-bpf"
  chmod -R u+w "$1/cilium-crds" "$1/cilium-bpf"
}
install_cni() {
  local i tool
  kubectl apply --server-side -f "$STATE/bin/cilium-crds/" >/dev/null
  cp "$STATE/bin/cilium-cni" "$STATE/cni-bin/"
  mkdir -p "$STATE/clang"
  for tool in clang llc opt llvm-objcopy llvm-strip; do ln -sf "$(command -v "$tool-19")" "$STATE/clang/$tool"; done
  for i in $(nodes); do
    mkdir -p "$STATE/node$i/cilium"
    cp -r "$STATE/bin/cilium-bpf" "$STATE/node$i/cilium/bpf"
  done
}
start_agent() { # INDEX
  component "node$1" agent env PATH="$STATE/clang:$PATH" K8S_NODE_NAME="node$1" CILIUM_K8S_NAMESPACE=kube-system "$STATE/bin/daemon" \
    --k8s-kubeconfig-path="$KUBECONFIG" --cluster-name=default --identity-allocation-mode=crd --ipam=kubernetes \
    --k8s-require-ipv4-pod-cidr=true --k8s-require-ipv6-pod-cidr=true --enable-ipv4=true --enable-ipv6=true \
    --routing-mode=native --ipv4-native-routing-cidr="$POD_RANGE" --ipv6-native-routing-cidr="$POD_RANGE6" \
    --auto-direct-node-routes=true --enable-ipv4-masquerade=false --enable-ipv6-masquerade=false \
    --kube-proxy-replacement=false --enable-k8s-cluster-network-policy=true --enable-l7-proxy=false --enable-envoy-config=false \
    --enable-hubble=false --enable-gops=false --enable-health-checking=false --enable-endpoint-health-checking=false \
    --agent-health-port=9879 --devices=eth0 \
    --lib-dir="$STATE/node$1/cilium" --state-dir=/run/cilium --cgroup-root=/run/cilium/cgroupv2 \
    --write-cni-conf-when-ready=/etc/cni/net.d/05-cilium.conflist --cni-exclusive=true
}
agent_ready() { healthy "$1" 9879 /healthz; } # NODE
