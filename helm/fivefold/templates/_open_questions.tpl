{{/* What a release may lack although its values can be meant: said when it is installed, each on a line that begins with the value's path. */}}

{{/* Whether a name says which registry the image is in: its first part is a host's name, or a port is with it. */}}
{{- define "fivefold.namesRegistry" -}}
{{- if regexMatch "^([^/]+[.:][^/]*|localhost)/" . }}true{{ end }}
{{- end }}

{{- define "fivefold.openImages" -}}
{{- $images := dict }}
{{- if or .Values.online.enabled .Values.batch.enabled .Values.hub.enabled (include "fivefold.makesSecrets" .) }}{{ $_ := set $images "image" .Values.image }}{{ end }}
{{- if .Values.stream.enabled }}{{ $_ := set $images "stream.image" .Values.stream.image }}{{ end }}
{{- if .Values.hub.enabled }}{{ $_ := set $images "hub.image" .Values.hub.image }}{{ end }}
{{- if and .Values.site.enabled (not (include "fivefold.namesRegistry" .Values.site.image)) }}
  site.image: {{ .Values.site.image }} names no registry, so a node that has not been loaded with it asks Docker Hub
{{- end }}
{{- range $path, $image := $images }}
{{- $name := $path | trimSuffix "image" | trimSuffix "." | default "ray" }}
{{- if not (include "fivefold.namesRegistry" $image.repository) }}
  {{ $path }}.repository: {{ include "fivefold.imageOf" (dict "root" $ "of" $image "name" $name) }} names no registry, so a node that has not been loaded with it asks Docker Hub
{{- end }}
{{- end }}
{{- end }}

{{/* Whether a Secret, an account or a variable gives pods a right to an object store. `of`: the section, `secret`. */}}
{{- define "fivefold.hasCredentials" -}}
{{- $named := keys (.of.environment | default dict) }}
{{- range .of.workers.pod.env }}{{ $named = append $named .name }}{{ end }}
{{- if or .secret .of.workers.accountAnnotations (regexMatch "(^| )(AWS_(ACCESS_KEY_ID|SKIP_SIGNATURE|WEB_IDENTITY_TOKEN_FILE|CONTAINER_)|GOOGLE_(SERVICE_ACCOUNT|APPLICATION_CREDENTIALS|SKIP_SIGNATURE))" (join " " $named)) }}true{{ end }}
{{- end }}

{{- define "fivefold.openCredentials" -}}
{{- $places := include "fivefold.remotePlaces" . | fromJson }}
{{- $bundles := .Values.bundles.credentialsSecret }}
{{- $asking := list (dict "section" "online" "of" .Values.online "secret" "bundles.credentialsSecret" "given" $bundles "account" (printf "%s-worker" (include "fivefold.name" .))) }}
{{- range include "fivefold.batchJobs" . | fromJsonArray }}
{{- $account := include "fivefold.batchAccount" (set (omit $ "Values") "Values" (set (omit $.Values "batch") "batch" .)) }}
{{- $asking = append $asking (dict "section" .path "of" . "secret" (printf "%s.credentialsSecret" .path) "given" (or .credentialsSecret $bundles) "account" $account) }}
{{- end }}
{{- range $asking }}
{{- $section := .section }}
{{- $asked := list }}
{{- range $path, $place := $places }}
{{- if and (hasPrefix (printf "%s." $section) $path) (regexMatch "^(s3|gs)://" $place) }}{{ $asked = append $asked (printf "%s: nothing says who asks %s" $path $place) }}{{ end }}
{{- end }}
{{- if and $asked (not (include "fivefold.hasCredentials" (dict "of" .of "secret" .given))) }}
  {{ first $asked }}: expected a Secret in {{ .secret }}, a pod identity in {{ .section }}.workers.accountAnnotations, or one that your cloud ties to the account {{ .account }}
{{- end }}
{{- end }}
{{- end }}

{{- define "fivefold.openCallers" -}}
{{- $gateway := .Values.gateway }}
{{- $asked := ternary "gateway.existing" (printf "gateway.className, %s," $gateway.className) (not (empty $gateway.existing.name)) }}
{{- $another := or $gateway.existing.name (not (contains "traefik" $gateway.className)) }}
{{- if and .Values.networkPolicy.enabled $gateway.enabled $another (or (include "fivefold.called" .) .Values.site.enabled) }}
{{- range .Values.networkPolicy.callers }}
{{- $there := (.namespaceSelector | default dict).matchLabels | default dict }}
{{- if eq (get $there "kubernetes.io/metadata.name") "traefik" }}
  networkPolicy.callers: Traefik's pods in the namespace traefik are let in, and no others; where {{ $asked }} is served by another, calls end in a timeout
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "fivefold.openQuestions" -}}
{{ include "fivefold.openImages" . }}{{ include "fivefold.openCredentials" . }}{{ include "fivefold.openCallers" . }}
{{- end }}
