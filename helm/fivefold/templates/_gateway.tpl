{{/* Whether a Gateway of our own is made: there is something behind it, and no other one to be had. */}}
{{- define "fivefold.ownGateway" -}}
{{- if and .Values.gateway.enabled (not .Values.gateway.existing.name) (or (include "fivefold.called" .) .Values.site.enabled) }}true{{ end }}
{{- end }}

{{/* Whether gRPC has a route of its own kind. Otherwise it comes by path through REST's: one route has one listener and one
     host for both, with every controller. Of two routes of different kinds that share those, one may be refused. */}}
{{- define "fivefold.grpcApart" -}}
{{- if and .Values.online.enabled .Values.gateway.enabled (eq .Values.gateway.grpc.route "GRPCRoute") }}true{{ end }}
{{- end }}

{{/* What callers may ask over gRPC. Ray's own service, which tells the names of applications, stays inside. */}}
{{- define "fivefold.grpcServices" -}}
{{- list "inference.GRPCInferenceService" "grpc.health.v1.Health" "grpc.reflection.v1.ServerReflection" "grpc.reflection.v1alpha.ServerReflection" | toJson }}
{{- end }}

{{/* Hosts of gRPC where it is apart: its own, or on another port or listener those of REST. */}}
{{- define "fivefold.grpcHosts" -}}
{{- .Values.gateway.grpc.hostnames | default .Values.gateway.hostnames | toJson }}
{{- end }}

{{/* Hosts that a certificate of ours is for. */}}
{{- define "fivefold.certificateHosts" -}}
{{- $hosts := .Values.gateway.hostnames | default .Values.tls.selfSignedFor }}
{{- if include "fivefold.grpcApart" . }}{{ $hosts = concat $hosts .Values.gateway.grpc.hostnames | uniq }}{{ end }}
{{- if .Values.site.enabled }}{{ $hosts = concat $hosts .Values.site.hostnames | uniq }}{{ end }}
{{- $hosts | toJson }}
{{- end }}

{{/* Listeners of our own Gateway: name, port, host (empty: every one), and the kind of route where there are two. */}}
{{- define "fivefold.listeners" -}}
{{- $gateway := .Values.gateway }}
{{- $apart := include "fivefold.grpcApart" . }}
{{- $listeners := list }}
{{- $hosts := $gateway.hostnames }}
{{- if and $hosts .Values.site.enabled }}{{ $hosts = concat $hosts .Values.site.hostnames | uniq }}{{ end }}
{{- range $index, $host := $hosts | default (list "") }}
{{- $name := ternary (printf "https-%d" $index) "https" (gt $index 0) }}
{{- $listeners = append $listeners (dict "name" $name "port" $gateway.port "host" $host "kind" (ternary "HTTPRoute" "" (ne $apart ""))) }}
{{- end }}
{{- if $apart }}
{{- range $index, $host := include "fivefold.grpcHosts" . | fromJsonArray | default (list "") }}
{{- $name := ternary (printf "grpc-%d" $index) "grpc" (gt $index 0) }}
{{- $listeners = append $listeners (dict "name" $name "port" ($gateway.grpc.port | default $gateway.port) "host" $host "kind" "GRPCRoute") }}
{{- end }}
{{- end }}
{{- $listeners | toJson }}
{{- end }}

{{/* What routes of a kind are attached to; with two kinds, each to its own listeners by their names. `kind`: of the route;
     `hosts`: its hosts. */}}
{{- define "fivefold.parent" -}}
{{- $root := .root }}
{{- $kind := .kind }}
{{- $hosts := .hosts }}
{{- $parent := dict "group" "gateway.networking.k8s.io" "kind" "Gateway" }}
{{- $sections := list }}
{{- with $root.Values.gateway.existing }}
{{- if .name }}
{{- $_ := set $parent "name" .name }}
{{- with .namespace }}{{ $_ := set $parent "namespace" . }}{{ end }}
{{- $section := .sectionName }}
{{- if eq $kind "GRPCRoute" }}{{ $section = $root.Values.gateway.grpc.sectionName | default $section }}{{ end }}
{{- $sections = list $section }}
{{- else }}
{{- $_ := set $parent "name" (include "fivefold.name" $root) }}
{{- range include "fivefold.listeners" $root | fromJsonArray }}
{{- if and (eq .kind $kind) (or (not .host) (has .host $hosts)) }}{{ $sections = append $sections .name }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- $parents := list }}
{{- range $sections | default (list "") }}
{{- $parents = append $parents (ternary (merge (dict "sectionName" .) $parent) $parent (ne . "")) }}
{{- end }}
{{- toYaml $parents }}
{{- end }}

{{/* Where requests go, with what the API would write beside: a controller that compares finds nothing to change. */}}
{{- define "fivefold.backend" -}}
- {group: "", kind: Service, name: {{ .name }}, port: {{ .port }}, weight: 1}
{{- end }}
