{{/* What every Ray pod has, whatever it is there for. */}}

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
{{- end }}

{{/* Of these, what listens on the head alone; the others listen on every pod. */}}
{{- define "fivefold.rayHeadPorts" -}}
{{ pick (include "fivefold.rayPorts" . | fromYaml) "gcs" "dashboard" | toYaml }}
{{- end }}
{{- define "fivefold.rayNodePorts" -}}
{{ omit (include "fivefold.rayPorts" . | fromYaml) "gcs" "dashboard" | toYaml }}
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
# Neither requests nor rows pass through the object store; this is about the least that Ray accepts.
object-store-memory: "83886080"
{{- end }}

{{/* `ray start` as process 1: a shell in front of it would keep SIGTERM, and with it the drain, to itself. */}}
{{- define "fivefold.rayCommand" -}}
command: [/bin/bash, -c]
{{- if eq .Values.logs.format "json" }}
# Process 1 passes signals on, and makes records of what Ray and its children print.
args: ['ulimit -n 65536; eval "exec python -m fivefold.commands.json_logs $KUBERAY_GEN_RAY_START_CMD"']
{{- else }}
args: ['ulimit -n 65536; eval "exec $KUBERAY_GEN_RAY_START_CMD"']
{{- end }}
{{- end }}

{{/* Ray's processes, replicas among them, print what they would write into files that go with the pod. */}}
{{- define "fivefold.rayLogEnvironment" -}}
{{- if eq .Values.logs.format "json" }}
- {name: RAY_LOG_TO_STDERR, value: "1"}
- {name: RAY_BACKEND_LOG_JSON, value: "1"}
{{- end }}
{{- end }}

{{/* The same for a container in which fivefold itself is process 1. */}}
{{- define "fivefold.logEnvironment" -}}
{{- if eq .Values.logs.format "json" }}
- {name: FIVEFOLD_LOG_FORMAT, value: json}
{{- end }}
{{- end }}

{{/* `drain`: seconds that a node which is told to end may take for what runs on it. */}}
{{- define "fivefold.rayEnvironment" -}}
- {name: RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S, value: {{ .drain | quote }}}
- {name: RAY_AUTH_MODE, value: token}
- {name: RAY_USAGE_STATS_ENABLED, value: "0"}
# A log that nobody reads must not fill /tmp: 32 MiB of each, and so much again of before.
- {name: RAY_ROTATION_MAX_BYTES, value: "33554432"}
- {name: RAY_ROTATION_BACKUP_COUNT, value: "1"}
- {name: HOME, value: /tmp}
{{- end }}

{{/* `grace`: seconds until the kubelet kills; longer than the drain. */}}
{{- define "fivefold.rayPod" -}}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .grace }}
{{- with include "fivefold.podSecurityContext" .root | trim }}{{- . | nindent 0 }}{{- end }}
{{ include "fivefold.pullSecrets" .root }}
{{- end }}
