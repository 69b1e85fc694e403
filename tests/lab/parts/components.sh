# Components: the programs of a cluster, each in a process group of its own, with its command, pid and log kept by name.
# shellcheck shell=bash

event() { # WORDS…: one line with the time in UTC, the time in milliseconds since 1970, and what happened
  echo "$(date -u '+%Y-%m-%dT%H:%M:%S.%3NZ %s%3N') $*" >> "$STATE/events"
}
start_time() { # PID: when the process began, in clock ticks since boot; tells it from a later one with the same number
  sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20 # the name, in brackets, may hold spaces
}
identity() { echo "$1 $(start_time "$1") $(cat /proc/sys/kernel/random/boot_id)"; } # PID: what is kept of a process
same() { # FILE: the process whose identity it holds still runs
  local pid
  [ -s "$1" ] || return 1
  read -r pid _ < "$1"
  [ -d "/proc/$pid" ] && [ "$(cat "$1")" = "$(identity "$pid")" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null
}
alive() { same "$STATE/pid/$1"; }
background() { # NAME COMMAND…: keeps the command under the name and starts it
  local name=$1
  shift
  printf '%s\0' "$@" > "$STATE/command/$name"
  launch "$name"
}
launch() { # NAME: runs the component's command (again)
  local argv pid
  mapfile -d '' -t argv < "$STATE/command/$1"
  setsid "${argv[@]}" >> "$STATE/log/$1.log" 2>&1 < /dev/null &
  pid=$!
  disown "$pid"
  identity "$pid" > "$STATE/pid/$1"
  event start "$1"
}
halt() { # NAME SIGNAL: ends the process group and returns when it is gone; SIGKILL after 3 seconds
  local pid deadline=$((SECONDS + 3))
  alive "$1" || { rm -f "$STATE/pid/$1"; return 0; }
  pid=$(cut -d' ' -f1 "$STATE/pid/$1")
  event stop "$1" "SIG$2"
  kill "-$2" -- "-$pid" 2>/dev/null || true
  while group_runs "$pid"; do
    [ "$SECONDS" -lt "$deadline" ] || kill -KILL -- "-$pid" 2>/dev/null || true
    [ "$SECONDS" -lt $((deadline + 10)) ] || die "$1 (process group $pid) does not end"
    sleep 0.05
  done
  event stopped "$1"
  rm -f "$STATE/pid/$1"
}
group_runs() { # PGID: has it a process that is not a zombie
  pgrep -g "$1" -r R,S,D,T,t >/dev/null
}
wait_for() { # SECONDS COMPONENT WHAT COMMAND…: polls until the command succeeds; fails at once when what it waits for has ended
  local limit=$1 component=$2 what=$3 deadline ended
  shift 3
  deadline=$((SECONDS + limit))
  until "$@" >/dev/null 2>&1; do
    ended=$(first_dead "$component")
    [ -z "$ended" ] || fail "$ended" "ended before $what"
    [ "$SECONDS" -lt "$deadline" ] || fail "$component" "after ${limit} s still not: $what"
    sleep 0.1
  done
}
first_dead() { # COMPONENT: its name if it has ended by itself; while the cluster comes up, the first of all that did
  local file name
  for file in "$STATE"/pid/*; do
    name=$(basename "$file")
    if [ "$name" != "$1" ] && [ -e "$STATE/ready" ]; then continue; fi
    if [ -e "$file" ] && ! alive "$name"; then
      echo "$name"
      return
    fi
  done
}
fail() { # COMPONENT WHAT: says which component failed and shows the end of its log
  say "$1 failed: $2"
  [ "$1" != coredns ] || kubectl get events -A --field-selector type=Warning > "$STATE/log/$1.log" 2>&1 || true
  if [ -s "$STATE/log/$1.log" ]; then
    say "the end of its log:"
    tail -n 15 "$STATE/log/$1.log" | cut -c1-400 | sed 's/^/    /' >&2
  else
    say "it logged nothing"
  fi
  BLAMED=$1
  exit 1
}
known() { [ -e "$STATE/command/$1" ] || die "no component '$1'; 'lab ps' lists them"; } # NAME
list_components() {
  local file name
  is_up
  for file in "$STATE"/command/*; do
    name=$(basename "$file")
    if alive "$name"; then echo "$name running"; else echo "$name stopped"; fi
  done
}
end() { # SIGNAL NAME: a component, or a whole node
  [ $# -eq 2 ] || die "which component? 'lab ps' lists them"
  if [[ $2 =~ ^node[0-9]+$ ]]; then
    known "$2-init"
    end_node "$2"
  else
    known "$2"
    halt "$2" "$1"
  fi
}
again() { # NAME: starts a component, or a whole node, and returns when it answers
  [ $# -eq 1 ] || die "which component? 'lab ps' lists them"
  if [[ $1 =~ ^node[0-9]+$ ]]; then
    known "$1-init"
    end_node "$1"
    start_node "${1#node}"
    return
  fi
  known "$1"
  use_cni
  halt "$1" TERM
  launch "$1"
  answers "$1"
  event ready "$1"
}
answers() { # NAME: returns when the component answers, as far as its kind can be asked
  local node=${1%%-*}
  case $1 in
    apiserver) wait_for 60 "$1" "its /readyz answers" kubectl get --raw /readyz --request-timeout=5s ;;
    *-containerd) wait_for 20 "$1" "it answers on its socket" on "$node" ctr version ;;
    *-kubelet) wait_for 60 "$1" "its health check answers" healthy "$node" 10248 /healthz ;;
    *-agent) wait_for 120 "$1" "its health check answers" agent_ready "$node" ;;
  esac
}
