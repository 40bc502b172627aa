{{/* Whether a Gateway of our own is made: there is something behind it, and no other one to be had. */}}
{{- define "fivefold.ownGateway" -}}
{{- if and .Values.gateway.enabled (not .Values.gateway.existing.name) (include "fivefold.called" .) }}true{{ end }}
{{- end }}

{{- define "fivefold.parent" -}}
{{- with .Values.gateway.existing }}
{{- if .name }}
- name: {{ .name | quote }}
  {{- with .namespace }}
  namespace: {{ . | quote }}
  {{- end }}
  {{- with .sectionName }}
  sectionName: {{ . | quote }}
  {{- end }}
{{- else }}
- name: {{ include "fivefold.name" $ }}
{{- end }}
{{- end }}
{{- end }}
