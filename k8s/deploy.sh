#!/usr/bin/env bash
# make deploy, make upgrade: put bundles and the image where the cluster finds them, install the chart, wait, call it.
#
#     BUNDLES   directories of bundles; with the same name they are versions of one model
#     VERSION   the version that answers when none is asked for; empty: the highest
#     DELIVERY  file: by digest from a volume, changed in place; image: copied from an image, by a second cluster
#     SITE      a page that `fivefold export --to browser` wrote: it is at /site/ then; empty: none
#     CHART     a released chart, oci://HOST/…/charts/fivefold, with its own images; empty: this tree's, and images built of it
#     RELEASE   which version of it; empty: the latest
#     GATEWAY   where the gateway that ARGS ask for answers; empty: Traefik's, localhost:8443
. "$(dirname "$0")/words.sh"
: "${DELIVERY:=file}" "${VERSION:=}" "${SITE:=}" "${CHART:=}" "${RELEASE:=}" "${VALUES:=k8s/kind/values.yaml}" "${GATEWAY:=localhost:8443}"
for program in docker kind kubectl helm curl; do need "$program"; done
need_cluster
# Without a registry that this machine serves itself, nodes pull what a released chart names.
[[ $CHART =~ ^oci://(localhost|127\.[0-9.]+)[:/] ]] && loopback=(--plain-http) || loopback=()
if [ -n "$CHART" ]; then
  [[ $CHART == oci://* ]] || die "CHART: expected oci://HOST/…/charts/fivefold, got $CHART" "make deploy CHART=oci://localhost:5000/charts/fivefold"
  source=.cache/kind/chart
  rm -rf $source
  helm pull "$CHART" ${RELEASE:+--version "$RELEASE"} "${loopback[@]}" --untar --untardir $source >/dev/null || die "there is no $CHART" "what Helm says above"
  source=$source/fivefold
else
  source=helm/fivefold
  [ -s .cache/kind/tag ] && [ -s .cache/kind/stream-tag ] && [ -s .cache/kind/hub-tag ] || die "no image has been built" "make images"
  tag=$(cat .cache/kind/tag) stream=$(cat .cache/kind/stream-tag) hub=$(cat .cache/kind/hub-tag)
fi

# load_released NAME VALUE: nodes do not reach a registry of this machine, and kind takes no image by digest. So it is pulled by the
# chart's digest, and loaded under a tag that is cut from it.
load_released() {
  local image digest
  image=$(sed -n "s|^ *repository: \(.*/$1\)$|\1|p" $source/values.yaml)
  digest=$(sed -n "s|^ *fivefold.dev/image-$1: sha256:||p" $source/Chart.yaml)
  [ -n "$digest" ] || die "$CHART names no image of $1 by digest" "make release, with the images"
  docker pull --quiet "$image@sha256:$digest" >/dev/null || die "there is no $image@sha256:$digest" "make release-check"
  docker tag "$image@sha256:$digest" "$image:${digest:0:12}"
  load "$image:${digest:0:12}"
  images+=(--set-string "$2.tag=${digest:0:12}")
}

models=() names=() digests=()
for bundle in $BUNDLES; do
  [ -e "$bundle/bundle.json" ] || die "$bundle is not a bundle" "make demo makes one; fivefold pack makes your own"
  digest=$(sha256sum "$bundle/bundle.json" | cut -d' ' -f1)
  name=$(.venv/bin/fivefold bundle show --json "$bundle" | sed -n 's/^  "name": "\(.*\)",$/\1/p')
  names+=("$name") digests+=("$digest")
  case $DELIVERY in
  file)
    [ -e "$bundles/$digest.tar" ] || .venv/bin/fivefold bundle archive "$bundle" "$bundles/$digest.tar" >/dev/null
    models+=("{\"url\": \"file:///bundles/claim/$digest.tar#sha256=$digest\"}")
    ;;
  image)
    docker build --quiet -f services/bundle.Dockerfile -t "fivefold/bundle-$name:${digest:0:12}" "$bundle" >/dev/null
    load "fivefold/bundle-$name:${digest:0:12}"
    models+=("{\"image\": \"fivefold/bundle-$name:${digest:0:12}\"}")
    ;;
  *) die "DELIVERY: expected file or image, got $DELIVERY" "make deploy DELIVERY=file" ;;
  esac
  say "bundle $name, $digest, by $DELIVERY"
done
page=()
if [ -n "$SITE" ]; then
  [ -e "$SITE/service-worker.js" ] && [ -e "$SITE/integrity.json" ] || die "$SITE is not an exported page" "fivefold export --model DIR --to browser $SITE"
  digest=$(sha256sum "$SITE/integrity.json" services/site.Dockerfile | sha256sum | cut -c1-12)
  docker build --quiet -f services/site.Dockerfile -t "fivefold/site:$digest" "$SITE" >/dev/null || die "the page's image could not be built" "docker build -f services/site.Dockerfile $SITE"
  load "fivefold/site:$digest"
  page=(--set site.enabled=true --set-string "site.image=fivefold/site:$digest")
fi
list=$(IFS=,; echo "[${models[*]}]")
defaults={}
[ -z "$VERSION" ] || defaults="{\"${names[0]}\": \"$VERSION\"}"

before=$(kube -n "$namespace" get rayservice "$release" -o jsonpath='{.status.activeServiceStatus.rayClusterName}' 2>/dev/null || true)
options=(-f "$VALUES" --set-json "online.models=$list" --set-json "online.defaults=$defaults" "${page[@]}" ${ARGS:-}) images=()
if [ -z "$CHART" ]; then
  images=(--set-string "image.tag=$tag" --set-string "stream.image.tag=$stream" --set-string "hub.image.tag=$hub")
fi
# Workers of a stream and a hub are there where values or ARGS say so. The version is any that the chart takes: a helm that Go has built
# supposes an older one.
rendered=$(helm template "$release" $source "${images[@]}" "${options[@]}" --kube-version 1.34.0) || die "the chart cannot be rendered" "what Helm says above"
if [ -z "$CHART" ]; then
  load "fivefold/ray:$tag"
  if grep -q "fivefold/stream:" <<<"$rendered"; then load "fivefold/stream:$stream"; fi
  if grep -q "fivefold/hub:" <<<"$rendered"; then load "fivefold/hub:$hub"; fi
elif [ ${#loopback[@]} != 0 ]; then
  load_released ray image
  if grep -q "/stream@sha256:" <<<"$rendered"; then load_released stream stream.image; fi
  if grep -q "/hub@sha256:" <<<"$rendered"; then load_released hub hub.image; fi
fi

say "installing the chart"
chart upgrade --install "$release" $source "${images[@]}" "${options[@]}" --timeout 10m >/dev/null || {
  kube -n "$namespace" logs job/"$release"-gate --tail 20 2>/dev/null || true
  die "Helm refused or failed; nothing that served before has been changed by a refused release" \
    "kubectl --context $context -n $namespace get jobs,pods; a gate that refused has said why above"
}

look="make status; kubectl --context $context -n $namespace describe rayservice $release"
settled() { # the operator has seen what was installed, no second cluster is on its way, and what there is, is ready
  local state
  state=$(kube -n "$namespace" get rayservice "$release" -o jsonpath='{.metadata.generation} {.status.observedGeneration} {.status.conditions[?(@.type=="Ready")].status} {.status.pendingServiceStatus.rayClusterName}')
  [[ $state =~ ^([0-9]+)\ ([0-9]+)\ True\ *$ && ${BASH_REMATCH[1]} = "${BASH_REMATCH[2]}" ]]
}
until_true 300 "the RayService (pods, Ray, replicas)" "$look" settled
mkdir -p .cache/kind
authority=.cache/kind/ca.crt
kube -n "$namespace" get secret "$release-tls" -o jsonpath='{.data.ca\.crt}' | base64 -d >$authority
key=$(kube -n "$namespace" get secret "$release-api-key" -o jsonpath='{.data.key}' | base64 -d)
ask() { curl -fsS --max-time 5 --cacert $authority -H @- "https://$GATEWAY$1" <<<"authorization: Bearer $key"; }
answers() { # answers NAME DIGEST: whether one of the model's versions is this bundle, and the gateway lets us ask
  local version
  for version in $(ask "/v1/models/$1" | tr -d ' ' | sed 's/.*"versions":\[\([^]]*\)\].*/\1/' | tr -d '"' | tr , ' '); do
    ask "/v1/models/$1/versions/$version" | grep -q "$2" && return 0
  done
  return 1
}
for index in "${!names[@]}"; do
  until_true 300 "${names[$index]} to answer through the gateway as ${digests[$index]:0:12}" "$look" \
    answers "${names[$index]}" "${digests[$index]}"
done
after=$(kube -n "$namespace" get rayservice "$release" -o jsonpath='{.status.activeServiceStatus.rayClusterName}')
[ -z "$before" ] || say "$([ "$before" = "$after" ] && echo "changed in place" || echo "moved to a second cluster, $after")"
say "ready"
cat <<END

  REST  https://$GATEWAY/v1/models
  gRPC  $GATEWAY, with TLS

  export FIVEFOLD_KEY=\$(kubectl --context $context -n $namespace get secret $release-api-key -o jsonpath='{.data.key}' | base64 -d)
  curl --cacert $authority -H "authorization: Bearer \$FIVEFOLD_KEY" https://$GATEWAY/v1/models/${names[0]}

next: make e2e, make upgrade BUNDLE=…, make status, make kind-down
END
