{{/* Ray's ports as a policy lists them. */}}
{{- define "fivefold.rayPolicyPorts" -}}
{{- $ports := include "fivefold.rayPorts" . | fromYaml }}
{{- range $name := keys $ports | sortAlpha }}
{{- $port := get $ports $name }}
{{- if kindIs "slice" $port }}
- {protocol: TCP, port: {{ index $port 0 }}, endPort: {{ index $port 1 }}}
{{- else }}
- {protocol: TCP, port: {{ $port }}}
{{- end }}
{{- end }}
{{- end }}
