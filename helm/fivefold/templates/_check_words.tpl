{{/* Words of the checks of values: each template says nothing about what can be meant, and otherwise one line, the value's path
     first. `path`: of the value, `value`: it. */}}

{{/* Directories and claims. */}}
{{- define "fivefold.checkSize" -}}
{{- if not (regexMatch "^[1-9][0-9]*(Mi|Gi|Ti)$" (toString .value)) }}
{{ .path }}: expected a size in Mi, Gi or Ti, such as 4Gi, got {{ .value | toJson }}
{{- end }}
{{- end }}

{{/* A quantity of cores or bytes as a number; nothing where it is none. */}}
{{- define "fivefold.amount" -}}
{{- $text := toString . }}
{{- if regexMatch "^([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([eE][+-]?[0-9]+|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$" $text }}
{{- $unit := regexFind "(m|k|[MGTPE]i?|Ki)$" $text }}
{{- $factors := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 }}
{{- mulf (trimSuffix $unit $text | float64) (get $factors $unit | default 1.0) }}
{{- end }}
{{- end }}

{{/* Resources of a container. */}}
{{- define "fivefold.checkResources" -}}
{{- $path := .path }}
{{- $value := .value }}
{{- range $sort := list "requests" "limits" }}
{{- range $name, $amount := get $value $sort }}
{{- if eq $name "ephemeral-storage" }}
{{- include "fivefold.checkSize" (dict "path" (printf "%s.%s.%s" $path $sort $name) "value" $amount) }}
{{- else }}
{{- if not (include "fivefold.amount" $amount) }}
{{ $path }}.{{ $sort }}.{{ $name }}: expected a quantity as Kubernetes writes it, such as {{ if eq $name "cpu" }}500m or 2{{ else }}512Mi or 4Gi{{ end }}, got {{ $amount | toJson }}
{{- else if and (eq $name "cpu") (regexMatch "[A-Za-z]$" (toString $amount)) (not (hasSuffix "m" (toString $amount))) }}
{{ $path }}.{{ $sort }}.cpu: expected cores, such as 500m or 2, got {{ $amount | toJson }}
{{- else if and (eq $name "memory") (hasSuffix "m" (toString $amount)) }}
{{ $path }}.{{ $sort }}.memory: expected bytes, such as {{ trimSuffix "m" (toString $amount) }}Mi, got {{ $amount | toJson }}, which is thousandths of one
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $asked := $value.requests }}
{{- if hasKey $value.limits $name }}
{{- $limit := get $value.limits $name }}
{{- if and (include "fivefold.amount" $asked) (include "fivefold.amount" $limit) (ne $name "ephemeral-storage") }}
{{- if gt (include "fivefold.amount" $asked | float64) (include "fivefold.amount" $limit | float64) }}
{{ $path }}.requests.{{ $name }}: expected at most {{ $path }}.limits.{{ $name }}, {{ $limit }}, got {{ $asked }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* A bundle by its address; empty is none. */}}
{{- define "fivefold.checkUrl" -}}
{{- if .value }}
{{- if regexMatch "^http://" .value }}
{{ .path }}: expected https://, s3://, gs:// or file://, got http://, on which anybody on the way can change what is fetched
{{- else if not (regexMatch "^(https|s3|gs|file)://[^#]" .value) }}
{{ .path }}: expected https://, s3://, gs:// or file:// and where the bundle is, got {{ .value | toJson }}
{{- else if not (contains "#sha256=" .value) }}
{{ .path }}: expected the bundle's digest behind the address, {{ .value }}#sha256=DIGEST: fivefold bundle show prints it
{{- else if not (regexMatch "#sha256=[0-9a-f]{64}$" .value) }}
{{ .path }}: expected 64 hexadecimal digits in lower case behind #sha256=, got {{ splitList "#sha256=" .value | last | toJson }}
{{- end }}
{{- end }}
{{- end }}

{{/* A bundle in an image; empty is none. */}}
{{- define "fivefold.checkBundleImage" -}}
{{- if .value }}
{{- if hasSuffix ":latest" .value }}
{{ .path }}: expected a digest, or a tag that never moves, got {{ .value }}
{{- else if contains "@" .value }}
{{- if not (regexMatch "^[^@\\s]+@sha256:[0-9a-f]{64}$" .value) }}
{{ .path }}: expected @sha256: and 64 hexadecimal digits behind the name, got {{ .value | toJson }}
{{- end }}
{{- else if not (regexMatch "^[^@\\s]+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$" .value) }}
{{ .path }}: expected a name with @sha256:DIGEST or :TAG behind it, got {{ .value | toJson }}
{{- end }}
{{- end }}
{{- end }}

{{/* kafka://HOST:PORT[,HOST:PORT]/TOPIC; empty is none. */}}
{{- define "fivefold.checkTopic" -}}
{{- if .value }}
{{- if not (regexMatch "^kafka://[A-Za-z0-9.\\[\\]:-]+:[0-9]+(,[A-Za-z0-9.\\[\\]:-]+:[0-9]+)*/[A-Za-z0-9._-]{1,249}$" .value) }}
{{ .path }}: expected kafka://HOST:PORT[,HOST:PORT]/TOPIC, got {{ .value | toJson }}
{{- else }}
{{- $path := .path }}
{{- range regexFindAll ":[0-9]+[,/]" .value -1 }}
{{- include "fivefold.checkPort" (dict "path" $path "value" (trimPrefix ":" . | trimAll ",/")) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "fivefold.checkPort" -}}
{{- if or (lt (atoi .value) 1) (gt (atoi .value) 65535) }}
{{ .path }}: expected a port from 1 to 65535, got {{ .value }}
{{- end }}
{{- end }}

{{- define "fivefold.checkTag" -}}
{{- if eq .value "latest" }}
{{ .path }}: expected a tag that means one image, got latest, which means another one tomorrow
{{- else if not (regexMatch "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$" .value) }}
{{ .path }}: expected letters, digits, dots, dashes and underscores, at most 128, got {{ .value | toJson }}
{{- end }}
{{- end }}

{{/* A list of names, none of which may be there twice; `what` they are. */}}
{{- define "fivefold.checkOnce" -}}
{{- $seen := dict }}
{{- range .value }}
{{- if hasKey $seen . }}
{{ $.path }}: expected each {{ $.what }} once, got {{ . }} twice
{{- end }}
{{- $_ := set $seen . true }}
{{- end }}
{{- end }}

{{/* A field of a schedule: everything, a value or a range of two, each with a step behind it or none; or several of those with commas.
     `one`: a value as a regular expression, `what`: the field in words. */}}
{{- define "fivefold.checkCronField" -}}
{{- $wrong := false }}
{{- range splitList "," (upper .value) }}
{{- if not (regexMatch (printf "^(\\*|\\?|(%s)(-(%s))?)(/[1-9][0-9]*)?$" $.one $.one) .) }}{{ $wrong = true }}{{ end }}
{{- if regexMatch "^[0-9]+-[0-9]+(/|$)" . }}
{{- $ends := splitList "/" . | first | splitList "-" }}
{{- if gt (atoi (first $ends)) (atoi (last $ends)) }}{{ $wrong = true }}{{ end }}
{{- end }}
{{- end }}
{{- if $wrong }}
{{ .path }}: expected {{ .what }}, got {{ .value | toJson }}
{{- end }}
{{- end }}

{{- define "fivefold.checkSchedule" -}}
{{- $words := list "@yearly" "@annually" "@monthly" "@weekly" "@daily" "@midnight" "@hourly" }}
{{- $path := .path }}
{{- if hasPrefix "@" .value }}
{{- if not (has .value $words) }}
{{ $path }}: expected five fields or one of {{ join ", " $words }}, got {{ .value | toJson }}
{{- end }}
{{- else if contains "TZ=" .value }}
{{ $path }}: expected five fields alone, got {{ .value | toJson }}: the time zone is {{ trimSuffix ".schedule" $path }}.timeZone
{{- else }}
{{- $fields := splitList " " .value }}
{{- if or (ne (len $fields) 5) (has "" $fields) }}
{{ $path }}: expected five fields, minute, hour, day, month and day of the week, with one space between them, got {{ .value | toJson }}
{{- else }}
{{- $kinds := list
    (dict "what" "minutes, 0 to 59, in the first field" "one" "[0-5]?[0-9]")
    (dict "what" "hours, 0 to 23, in the second field" "one" "[01]?[0-9]|2[0-3]")
    (dict "what" "days of a month, 1 to 31, in the third field" "one" "0?[1-9]|[12][0-9]|3[01]")
    (dict "what" "months, 1 to 12 or JAN to DEC, in the fourth field" "one" "0?[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC")
    (dict "what" "days of a week, 0 (Sunday) to 6 or SUN to SAT, in the fifth field" "one" "[0-6]|SUN|MON|TUE|WED|THU|FRI|SAT") }}
{{- range $index, $field := $fields }}
{{- include "fivefold.checkCronField" (merge (dict "path" $path "value" $field) (index $kinds $index)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Labels of nodes or of pods. */}}
{{- define "fivefold.checkLabels" -}}
{{- $path := .path }}
{{- range $name, $value := .value }}
{{- if not (regexMatch "^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$" $value) }}
{{ $path }}.{{ $name }}: expected letters, digits, dots, dashes and underscores, got {{ $value | toJson }}
{{- end }}
{{- if not (regexMatch "^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$" $name) }}
{{ $path }}: expected a label's name, got {{ $name | toJson }}
{{- end }}
{{- end }}
{{- end }}
