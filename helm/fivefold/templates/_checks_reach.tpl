{{/* What a policy would keep from working: bundles and files that pods have no way to. */}}

{{/* Where pods are sent over the network, by value: bundles of replicas and runs, files of runs. What lies in images and volumes is
     no such place. */}}
{{- define "fivefold.remotePlaces" -}}
{{- $places := dict }}
{{- if .Values.online.enabled }}
{{- range $index, $model := .Values.online.models }}
{{- $_ := set $places (printf "online.models[%d].url" $index) ($model.url | default "") }}
{{- end }}
{{- end }}
{{- if .Values.batch.enabled }}
{{- range include "fivefold.batchJobs" . | fromJsonArray }}
{{- $job := .path }}
{{- $_ := set $places (printf "%s.model" $job) .model }}
{{- range $index, $path := .input }}{{ $_ := set $places (printf "%s.input[%d]" $job $index) $path }}{{ end }}
{{- $_ := set $places (printf "%s.output" $job) .output }}
{{- end }}
{{- end }}
{{- $remote := dict }}
{{- range $path, $place := $places }}
{{- if regexMatch "^(https|s3|gs)://" $place }}{{ $_ := set $remote $path (splitList "#" $place | first) }}{{ end }}
{{- end }}
{{- $remote | toJson }}
{{- end }}

{{/* The bundle that workers of the stream download; empty where it is in an image or a volume. */}}
{{- define "fivefold.streamRemote" -}}
{{- $stream := .Values.stream }}
{{- if and $stream.enabled (not $stream.model.image) }}
{{- $first := first .Values.online.models | default dict }}
{{- $url := $stream.model.url | default ($first.url | default "") }}
{{- if regexMatch "^(https|s3|gs)://" $url }}{{ splitList "#" $url | first }}{{ end }}
{{- end }}
{{- end }}

{{- define "fivefold.checkReach" -}}
{{- $policy := .Values.networkPolicy }}
{{- $proxy := or .Values.proxy.http .Values.proxy.https }}
{{- if $policy.enabled }}
{{- if not (or $policy.stores $policy.egress $proxy) }}
{{- $places := include "fivefold.remotePlaces" . | fromJson }}
{{- with keys $places | sortAlpha }}
networkPolicy.stores: expected a rule that lets pods to {{ first . }}, {{ get $places (first .) }}{{ if gt (len .) 1 }}, and to {{ len . | add -1 }} more{{ end }}, got none; [{ports: [{port: 443}]}] is port 443 anywhere
{{- end }}
{{- end }}
{{- with include "fivefold.streamRemote" . }}
{{- if not (or $policy.stores $proxy) }}
networkPolicy.stores: expected a rule that lets workers of the stream to their bundle, {{ . }}, got none; [{ports: [{port: 443}]}] is port 443 anywhere
{{- end }}
{{- end }}
{{- end }}
{{- end }}
