#!/usr/bin/env bash
# What action.yml does: fetches a release of flowproof and checks it, loads the prober's image into kind where there is one, runs
# flowproof, and leaves outputs. Its exit code is that of flowproof; 4 when it does not come to that, 2 for an input that cannot be.
#
# Inputs are the variables INPUT_*, as action.yml describes them. ACTION_REPOSITORY says of which repository the action is.
# FLOWPROOF_RELEASES names another place to fetch from, with the layout of GitHub's releases.
# It runs in bash 3.2, too: no mapfile, and no empty array without a default.
set -euo pipefail

say() { echo "flowproof action: $*" >&2; }
fail() { # CODE WHAT…
  echo "::error title=flowproof::${*:2}" >&2 # not into a variable that catches stdout; GitHub reads both
  exit "$1"
}
output() { echo "$1=$2" >> "${GITHUB_OUTPUT:-/dev/null}"; } # NAME VALUE, of one line

# Splits a text at spaces and lines into the array `words`. xargs reads quotes and backslashes as a shell does, and executes nothing.
split() { # NAME TEXT
  local word
  words=()
  case $2 in *[![:space:]]*) ;; *) return 0 ;; esac
  printf '%s\n' "$2" | xargs printf '%s\0' > "$TEMP/words" 2> "$TEMP/complaint" ||
    fail 2 "the input '$1' has a quote without its end: $(head -n 1 "$TEMP/complaint")"
  while IFS= read -r -d '' word; do words+=("$word"); done < "$TEMP/words"
}

# --- the program -----------------------------------------------------------------------------------------------------------
target() { # as releases name it
  local system machine
  system=$(uname -s) machine=$(uname -m)
  case $system/$machine in
    Linux/x86_64) echo x86_64-unknown-linux-musl ;;
    Linux/aarch64 | Linux/arm64) echo aarch64-unknown-linux-musl ;;
    Darwin/x86_64) echo x86_64-apple-darwin ;;
    Darwin/arm64) echo aarch64-apple-darwin ;;
    *) fail 4 "there is no release for $system on $machine; build flowproof there, and name it with the input 'binary'" ;;
  esac
}
release() { # the path of a release below the repository's releases
  local version=${INPUT_VERSION:-}
  # The action stands in the sources of the release that it belongs to.
  [ -n "$version" ] || version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$SOURCES/Cargo.toml")
  version=${version#v}
  case $version in
    latest) echo latest/download ;;
    *) [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$ ]] ||
      fail 2 "the input 'version' is '$version'; write a whole version, as 1.2.3, or latest"
      echo "download/v$version" ;;
  esac
}
fetch() { # RELEASE FILE: into $TEMP
  local repository=${ACTION_REPOSITORY:-flowproof/flowproof} tag=${1#*/} base
  if [ -n "${INPUT_TOKEN:-}" ]; then
    command -v gh > /dev/null || fail 4 "the input 'token' needs the GitHub command line (gh), which is not installed"
    [ "$tag" != download ] || tag=''
    GH_TOKEN=$INPUT_TOKEN gh release download ${tag:+"$tag"} --repo "$repository" --pattern "$2" --dir "$TEMP" ||
      fail 4 "$2 cannot be fetched from the release '${tag:-latest}' of $repository"
  else
    base=${FLOWPROOF_RELEASES:-${GITHUB_SERVER_URL:-https://github.com}/$repository/releases}
    curl --fail --silent --show-error --location --proto '=https,file' --retry 3 --output "$TEMP/$2" "$base/$1/$2" ||
      fail 4 "$2 cannot be fetched from $base/$1; is that version released? The input 'version' can be latest"
  fi
}
sha256() { if command -v sha256sum > /dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1; }
program() { # sets PROGRAM
  local name archive from expected found
  if [ -n "${INPUT_BINARY:-}" ]; then
    [ -x "$INPUT_BINARY" ] || fail 2 "the input 'binary' is '$INPUT_BINARY', which is not a program"
    PROGRAM=$(cd "$(dirname "$INPUT_BINARY")" && pwd)/$(basename "$INPUT_BINARY")
    return
  fi
  name=flowproof-$(target)
  from=$(release)
  archive=$name.tar.gz
  say "fetching $archive of the release ${from#download/}"
  fetch "$from" SHA256SUMS
  fetch "$from" "$archive"
  expected=$(awk -v file="$archive" '$2 == file || $2 == "*" file { print $1 }' "$TEMP/SHA256SUMS")
  found=$(sha256 "$TEMP/$archive")
  [ -n "$expected" ] || fail 4 "SHA256SUMS of the release does not name $archive"
  [ "$expected" = "$found" ] || fail 4 "$archive has the SHA-256 $found, and the release says $expected: it is not used"
  tar -xzf "$TEMP/$archive" -C "$TEMP" || fail 4 "$archive cannot be unpacked"
  PROGRAM=$TEMP/$name/flowproof
  [ -x "$PROGRAM" ] || fail 4 "$archive has no $name/flowproof"
}

# --- the cluster -----------------------------------------------------------------------------------------------------------
kind_cluster() { # the name of the kind cluster that will be used, or nothing
  local context=${INPUT_CONTEXT:-}
  command -v kind > /dev/null || return 0
  [ -n "$context" ] || context=$(kubectl config current-context 2> /dev/null) || return 0
  [[ $context == kind-* ]] || return 0
  kind get clusters 2> /dev/null | grep -Fx -e "${context#kind-}" || true
}
load() {
  local name=${INPUT_LOAD:-auto}
  case $name in
    none | false) return 0 ;;
    auto)
      name=$(kind_cluster)
      [ -n "$name" ] || return 0
      "$PROGRAM" image load --kind "$name" || say "the image was not loaded into kind; the prober comes in a ConfigMap"
      ;;
    *) "$PROGRAM" image load --kind "$name" || fail 4 "the image could not be loaded into the kind cluster '$name'" ;;
  esac
}

# --- the run ---------------------------------------------------------------------------------------------------------------
SOURCES=$(cd "$(dirname "$0")/../.." && pwd)
TEMP=$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/flowproof.XXXXXX")
COMMAND=${INPUT_COMMAND:-run}
for name in COMMAND CONTEXT VERSION LOAD JUNIT JSON BINARY; do
  variable=INPUT_$name
  [[ ${!variable:-} != *$'\n'* ]] || fail 2 "the input '$name' has more than one line"
done
split paths "${INPUT_PATHS:-}"
paths=(${words[@]+"${words[@]}"})
split args "${INPUT_ARGS:-}"
args=(${words[@]+"${words[@]}"})

program
output version "$("$PROGRAM" --version | cut -d ' ' -f 2)"
dirname "$PROGRAM" >> "${GITHUB_PATH:-/dev/null}"
[ "$COMMAND" != install ] || exit 0

call=("$COMMAND")
[ -z "${INPUT_CONTEXT:-}" ] || call+=(--context "$INPUT_CONTEXT")
case $COMMAND in
  run | check | watch)
    [ -z "${INPUT_JUNIT:-}" ] || call+=(--junit "$INPUT_JUNIT")
    [ -z "${INPUT_JSON:-}" ] || call+=(--save "$INPUT_JSON")
    case " ${args[*]-} " in *" --cluster local "* | *" --cluster=local "*) ;; *) load ;; esac
    ;;
esac
# Paths come first: the arguments of watch may end with a command behind --.
call+=(${paths[@]+"${paths[@]}"} ${args[@]+"${args[@]}"})

code=0
: > "$TEMP/began"
GITHUB_STEP_SUMMARY=$TEMP/summary.md "$PROGRAM" "${call[@]}" || code=$?
output exit-code "$code"
for name in junit json; do
  variable=INPUT_$(printf '%s' "$name" | tr '[:lower:]' '[:upper:]')
  # An older file of that name is not this run's report.
  [ ! -f "${!variable:-}" ] || [ "${!variable}" -ot "$TEMP/began" ] || output "$name" "${!variable}"
done
if [ -s "$TEMP/summary.md" ]; then
  cat "$TEMP/summary.md" >> "${GITHUB_STEP_SUMMARY:-/dev/null}"
  output summary "$TEMP/summary.md"
fi
exit "$code"
