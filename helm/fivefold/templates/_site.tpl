{{/* What the objects of the browser's page share. */}}

{{- define "fivefold.siteName" -}}
{{ include "fivefold.name" . }}-site
{{- end }}

{{- define "fivefold.siteSelector" -}}
{{ include "fivefold.selector" . }}
app.kubernetes.io/component: site
{{- end }}

{{/* As services/site.Dockerfile has it. */}}
{{- define "fivefold.sitePort" -}}
8080
{{- end }}
