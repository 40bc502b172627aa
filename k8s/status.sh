#!/usr/bin/env bash
# make status: what runs, what is wrong with it, and where to look next.
. "$(dirname "$0")/words.sh"
need_cluster
kube -n "$namespace" get rayservice,cronjob,rayjob,raycluster,statefulset,pods,gateway,httproute,grpcroute -o wide
echo
kube -n "$namespace" get rayservice "$release" -o jsonpath='{range .status.conditions[*]}{.type}{"\t"}{.status}{"\t"}{.message}{"\n"}{end}{range .status.activeServiceStatus.applicationStatuses.*}{"application\t"}{.status}{"\t"}{.message}{"\n"}{end}' 2>/dev/null || true
echo
if [ -x .venv/bin/fivefold ]; then
  .venv/bin/fivefold doctor --context "$context" --namespace "$namespace" | grep -A 2 'room to upgrade' || true
  echo
fi
kube -n "$namespace" get events --field-selector type=Warning --sort-by=.lastTimestamp | tail -n 10
