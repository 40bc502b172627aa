{{/* What holds for every pod and every container; a value that is null is left out, and so is a context without values. */}}
{{- define "fivefold.podSecurity" -}}
{{- with .Values.podSecurityContext }}
{{- $order := list "runAsNonRoot" "runAsUser" "runAsGroup" "fsGroup" "fsGroupChangePolicy" "seccompProfile" }}
{{- range $order }}
{{- with pick $.Values.podSecurityContext . }}{{- toYaml . | nindent 0 }}{{- end }}
{{- end }}
{{- range $key, $value := . }}
{{- if not (has $key $order) }}{{- dict $key $value | toYaml | nindent 0 }}{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "fivefold.containerSecurity" -}}
{{- with .Values.containerSecurityContext }}
{{- $order := list "allowPrivilegeEscalation" "readOnlyRootFilesystem" "privileged" }}
{{- range $order }}
{{- with pick $.Values.containerSecurityContext . }}{{- toYaml . | nindent 0 }}{{- end }}
{{- end }}
{{- with .capabilities }}
capabilities:
  {{- range $sort, $names := . }}
  {{ $sort }}: [{{ join ", " $names }}]
  {{- end }}
{{- end }}
{{- range $key, $value := . }}
{{- if not (has $key (append $order "capabilities")) }}{{- dict $key $value | toYaml | nindent 0 }}{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The same as the line of a pod or a container. */}}
{{- define "fivefold.podSecurityContext" -}}
{{- with include "fivefold.podSecurity" . | trim }}
securityContext: {{- . | nindent 2 }}
{{- end }}
{{- end }}
{{- define "fivefold.containerSecurityContext" -}}
{{- with include "fivefold.containerSecurity" . | trim }}
securityContext: {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "fivefold.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A small job's container: what it may use. */}}
{{- define "fivefold.jobResources" -}}
requests:
  cpu: 50m
  memory: 128Mi
  ephemeral-storage: 64Mi
limits:
  cpu: "1"
  memory: 512Mi
  # Its /tmp and its log.
  ephemeral-storage: 256Mi
{{- end }}
