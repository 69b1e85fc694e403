# The reference bridge plugin: every NetworkPolicy is accepted by the API server and none is enforced.
# shellcheck shell=bash

install_cni() {
  local i
  for i in $(nodes); do
    cat > "$STATE/node$i/cni-conf/10-bridge.conflist" <<C
{"cniVersion":"0.4.0","name":"lab","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,"hairpinMode":true,
"ipam":{"type":"host-local","ranges":[[{"subnet":"$(pod_range "$i")"}],[{"subnet":"$(pod_range6 "$i")"}]],
"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}}]}
C
  done
}
start_agent() { :; } # there is none
