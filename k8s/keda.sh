#!/usr/bin/env bash
# make kind-keda: KEDA in the cluster for trying a stream that scales by its lag, built from its Go module, since a cluster of
# kind need not reach its registry; ten minutes of a machine with two cores the first time. Safe to run again.
. "$(dirname "$0")/words.sh"
version=v2.21.0
for program in docker kind kubectl go python3; do need "$program"; done
need_cluster
built=.cache/keda-$version
if [ ! -e $built/config ]; then
  say "fetching KEDA $version"
  module=$(go mod download -json github.com/kedacore/keda/v2@$version | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])') ||
    die "Go could not fetch it" "go mod download github.com/kedacore/keda/v2@$version"
  mkdir -p $built
  for program in operator:keda adapter:keda-adapter; do
    say "building ${program#*:}"
    CGO_ENABLED=0 go build -C "$module" -ldflags "-s -w" -o "$PWD/$built/${program#*:}" "./cmd/${program%:*}" ||
      die "it could not be built" "go build -C $module ./cmd/${program%:*}"
  done
  cp -r "$module/config" $built/config.part
  chmod -R u+w $built/config.part
  mv $built/config.part $built/config
fi
cp k8s/kind/keda/Dockerfile $built/Dockerfile
printf 'config\n' >$built/.dockerignore
build_and_load keda $built
# Its own manifests without the webhooks; with the image that is there.
kubectl kustomize $built/config/minimal |
  sed -E "s|image: ghcr.io/kedacore/keda[a-z-]*:.*|image: fivefold/keda:$tag|; s|imagePullPolicy: Always|imagePullPolicy: IfNotPresent|" |
  kube apply --server-side --force-conflicts -f - >/dev/null
for part in keda-operator keda-metrics-apiserver; do
  until_true 180 "$part" "kubectl --context $context -n keda describe pods" kube -n keda rollout status deployment/$part --timeout=1s
done
until_true 60 "the metrics that KEDA answers" "kubectl --context $context get apiservice v1beta1.external.metrics.k8s.io -o yaml" \
  kube wait --for=condition=Available --timeout=1s apiservice/v1beta1.external.metrics.k8s.io
say "ready: make deploy ARGS=\"-f k8s/kind/stream.yaml -f k8s/kind/stream-scaling.yaml\""
