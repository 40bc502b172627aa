{{/* Whether objects of the Prometheus operator are made: as `monitoring.enabled` says, or where helm is told that the cluster
     knows their kind. Nothing is looked up in the cluster: the same values and the same kinds give the same objects.
     `root`: the chart's root; `kind`: of the object. */}}
{{- define "fivefold.monitored" -}}
{{- $values := .root.Values }}
{{- $enabled := $values.monitoring.enabled | toString }}
{{- if or (eq $enabled "true") (and (eq $enabled "auto") (.root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind))) }}
{{- if and $values.networkPolicy.enabled (not $values.networkPolicy.metrics) }}
{{- fail "networkPolicy.metrics: expected who reads metrics, got nobody, while monitoring is on: its alerts would say that nothing runs; name your Prometheus there, or set monitoring.enabled=false" }}
{{- end }}
{{- "true" }}
{{- end }}
{{- end }}

{{/* Where the words are on what to do about an alert. The list: the chart's root and the alert's name. */}}
{{- define "fivefold.runbook" -}}
{{- printf "%s#%s" (first .).Values.monitoring.runbooks (last . | lower) | quote }}
{{- end }}

{{/* The series of one release, online or another workload's by its name: what the PodMonitor of that name has scraped. Two
     releases in a namespace differ in `job`, so every recorded series and every alert keeps it. */}}
{{- define "fivefold.series" -}}
{{- printf "namespace=%q,job=%q" (first .).Release.Namespace (printf "%s/%s" (first .).Release.Namespace (last .)) }}
{{- end }}

{{/* How often totals are recorded, in seconds: what a sum over recorded rates is multiplied with to be a count. */}}
{{- define "fivefold.recordSeconds" -}}
30
{{- end }}
