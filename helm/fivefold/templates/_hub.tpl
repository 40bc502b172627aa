{{/* What the objects of the hub share. */}}

{{- define "fivefold.hubName" -}}
{{ include "fivefold.name" . }}-hub
{{- end }}

{{- define "fivefold.hubSelector" -}}
{{ include "fivefold.selector" . }}
app.kubernetes.io/component: hub
{{- end }}

{{/* Where it answers everything. */}}
{{- define "fivefold.hubPort" -}}
8700
{{- end }}

{{/* Where it answers metrics and nothing else, without asking who it is. */}}
{{- define "fivefold.hubMetricsPort" -}}
8701
{{- end }}
