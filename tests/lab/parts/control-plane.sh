# Control plane: certificates, etcd, API server, controller manager and scheduler, in the `control` namespace.
# shellcheck shell=bash

PKI=$STATE/pki

certificate() { # NAME SUBJECT [SUBJECT_ALT_NAMES]
  openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/$1.key" 2>/dev/null
  openssl req -new -key "$PKI/$1.key" -subj "$2" -out "$PKI/$1.csr"
  {
    echo "keyUsage=digitalSignature"
    echo "extendedKeyUsage=serverAuth,clientAuth"
    [ -z "${3:-}" ] || echo "subjectAltName=$3"
  } > "$PKI/$1.ext"
  openssl x509 -req -in "$PKI/$1.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -days 30 \
    -extfile "$PKI/$1.ext" -out "$PKI/$1.crt" 2>/dev/null
}
kubeconfig() { # FILE CERTIFICATE
  cat > "$1" <<E
apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "https://$(address "$CONTROL"):6443", certificate-authority-data: "$(base64 -w0 < "$PKI/ca.crt")"}}]
users: [{name: $2, user: {client-certificate-data: "$(base64 -w0 < "$PKI/$2.crt")", client-key-data: "$(base64 -w0 < "$PKI/$2.key")"}}]
contexts: [{name: lab, context: {cluster: lab, user: $2}}]
current-context: lab
E
}
identities() {
  local name
  mkdir -p "$PKI"
  openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/ca.key" 2>/dev/null
  openssl req -x509 -new -key "$PKI/ca.key" -subj /CN=lab-ca -days 30 -out "$PKI/ca.crt"
  openssl genrsa -out "$PKI/sa.key" 2048 2>/dev/null
  openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null
  certificate apiserver /CN=kube-apiserver \
    "IP:$(address "$CONTROL"),IP:127.0.0.1,IP:10.96.0.1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost"
  certificate admin /O=system:masters/CN=admin
  certificate controller-manager /CN=system:kube-controller-manager
  certificate scheduler /CN=system:kube-scheduler
  certificate proxy /CN=system:kube-proxy
  certificate apiserver-kubelet /O=system:masters/CN=apiserver-kubelet
  for name in admin controller-manager scheduler proxy; do kubeconfig "$STATE/$name.conf" "$name"; done
}
control() { # NAME COMMAND…: a component of the control plane
  local name=$1
  shift
  background "$name" nsenter --net="/run/netns/$(namespace control)" "$@"
}
control_plane() {
  mkdir -p "$STATE/etcd"
  chmod 700 "$STATE/etcd"
  control etcd etcd --data-dir "$STATE/etcd" --unsafe-no-fsync \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
  control apiserver "$STATE/bin/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
    --service-cluster-ip-range="$SERVICE_RANGE,$SERVICE_RANGE6" --advertise-address="$(address "$CONTROL")" --secure-port=6443 \
    --client-ca-file="$PKI/ca.crt" --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$PKI/sa.pub" \
    --service-account-signing-key-file="$PKI/sa.key" --authorization-mode=Node,RBAC --allow-privileged=true \
    --kubelet-preferred-address-types=InternalIP \
    --kubelet-client-certificate="$PKI/apiserver-kubelet.crt" --kubelet-client-key="$PKI/apiserver-kubelet.key"
  answers apiserver
  control controller-manager "$STATE/bin/kube-controller-manager" --kubeconfig="$STATE/controller-manager.conf" --leader-elect=false \
    --cluster-cidr="$POD_RANGE,$POD_RANGE6" --allocate-node-cidrs=true --node-cidr-mask-size-ipv6=64 \
    --use-service-account-credentials=true --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt"
  control scheduler "$STATE/bin/kube-scheduler" --kubeconfig="$STATE/scheduler.conf" --leader-elect=false
  kubectl create clusterrolebinding lab-proxy --clusterrole=system:node-proxier --user=system:kube-proxy >/dev/null
}
