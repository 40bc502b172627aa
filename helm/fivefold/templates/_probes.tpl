{{/* The node's own agent answers for its raylet, and on the head for the cluster's state too. */}}
{{- define "fivefold.rayProbe" -}}
httpGet:
  path: /api/healthz
  port: 52365
periodSeconds: {{ .period }}
timeoutSeconds: 5
failureThreshold: {{ .failures }}
{{- end }}

{{/* Ready is a worker whose proxy takes requests and has a replica to send them to. Each half says what the other does
     not: the proxy's own route that it does not drain, ours that it is a replica that answers. A proxy that has just
     started knows no replica yet and passes everything on to the head's, which answers REST slowly and gRPC not at all;
     there is no replica, so ours says 503. */}}
{{- define "fivefold.serveProbe" -}}
exec:
  command:
    - /bin/bash
    - -c
    - wget -q -T 4 -t 1 -O /dev/null http://localhost:8000/-/healthz && wget -q -T 4 -t 1 -O /dev/null http://localhost:8000/readyz
periodSeconds: 2
timeoutSeconds: 9
failureThreshold: 2
{{- end }}
