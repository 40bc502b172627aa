#!/usr/bin/env bash
# make logs: what every pod of the service has said of late, and the replicas' own files, which Ray keeps in its pods.
. "$(dirname "$0")/words.sh"
need_cluster
kube -n "$namespace" logs -l app.kubernetes.io/instance="$release" --all-containers --prefix --tail "${TAIL:-50}" || true
for pod in $(kube -n "$namespace" get pods -l ray.io/node-type -o name); do
  printf '\n== %s, Serve\n' "$pod"
  kube -n "$namespace" exec "$pod" -- bash -c 'tail -n '"${TAIL:-50}"' /tmp/ray/session_latest/logs/serve/*.log' 2>/dev/null || true
done
