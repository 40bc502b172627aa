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
     passes everything on to the head's, which answers REST slowly and gRPC not at all.

     A proxy drains when the last replica of its machine has gone, and answers by the others' for `proxyDrainSeconds` more.
     In the first half of them the worker stays ready: an upgrade ends an old replica as soon as a new one runs, and on a
     busy machine the new one's worker may become ready seconds later. The gateway would have nobody in between. */}}
{{- define "fivefold.serveProbe" -}}
exec:
  command:
    - /bin/bash
    - -c
    - |-
      drains=/tmp/proxy-drains
      said=$(wget -q -T 3 -t 1 --content-on-error -O - {{ if .Values.tls.upstream.enabled }}--no-check-certificate https{{ else }}http{{ end }}://localhost:8000/-/healthz)
      if (( $? == 0 )); then rm -f "$drains"
      elif [[ $said == *drained* ]]; then
        [[ -e $drains ]] || : > "$drains"
        (( $(date +%s) - $(stat -c %Y "$drains") < {{ div (include "fivefold.proxyDrainSeconds" . | int) 2 }} )) || exit 1
      else rm -f "$drains"; exit 1
      fi
      servers=$(wget -q -T 3 -t 1 -O - 'http://localhost:8404/stats;csv' | grep ',SERVE_REPLICA_.*,UP,')
      grep -q '^http-' <<<"$servers" && grep -q '^grpc-' <<<"$servers"
periodSeconds: 2
timeoutSeconds: 7
failureThreshold: 2
{{- end }}
