#!/usr/bin/env bash
# make kind-down: the cluster and everything in it goes; images and bundles stay on this machine.
. "$(dirname "$0")/words.sh"
need kind
if cluster_is_up; then
  kind delete cluster --name "$cluster" --quiet
  say "the cluster $cluster is gone"
else
  say "there is no cluster named $cluster"
fi
