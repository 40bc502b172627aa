#!/usr/bin/env bash
# make kind-redis: a Redis in the cluster that a head keeps its state in, with a password that both sides have as a Secret.
# Safe to run again: a Redis that is there keeps what it holds, and its password.
. "$(dirname "$0")/words.sh"
for program in docker kind kubectl; do need "$program"; done
need_cluster
say "building fivefold/redis"
docker build --quiet -t fivefold/redis:build k8s/kind/redis >/dev/null || die "the image could not be built" "docker build k8s/kind/redis"
tag=$(docker image inspect --format '{{.Id}}' fivefold/redis:build | cut -d: -f2 | cut -c1-12)
docker tag fivefold/redis:build "fivefold/redis:$tag"
say "loading fivefold/redis:$tag"
kind load docker-image --name "$cluster" "fivefold/redis:$tag" >/dev/null 2>&1 || die "kind could not load it" "docker image inspect fivefold/redis:$tag"
kube create namespace redis --dry-run=client -o yaml | kube apply -f - >/dev/null
kube -n redis get secret redis-password >/dev/null 2>&1 || {
  password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  printf %s "$password" | kube -n redis create secret generic redis-password --from-file=password=/dev/stdin >/dev/null
}
# The same one where the head reads it.
kube -n redis get secret redis-password -o jsonpath='{.data.password}' | base64 -d |
  kube -n "$namespace" create secret generic redis-password --from-file=password=/dev/stdin --dry-run=client -o yaml |
  kube apply -f - >/dev/null
sed "s|fivefold/redis:TAG|fivefold/redis:$tag|" k8s/kind/redis.yaml | kube apply -f - >/dev/null
until_true 180 "Redis" "kubectl --context $context -n redis describe pods" \
  kube -n redis rollout status statefulset/redis --timeout=1s
say 'ready: redis.redis:6379; next: make deploy ARGS="-f k8s/kind/kept-head.yaml"'
