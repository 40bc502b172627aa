{{/* Names, labels and references. KubeRay appends up to 27 characters to a RayService's name. */}}
{{- define "fivefold.name" -}}
{{- if contains "fivefold" .Release.Name }}{{ .Release.Name | trunc 36 | trimSuffix "-" }}{{ else }}{{ printf "%s-fivefold" .Release.Name | trunc 36 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "fivefold.selector" -}}
app.kubernetes.io/part-of: fivefold
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fivefold.labels" -}}
{{ include "fivefold.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* By digest where one is given: then the tag says nothing to who pulls, and stands in an annotation for who looks. Where neither is
     given it is the chart's own release, by the digest that `make release` wrote into Chart.yaml, so that a mirror changes the
     repository alone. `of`: repository, tag and digest; `name`: ray, stream or hub. */}}
{{- define "fivefold.imageOf" -}}
{{- $released := index .root.Chart.Annotations (printf "fivefold.dev/image-%s" .name) }}
{{- with .of.digest | default (ternary "" $released (ne .of.tag "")) }}
{{- $.of.repository }}@{{ . }}
{{- else }}
{{- .of.repository }}:{{ .of.tag | default .root.Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* The image of Ray, which hooks and our own jobs have as well. */}}
{{- define "fivefold.image" -}}
{{ include "fivefold.imageOf" (dict "root" . "of" .Values.image "name" "ray") }}
{{- end }}

{{/* The tag that a digest stands in for, as an annotation. */}}
{{- define "fivefold.imageNoteOf" -}}
{{- if and .digest .tag }}
fivefold.dev/image-tag: {{ .tag | quote }}
{{- end }}
{{- end }}
{{- define "fivefold.imageNote" -}}
{{ include "fivefold.imageNoteOf" .Values.image }}
{{- end }}

{{- define "fivefold.keysSecret" -}}
{{ .Values.keys.secret | default (printf "%s-api-keys" (include "fivefold.name" .)) }}
{{- end }}

{{- define "fivefold.keySecret" -}}
{{ .Values.keys.callerSecret | default (printf "%s-%s-key" (include "fivefold.name" .) (ternary "api" "caller" (ne (include "fivefold.makesKeys" .) ""))) }}
{{- end }}

{{- define "fivefold.tokenSecret" -}}
{{ .Values.online.tokenSecret | default (printf "%s-ray-token" (include "fivefold.name" .)) }}
{{- end }}

{{- define "fivefold.tlsSecret" -}}
{{ .Values.tls.secret | default (printf "%s-tls" (include "fivefold.name" .)) }}
{{- end }}

{{/* Whether anything answers callers: runs and streams do not. */}}
{{- define "fivefold.called" -}}
{{- if or .Values.online.enabled .Values.hub.enabled }}true{{ end }}
{{- end }}

{{/* Whether anybody is asked who they are. */}}
{{- define "fivefold.guarded" -}}
{{- if or .Values.keys.enabled .Values.oidc.issuer }}true{{ end }}
{{- end }}
