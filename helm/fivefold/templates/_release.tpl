{{/* The gate, and what it needs beside: an account of its own that is there whenever the gate is, where nothing is installed
     yet, too. Argo CD does before its first sync what Helm does before an upgrade. */}}
{{- define "fivefold.gated" -}}
{{- if and .Values.online.enabled .Values.gate.enabled }}true{{ end }}
{{- end }}

{{- define "fivefold.gateHook" -}}
helm.sh/hook: pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- define "fivefold.gateSelector" -}}
{{ include "fivefold.selector" . }}
app.kubernetes.io/component: gate
{{- end }}
