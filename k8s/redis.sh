#!/usr/bin/env bash
# make kind-redis: a Redis in the cluster that a head keeps its state in, with a password that both sides have as a Secret.
# Safe to run again: a Redis that is there keeps what it holds, and its password.
. "$(dirname "$0")/words.sh"
for program in docker kind kubectl; do need "$program"; done
need_cluster
build_and_load redis k8s/kind/redis
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
