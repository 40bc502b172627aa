#!/usr/bin/env bash
# make images: the image that runs on Ray, named after its content, with its size and what is in it.
. "$(dirname "$0")/words.sh"
need docker
mkdir -p dist .cache/kind
say "building fivefold/ray"
docker build --quiet -f services/Dockerfile --target ray -t fivefold/ray:build . >/dev/null ||
  die "the image could not be built" "docker build -f services/Dockerfile --target ray ."
# A name for each content: pods that run another one are replaced, and nothing is called latest.
tag=$(docker image inspect --format '{{.Id}}' fivefold/ray:build | cut -d: -f2 | cut -c1-12)
docker tag fivefold/ray:build "fivefold/ray:$tag"
echo "$tag" >.cache/kind/tag
docker history --format '{{.Size}}\t{{.CreatedBy}}' fivefold/ray:build |
  awk -F'\t' '$1 != "0B" { printf "       %8s  %s\n", $1, substr($2, 1, 80) }'
docker run --rm --read-only --tmpfs /tmp --network none -i fivefold/ray:build python - <k8s/sbom.py >dist/ray.cdx.json
size=$(docker image inspect --format '{{.Size}}' fivefold/ray:build)
say "fivefold/ray:$tag, $((size / 1000000)) MB; what is in it: dist/ray.cdx.json ($(grep -c '"purl"' dist/ray.cdx.json) packages)"
