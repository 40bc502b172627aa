{{/* The node's own agent answers for its raylet, and on the head for the cluster's state too. */}}
{{- define "fivefold.rayProbe" -}}
httpGet:
  path: /api/healthz
  port: 52365
periodSeconds: {{ .period }}
timeoutSeconds: 5
failureThreshold: {{ .failures }}
{{- end }}

{{/* Ready is a worker whose proxy has somewhere to send a request; it says so itself. */}}
{{- define "fivefold.serveProbe" -}}
httpGet:
  path: /-/healthz
  port: serve
periodSeconds: 2
timeoutSeconds: 5
failureThreshold: 2
{{- end }}
