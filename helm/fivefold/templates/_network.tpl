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

{{/* An address as its bits, 32 or 128 of them: so a block holds another where it begins with the same ones. */}}
{{- define "fivefold.addressBits" -}}
{{- $hex := "" }}
{{- if contains ":" . }}
{{- $halves := splitList "::" (lower .) }}
{{- $groups := without (splitList ":" (first $halves)) "" }}
{{- if gt (len $halves) 1 }}
{{- $tail := without (splitList ":" (last $halves)) "" }}
{{- range until (int (sub 8 (add (len $groups) (len $tail)))) }}{{ $groups = append $groups "0" }}{{ end }}
{{- $groups = concat $groups $tail }}
{{- end }}
{{- range $groups }}{{ $hex = print $hex (printf "0000%s" . | trunc -4) }}{{ end }}
{{- else }}
{{- range splitList "." . }}{{ $hex = print $hex (printf "%02x" (atoi .)) }}{{ end }}
{{- end }}
{{- $bits := dict "0" "0000" "1" "0001" "2" "0010" "3" "0011" "4" "0100" "5" "0101" "6" "0110" "7" "0111" "8" "1000" "9" "1001" "a" "1010" "b" "1011" "c" "1100" "d" "1101" "e" "1110" "f" "1111" }}
{{- range splitList "" $hex }}{{ get $bits . }}{{ end }}
{{- end }}

{{/* Whether the block `outer` holds the block `inner`, or is the same one. */}}
{{- define "fivefold.holds" -}}
{{- $outer := splitList "/" .outer }}
{{- $inner := splitList "/" .inner }}
{{- $size := last $outer | int }}
{{- if and (eq (contains ":" .outer) (contains ":" .inner)) (le $size (last $inner | int)) }}
{{- if eq (include "fivefold.addressBits" (first $outer) | trunc $size) (include "fivefold.addressBits" (first $inner) | trunc $size) }}true{{ end }}
{{- end }}
{{- end }}

{{/* Where clouds hand out credentials, the wide ones first: link-local addresses, those of the large clouds among them, and
     those that lie elsewhere. */}}
{{- define "fivefold.metadataBlocks" -}}
{{- list "169.254.0.0/16" "169.254.169.254/32" "169.254.169.252/32" "169.254.170.2/32" "169.254.170.23/32" "100.100.100.200/32" "168.63.129.16/32" "192.0.0.192/32" "fe80::/10" "fd00:ec2::254/128" "fd00:ec2::23/128" "fd20:ce::254/128" | toJson }}
{{- end }}

{{/* A list of peers with those addresses left out of every block that holds them. A block that is one of them, or lies in
     one, has been asked for. */}}
{{- define "fivefold.peers" -}}
{{- $metadata := include "fivefold.metadataBlocks" . | fromJsonArray }}
{{- $peers := list }}
{{- range . }}
{{- $peer := deepCopy . }}
{{- with $peer.ipBlock }}
{{- $cidr := .cidr }}
{{- $except := .except | default list }}
{{- range $metadata }}
{{- $hole := . }}
{{- if and (include "fivefold.holds" (dict "outer" $cidr "inner" $hole)) (not (include "fivefold.holds" (dict "outer" $hole "inner" $cidr))) }}
{{- $out := false }}
{{- range $except }}{{ if include "fivefold.holds" (dict "outer" . "inner" $hole) }}{{ $out = true }}{{ end }}{{ end }}
{{- if not $out }}{{ $except = append $except $hole }}{{ end }}
{{- end }}
{{- end }}
{{- if $except }}{{ $_ := set $peer.ipBlock "except" $except }}{{ end }}
{{- end }}
{{- $peers = append $peers $peer }}
{{- end }}
{{- toYaml $peers }}
{{- end }}

{{/* Rules for what may be reached. One that names nobody means everybody, and is written out so that there is something to
     leave those addresses out of: a block means what is outside of the cluster, to some networks, so pods are beside it. */}}
{{- define "fivefold.reach" -}}
{{- $anywhere := list (dict "ipBlock" (dict "cidr" "0.0.0.0/0")) (dict "ipBlock" (dict "cidr" "::/0")) (dict "namespaceSelector" dict) }}
{{- range . }}
- to: {{- include "fivefold.peers" (.to | default $anywhere) | nindent 4 }}
  {{- with .ports }}
  ports: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Where names are resolved. A policy sees a pod's own port, which is not always the Service's. */}}
{{- define "fivefold.dnsRule" -}}
- to: {{- include "fivefold.peers" .Values.networkPolicy.dns | nindent 4 }}
  ports:
    {{- range .Values.networkPolicy.dnsPorts }}
    - {protocol: UDP, port: {{ . }}}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}

{{/* HOST:PORT that a process of ours listens on. */}}
{{- define "fivefold.listen" -}}
{{- $host := .root.Values.network.bind }}
{{- if contains ":" $host }}[{{ $host }}]{{ else }}{{ $host }}{{ end }}:{{ .port }}
{{- end }}

{{/* Which families of addresses a Service has; nothing where that is left to the cluster. */}}
{{- define "fivefold.families" -}}
{{- with .Values.network.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.network.ipFamilies }}
ipFamilies: [{{ join ", " . }}]
{{- end }}
{{- end }}
