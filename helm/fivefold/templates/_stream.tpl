{{/* What the objects of the stream share. */}}

{{- define "fivefold.streamName" -}}
{{ include "fivefold.name" . }}-stream
{{- end }}

{{- define "fivefold.streamSelector" -}}
{{ include "fivefold.selector" . }}
app.kubernetes.io/component: stream
{{- end }}

{{/* Where a worker answers health and metrics. */}}
{{- define "fivefold.streamPort" -}}
8080
{{- end }}

{{/* The image that the bundle comes in, where it is one: its own, or the first of online.models. */}}
{{- define "fivefold.streamImages" -}}
{{- $stream := .Values.stream }}
{{- $image := $stream.model.image }}
{{- if not (or $stream.model.url $image) }}{{ $image = (first .Values.online.models | default dict).image }}{{ end }}
{{- $images := list }}
{{- with $image }}{{ $images = append $images (dict "index" 0 "image" .) }}{{ end }}
{{- $images | toJson }}
{{- end }}

{{/* The reference of the bundle that scores. */}}
{{- define "fivefold.streamModel" -}}
{{- if include "fivefold.streamImages" . | fromJsonArray }}/bundles/images/0
{{- else }}{{ .Values.stream.model.url | default (first .Values.online.models | default dict).url }}
{{- end }}
{{- end }}

{{/* HOST:PORT,… of an address, and its topic. */}}
{{- define "fivefold.streamServers" -}}
{{ trimPrefix "kafka://" . | splitList "/" | first }}
{{- end }}
{{- define "fivefold.streamTopic" -}}
{{ trimPrefix "kafka://" . | splitList "/" | last }}
{{- end }}

{{- define "fivefold.streamDeadLetter" -}}
{{ .Values.stream.deadLetter | default (printf "%s.dead-letter" .Values.stream.from) }}
{{- end }}

{{/* Of the worker: the pod's name is its slot, so that a pod that comes again ends at once what it had begun. */}}
{{- define "fivefold.streamEnvironment" -}}
{{- $stream := .Values.stream }}
{{- $kafka := $stream.kafka }}
- name: FIVEFOLD_SLOT
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
- {name: FIVEFOLD_GROUP, value: {{ $stream.group | quote }}}
{{- include "fivefold.logEnvironment" . }}
{{- range $name, $value := $stream.settings }}
- {name: FIVEFOLD_{{ upper $name }}, value: {{ $value | toJson | trimAll "\"" | quote }}}
{{- end }}
- {name: FIVEFOLD_KAFKA_GROUP_PROTOCOL, value: {{ $kafka.groupProtocol }}}
- {name: FIVEFOLD_KAFKA_TRANSACTION_SECONDS, value: {{ $kafka.transactionSeconds | quote }}}
- {name: FIVEFOLD_KAFKA_POLL_SECONDS, value: {{ $kafka.pollSeconds | quote }}}
{{- with $kafka.protocol }}
- {name: FIVEFOLD_KAFKA_PROTOCOL, value: {{ . }}}
{{- end }}
{{- if $kafka.ca.secret }}
- {name: FIVEFOLD_KAFKA_CA_FILE, value: /etc/fivefold/kafka-ca/ca.crt}
{{- end }}
{{- if $kafka.certificate.secret }}
- {name: FIVEFOLD_KAFKA_CERTIFICATE_FILE, value: /etc/fivefold/kafka-certificate/tls.crt}
- {name: FIVEFOLD_KAFKA_KEY_FILE, value: /etc/fivefold/kafka-certificate/tls.key}
{{- end }}
{{- with $kafka.mechanism }}
- {name: FIVEFOLD_KAFKA_MECHANISM, value: {{ . }}}
{{- end }}
{{- with $kafka.username }}
- {name: FIVEFOLD_KAFKA_USERNAME, value: {{ . | quote }}}
{{- end }}
{{- if $kafka.password.secret }}
- {name: FIVEFOLD_KAFKA_PASSWORD_FILE, value: /etc/fivefold/kafka-password/password}
{{- end }}
{{- with $kafka.tokenUrl }}
- {name: FIVEFOLD_KAFKA_TOKEN_URL, value: {{ . | quote }}}
{{- end }}
{{- with $kafka.tokenScope }}
- {name: FIVEFOLD_KAFKA_TOKEN_SCOPE, value: {{ . | quote }}}
{{- end }}
{{- if $kafka.options }}
- {name: FIVEFOLD_KAFKA_OPTIONS_FILE, value: /etc/fivefold/kafka-options/kafka.properties}
{{- end }}
{{- with $stream.registry }}
{{- if .url }}
- {name: FIVEFOLD_REGISTRY_URL, value: {{ .url | quote }}}
- {name: FIVEFOLD_REGISTRY_TIMEOUT, value: {{ .timeoutSeconds | quote }}}
{{- if .http }}
- {name: FIVEFOLD_REGISTRY_HTTP, value: "true"}
{{- end }}
{{- if .ca.secret }}
- {name: FIVEFOLD_REGISTRY_CA_FILE, value: /etc/fivefold/registry-ca/ca.crt}
{{- end }}
{{- if .certificate.secret }}
- {name: FIVEFOLD_REGISTRY_CERTIFICATE_FILE, value: /etc/fivefold/registry-certificate/tls.crt}
- {name: FIVEFOLD_REGISTRY_KEY_FILE, value: /etc/fivefold/registry-certificate/tls.key}
{{- end }}
{{- if .username }}
- {name: FIVEFOLD_REGISTRY_USERNAME, value: {{ .username | quote }}}
- {name: FIVEFOLD_REGISTRY_PASSWORD_FILE, value: /etc/fivefold/registry-password/password}
{{- end }}
{{- if .token.secret }}
- {name: FIVEFOLD_REGISTRY_TOKEN_FILE, value: /etc/fivefold/registry-token/token}
{{- end }}
{{- end }}
{{- end }}
{{ include "fivefold.bundleEnvironment" . }}
{{- range $name, $value := $stream.environment }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
- {name: HOME, value: /tmp}
{{- end }}

{{/* What of a worker's reaching Kafka and a registry is a Secret, or a file: by directory, with the volume's source. */}}
{{- define "fivefold.streamFiles" -}}
{{- $kafka := .Values.stream.kafka }}
{{- range $name, $of := dict "kafka" $kafka "registry" .Values.stream.registry }}
{{- with $of.ca }}
{{- if .secret }}
{{ $name }}-ca: {secret: {secretName: {{ .secret | quote }}, defaultMode: 0440, items: [{key: {{ .key | quote }}, path: ca.crt}]}}
{{- end }}
{{- end }}
{{- with $of.certificate }}
{{- if .secret }}
{{ $name }}-certificate: {secret: {secretName: {{ .secret | quote }}, defaultMode: 0440, items: [{key: {{ .certificate | quote }}, path: tls.crt}, {key: {{ .key | quote }}, path: tls.key}]}}
{{- end }}
{{- end }}
{{- with $of.password }}
{{- if .secret }}
{{ $name }}-password: {secret: {secretName: {{ .secret | quote }}, defaultMode: 0440, items: [{key: {{ .key | quote }}, path: password}]}}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.stream.registry.token }}
{{- if .secret }}
registry-token: {secret: {secretName: {{ .secret | quote }}, defaultMode: 0440, items: [{key: {{ .key | quote }}, path: token}]}}
{{- end }}
{{- end }}
{{- if $kafka.options }}
kafka-options: {configMap: {name: {{ include "fivefold.streamName" . }}, defaultMode: 0440}}
{{- end }}
{{- end }}

{{/* Whether KEDA's triggers have to say who they are to the brokers. */}}
{{- define "fivefold.streamSecured" -}}
{{- with .Values.stream.kafka }}
{{- if or .ca.secret .certificate.secret .username }}true{{ end }}
{{- end }}
{{- end }}
