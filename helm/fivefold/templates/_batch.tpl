{{/* What the objects of batch scoring share, and the RayJob that a scheduled run becomes. */}}

{{/* What all jobs of a release share. A CronJob's name has 52 characters at most, of which a job's own name takes 19. */}}
{{- define "fivefold.batchName" -}}
{{ include "fivefold.name" . | trunc 27 | trimSuffix "-" }}-batch
{{- end }}

{{/* The jobs as JSON, each with every value: those of batch, and instead of them what it says itself; and `path`, where its
     values are. Without batch.jobs it is one, which has no name. */}}
{{- define "fivefold.batchJobs" -}}
{{- $jobs := list }}
{{- range $index, $given := .Values.batch.jobs }}
{{- $job := deepCopy (omit $.Values.batch "jobs") }}
{{- include "fivefold.overlay" (dict "under" $job "over" $given) }}
{{- $_ := set $job "path" (printf "batch.jobs[%d]" $index) }}
{{- $_ := set $job "ownAccount" (not (empty ($given.workers | default dict).accountAnnotations)) }}
{{- $jobs = append $jobs $job }}
{{- end }}
{{- $jobs | default (list (set (omit .Values.batch "jobs") "path" "batch")) | toJson }}
{{- end }}

{{/* Write `over` into `under`: mappings key by key, anything else as a whole, also where it is false, 0 or empty. */}}
{{- define "fivefold.overlay" -}}
{{- $under := .under }}
{{- range $key, $value := .over }}
{{- $there := get $under $key }}
{{- if and (kindIs "map" $value) (kindIs "map" $there) (has $key (list "head" "workers" "resources" "requests" "limits" "pod" "environment" "historyLimit")) }}
{{- include "fivefold.overlay" (dict "under" $there "over" $value) }}
{{- else }}
{{- $_ := set $under $key $value }}
{{- end }}
{{- end }}
{{- end }}

{{/* From here on `.` is the root as one job sees it, with the job's values as .Values.batch. */}}

{{/* Of its CronJob and its manifest. */}}
{{- define "fivefold.batchJobName" -}}
{{ include "fivefold.batchName" . }}{{ with .Values.batch.name }}-{{ . }}{{ end }}
{{- end }}

{{/* Whether its runs are for an hour each. */}}
{{- define "fivefold.batchHourly" -}}
{{- if contains "{hour}" (join " " (append .Values.batch.input .Values.batch.output)) }}true{{ end }}
{{- end }}

{{/* The label of a job with a name, beside those of its kind: policies, and what spreads pods, mean one job's alone. */}}
{{- define "fivefold.batchSelectorOf" -}}
{{ include "fivefold.selector" .root }}
app.kubernetes.io/component: {{ .component }}
{{- with .root.Values.batch.name }}
fivefold.dev/job: {{ . | quote }}
{{- end }}
{{- end }}

{{/* The pods of its runs. */}}
{{- define "fivefold.batchSelector" -}}
{{ include "fivefold.batchSelectorOf" (dict "root" . "component" "batch") }}
{{- end }}

{{/* Its Jobs, and the pods that start its runs. */}}
{{- define "fivefold.batchStartSelector" -}}
{{ include "fivefold.batchSelectorOf" (dict "root" . "component" "batch-start") }}
{{- end }}

{{/* The account of its runs: of its own where it has annotations of its own, otherwise that of all. */}}
{{- define "fivefold.batchAccount" -}}
{{- if .Values.batch.ownAccount }}{{ include "fivefold.batchJobName" . }}-run{{ else }}{{ include "fivefold.batchName" . }}{{ end }}
{{- end }}

{{- define "fivefold.batchModel" -}}
{{ .Values.batch.model | default (include "fivefold.models" . | fromJsonArray | first) }}
{{- end }}

{{/* The image that the bundle comes in, where the first of online.models is one and none is named. */}}
{{- define "fivefold.batchImages" -}}
{{- $first := first .Values.online.models | default dict }}
{{- $images := list }}
{{- if and (not .Values.batch.model) $first.image }}
{{- $images = append $images (dict "index" 0 "image" $first.image) }}
{{- end }}
{{- $images | toJson }}
{{- end }}

{{/* A word as the shell that Ray starts a job's command with takes it for one. */}}
{{- define "fivefold.word" -}}
{{- $word := toString . }}
{{- if regexMatch "^[A-Za-z0-9_@%+=:,./-]+$" $word }}{{ $word }}{{ else }}'{{ $word | replace "'" "'\\''" }}'{{ end }}
{{- end }}

{{/* The command as Ray's job has it. As many workers as there are cores once every pod is there: after the loss of a head
     a run may go on before they are. */}}
{{- define "fivefold.batchCommand" -}}
{{- $batch := .Values.batch }}
{{- $words := list "--model" (include "fivefold.batchModel" .) "--input" }}
{{- $words = concat $words $batch.input (list "--output" $batch.output "--format" $batch.format) }}
{{- with $batch.columns }}{{ $words = concat $words (list "--columns" (join "," .)) }}{{ end }}
{{- $words = concat $words (list "--max-bad-fraction" $batch.maxBadFraction) }}
{{- $words = concat $words (list "--workers" (mul $batch.workers.count $batch.workers.cpus)) }}
{{- with $batch.metrics }}{{ $words = concat $words (list "--metrics" .) }}{{ end }}
{{- $words = concat $words $batch.arguments }}
{{- $said := list "fivefold batch run" }}
{{- range $words }}{{ $said = append $said (include "fivefold.word" .) }}{{ end }}
{{- join " " $said }}
{{- end }}

{{/* Over HTTP it is the operator that hands the command to the head, and again to the head that follows a lost one, where the
     run goes on from its ledger. A submitter's pod would need confining, a way to the head and the token, and gives up
     after its third lost connection. What a failed command said last is in the RayJob's status either way. */}}
{{- define "fivefold.batchJob" -}}
{{- $batch := .Values.batch }}
{{- $ports := include "fivefold.rayPorts" . | fromYaml }}
apiVersion: ray.io/v1
kind: RayJob
metadata:
  name: {{ include "fivefold.batchJobName" . }}
  labels: {{- include "fivefold.batchSelector" . | nindent 4 }}
  {{- with include "fivefold.imageNote" . }}
  annotations: {{- . | nindent 4 }}
  {{- end }}
spec:
  entrypoint: {{ include "fivefold.batchCommand" . | toJson }}
  submissionMode: HTTPMode
  # A cluster of its own for each try: what was finished before is in the ledger.
  shutdownAfterJobFinishes: true
  ttlSecondsAfterFinished: {{ int64 $batch.ttlSecondsAfterFinished }}
  activeDeadlineSeconds: {{ int64 $batch.activeDeadlineSeconds }}
  backoffLimit: {{ int64 $batch.backoffLimit }}
  rayClusterSpec:
    rayVersion: {{ .Values.online.rayVersion | quote }}
    authOptions:
      mode: token
      secretName: {{ include "fivefold.tokenSecret" . }}
    headGroupSpec:
      serviceType: ClusterIP
      rayStartParams: {{- include "fivefold.rayStartParams" . | nindent 8 }}
        # The command itself runs there and plans; nobody scores beside it.
        num-cpus: "0"
        port: {{ $ports.gcs | quote }}
        dashboard-port: {{ $ports.dashboard | quote }}
        dashboard-host: {{ .Values.network.bind | quote }}
      template: {{- include "fivefold.batchPod" (dict "root" . "name" "ray-head" "node" "head" "of" $batch.head "ports" (list "gcs" "dashboard" "metrics")) | nindent 8 }}
    workerGroupSpecs:
      - groupName: scores
        replicas: {{ $batch.workers.count }}
        minReplicas: {{ $batch.workers.count }}
        maxReplicas: {{ $batch.workers.count }}
        rayStartParams: {{- include "fivefold.rayStartParams" . | nindent 10 }}
          num-cpus: {{ $batch.workers.cpus | quote }}
        template: {{- include "fivefold.batchPod" (dict "root" . "name" "ray-worker" "node" "worker" "of" $batch.workers "ports" (list "metrics")) | nindent 10 }}
{{- end }}

{{/* A pod of Ray: the head's lists, plans and keeps the ledger, the workers' read and write; so both see bundle and data.
     `of`: the role's resources and what else it has of pods; `node`: head or worker, as KubeRay labels them. */}}
{{- define "fivefold.batchPod" -}}
{{- $root := .root }}
{{- $batch := $root.Values.batch }}
{{- $ports := include "fivefold.rayPorts" $root | fromYaml }}
{{- $bundles := dict "root" $root "images" (include "fivefold.batchImages" $root | fromJsonArray) "init" .of.pod.initContainers }}
{{- $selector := printf "%s\nray.io/node-type: %s" (include "fivefold.batchSelector" $root) .node }}
{{- $role := dict "root" $root "of" .of "selector" $selector "outside" true "given" $batch.environment }}
metadata:
  labels: {{- include "fivefold.batchSelector" $root | nindent 4 }}
    {{- with include "fivefold.podLabels" $role | trim }}{{- . | nindent 4 }}{{- end }}
  annotations:
    ray.io/overwrite-container-cmd: "true"
    {{- with include "fivefold.podAnnotations" $role | trim }}{{- . | nindent 4 }}{{- end }}
spec:
  # A worker that ends leaves one fragment, which another one takes up: nothing is worth waiting for.
  {{- include "fivefold.rayPod" (dict "root" $root "grace" 30) | nindent 2 }}
  serviceAccountName: {{ include "fivefold.batchAccount" $root }}
  automountServiceAccountToken: false
  {{- with include "fivefold.scheduling" $role | trim }}{{- . | nindent 2 }}{{- end }}
  {{- include "fivefold.bundleCopies" $bundles | nindent 2 }}
  containers:
    - name: {{ .name }}
      image: {{ include "fivefold.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      {{- include "fivefold.rayCommand" $root | nindent 6 }}
      env: {{- include "fivefold.rayEnvironment" (dict "drain" 5) | nindent 8 }}
        {{- with include "fivefold.rayLogEnvironment" $root | trim }}{{- . | nindent 8 }}{{- end }}
        {{- include "fivefold.bundleEnvironment" $root | nindent 8 }}
        {{- range $name, $value := $batch.environment }}
        - {name: {{ $name }}, value: {{ $value | quote }}}
        {{- end }}
        {{- with include "fivefold.outsideEnvironment" $role | trim }}{{- . | nindent 8 }}{{- end }}
      {{- with compact (list $root.Values.bundles.credentialsSecret $batch.credentialsSecret) | uniq }}
      envFrom:
        {{- range . }}
        - secretRef: {name: {{ . | quote }}}
        {{- end }}
      {{- end }}
      ports:
        {{- range .ports }}
        - {name: {{ . }}, containerPort: {{ get $ports . }}, protocol: TCP}
        {{- end }}
      {{- with include "fivefold.containerSecurityContext" $root | trim }}{{- . | nindent 6 }}{{- end }}
      resources: {{- include "fivefold.resources" (dict "of" .of.resources "volumes" (concat (ternary (list) (list $batch.tmpSize) (ne $batch.tmpClassName "")) (include "fivefold.bundleSizes" $bundles | fromJsonArray))) | nindent 8 }}
      startupProbe: {{- include "fivefold.rayProbe" (dict "failures" 60 "period" 2) | nindent 8 }}
      livenessProbe: {{- include "fivefold.rayProbe" (dict "failures" 12 "period" 10) | nindent 8 }}
      readinessProbe: {{- include "fivefold.rayProbe" (dict "failures" 6 "period" 5) | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: shared-memory, mountPath: /dev/shm}
        {{- include "fivefold.bundleMounts" $bundles | nindent 8 }}
        {{- if $batch.claim }}
        - {name: data, mountPath: /data}
        {{- end }}
        {{- with include "fivefold.roleMounts" $role | trim }}{{- . | nindent 8 }}{{- end }}
    {{- with include "fivefold.roleContainers" $role | trim }}{{- . | nindent 4 }}{{- end }}
  volumes:
    # Unfinished files of a run whose output is in an object store lie here.
    - name: tmp
      {{- if $batch.tmpClassName }}
      ephemeral:
        volumeClaimTemplate:
          spec:
            accessModes: [ReadWriteOnce]
            storageClassName: {{ $batch.tmpClassName | quote }}
            resources: {requests: {storage: {{ $batch.tmpSize }}}}
      {{- else }}
      emptyDir: {sizeLimit: {{ $batch.tmpSize }}}
      {{- end }}
    {{- include "fivefold.sharedMemory" $batch.sharedMemory | nindent 4 }}
    {{- include "fivefold.bundleVolumes" $bundles | nindent 4 }}
    {{- with $batch.claim }}
    - name: data
      persistentVolumeClaim: {claimName: {{ . | quote }}}
    {{- end }}
    {{- with include "fivefold.roleVolumes" $role | trim }}{{- . | nindent 4 }}{{- end }}
{{- end }}
