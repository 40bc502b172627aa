{{/* How much of a node's disk and memory a pod may fill. */}}

{{/* A quantity of Ki, Mi, Gi or Ti in mebibytes, rounded up. */}}
{{- define "fivefold.mebibytes" -}}
{{- $text := toString . }}
{{- if not (regexMatch "^[0-9]+(Ki|Mi|Gi|Ti)$" $text) }}
{{- fail (printf "expected a quantity in Ki, Mi, Gi or Ti, got %q" $text) }}
{{- end }}
{{- $number := regexFind "^[0-9]+" $text | int64 }}
{{- if hasSuffix "Ki" $text }}{{ div (add $number 1023) 1024 }}
{{- else if hasSuffix "Mi" $text }}{{ $number }}
{{- else if hasSuffix "Gi" $text }}{{ mul $number 1024 }}
{{- else }}{{ mul $number 1024 1024 }}
{{- end }}
{{- end }}

{{/* A container's resources with what they lack of ephemeral-storage. The kubelet adds up a pod's directories, its logs and
     what it writes beside, and evicts the pod that has more than its containers' limits together: so the limit is all of
     `volumes` (sizes of directories on disk) and room for the logs, and a full directory is what is met first. */}}
{{- define "fivefold.resources" -}}
{{- $of := deepCopy .of }}
{{- $room := 256 }}
{{- range .volumes }}{{ $room = add $room (include "fivefold.mebibytes" . | int64) }}{{ end }}
{{- $asked := get $of.requests "ephemeral-storage" | default (printf "%dMi" (min 1024 $room)) }}
{{- $least := include "fivefold.mebibytes" $asked | int64 }}
{{- $limit := get $of.limits "ephemeral-storage" | default (printf "%dMi" (max $room $least)) }}
{{- if lt (include "fivefold.mebibytes" $limit | int64) $least }}
{{- fail (printf "resources: expected limits.ephemeral-storage of at least the request, %s, got %s" $asked $limit) }}
{{- end }}
{{- $_ := set $of.requests "ephemeral-storage" $asked }}
{{- $_ := set $of.limits "ephemeral-storage" $limit }}
{{- toYaml $of }}
{{- end }}

{{/* Sizes of the directories that bundles lie in; `root` and `images` as for bundleVolumes. */}}
{{- define "fivefold.bundleSizes" -}}
{{- $sizes := list .root.Values.bundles.cacheSize }}
{{- range .images }}{{ $sizes = append $sizes $.root.Values.bundles.cacheSize }}{{ end }}
{{- $sizes | toJson }}
{{- end }}

{{/* Ray's object store. KubeRay would add one as large as the container's memory; what lies in it counts as memory. */}}
{{- define "fivefold.sharedMemory" -}}
- name: shared-memory
  emptyDir: {medium: Memory, sizeLimit: {{ . }}}
{{- end }}
