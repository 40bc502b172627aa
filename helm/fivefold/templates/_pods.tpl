{{/* What holds for every pod and every container. */}}
{{- define "fivefold.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "fivefold.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
privileged: false
capabilities:
  drop: [ALL]
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
