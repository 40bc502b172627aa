{{/* Ports by name, each a number or the two ends of a range, as a policy lists them. */}}
{{- define "fivefold.policyPorts" -}}
{{- range $name := keys . | sortAlpha }}
{{- $port := get $ $name }}
{{- if kindIs "slice" $port }}
- {protocol: TCP, port: {{ index $port 0 }}, endPort: {{ index $port 1 }}}
{{- else }}
- {protocol: TCP, port: {{ $port }}}
{{- end }}
{{- end }}
{{- end }}
