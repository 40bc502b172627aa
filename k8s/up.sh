#!/usr/bin/env bash
# make kind-up: a kind cluster with a Gateway controller and KubeRay's operator. Safe to run again.
. "$(dirname "$0")/words.sh"
for program in docker kind kubectl helm; do need "$program"; done
docker info >/dev/null 2>&1 || die "Docker does not answer" "start it; docker info says why it does not"

mkdir -p "$bundles" "$data"
# Pods write into it as a user that this machine does not have.
chmod 0777 "$data"
if cluster_is_up; then
  say "the cluster $cluster is there already"
else
  say "making the cluster $cluster: one control plane, two workers"
  kind create cluster --image "$KIND_NODE_IMAGE" --config k8s/kind/cluster.yaml --wait 180s --quiet ||
    die "kind could not make the cluster" "docker ps; a port that is taken shows as: bind: address already in use"
fi
for image in $KUBERAY_IMAGE $TRAEFIK_IMAGE; do load "$image"; done

say "installing the Gateway API and KubeRay"
kube apply --server-side --force-conflicts -f "$GATEWAY_API_CRDS" >/dev/null
kube apply --server-side --force-conflicts -k "$KUBERAY_KUSTOMIZE" >/dev/null

say "installing Traefik"
if [ -d "$TRAEFIK_CHART" ]; then source=("$TRAEFIK_CHART"); else source=(traefik --repo "$TRAEFIK_CHART" --version "$TRAEFIK_VERSION"); fi
helm --kube-context "$context" upgrade --install traefik "${source[@]}" --namespace traefik --create-namespace \
  -f k8s/deps/traefik.yaml >/dev/null

kube create namespace "$namespace" --dry-run=client -o yaml | kube apply -f - >/dev/null
# The pods of the chart run under the strictest of Kubernetes' own standards.
kube label namespace "$namespace" pod-security.kubernetes.io/enforce=restricted --overwrite >/dev/null
kube apply -f k8s/kind/bundles.yaml -f k8s/kind/data.yaml >/dev/null

until_true 180 "KubeRay's operator" "kubectl --context $context describe deployment kuberay-operator" \
  kube rollout status deployment/kuberay-operator --timeout=1s
until_true 180 "Traefik" "kubectl --context $context --namespace traefik get pods,events" \
  kube --namespace traefik rollout status deployment/traefik --timeout=1s
until_true 60 "the GatewayClass traefik" "kubectl --context $context describe gatewayclass traefik" \
  kube wait gatewayclass/traefik --for=condition=Accepted --timeout=1s
say "ready; next: make deploy"
