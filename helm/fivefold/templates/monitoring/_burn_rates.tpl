{{/* How fast the budget of failures burns. A budget of 1 - objective lasts 30 days at a rate of 1. At 14.4, a fiftieth of
     it is gone in an hour: that wakes somebody. At 6, a twentieth in six hours: that too. At 1, all of it in 30 days:
     that is for the next working day. The short window of each pair ends the alert soon after the cause has ended. */}}
{{- define "fivefold.windows" -}}
- {severity: critical, burn: 14.4, long: 1h, short: 5m, for: 2m}
- {severity: critical, burn: 6, long: 6h, short: 30m, for: 15m}
- {severity: warning, burn: 1, long: 3d, short: 6h, for: 1h}
{{- end }}

{{/* A bound as the exporter writes it: 1.0, not 1. */}}
{{- define "fivefold.bound" -}}
{{- $text := . | toString }}
{{- if contains "." $text }}{{ $text }}{{ else }}{{ $text }}.0{{ end }}
{{- end }}
