{{/* The node's own agent answers for its raylet, and on the head for the cluster's state too. */}}
{{- define "fivefold.rayProbe" -}}
httpGet:
  path: /api/healthz
  port: 52365
periodSeconds: {{ .period }}
timeoutSeconds: 5
failureThreshold: {{ .failures }}
{{- end }}

{{/* Ready is a worker whose proxy takes requests and has a replica to send them to, for REST and for gRPC. The proxy's own
     route says the former; the latter is in its figures alone: while it knows no replica that has passed its checks, it
     passes everything on to the head's, which answers REST slowly and gRPC not at all. */}}
{{- define "fivefold.serveProbe" -}}
exec:
  command:
    - /bin/bash
    - -c
    - |-
      wget -q -T 3 -t 1 -O /dev/null {{ if .Values.tls.upstream.enabled }}--no-check-certificate https{{ else }}http{{ end }}://localhost:8000/-/healthz || exit 1
      servers=$(wget -q -T 3 -t 1 -O - 'http://localhost:8404/stats;csv' | grep ',SERVE_REPLICA_.*,UP,')
      grep -q '^http-' <<<"$servers" && grep -q '^grpc-' <<<"$servers"
periodSeconds: 2
timeoutSeconds: 7
failureThreshold: 2
{{- end }}
