{{/* What values cannot mean of the browser's page; see _checks.tpl. */}}
{{- define "fivefold.checkSite" -}}
{{- $site := .Values.site }}
{{- $gateway := .Values.gateway }}
{{- include "fivefold.checkBundleImage" (dict "path" "site.image" "value" $site.image) }}
{{- include "fivefold.checkResources" (dict "path" "site.resources" "value" $site.resources) }}
{{- include "fivefold.checkHosts" (dict "path" "site.hostnames" "value" $site.hostnames) }}
{{- if and $site.enabled (not $site.image) }}
site.image: expected the image of an exported page, as services/site.Dockerfile makes it, got none
{{- end }}
{{- if not (regexMatch "^/$|^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$" $site.path) }}
site.path: expected / or a path such as /site, without / at its end, got {{ $site.path | toJson }}
{{- else if $site.enabled }}
{{- $first := index (splitList "/" $site.path) 1 }}
{{- if and $first (or (eq $site.path "/livez") (and (not $site.hostnames) (or (has $first (list "v1" "v2" "docs" "page" "livez" "readyz" "openapi.json")) (has $first (include "fivefold.grpcServices" . | fromJsonArray))))) }}
site.path: expected a path that the service does not answer itself, got {{ $site.path }}
{{- end }}
{{- if and (not $first) $gateway.enabled (or .Values.online.enabled .Values.hub.enabled) (not $site.hostnames) }}
site.hostnames: expected hosts of its own where site.path is /, got none: on the same hosts / is the service's
{{- end }}
{{- range $index, $host := $site.hostnames }}
{{- range $gateway.hostnames }}
{{- if include "fivefold.hostsMeet" (dict "one" $host "other" .) }}
site.hostnames[{{ $index }}]: expected a host that is not the service's, got {{ $host }}, which gateway.hostnames has as {{ . }}: leave it out, and the page is at site.path there
{{- end }}
{{- end }}
{{- range $gateway.grpc.hostnames }}
{{- if include "fivefold.hostsMeet" (dict "one" $host "other" .) }}
site.hostnames[{{ $index }}]: expected a host that is not that of gRPC, got {{ $host }}, which gateway.grpc.hostnames has as {{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
