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
