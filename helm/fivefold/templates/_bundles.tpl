{{/* How bundles come to where they are opened. Which are images is told by `images`, entries of `bundleImages`. */}}

{{/* The models that are images, with their place among online.models. */}}
{{- define "fivefold.bundleImages" -}}
{{- $images := list }}
{{- range $index, $model := .Values.online.models }}
{{- with $model.image }}
{{- $images = append $images (dict "index" $index "image" .) }}
{{- end }}
{{- end }}
{{- $images | toJson }}
{{- end }}

{{/* One init container for each: it copies, whoever opens the bundle verifies. `init`: others that run after them. */}}
{{- define "fivefold.bundleCopies" -}}
{{- if or .images .init }}
initContainers:
  {{- range .images }}
  - name: bundle-{{ .index }}
    image: {{ .image | quote }}
    imagePullPolicy: {{ $.root.Values.image.pullPolicy }}
    command: [cp, -R, /bundle/., /bundles/images/{{ .index }}]
    {{- with include "fivefold.containerSecurityContext" $.root | trim }}{{- . | nindent 4 }}{{- end }}
    resources:
      # What it copies is in a directory of the pod, and counts there.
      requests: {cpu: 50m, memory: 32Mi, ephemeral-storage: 16Mi}
      limits: {cpu: "1", memory: 128Mi, ephemeral-storage: 64Mi}
    volumeMounts:
      - {name: bundle-{{ .index }}, mountPath: /bundles/images/{{ .index }}}
  {{- end }}
  {{- with .init }}{{- toYaml . | nindent 2 }}{{- end }}
{{- end }}
{{- end }}

{{- define "fivefold.bundleEnvironment" -}}
- {name: FIVEFOLD_BUNDLE_CACHE, value: /bundles/cache}
{{- if .Values.bundles.trustedKeysSecret }}
- {name: FIVEFOLD_TRUSTED_KEYS, value: {{ join "," .Values.bundles.trustedKeys | quote }}}
{{- end }}
{{- end }}

{{- define "fivefold.replicaEnvironment" -}}
{{ include "fivefold.bundleEnvironment" . }}
{{- range $name, $value := .Values.online.environment }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "fivefold.replicaMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: shared-memory, mountPath: /dev/shm}
{{- if .Values.tls.upstream.enabled }}
- {name: upstream-tls, mountPath: /etc/fivefold/tls, readOnly: true}
{{- end }}
{{ include "fivefold.bundleMounts" (dict "root" . "images" (include "fivefold.bundleImages" . | fromJsonArray)) }}
{{- if include "fivefold.knowsKeys" . }}
- {name: api-keys, mountPath: /etc/fivefold/keys, readOnly: true}
{{- end }}
{{- end }}

{{- define "fivefold.bundleMounts" -}}
- {name: bundle-cache, mountPath: /bundles/cache}
{{- range .images }}
- {name: bundle-{{ .index }}, mountPath: /bundles/images/{{ .index }}}
{{- end }}
{{- with .root.Values.bundles }}
{{- if .claim }}
- {name: bundle-claim, mountPath: /bundles/claim, readOnly: true}
{{- end }}
{{- if .trustedKeysSecret }}
- {name: trusted-keys, mountPath: /etc/fivefold/trusted, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{- define "fivefold.replicaVolumes" -}}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.online.tmpSize }}}
{{ include "fivefold.sharedMemory" .Values.online.sharedMemory }}
{{- with .Values.tls.upstream }}
{{- if .enabled }}
- name: upstream-tls
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: 0440
    # HAProxy looks for a certificate's key beside it, under this name.
    items: [{key: tls.crt, path: tls.pem}, {key: tls.key, path: tls.pem.key}]
{{- end }}
{{- end }}
{{ include "fivefold.bundleVolumes" (dict "root" . "images" (include "fivefold.bundleImages" . | fromJsonArray)) }}
{{- include "fivefold.keysVolume" . }}
{{- end }}

{{- define "fivefold.bundleVolumes" -}}
- name: bundle-cache
  emptyDir: {sizeLimit: {{ .root.Values.bundles.cacheSize }}}
{{- range .images }}
- name: bundle-{{ .index }}
  emptyDir: {sizeLimit: {{ $.root.Values.bundles.cacheSize }}}
{{- end }}
{{- with .root.Values.bundles.claim }}
- name: bundle-claim
  persistentVolumeClaim: {claimName: {{ . | quote }}, readOnly: true}
{{- end }}
{{- with .root.Values.bundles.trustedKeysSecret }}
- name: trusted-keys
  secret: {secretName: {{ . | quote }}, defaultMode: 0440}
{{- end }}
{{- end }}
