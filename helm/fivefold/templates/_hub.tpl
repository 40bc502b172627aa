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

{{/* What values say one by one and cannot mean together. */}}
{{- define "fivefold.hubChecked" -}}
{{- with .Values.hub.database }}
{{- if and .password.secret (not .url) }}
{{- fail "hub.database.url: expected the Postgres that hub.database.password is for" }}
{{- end }}
{{- end }}
{{- end }}
