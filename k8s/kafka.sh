#!/usr/bin/env bash
# make kind-kafka: a broker in the cluster for trying streams, of Kafka's own jars, with the topic that k8s/kind/stream.yaml
# reads. Safe to run again: a broker that is there keeps what it holds.
. "$(dirname "$0")/words.sh"
for program in docker kind kubectl mvn; do need "$program"; done
need_cluster
context_of_build=.cache/kafka
mkdir -p $context_of_build
if [ ! -e $context_of_build/lib ]; then
  say "fetching the jars of Kafka"
  mvn -B -q -f k8s/kind/kafka/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$PWD/$context_of_build/lib.part" >/dev/null || die "Maven could not fetch them" "mvn -f k8s/kind/kafka/pom.xml dependency:tree"
  mv $context_of_build/lib.part $context_of_build/lib
fi
cp k8s/kind/kafka/{Dockerfile,log4j2.properties,server.properties,start} $context_of_build
build_and_load kafka $context_of_build
sed "s|fivefold/kafka:TAG|fivefold/kafka:$tag|" k8s/kind/kafka.yaml | kube apply -f - >/dev/null
until_true 180 "the broker" "kubectl --context $context -n kafka describe pods" \
  kube -n kafka rollout status deployment/kafka --timeout=1s
# A worker does not begin without the topic that it reads.
kube -n kafka exec deployment/kafka -- java -cp '/opt/kafka/lib/*' org.apache.kafka.tools.TopicCommand \
  --bootstrap-server localhost:9092 --create --if-not-exists --topic patients >/dev/null 2>&1 ||
  die "the topic could not be made" "kubectl --context $context -n kafka logs deployment/kafka"
say "ready: kafka.kafka:9092 in the cluster, and 127.0.0.1:39092 here after"
say "kubectl --context $context -n kafka port-forward service/kafka 39092"
