# What the scripts beside this file share: how they speak, and how they wait. Sourced by each, not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cluster=fivefold namespace=fivefold release=fivefold
context=kind-$cluster
bundles=.cache/kind/bundles data=.cache/kind/data
started=$SECONDS

say() { printf '%5ss  %s\n' $((SECONDS - started)) "$*"; }

die() { # die WHAT HELP
  printf 'error: %s\nhelp: %s\n' "$1" "$2" >&2
  exit 1
}

need() { command -v "$1" >/dev/null || die "$1 is not on PATH" "make doctor says what is missing, and where to get it"; }

kube() { kubectl --context "$context" "$@"; }
chart() { helm --kube-context "$context" --namespace "$namespace" "$@"; }

cluster_is_up() { kind get clusters 2>/dev/null | grep -qx "$cluster"; }

need_cluster() {
  cluster_is_up || die "there is no kind cluster named $cluster" "make kind-up"
}

load() { # load IMAGE: into the nodes that lack it
  say "loading $1"
  kind load docker-image --name "$cluster" "$1" >/dev/null 2>&1 || die "kind could not load $1" "docker image inspect $1"
}

# build_and_load NAME DIR: the image of that directory, under the tag that is in $tag afterwards. A name for each content:
# pods that run another one are replaced.
build_and_load() {
  say "building fivefold/$1"
  docker build --quiet -t "fivefold/$1:build" "$2" >/dev/null || die "the image could not be built" "docker build $2"
  tag=$(docker image inspect --format '{{.Id}}' "fivefold/$1:build" | cut -d: -f2 | cut -c1-12)
  docker tag "fivefold/$1:build" "fivefold/$1:$tag"
  load "fivefold/$1:$tag"
}

# until_true SECONDS WHAT LOOK COMMAND…: ask once a second, say what is waited for, and at the end what to look at.
until_true() {
  local limit=$1 what=$2 look=$3 begun=$SECONDS told=0
  shift 3
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS - begun >= limit)); then die "waited ${limit} s for $what" "$look"; fi
    if ((SECONDS - begun >= told)); then say "waiting for $what"; told=$((told + 15)); fi
    sleep 1
  done
}
