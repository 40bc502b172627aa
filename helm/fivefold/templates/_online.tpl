{{/* What the objects of online serving share. */}}

{{/* Ports of a Ray pod, by who has to reach them. Ray picks most of these at random unless it is told; a network policy
     can only allow what is known. */}}
{{- define "fivefold.rayPorts" -}}
gcs: 6379
nodeManager: 6380
objectManager: 6381
runtimeEnvAgent: 6382
agentGrpc: 6383
dashboard: 8265
agentHttp: 52365
metrics: 8080
workers: [10002, 10201]
fallbackHttp: 8500
fallbackGrpc: 9500
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

{{/* Environment of every Ray process; host.ENVIRONMENT comes first. */}}
{{- define "fivefold.rayEnvironment" -}}
- {name: RAY_SERVE_ENABLE_HA_PROXY, value: "1"}
- {name: RAY_SERVE_THROUGHPUT_OPTIMIZED, value: "1"}
- {name: RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH, value: fivefold.online.host.middlewares}
- {name: RAY_SERVE_HAPROXY_METRICS_ENABLED, value: "0"}
- {name: RAY_SERVE_HAPROXY_TUNE_BUFSIZE, value: "65536"}
- {name: RAY_SERVE_HAPROXY_RETRY_ON, value: "conn-failure empty-response"}
- {name: RAY_SERVE_HAPROXY_RETRIES, value: "8"}
- {name: RAY_worker_niceness, value: "0"}
# A node that goes away closes its connections one by one, so that clients do not come back all at once.
- {name: RAY_SERVE_HAPROXY_CLOSE_SPREAD_TIME_S, value: "5"}
- {name: RAY_SERVE_HAPROXY_NBTHREAD, value: {{ .Values.online.proxyThreads | quote }}}
# Serve gives up a proxy that is not up by then; a busy node needs more than its 5 and 30 seconds.
- {name: RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S, value: "60"}
- {name: RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S, value: "60"}
- {name: RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S, value: {{ include "fivefold.drainSeconds" . | quote }}}
- {name: RAY_AUTH_MODE, value: token}
- {name: RAY_USAGE_STATS_ENABLED, value: "0"}
- {name: HOME, value: /tmp}
{{- end }}

{{/* How long a node may drain: its replicas' own time, and as much for their replacements to start. */}}
{{- define "fivefold.drainSeconds" -}}
{{ add .Values.online.drainSeconds 30 }}
{{- end }}

{{/* `ray start` as process 1: a shell in front of it would keep SIGTERM, and with it the drain, to itself. */}}
{{- define "fivefold.rayCommand" -}}
command: [/bin/bash, -c]
args: ['ulimit -n 65536; eval "exec $KUBERAY_GEN_RAY_START_CMD"']
{{- end }}

{{/* Whether Ray adds and removes worker pods; then the head speaks to the Kubernetes API. */}}
{{- define "fivefold.workersScale" -}}
{{- if gt (int .Values.online.workers.maxCount) (int .Values.online.workers.count) }}true{{ end }}
{{- end }}

{{- define "fivefold.rayPod" -}}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ add (include "fivefold.drainSeconds" . | int) 30 }}
securityContext: {{- include "fivefold.podSecurity" . | nindent 2 }}
{{ include "fivefold.pullSecrets" . }}
{{- end }}

{{- define "fivefold.rayStartParams" -}}
{{- $ports := include "fivefold.rayPorts" . | fromYaml -}}
node-manager-port: {{ $ports.nodeManager | quote }}
object-manager-port: {{ $ports.objectManager | quote }}
runtime-env-agent-port: {{ $ports.runtimeEnvAgent | quote }}
dashboard-agent-grpc-port: {{ $ports.agentGrpc | quote }}
dashboard-agent-listen-port: {{ $ports.agentHttp | quote }}
metrics-export-port: {{ $ports.metrics | quote }}
min-worker-port: {{ index $ports.workers 0 | quote }}
max-worker-port: {{ index $ports.workers 1 | quote }}
# Requests never pass through the object store; this is about the least that Ray accepts.
object-store-memory: "83886080"
{{- end }}
