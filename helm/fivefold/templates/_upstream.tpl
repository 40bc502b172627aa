{{/* TLS from the gateway to the pod: HAProxy ends it there, with a certificate for this name. */}}
{{- define "fivefold.serviceHost" -}}
{{ include "fivefold.name" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{/* The authority of that certificate, for our own jobs that call the service. */}}
{{- define "fivefold.authorityMount" -}}
{{- if .Values.tls.upstream.enabled }}
- {name: authority, mountPath: /etc/fivefold/authority, readOnly: true}
{{- end }}
{{- end }}

{{- define "fivefold.authorityVolume" -}}
{{- with .Values.tls.upstream }}
{{- if .enabled }}
- name: authority
  configMap: {name: {{ .authority | quote }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- end }}
