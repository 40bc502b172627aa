{{/* What values of batch cannot mean; as in _checks.tpl, each line is a sentence that begins with the path. */}}

{{/* Whether a time zone is none, where this machine has the database: Helm takes UTC for a name that it does not find. */}}
{{- define "fivefold.unknownZone" -}}
{{- $day := toDate "2006-01-02" "2026-01-01" }}
{{- $database := ne (dateInZone "MST" $day "Europe/Berlin") "UTC" }}
{{- $universal := regexMatch "^(Etc/)?(UTC|UCT|Universal|Zulu)$" . }}
{{- if and $database (not $universal) (eq (dateInZone "MST" $day .) "UTC") }}true{{ end }}
{{- end }}

{{/* One job. `root`: the whole, `path`: the job's, `of`: all of its values. */}}
{{- define "fivefold.checkBatchJob" -}}
{{- $root := .root }}
{{- $path := .path }}
{{- $batch := .of }}
{{- if and $batch.enabled (not $root.Values.online.enabled) (not $batch.model) (not $root.Values.online.models) }}
{{ $path }}.model: expected a bundle where online is not enabled and online.models has none, got none
{{- end }}
{{- include "fivefold.checkUrl" (dict "path" (printf "%s.model" $path) "value" $batch.model) }}
{{- include "fivefold.checkRay" (dict "path" $path "of" $batch) }}
{{- include "fivefold.checkSchedule" (dict "path" (printf "%s.schedule" $path) "value" $batch.schedule) }}
{{- if or (eq (lower $batch.timeZone) "local") (regexMatch "^(UTC[+-]|GMT[+-][1-9]|[+-])" $batch.timeZone) (not (regexMatch "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$" $batch.timeZone)) (include "fivefold.unknownZone" $batch.timeZone) }}
{{ $path }}.timeZone: expected a name of the time zone database, such as Europe/Berlin or Etc/UTC, got {{ $batch.timeZone | toJson }}
{{- end }}
{{- $mounted := $batch.claim }}
{{- range list $batch.head $batch.workers }}{{ range .pod.volumeMounts }}{{ if hasPrefix "/data" .mountPath }}{{ $mounted = true }}{{ end }}{{ end }}{{ end }}
{{- if $batch.enabled }}
{{- if not $batch.input }}
{{ $path }}.input: expected at least one path or URL, got none
{{- end }}
{{- if not $batch.output }}
{{ $path }}.output: expected a path or URL with a date in it, such as s3://scores/{date}, got none
{{- end }}
{{- range $index, $file := $batch.input }}
{{- if and (hasPrefix "/data/" $file) (not $mounted) }}
{{ $path }}.claim: expected the PersistentVolumeClaim with {{ $path }}.input[{{ $index }}], {{ $file }}, got none
{{- end }}
{{- end }}
{{- if and (hasPrefix "/data/" $batch.output) (not $mounted) }}
{{ $path }}.claim: expected the PersistentVolumeClaim for {{ $path }}.output, {{ $batch.output }}, got none
{{- end }}
{{- end }}
{{- range $index, $file := $batch.input }}
{{- if not (regexMatch "^([^{}\\s-]|\\{(date|year|month|day|hour)\\})([^{}]|\\{(date|year|month|day|hour)\\})*$" $file) }}
{{ $path }}.input[{{ $index }}]: expected a path or URL with no other braces than {date}, {year}, {month}, {day} and {hour}, got {{ $file | toJson }}
{{- end }}
{{- end }}
{{- with $batch.output }}
{{- if not (regexMatch "^([^{}]|\\{(date|year|month|day|hour)\\})*$" .) }}
{{ $path }}.output: expected no other braces than {date}, {year}, {month}, {day} and {hour}, got {{ . | toJson }}
{{- else if not (regexMatch "\\{(date|day)\\}" .) }}
{{ $path }}.output: expected {date} or {day} in it, or every run would write into the same place, got {{ . | toJson }}
{{- end }}
{{- end }}
{{- range $index, $column := $batch.columns }}
{{- if or (not $column) (contains "," $column) }}
{{ $path }}.columns[{{ $index }}]: expected one column's name without a comma, got {{ $column | toJson }}
{{- end }}
{{- end }}
{{- include "fivefold.checkOnce" (dict "path" (printf "%s.columns" $path) "what" "column" "value" $batch.columns) }}
{{- if include "fivefold.batchHourly" (dict "Values" (dict "batch" $batch)) }}
{{- if not (contains "{hour}" $batch.output) }}
{{ $path }}.output: expected {hour} in it where {{ $path }}.input has it, or every run of a day would write into the same place, got {{ $batch.output | toJson }}
{{- end }}
{{- if not (has $batch.timeZone (list "Etc/UTC" "UTC" "Etc/GMT" "GMT")) }}
{{ $path }}.timeZone: expected Etc/UTC where {{ $path }}.output has {hour}: elsewhere an hour comes twice a year, got {{ $batch.timeZone }}
{{- end }}
{{- end }}
{{- $own := list "--model" "--input" "--output" "--format" "--columns" "--max-bad-fraction" "--workers" "--metrics" "--json" "--help" "-h" }}
{{- range $index, $word := $batch.arguments }}
{{- $option := splitList "=" $word | first }}
{{- range $own }}
{{- /* An option may be cut short. */}}
{{- if or (eq . $option) (and (hasPrefix "--" $option) (hasPrefix $option .)) }}
{{ $path }}.arguments[{{ $index }}]: expected an option that the chart leaves to you, got {{ $option }}: {{ . }} it says itself
{{- end }}
{{- end }}
{{- end }}
{{- if $batch.metrics }}
{{- if hasPrefix "/data/" $batch.metrics }}
{{- if not $mounted }}
{{ $path }}.claim: expected the PersistentVolumeClaim for {{ $path }}.metrics, {{ $batch.metrics }}, got none
{{- end }}
{{- else if not (regexMatch "^https?://[^/@\\s{}]+(/[^\\s{}]*)?$" $batch.metrics) }}
{{ $path }}.metrics: expected http:// or https:// of a push gateway, without a password, or a file below /data, got {{ regexReplaceAll "//.*@" $batch.metrics "//…@" | toJson }}
{{- end }}
{{- end }}
{{- end }}

{{/* What is wrong with a name, or with roles that a job says for itself. */}}
{{- define "fivefold.checkBatchOwn" -}}
{{- $path := .path }}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" .name) }}
{{ $path }}.name: expected lower case letters, digits and dashes between them, got {{ .name | toJson }}
{{- else if gt (len .name) 18 }}
{{ $path }}.name: expected at most 18 characters, which a CronJob's name has room for, got {{ len .name }}, {{ .name }}
{{- end }}
{{- include "fivefold.checkRole" (dict "path" (printf "%s.head" $path) "of" .head "container" "ray-head") }}
{{- include "fivefold.checkRole" (dict "path" (printf "%s.workers" $path) "of" .workers "container" "ray-worker" "environment" .environment) }}
{{- end }}

{{/* A job's output as one way to write it, with the volume or the store that it is in. */}}
{{- define "fivefold.batchPlace" -}}
{{ ternary .claim (get .environment "AWS_ENDPOINT_URL") (hasPrefix "/" .output) }} {{ regexReplaceAll "([^:])/+" (replace "{date}" "{year}-{month}-{day}" .output) "${1}/" | trimSuffix "/" }}/
{{- end }}

{{- define "fivefold.checkBatch" -}}
{{- $jobs := include "fivefold.batchJobs" . | fromJsonArray }}
{{- $names := list }}
{{- $files := list }}
{{- range $job := $jobs }}
{{- include "fivefold.checkBatchJob" (dict "root" $ "path" .path "of" .) }}
{{- if .name }}{{ include "fivefold.checkBatchOwn" . }}{{ else if $.Values.batch.jobs }}
{{ .path }}.name: expected a name, got none
{{- end }}
{{- $names = append $names (.name | default "") }}
{{- if and .metrics (not (contains "://" .metrics)) }}{{ $files = append $files (printf "%s in %s" .metrics .claim) }}{{ end }}
{{- $place := include "fivefold.batchPlace" . }}
{{- range $jobs }}
{{- if and $job.output .output (ne .path $job.path) (hasPrefix (include "fivefold.batchPlace" .) $place) }}
{{- if or (ne $place (include "fivefold.batchPlace" .)) (lt .path $job.path) }}
{{ $job.path }}.output: expected a place of its own, got {{ $job.output }}, where {{ .path }} writes
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- include "fivefold.checkOnce" (dict "path" "batch.jobs" "what" "name" "value" $names) }}
{{- include "fivefold.checkOnce" (dict "path" "batch.jobs" "what" "file of metrics" "value" $files) }}
{{- end }}
