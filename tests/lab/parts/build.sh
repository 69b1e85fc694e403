# Build: Debian packages, and programs from Go modules, each set of programs in a directory named after its pins.
# shellcheck shell=bash

KUBERNETES=1.35 # the version of go/kube
PACKAGES=(containerd runc containernetworking-plugins etcd-server iptables ipset conntrack iproute2 procps openssl
  util-linux python3)

build() { # [CNI…]: everything that `up` needs
  local cnis=("$@") cni modules
  [ $# -gt 0 ] || cnis=(bridge calico cilium)
  for cni in "${cnis[@]}"; do known_cni "$cni"; done
  known_kubernetes
  modules=(kube)
  [ "$(apiserver_module)" = kube ] || modules+=("$(apiserver_module)")
  for cni in "${cnis[@]}"; do [ ! -d "$LAB/go/$cni" ] || modules+=("$cni"); done
  mkdir -p "$HOME_DIR"
  modules+=(coredns)
  install_packages "${cnis[@]}"
  build_modules "${modules[@]}"
  images >/dev/null
}
apiserver_module() { # the module that has the API server: that of all programs of Kubernetes, or one of its version alone
  local wanted=${FLOWPROOF_LAB_KUBERNETES:-$KUBERNETES}
  if [ "$wanted" = "$KUBERNETES" ]; then echo kube; else echo "apiserver-$wanted"; fi
}
known_kubernetes() {
  local module
  module=$(apiserver_module)
  [ -f "$LAB/go/$module/go.mod" ] || die "FLOWPROOF_LAB_KUBERNETES='${module#apiserver-}' is not a version that the lab has;" \
    "there are: $KUBERNETES$(cd "$LAB/go" && printf ', %s' apiserver-* | sed 's/apiserver-//g')"
}
known_cni() { # CNI
  [ -f "$LAB/cni/$1.sh" ] || die "unknown CNI '$1'; there are: $(cd "$LAB/cni" && echo *.sh | sed 's/\.sh//g')"
}
install_packages() { # CNI…
  local wanted=("${PACKAGES[@]}") missing=() package
  [[ " $* " != *" cilium "* ]] || wanted+=(clang-19 llvm-19)
  for package in "${wanted[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$EUID" = 0 ] || die "these Debian packages are missing, and only root can install them: ${missing[*]}"
  say "installing ${missing[*]}"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
    >"$HOME_DIR/packages.log" 2>&1 || { tail -n 15 "$HOME_DIR/packages.log" >&2; die "the packages could not be installed"; }
}
programs() { # MODULE: the directory of its programs; another content of go.mod, go.sum or another recipe is another directory
  echo "$HOME_DIR/programs/$1-$({ cat "$LAB/go/$1/go.mod" "$LAB/go/$1/go.sum"; linker_flags "$1"; uname -m; } | sha256sum | cut -c1-16)"
}
linker_flags() { # MODULE: programs of Kubernetes say of which version they are; modules of other things are linked as those of `kube`
  local module=$1 version minor
  [[ $module == apiserver-* ]] || module=kube
  version=$(sed -n 's,.*k8s.io/kubernetes \(v1[^ ]*\).*,\1,p' "$LAB/go/$module/go.mod")
  minor=${version#v1.}
  echo "-s -w -X k8s.io/component-base/version.gitVersion=$version" \
    "-X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
}
build_modules() { # MODULE…: builds what is missing, side by side: one module's linking fills the cores that another leaves idle
  local module i missing=() pids=() failed=()
  for module in "$@"; do [ -d "$(programs "$module")" ] || missing+=("$module"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v go >/dev/null || die "Go is needed to build ${missing[*]}, and there is no 'go' on PATH"
  mkdir -p "$HOME_DIR/build"
  trap 'for i in "${pids[@]}"; do kill -TERM -- "-$i" 2>/dev/null || true; done; exit 130' INT TERM
  for module in "${missing[@]}"; do
    while [ "$(jobs -pr | wc -l)" -ge "$(nproc)" ]; do wait -n || true; done # linking needs a gigabyte and more each
    setsid "$LAB/lab" build-module "$module" & # shares our output, not our Ctrl-C, which the trap passes on
    pids+=($!)
  done
  for i in "${!pids[@]}"; do wait "${pids[$i]}" || failed+=("${missing[$i]}"); done
  trap - INT TERM
  [ ${#failed[@]} -eq 0 ] || die "could not build ${failed[*]}; logs: $HOME_DIR/build/"
}
build_module() { # MODULE: complete or absent, whatever interrupts it; a second builder waits for the first
  local target log=$HOME_DIR/build/$1.log began=$SECONDS
  target=$(programs "$1")
  mkdir -p "$HOME_DIR/build" "$HOME_DIR/programs"
  exec 9> "$HOME_DIR/build/$(basename "$target").lock"
  flock -n 9 || { say "$1: waiting for another build of it"; flock 9; }
  [ ! -d "$target" ] || return 0
  # shellcheck disable=SC2064 # the directory as it is named now
  trap "rm -rf '$target.part'" EXIT
  rm -rf "$target.part"
  mkdir "$target.part"
  say "building $1 (minutes when Go's cache is cold; log: $log)"
  (cd "$LAB/go/$1" && CGO_ENABLED=0 GOBIN=$target.part GOFLAGS=-mod=readonly go install -trimpath -ldflags "$(linker_flags "$1")" tool) \
    > "$log" 2>&1 || { tail -n 20 "$log" >&2; die "$1: go install failed"; }
  # shellcheck source=/dev/null
  if [ -f "$LAB/cni/$1.sh" ]; then . "$LAB/cni/$1.sh"; collect "$target.part"; fi
  mv "$target.part" "$target"
  say "built $1 in $((SECONDS - began)) s"
}
module_source() { # MODULE_DIR GO_MODULE: where Go's module cache keeps its sources
  (cd "$LAB/go/$1" && GOFLAGS=-mod=readonly go list -m -f '{{.Dir}}' "$2")
}
images() { # prints the archives that every node needs, after packing those that are missing
  archive pause "$LAB/images/pause.go"
  archive coredns "$(programs coredns)/coredns"
}
archive() { # NAME FILE: localhost/NAME:1 from a program, or from a Go file that is one
  local name=$1 file=$2 out
  out=$HOME_DIR/images/$name-$(cat "$LAB/images/oci.py" "$file" | sha256sum | cut -c1-16).tar
  if [ ! -e "$out" ]; then
    mkdir -p "$HOME_DIR/images"
    if [[ $file == *.go ]]; then
      CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$out.$$.program" "$file"
      file=$out.$$.program
    fi
    python3 "$LAB/images/oci.py" "$out.$$" "localhost/$name:1" "/$name" "$name=$file"
    mv "$out.$$" "$out"
    rm -f "$out.$$.program"
  fi
  echo "$out"
}
