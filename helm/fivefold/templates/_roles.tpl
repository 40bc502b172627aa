{{/* What values add to pods: to all of them, and to those of one role. Everywhere here `root` is the whole, and `of` the role's
     own values, among them nodeSelector, tolerations and pod; nothing is written where nothing is asked for. */}}

{{/* Where a pod may run. The role's own word stands in for that of `scheduling`, each key by itself. `selector`: labels of
     the role's pods, for constraints that name none; `spread`: over nodes, unless constraints are given. */}}
{{- define "fivefold.scheduling" -}}
{{- $all := .root.Values.scheduling }}
{{- $pod := .of.pod }}
{{- $selector := .selector | fromYaml }}
{{- $constraints := list }}
{{- range $pod.topologySpreadConstraints | default $all.topologySpreadConstraints }}
{{- $constraint := deepCopy . }}
{{- if not (hasKey . "labelSelector") }}{{ $_ := set $constraint "labelSelector" (dict "matchLabels" $selector) }}{{ end }}
{{- $constraints = append $constraints $constraint }}
{{- end }}
{{- if $constraints }}
topologySpreadConstraints: {{- toYaml $constraints | nindent 2 }}
{{- else if .spread }}
# Two workers on one node would go away together.
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- .selector | nindent 8 }}
{{- end }}
{{- with .of.nodeSelector | default $all.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations | default $all.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.affinity | default $all.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.priorityClassName | default $all.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $pod.runtimeClassName | default $all.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "fivefold.podLabels" -}}
{{- with merge (dict) (.of.pod.labels | default dict) .root.Values.podLabels }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- define "fivefold.podAnnotations" -}}
{{- with merge (dict) (.of.pod.annotations | default dict) .root.Values.podAnnotations }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* Where authorities of one's own are mounted. */}}
{{- define "fivefold.caPath" -}}
/etc/fivefold/ca-bundle/ca.crt
{{- end }}
{{- define "fivefold.caGiven" -}}
{{- with .Values.caBundle }}{{- if or .configMap .secret }}true{{ end }}{{- end }}
{{- end }}

{{/* Hosts that are asked without a proxy: this machine, the cluster, and the release's own Services by their short names. */}}
{{- define "fivefold.noProxy" -}}
{{- $hosts := list "localhost" "127.0.0.1" "::1" ".svc" (printf ".%s" .Values.network.clusterDomain) }}
{{- range list (include "fivefold.name" .) (include "fivefold.hubName" .) }}
{{- $hosts = concat $hosts (list . (printf "%s.%s" . $.Release.Namespace)) }}
{{- end }}
{{- concat $hosts .Values.proxy.noProxy | join "," }}
{{- end }}

{{/* Variables of a pod that reaches outside: authorities, proxies, and those of the role. What `given` names already (a
     mapping of variables, or a list of names) is that one's. OpenSSL and rustls read SSL_CERT_FILE, which is Python, every store
     and every issuer; the exporter of spans reads REQUESTS_CA_BUNDLE, and gRPC its own. */}}
{{- define "fivefold.outsideEnvironment" -}}
{{- $variables := list }}
{{- if include "fivefold.caGiven" .root }}
{{- range list "SSL_CERT_FILE" "REQUESTS_CA_BUNDLE" "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH" }}
{{- $variables = append $variables (dict "name" . "value" (include "fivefold.caPath" $.root)) }}
{{- end }}
{{- end }}
{{- with .root.Values.proxy }}
{{- if .http }}{{ $variables = append $variables (dict "name" "HTTP_PROXY" "value" .http) }}{{ end }}
{{- if .https }}{{ $variables = append $variables (dict "name" "HTTPS_PROXY" "value" .https) }}{{ end }}
{{- if or .http .https }}{{ $variables = append $variables (dict "name" "NO_PROXY" "value" (include "fivefold.noProxy" $.root)) }}{{ end }}
{{- end }}
{{- $given := list }}
{{- range .of.pod.env }}{{ $given = append $given .name }}{{ end }}
{{- if kindIs "map" .given }}{{ $given = concat $given (keys .given) }}{{ else if .given }}{{ $given = concat $given .given }}{{ end }}
{{- range $variables }}
{{- if not (has .name $given) }}
- {name: {{ .name }}, value: {{ .value | quote }}}
{{- end }}
{{- end }}
{{- include "fivefold.roleEnvironment" . }}
{{- end }}

{{/* Those of the role alone. */}}
{{- define "fivefold.roleEnvironment" -}}
{{- with .of.pod.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Mounts and volumes of the role, and of the authorities where the pod is one that reaches outside. */}}
{{- define "fivefold.roleMounts" -}}
{{- if and .outside (include "fivefold.caGiven" .root) }}
- {name: ca-bundle, mountPath: /etc/fivefold/ca-bundle, readOnly: true}
{{- end }}
{{- with .of.pod.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "fivefold.roleVolumes" -}}
{{- if and .outside (include "fivefold.caGiven" .root) }}
{{- with .root.Values.caBundle }}
- name: ca-bundle
  {{- if .configMap }}
  configMap: {name: {{ .configMap | quote }}, defaultMode: 0440, items: [{key: {{ .key | quote }}, path: ca.crt}]}
  {{- else }}
  secret: {secretName: {{ .secret | quote }}, defaultMode: 0440, items: [{key: {{ .key | quote }}, path: ca.crt}]}
  {{- end }}
{{- end }}
{{- end }}
{{- with .of.pod.volumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Containers beside ours, and those that run before it in a pod that copies no bundle. */}}
{{- define "fivefold.roleContainers" -}}
{{- with .of.pod.containers }}
{{- toYaml . }}
{{- end }}
{{- end }}
{{- define "fivefold.roleInitContainers" -}}
{{- with .of.pod.initContainers }}
initContainers: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
