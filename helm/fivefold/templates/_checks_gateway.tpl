{{/* What values cannot mean of how gRPC comes in; see _checks.tpl. */}}

{{/* Names of hosts, as a Gateway's listener takes them. */}}
{{- define "fivefold.checkHosts" -}}
{{- $path := .path }}
{{- include "fivefold.checkOnce" (dict "path" $path "what" "host" "value" .value) }}
{{- range $index, $host := .value }}
{{- if not (regexMatch "^(\\*\\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$" $host) }}
{{ $path }}[{{ $index }}]: expected a host's name in lower case without scheme, port and path, got {{ $host | toJson }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether some name is one that both hosts mean, `one` and `other`; `*.` in front means any labels. */}}
{{- define "fivefold.hostsMeet" -}}
{{- $one := .one }}
{{- $other := .other }}
{{- if or (eq $one $other) (and (hasPrefix "*." $one) (hasSuffix (trimPrefix "*" $one) (trimPrefix "*." $other))) (and (hasPrefix "*." $other) (hasSuffix (trimPrefix "*" $other) (trimPrefix "*." $one))) }}true{{ end }}
{{- end }}

{{/* A route of gRPC's own kind beside REST's: something of listener and host has to differ. */}}
{{- define "fivefold.checkGrpc" -}}
{{- $gateway := .Values.gateway }}
{{- $grpc := $gateway.grpc }}
{{- $existing := $gateway.existing }}
{{- include "fivefold.checkHosts" (dict "path" "gateway.grpc.hostnames" "value" $grpc.hostnames) }}
{{- if eq $grpc.route "HTTPRoute" }}
{{- range $key := list "hostnames" "port" "sectionName" }}
{{- if get $grpc $key }}
gateway.grpc.route: expected GRPCRoute where there is a gateway.grpc.{{ $key }}, got HTTPRoute, with which gRPC has REST's hosts and listener
{{- end }}
{{- end }}
{{- else if $gateway.enabled }}
{{- $listener := false }}
{{- if $existing.name }}
{{- if $grpc.port }}
gateway.grpc.port: expected none where gateway.existing names a Gateway, whose listeners are there already, got {{ $grpc.port }}: gateway.grpc.sectionName names one
{{- end }}
{{- if and $grpc.sectionName (not $existing.sectionName) }}
gateway.existing.sectionName: expected REST's listener where gateway.grpc.sectionName names that of gRPC, got none, which means every listener
{{- end }}
{{- if and $grpc.sectionName (ne $grpc.sectionName $existing.sectionName) }}{{ $listener = true }}{{ end }}
{{- else }}
{{- if $grpc.sectionName }}
gateway.grpc.sectionName: expected none without gateway.existing.name, got {{ $grpc.sectionName }}: a Gateway of our own names its listeners itself
{{- end }}
{{- if and $grpc.port (ne (int $grpc.port) (int $gateway.port)) }}{{ $listener = true }}{{ end }}
{{- end }}
{{- if not $listener }}
{{- if not $grpc.hostnames }}
gateway.grpc: expected hostnames or a {{ if $existing.name }}sectionName{{ else }}port{{ end }} that is not REST's where route is GRPCRoute, got neither: a controller accepts one of two routes of different kinds on one host and listener
{{- else if not $gateway.hostnames }}
gateway.hostnames: expected REST's hosts where gateway.grpc.hostnames are on the same listener's port, got none, which means every host
{{- else }}
{{- range $index, $host := $grpc.hostnames }}
{{- range $gateway.hostnames }}
{{- if include "fivefold.hostsMeet" (dict "one" $host "other" .) }}
gateway.grpc.hostnames[{{ $index }}]: expected a host that is not REST's, got {{ $host }}, which gateway.hostnames has as {{ . }}: a controller accepts one of two routes of different kinds on one host
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
