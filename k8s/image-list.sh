#!/usr/bin/env bash
# make image-list: every image that a release on a cluster needs, one a line, those of operators too; for a mirror.
#
#     CHART    the chart: a directory, an archive, or oci://… with --version in ARGS
#     VALUES   the values that you install with
#     ARGS     what else helm is told
#     OPERATORS  kuberay traefik: which of them your cluster gets from the same mirror
. "$(dirname "$0")/words.sh"
: "${CHART:=helm/fivefold}" "${VALUES:=k8s/kind/values.yaml}" "${OPERATORS=kuberay traefik}"
need helm

# Images stand in objects as YAML, and as JSON in the manifest of a run.
images() { grep -oE '(^|[^[:alnum:]_])"?image"?: *"?[^",} ]+' | sed -E 's/.*image"?: *"?//' | sort -u; }

# shellcheck disable=SC2086  # words of their own
chart=$(helm template "$release" "$CHART" -f "$VALUES" --kube-version 1.34.0 ${ARGS:-}) || die "the chart cannot be rendered" "what Helm says above"
{
  images <<<"$chart"
  for operator in $OPERATORS; do
    case $operator in
    kuberay) need kubectl && kubectl kustomize "$KUBERAY_KUSTOMIZE" | images ;;
    traefik)
      if [ -d "$TRAEFIK_CHART" ]; then source=("$TRAEFIK_CHART"); else source=(traefik --repo "$TRAEFIK_CHART" --version "$TRAEFIK_VERSION"); fi
      helm template traefik "${source[@]}" -f k8s/deps/traefik.yaml | images
      ;;
    *) die "OPERATORS: expected kuberay, traefik or both, got $operator" "make image-list OPERATORS=kuberay" ;;
    esac
  done
} | sort -u
