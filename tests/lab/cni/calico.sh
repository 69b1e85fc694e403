# Calico: Felix programs iptables and ipset on every node; the calico plugin wires pods with host-local addresses.
# shellcheck shell=bash

collect() { # DIR: keeps, beside the programs, what else of the sources a cluster needs
  cp -r "$(module_source calico github.com/projectcalico/calico)/libcalico-go/config/crd" "$1/calico-crds"
  chmod -R u+w "$1/calico-crds"
}
install_cni() {
  local i
  kubectl apply --server-side -f "$STATE/bin/calico-crds/" >/dev/null
  kubectl wait --for=condition=Established crd/clusterinformations.crd.projectcalico.org --timeout=30s >/dev/null
  kubectl apply -f - >/dev/null <<C
apiVersion: crd.projectcalico.org/v1
kind: ClusterInformation
metadata: {name: default}
spec: {datastoreReady: true, clusterGUID: "00000000000000000000000000000001", clusterType: k8s, calicoVersion: lab}
C
  cp "$STATE/bin/calico" "$STATE/cni-bin/"
  for i in $(nodes); do
    kubectl annotate --overwrite node "node$i" "projectcalico.org/IPv4Address=$(node_address "$i")/24" \
      "projectcalico.org/IPv6Address=$(node_address6 "$i")/64" >/dev/null
    echo -n "node$i" > "$STATE/node$i/calico/nodename"
    cat > "$STATE/node$i/cni-conf/10-calico.conflist" <<C
{"cniVersion":"0.3.1","name":"lab","plugins":[{"type":"calico","log_level":"warning","datastore_type":"kubernetes",
"nodename":"node$i","mtu":0,"ipam":{"type":"host-local","ranges":[[{"subnet":"usePodCidr"}],[{"subnet":"usePodCidrIPv6"}]]},
"policy":{"type":"k8s"},"kubernetes":{"kubeconfig":"$KUBECONFIG"}}]}
C
  done
}
start_agent() { # INDEX
  component "node$1" agent env KUBECONFIG="$KUBECONFIG" FELIX_DATASTORETYPE=kubernetes FELIX_FELIXHOSTNAME="node$1" \
    FELIX_IPV6SUPPORT=true FELIX_DEFAULTENDPOINTTOHOSTACTION=ACCEPT FELIX_USAGEREPORTINGENABLED=false \
    FELIX_HEALTHENABLED=true FELIX_HEALTHHOST=127.0.0.1 FELIX_LOGSEVERITYSCREEN=warning \
    FELIX_LOGFILEPATH=none FELIX_LOGSEVERITYFILE=none FELIX_LOGSEVERITYSYS=none "$STATE/bin/calico-felix"
}
agent_ready() { healthy "$1" 9099 /readiness; } # NODE
