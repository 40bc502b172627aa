{{/* How bundles come to where replicas open them. */}}

{{/* One init container for each bundle that is an image: it copies, the replica verifies. */}}
{{- define "fivefold.bundleCopies" -}}
{{- $copies := list }}
{{- range $index, $model := .Values.online.models }}
{{- if $model.image }}
{{- $copies = append $copies (dict "index" $index "image" $model.image) }}
{{- end }}
{{- end }}
{{- if $copies }}
initContainers:
  {{- range $copies }}
  - name: bundle-{{ .index }}
    image: {{ .image | quote }}
    imagePullPolicy: {{ $.Values.image.pullPolicy }}
    command: [cp, -R, /bundle/., /bundles/images/{{ .index }}]
    securityContext: {{- include "fivefold.containerSecurity" $ | nindent 6 }}
    resources:
      requests: {cpu: 50m, memory: 32Mi}
      limits: {cpu: "1", memory: 128Mi}
    volumeMounts:
      - {name: bundle-{{ .index }}, mountPath: /bundles/images/{{ .index }}}
  {{- end }}
{{- end }}
{{- end }}

{{- define "fivefold.replicaEnvironment" -}}
- {name: FIVEFOLD_BUNDLE_CACHE, value: /bundles/cache}
{{- if .Values.bundles.trustedKeysSecret }}
- {name: FIVEFOLD_TRUSTED_KEYS, value: {{ join "," .Values.bundles.trustedKeys | quote }}}
{{- end }}
{{- range $name, $value := .Values.online.environment }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "fivefold.replicaMounts" -}}
- {name: tmp, mountPath: /tmp}
{{ include "fivefold.bundleMounts" . }}
{{- if .Values.keys.enabled }}
- {name: api-keys, mountPath: /etc/fivefold/keys, readOnly: true}
{{- end }}
{{- end }}

{{- define "fivefold.bundleMounts" -}}
- {name: bundle-cache, mountPath: /bundles/cache}
{{- range $index, $model := .Values.online.models }}
{{- if $model.image }}
- {name: bundle-{{ $index }}, mountPath: /bundles/images/{{ $index }}}
{{- end }}
{{- end }}
{{- if .Values.bundles.claim }}
- {name: bundle-claim, mountPath: /bundles/claim, readOnly: true}
{{- end }}
{{- if .Values.bundles.trustedKeysSecret }}
- {name: trusted-keys, mountPath: /etc/fivefold/trusted, readOnly: true}
{{- end }}
{{- end }}

{{- define "fivefold.replicaVolumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 4Gi}
{{ include "fivefold.bundleVolumes" . }}
{{- if .Values.keys.enabled }}
- name: api-keys
  secret:
    secretName: {{ include "fivefold.keysSecret" . }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{- define "fivefold.bundleVolumes" -}}
- name: bundle-cache
  emptyDir: {sizeLimit: {{ .Values.bundles.cacheSize }}}
{{- range $index, $model := .Values.online.models }}
{{- if $model.image }}
- name: bundle-{{ $index }}
  emptyDir: {sizeLimit: {{ $.Values.bundles.cacheSize }}}
{{- end }}
{{- end }}
{{- with .Values.bundles.claim }}
- name: bundle-claim
  persistentVolumeClaim: {claimName: {{ . | quote }}, readOnly: true}
{{- end }}
{{- with .Values.bundles.trustedKeysSecret }}
- name: trusted-keys
  secret: {secretName: {{ . | quote }}, defaultMode: 0440}
{{- end }}
{{- end }}
