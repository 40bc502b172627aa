{{/* Whether some Secret has to be made at install time. */}}
{{- define "fivefold.makesSecrets" -}}
{{- if or (include "fivefold.makesKeys" .) (include "fivefold.makesToken" .) (include "fivefold.makesCertificate" .) }}true{{ end }}
{{- end }}
{{- define "fivefold.makesKeys" -}}
{{- if and .Values.keys.enabled (not .Values.keys.secret) (include "fivefold.called" .) }}true{{ end }}
{{- end }}
{{- define "fivefold.makesToken" -}}
{{- if and (not .Values.online.tokenSecret) (or .Values.online.enabled .Values.batch.enabled) }}true{{ end }}
{{- end }}
{{- define "fivefold.makesCertificate" -}}
{{- if and (include "fivefold.ownGateway" .) (eq .Values.tls.source "selfSigned") }}true{{ end }}
{{- end }}

{{/* These objects exist for as long as the job that makes the Secrets runs. */}}
{{- define "fivefold.secretsHook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* The key of our own callers, and that they may send it to the service in clear text: the way is the cluster's. */}}
{{- define "fivefold.callerEnvironment" -}}
{{- if .Values.keys.enabled }}
{{- if or .Values.keys.callerSecret (include "fivefold.makesKeys" .) }}
- name: FIVEFOLD_KEY
  valueFrom:
    secretKeyRef: {name: {{ include "fivefold.keySecret" . }}, key: key, optional: true}
{{- end }}
{{- end }}
- {name: HOME, value: /tmp}
{{- include "fivefold.logEnvironment" . }}
{{- end }}
