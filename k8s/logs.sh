#!/usr/bin/env bash
# make logs: what every pod of the service has said of late; with logs.format text also the replicas' own files, which
# Ray then keeps in its pods.
. "$(dirname "$0")/words.sh"
need_cluster
kube -n "$namespace" logs -l app.kubernetes.io/instance="$release" --all-containers --prefix --tail "${TAIL:-50}" | python3 "$(dirname "$0")/read_logs.py" || true
for pod in $(kube -n "$namespace" get pods -l ray.io/node-type -o name); do
  kube -n "$namespace" exec "$pod" -- bash -c '[ -n "$RAY_LOG_TO_STDERR" ] || { printf "\n== %s, Serve\n" "$HOSTNAME"
    tail -n '"${TAIL:-50}"' /tmp/ray/session_latest/logs/serve/*.log; }' 2>/dev/null || true
done
