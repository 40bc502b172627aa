#!/usr/bin/env bash
# make images: the image that runs on Ray, the stream's, the hub's and the gateway's, each named after its content, with its
# size, its base and what is in it.
#
#     BASE_IMAGE   what they are built on, NAME@sha256:DIGEST; empty: the tag that services/Dockerfile names
. "$(dirname "$0")/words.sh"
need docker
: "${BASE_IMAGE:=$(sed -n 's/^ARG BASE_IMAGE=//p' services/Dockerfile)}"
if [[ $BASE_IMAGE == *@* && ! $BASE_IMAGE =~ ^[^@[:space:]]+@sha256:[0-9a-f]{64}$ ]]; then
  die "BASE_IMAGE: expected NAME@sha256: and 64 hexadecimal digits, got $BASE_IMAGE" \
    "docker buildx imagetools inspect ${BASE_IMAGE%%@*}"
fi
mkdir -p dist .cache/kind
build() { # build TARGET FILE: the image of a target of the Dockerfile; its name goes to the file
  local size created
  say "building fivefold/$1 on $BASE_IMAGE"
  docker build --quiet --build-arg BASE_IMAGE="$BASE_IMAGE" -f services/Dockerfile --target "$1" -t "fivefold/$1:build" . >/dev/null ||
    die "the image could not be built" "docker build -f services/Dockerfile --target $1 ."
  # A name for each content: pods that run another one are replaced, and nothing is called latest.
  tag=$(docker image inspect --format '{{.Id}}' "fivefold/$1:build" | cut -d: -f2 | cut -c1-12)
  docker tag "fivefold/$1:build" "fivefold/$1:$tag"
  echo "$tag" >"$2"
  docker history --format '{{.Size}}\t{{.CreatedBy}}' "fivefold/$1:build" |
    awk -F'\t' '$1 != "0B" { printf "       %8s  %s\n", $1, substr($2, 1, 80) }'
  created=$(docker image inspect --format '{{.Created}}' "fivefold/$1:build")
  docker run --rm --read-only --tmpfs /tmp --network none -i "fivefold/$1:build" python - "fivefold/$1" "$created" <k8s/sbom.py >"dist/$1.cdx.json"
  size=$(docker image inspect --format '{{.Size}}' "fivefold/$1:build")
  say "fivefold/$1:$tag, $((size / 1000000)) MB; what is in it: dist/$1.cdx.json ($(grep -c '"purl"' "dist/$1.cdx.json") packages)"
}
build stream .cache/kind/stream-tag
build hub .cache/kind/hub-tag
build gateway .cache/kind/gateway-tag
build ray .cache/kind/tag
# What the base was: as it was asked for, and by the digests that its registry knows it by. A builder may keep the base to
# itself, and a registry is not asked here; then there are none.
digests=$(docker image inspect --format '{{join .RepoDigests "\n"}}' "$BASE_IMAGE" 2>/dev/null | grep -E '@sha256:[0-9a-f]{64}$' || true)
[[ $BASE_IMAGE != *@* ]] || digests=$(printf '%s\n%s\n' "$BASE_IMAGE" "$digests" | sed '/^$/d' | sort -u)
pinned=$([[ $BASE_IMAGE == *@* ]] && echo true || echo false)
list=$(sed '/^$/d; s/.*/"&"/' <<<"$digests" | paste -sd, -)
printf '{"image": "fivefold/ray:%s", "base": "%s", "pinned": %s, "digests": [%s]}\n' "$tag" "$BASE_IMAGE" "$pinned" "$list" >dist/base.json
if [ "$pinned" = true ]; then say "their base is pinned; dist/base.json"
else say "their base is a tag, which moves: ${digests:-of a digest that is not known here}; to pin it, BASE_IMAGE=NAME@sha256:…; dist/base.json"; fi
