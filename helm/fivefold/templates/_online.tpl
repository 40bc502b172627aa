{{/* What the objects of online serving share. */}}

{{/* Ports that Serve takes by itself, beside Ray's own: on the head what answers while no replica does, on a worker the
     replicas. */}}
{{- define "fivefold.onlineHeadPorts" -}}
{{ include "fivefold.rayHeadPorts" . }}
fallbackHttp: 8500
fallbackGrpc: 9500
{{- end }}
{{- define "fivefold.replicaPorts" -}}
replicaHttp: [30000, 31000]
replicaGrpc: [40000, 41000]
{{- end }}

{{- define "fivefold.onlineSelector" -}}
{{ include "fivefold.selector" . }}
app.kubernetes.io/component: online
{{- end }}

{{/* The references of the bundles, as arguments of the application: a URL as it is, an image where it is copied to. */}}
{{- define "fivefold.models" -}}
{{- $models := list }}
{{- range $index, $model := .Values.online.models }}
{{- $models = append $models ($model.url | default (printf "/bundles/images/%d" $index)) }}
{{- end }}
{{- $models | toJson }}
{{- end }}

{{/* Annotations of the head's pod: the values' own, and those that keep an autoscaler of nodes away from it. */}}
{{- define "fivefold.headAnnotations" -}}
{{- $online := .root.Values.online }}
{{- $own := fromYaml (include "fivefold.podAnnotations" .) }}
{{- $safe := ternary ($online.gcs.redis.address | empty | not) (eq (toString $online.head.safeToEvict) "true") (eq (toString $online.head.safeToEvict) "auto") }}
{{- if not $safe }}
{{- $own = merge $own (dict "cluster-autoscaler.kubernetes.io/safe-to-evict" "false" "karpenter.sh/do-not-disrupt" "true") }}
{{- end }}
{{- with $own }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* How many replicas fit into a worker, and all workers that there may be. A thousandth of a core is what Ray counts in; half of
     one keeps a division of floats from losing a replica. */}}
{{- define "fivefold.replicasInWorker" -}}
{{- min (int .Values.online.replicas.perWorker) (floor (divf (addf .Values.online.workers.cpus 0.0005) .Values.online.replicas.cpus) | int) }}
{{- end }}
{{- define "fivefold.replicasInAll" -}}
{{- mul (include "fivefold.replicasInWorker" . | int) (max (int .Values.online.workers.count) (int .Values.online.workers.maxCount)) }}
{{- end }}

{{/* Environment of every Ray process that serves; cluster_variables.ENVIRONMENT comes first. */}}
{{- define "fivefold.serveEnvironment" -}}
- {name: RAY_SERVE_ENABLE_HA_PROXY, value: "1"}
- {name: RAY_SERVE_THROUGHPUT_OPTIMIZED, value: "1"}
- {name: RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH, value: fivefold.online.ray.deployment.middlewares}
- {name: RAY_SERVE_HAPROXY_METRICS_ENABLED, value: "0"}
- {name: RAY_SERVE_HAPROXY_TUNE_BUFSIZE, value: "65536"}
- {name: RAY_SERVE_HAPROXY_RETRY_ON, value: "conn-failure empty-response"}
- {name: RAY_SERVE_HAPROXY_RETRIES, value: "8"}
- {name: RAY_worker_niceness, value: "0"}
{{- /* No RAY_SERVE_HAPROXY_CLOSE_SPREAD_TIME_S. With it, HAProxy's process of before a reload closes its idle connections
by itself, in spite of `idle-close-on-response`, and the gateway may just have sent a request on one. Without it such a
connection is good for one more answer, which says that it closes (HTTP/1). */}}
# The gateway's gRPC connections end at a HAProxy that no reload touches: online/haproxy/grpc_proxy.py says why.
- {name: FIVEFOLD_GRPC_PROXY, value: "1"}
- {name: RAY_SERVE_HAPROXY_NBTHREAD, value: {{ .Values.online.proxyThreads | quote }}}
# Serve gives up a proxy that is not up by then; a busy node needs more than its 5 and 30 seconds.
- {name: RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S, value: "60"}
- {name: RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S, value: "60"}
- {name: RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S, value: {{ include "fivefold.proxyDrainSeconds" . | quote }}}
{{ include "fivefold.rayEnvironment" (dict "drain" (include "fivefold.drainSeconds" .)) }}
{{- include "fivefold.rayLogEnvironment" . }}
{{- end }}

{{/* How long a proxy goes on answering when no replica is left beside it; the probe of readiness takes half of it. */}}
{{- define "fivefold.proxyDrainSeconds" -}}
60
{{- end }}

{{/* How long a node may drain: its replicas' own time, and as much for their replacements to start. */}}
{{- define "fivefold.drainSeconds" -}}
{{ add .Values.online.drainSeconds 30 }}
{{- end }}

{{/* Whether Ray adds and removes worker pods; then the head speaks to the Kubernetes API. */}}
{{- define "fivefold.workersScale" -}}
{{- if and .Values.online.enabled (gt (int .Values.online.workers.maxCount) (int .Values.online.workers.count)) }}true{{ end }}
{{- end }}

{{- define "fivefold.onlinePod" -}}
{{ include "fivefold.rayPod" (dict "root" . "grace" (add (include "fivefold.drainSeconds" . | int) 30)) }}
{{- end }}
