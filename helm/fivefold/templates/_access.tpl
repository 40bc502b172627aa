{{/* Whether some Secret has to be made at install time. */}}
{{- define "fivefold.makesSecrets" -}}
{{- if or (include "fivefold.makesKeys" .) (include "fivefold.makesCallerKey" .) (include "fivefold.makesToken" .) (include "fivefold.makesCertificate" .) }}true{{ end }}
{{- end }}
{{- define "fivefold.makesKeys" -}}
{{- if and .Values.keys.enabled (not .Values.keys.secret) (include "fivefold.called" .) }}true{{ end }}
{{- end }}
{{/* A key for the test and the release gate alone, beside keys or tokens that are somebody else's. */}}
{{- define "fivefold.makesCallerKey" -}}
{{- if and .Values.online.enabled (include "fivefold.guarded" .) (not (include "fivefold.makesKeys" .)) (not .Values.keys.callerSecret) }}true{{ end }}
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
{{- if include "fivefold.guarded" . }}
- name: FIVEFOLD_KEY
  valueFrom:
    secretKeyRef: {name: {{ include "fivefold.keySecret" . }}, key: key, optional: true}
{{- end }}
- {name: HOME, value: /tmp}
{{- include "fivefold.logEnvironment" . }}
{{- end }}

{{/* Whether the server knows keys: those of callers, or that of our own jobs alone. */}}
{{- define "fivefold.knowsKeys" -}}
{{- if or .Values.keys.enabled (include "fivefold.makesCallerKey" .) }}true{{ end }}
{{- end }}

{{/* The directory of keys of pods that serve, by source. */}}
{{- define "fivefold.keysVolume" -}}
{{- if include "fivefold.makesCallerKey" . }}
- name: api-keys
  projected:
    defaultMode: 0440
    sources:
      {{- if .Values.keys.enabled }}
      - secret: {name: {{ include "fivefold.keysSecret" . }}}
      {{- end }}
      - secret: {name: {{ include "fivefold.name" . }}-caller-keys, items: [{key: keys.json, path: fivefold-release-jobs.json}]}
{{- else if .Values.keys.enabled }}
- name: api-keys
  secret:
    secretName: {{ include "fivefold.keysSecret" . }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{/* The Secrets that the job makes: nobody's but the cluster's, so that neither an upgrade nor an uninstall takes them. */}}
{{- define "fivefold.madeSecrets" -}}
{{- $name := include "fivefold.name" . }}
{{- $made := list }}
{{- if include "fivefold.makesKeys" . }}{{ $made = concat $made (list (printf "%s-api-keys" $name) (printf "%s-api-key" $name)) }}{{ end }}
{{- if include "fivefold.makesCallerKey" . }}{{ $made = concat $made (list (printf "%s-caller-keys" $name) (printf "%s-caller-key" $name)) }}{{ end }}
{{- if include "fivefold.makesToken" . }}{{ $made = append $made (printf "%s-ray-token" $name) }}{{ end }}
{{- if include "fivefold.makesCertificate" . }}{{ $made = append $made (printf "%s-tls" $name) }}{{ end }}
{{- join " " $made }}
{{- end }}
