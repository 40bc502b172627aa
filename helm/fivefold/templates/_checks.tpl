{{/* What values cannot mean, by section; each line is a sentence that begins with the path. The schema has types, ranges of single
     numbers and names of keys. */}}

{{- define "fivefold.checkImages" -}}
{{- $images := dict "image" .Values.image "stream.image" .Values.stream.image "hub.image" .Values.hub.image }}
{{- range $path := keys $images | sortAlpha }}
{{- with get $images $path }}
{{- if and .digest (not (regexMatch "^sha256:[0-9a-f]{64}$" .digest)) }}
{{ $path }}.digest: expected sha256: and 64 hexadecimal digits, got {{ .digest | toJson }}; docker image inspect prints it among RepoDigests
{{- end }}
{{- include "fivefold.checkTag" (dict "path" (printf "%s.tag" $path) "value" .tag) }}
{{- if not (regexMatch "^([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$" .repository) }}
{{ $path }}.repository: expected a name in lower case without tag and digest, which are values of their own, got {{ .repository | toJson }}
{{- end }}
{{- end }}
{{- end }}
{{- include "fivefold.checkOnce" (dict "path" "image.pullSecrets" "what" "Secret" "value" .Values.image.pullSecrets) }}
{{- end }}

{{- define "fivefold.checkModels" -}}
{{- $bundles := .Values.bundles }}
{{- $all := list }}
{{- if not (or .Values.online.enabled .Values.batch.enabled .Values.stream.enabled .Values.hub.enabled .Values.site.enabled) }}
online.enabled: expected true, or something else that is enabled: batch, stream, hub or site
{{- end }}
{{- if and .Values.stream.enabled (not .Values.online.enabled) (not .Values.stream.model.url) (not .Values.stream.model.image) (not .Values.online.models) }}
stream.model: expected a url or an image where online is not enabled and online.models has none, got neither
{{- end }}
{{- if and .Values.online.enabled (not .Values.online.models) }}
online.models: expected at least one bundle, such as {url: s3://models/demo.tar#sha256=DIGEST}, got none
{{- end }}
{{- range $index, $model := .Values.online.models }}
{{- $path := printf "online.models[%d]" $index }}
{{- if and $model.url $model.image }}
{{ $path }}: expected a url or an image, got both
{{- else if not (or $model.url $model.image) }}
{{ $path }}: expected a url or an image, got neither
{{- end }}
{{- include "fivefold.checkUrl" (dict "path" (printf "%s.url" $path) "value" $model.url) }}
{{- include "fivefold.checkBundleImage" (dict "path" (printf "%s.image" $path) "value" $model.image) }}
{{- with $model.url | default $model.image }}{{ $all = append $all . }}{{ end }}
{{- end }}
{{- include "fivefold.checkOnce" (dict "path" "online.models" "what" "bundle" "value" $all) }}
{{- include "fivefold.checkUrl" (dict "path" "stream.model.url" "value" .Values.stream.model.url) }}
{{- include "fivefold.checkBundleImage" (dict "path" "stream.model.image" "value" .Values.stream.model.image) }}
{{- if and .Values.stream.model.url .Values.stream.model.image }}
stream.model: expected a url or an image, got both
{{- end }}
{{- range include "fivefold.batchJobs" . | fromJsonArray }}{{ $all = append $all .model }}{{ end }}
{{- range compact (append $all .Values.stream.model.url) | uniq }}
{{- if and (hasPrefix "file:///bundles/claim/" .) (not $bundles.claim) }}
bundles.claim: expected the PersistentVolumeClaim with {{ splitList "#" . | first }}, got none
{{- end }}
{{- end }}
{{- if and $bundles.trustedKeys (not $bundles.trustedKeysSecret) }}
bundles.trustedKeysSecret: expected the Secret with bundles.trustedKeys, got none
{{- end }}
{{- if and $bundles.trustedKeysSecret (not $bundles.trustedKeys) }}
bundles.trustedKeys: expected files of bundles.trustedKeysSecret, such as /etc/fivefold/trusted/release.pem, got none: no signature would be asked for
{{- end }}
{{- range $index, $key := $bundles.trustedKeys }}
{{- if not (regexMatch "^/etc/fivefold/trusted/[^/,]+$" $key) }}
bundles.trustedKeys[{{ $index }}]: expected a file in /etc/fivefold/trusted, where the Secret is mounted, got {{ $key | toJson }}
{{- end }}
{{- end }}
{{- include "fivefold.checkCacheSize" $bundles.cacheSize }}
{{- end }}

{{- define "fivefold.checkCacheSize" -}}
{{- if not (regexMatch "^[1-9][0-9]*(Ki|Mi|Gi|Ti)$" .) }}
bundles.cacheSize: expected a size in Ki, Mi, Gi or Ti, such as 4Gi, got {{ . | toJson }}
{{- end }}
{{- end }}

{{/* Sizes and resources of pods of Ray; `path`, `of`: tmpSize, sharedMemory, head, workers. */}}
{{- define "fivefold.checkRay" -}}
{{- $path := .path }}
{{- $of := .of }}
{{- include "fivefold.checkSize" (dict "path" (printf "%s.tmpSize" $path) "value" $of.tmpSize) }}
{{- include "fivefold.checkSize" (dict "path" (printf "%s.sharedMemory" $path) "value" $of.sharedMemory) }}
{{- $shared := include "fivefold.amount" $of.sharedMemory }}
{{- if $shared }}
{{- if le (float64 $shared) 83886080.0 }}
{{ $path }}.sharedMemory: expected more than 80Mi, which Ray's object store takes, got {{ $of.sharedMemory }}
{{- end }}
{{- end }}
{{- range $role := list "head" "workers" }}
{{- $resources := (get $of $role).resources }}
{{- include "fivefold.checkResources" (dict "path" (printf "%s.%s.resources" $path $role) "value" $resources) }}
{{- $limit := include "fivefold.amount" $resources.limits.memory }}
{{- if and $shared $limit }}
{{- if ge (float64 $shared) (float64 $limit) }}
{{ $path }}.sharedMemory: expected less than {{ $path }}.{{ $role }}.resources.limits.memory, {{ $resources.limits.memory }}, in which it counts, got {{ $of.sharedMemory }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "fivefold.checkOnline" -}}
{{- $online := .Values.online }}
{{- $replicas := $online.replicas }}
{{- $workers := $online.workers }}
{{- include "fivefold.checkRay" (dict "path" "online" "of" $online) }}
{{- if gt (int $replicas.min) (int $replicas.max) }}
online.replicas.min: expected at most online.replicas.max, {{ $replicas.max }}, got {{ $replicas.min }}
{{- end }}
{{- if and $workers.maxCount (lt (int $workers.maxCount) (int $workers.count)) }}
online.workers.maxCount: expected at least online.workers.count, {{ $workers.count }}, or 0, got {{ $workers.maxCount }}
{{- end }}
{{- if gt (float64 $replicas.cpus) (float64 $workers.cpus) }}
online.replicas.cpus: expected at most online.workers.cpus, {{ $workers.cpus }}, got {{ $replicas.cpus }}: no worker could hold a replica
{{- else }}
{{- $each := include "fivefold.replicasInWorker" . | int }}
{{- $pods := max (int $workers.count) (int $workers.maxCount) }}
{{- if gt (int $replicas.max) (int (mul $each $pods)) }}
online.replicas.max: expected at most {{ mul $each $pods }}, {{ $each }} in each of {{ $pods }} workers, got {{ $replicas.max }}: raise online.workers.{{ if gt (int $workers.maxCount) (int $workers.count) }}maxCount{{ else }}count or maxCount{{ end }}, or online.replicas.perWorker with online.workers.cpus
{{- else if and (le (int $replicas.min) (int $replicas.max)) (eq (int $replicas.min) (int (mul $each $pods))) }}
online.workers.count: expected room for one replica more than online.replicas.min, {{ $replicas.min }}, got {{ $pods }} worker{{ if gt $pods 1 }}s{{ end }} of {{ $each }}: an upgrade in place would wait for ever for a place in which a replacement starts
{{- end }}
{{- end }}
{{- if $replicas.gpus }}
{{- $gpus := "" }}
{{- range $name, $_ := $workers.resources.limits }}{{ if contains "gpu" $name }}{{ $gpus = $name }}{{ end }}{{ end }}
{{- if not $gpus }}
online.workers.resources.limits: expected a GPU, such as nvidia.com/gpu: 1, where online.replicas.gpus is {{ $replicas.gpus }}, got none
{{- end }}
{{- end }}
{{- if not (regexMatch "^[0-9]+\\.[0-9]+\\.[0-9]+$" $online.rayVersion) }}
online.rayVersion: expected the version of Ray in the image, such as 2.60.0, got {{ $online.rayVersion | toJson }}
{{- end }}
{{- with $online.gcs.redis }}
{{- if and .passwordSecret (not .address) }}
online.gcs.redis.address: expected the Redis that online.gcs.redis.passwordSecret is for, got none
{{- end }}
{{- if and .address (not (regexMatch "^(rediss?://)?[^/\\s]+:[0-9]+$" .address)) }}
online.gcs.redis.address: expected HOST:PORT, got {{ .address | toJson }}
{{- end }}
{{- end }}
{{- include "fivefold.checkResources" (dict "path" "gate.resources" "value" .Values.gate.resources) }}
{{- end }}

{{/* What answers are held against before they go over. */}}
{{- define "fivefold.checkGate" -}}
{{- $gate := .Values.gate }}
{{- $difference := $gate.difference }}
{{- range $index, $old := $difference.old }}
{{- $path := printf "gate.difference.old[%d]" $index }}
{{- include "fivefold.checkUrl" (dict "path" $path "value" $old) }}
{{- if and (hasPrefix "file:///bundles/claim/" $old) (not $.Values.bundles.claim) }}
bundles.claim: expected the PersistentVolumeClaim with {{ $path }}, {{ splitList "#" $old | first }}, got none
{{- end }}
{{- end }}
{{- include "fivefold.checkOnce" (dict "path" "gate.difference.old" "what" "bundle" "value" $difference.old) }}
{{- $places := list }}
{{- if .Values.bundles.claim }}{{ $places = append $places "/bundles/claim/" }}{{ end }}
{{- range $gate.pod.volumeMounts }}{{ $places = append $places (printf "%s/" (trimSuffix "/" .mountPath)) }}{{ end }}
{{- range $index, $file := $difference.rows }}
{{- $held := false }}
{{- range $places }}{{ if hasPrefix . (printf "%s/" $file) }}{{ $held = true }}{{ end }}{{ end }}
{{- if not $held }}
gate.difference.rows[{{ $index }}]: expected a file below {{ if $places }}{{ join " or " $places }}{{ else }}bundles.claim (/bundles/claim/…) or a mount of gate.pod.volumeMounts{{ end }}, got {{ $file | toJson }}
{{- end }}
{{- end }}
{{- if and (not $difference.old) (or $difference.rows (not (kindIs "invalid" $difference.maxDisagreement)) (not (kindIs "invalid" $difference.maxChange))) }}
gate.difference.old: expected the bundle that is served now, got none: there would be nothing to compare answers with
{{- end }}
{{- if and $difference.old (not $gate.enabled) }}
gate.enabled: expected true where gate.difference.old says what to compare with, got false
{{- end }}
{{- end }}

{{- define "fivefold.checkAccess" -}}
{{- $keys := .Values.keys }}
{{- if and $keys.secret (not $keys.enabled) }}
keys.enabled: expected true where keys.secret says who may ask, got false: nobody would be asked for a key
{{- end }}
{{- with .Values.oidc }}
{{- if and .issuer (not .audience) }}
oidc.audience: expected the audience that tokens of oidc.issuer have for this service, got none
{{- end }}
{{- if and (not .issuer) (or .audience .jwks) }}
oidc.issuer: expected the issuer that oidc.{{ ternary "audience" "jwks" (ne .audience "") }} belongs to, got none: no token would be asked for
{{- end }}
{{- range $key := list "issuer" "jwks" }}
{{- $url := get $.Values.oidc $key }}
{{- if and $url (not (regexMatch "^https://.+" $url)) }}
oidc.{{ $key }}: expected https://, got {{ $url | toJson }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "fivefold.checkStream" -}}
{{- $stream := .Values.stream }}
{{- $kafka := $stream.kafka }}
{{- include "fivefold.checkSize" (dict "path" "stream.tmpSize" "value" $stream.tmpSize) }}
{{- include "fivefold.checkResources" (dict "path" "stream.resources" "value" $stream.resources) }}
{{- range $key := list "from" "to" "deadLetter" }}
{{- include "fivefold.checkTopic" (dict "path" (printf "stream.%s" $key) "value" (get $stream $key)) }}
{{- if and $stream.enabled (ne $key "deadLetter") (not (get $stream $key)) }}
stream.{{ $key }}: expected kafka://HOST:PORT/TOPIC, got none
{{- end }}
{{- end }}
{{- $names := has $kafka.mechanism (list "PLAIN" "SCRAM-SHA-256" "SCRAM-SHA-512" "OAUTHBEARER") }}
{{- if and $names (not $kafka.username) }}
stream.kafka.username: expected who asks where stream.kafka.mechanism is {{ $kafka.mechanism }}, got none
{{- end }}
{{- if and $kafka.password.secret (not $kafka.username) }}
stream.kafka.username: expected whose password stream.kafka.password.secret is, got none
{{- end }}
{{- if and (hasPrefix "sasl_" $kafka.protocol) (not $kafka.username) }}
stream.kafka.username: expected who asks where stream.kafka.protocol is {{ $kafka.protocol }}, got none
{{- end }}
{{- if and $kafka.username (has $kafka.protocol (list "plaintext" "ssl")) }}
stream.kafka.protocol: expected sasl_ssl or sasl_plaintext where there is a stream.kafka.username, got {{ $kafka.protocol }}, which sends none
{{- end }}
{{- if and (or $kafka.ca.secret $kafka.certificate.secret) (has $kafka.protocol (list "plaintext" "sasl_plaintext")) }}
stream.kafka.protocol: expected ssl or sasl_ssl where there is a stream.kafka.{{ ternary "ca" "certificate" (ne $kafka.ca.secret "") }}.secret, got {{ $kafka.protocol }}, which is clear text
{{- end }}
{{- if and (eq $kafka.mechanism "OAUTHBEARER") (not $kafka.tokenUrl) }}
stream.kafka.tokenUrl: expected where tokens for OAUTHBEARER are to be had, got none
{{- end }}
{{- if and (or $kafka.tokenUrl $kafka.tokenScope) (ne $kafka.mechanism "OAUTHBEARER") }}
stream.kafka.mechanism: expected OAUTHBEARER where there is a stream.kafka.{{ ternary "tokenUrl" "tokenScope" (ne $kafka.tokenUrl "") }}, got {{ $kafka.mechanism | toJson }}
{{- end }}
{{- if and $kafka.tokenUrl (not (hasPrefix "https://" $kafka.tokenUrl)) }}
stream.kafka.tokenUrl: expected https://, got {{ $kafka.tokenUrl | toJson }}
{{- end }}
{{- if $stream.enabled }}
{{- $servers := include "fivefold.streamServers" $stream.from }}
{{- range $key, $address := dict "to" $stream.to "deadLetter" (include "fivefold.streamDeadLetter" .) }}
{{- if and $stream.from $address }}
{{- if ne (include "fivefold.streamServers" $address) $servers }}
stream.{{ $key }}: expected the brokers of stream.from, {{ $servers }}, got {{ include "fivefold.streamServers" $address }}: one transaction holds one cluster
{{- else if eq $address $stream.from }}
stream.{{ $key }}: expected another topic than that of stream.from, {{ include "fivefold.streamTopic" $address }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $stream.to (eq $stream.to $stream.deadLetter) }}
stream.deadLetter: expected another topic than that of stream.to, {{ include "fivefold.streamTopic" $stream.to }}
{{- end }}
{{- end }}
{{- if and $kafka.username (not $kafka.password.secret) }}
stream.kafka.password.secret: expected the Secret with the password of stream.kafka.username, got none
{{- end }}
{{- with $stream.registry }}
{{- if ne (not .username) (not .password.secret) }}
stream.registry.username, stream.registry.password.secret: expected both or none, got one
{{- end }}
{{- if and .username .token.secret }}
stream.registry.username, stream.registry.token.secret: expected one of them, got both
{{- end }}
{{- if and (not .url) (or .username .token.secret .ca.secret .certificate.secret) }}
stream.registry.url: expected the registry that the rest of stream.registry is for, got none
{{- end }}
{{- if and (hasPrefix "http://" .url) (not .http) }}
stream.registry.url: expected https://, which nobody can read on the way; or allow plain http (stream.registry.http)
{{- end }}
{{- end }}
{{- with $stream.autoscaling }}
{{- if .enabled }}
{{- if gt (int .max) (int .partitions) }}
stream.autoscaling.max: expected at most the {{ .partitions }} partitions of the topic, got {{ .max }}: more workers would have nothing to read
{{- end }}
{{- if gt (int .min) (int .max) }}
stream.autoscaling.min: expected at most stream.autoscaling.max, {{ .max }}, got {{ .min }}
{{- end }}
{{- end }}
{{- end }}
{{- with $stream.registry.url }}
{{- if not (regexMatch "^https?://[^@?#\\s/]+(/[^@?#\\s]*)?$" .) }}
stream.registry.url: expected https://HOST[:PORT][/PATH] without user, query and fragment, got {{ . | toJson }}
{{- end }}
{{- end }}
{{- end }}

{{- define "fivefold.checkHub" -}}
{{- $hub := .Values.hub }}
{{- include "fivefold.checkSize" (dict "path" "hub.tmpSize" "value" $hub.tmpSize) }}
{{- include "fivefold.checkSize" (dict "path" "hub.volume.size" "value" $hub.volume.size) }}
{{- include "fivefold.checkResources" (dict "path" "hub.resources" "value" $hub.resources) }}
{{- include "fivefold.checkTopic" (dict "path" "hub.forward" "value" $hub.forward) }}
{{- if and $hub.database.password.secret (not $hub.database.url) }}
hub.database.url: expected the Postgres that hub.database.password is for, got none
{{- end }}
{{- with $hub.database.url }}
{{- if regexMatch "^postgres(ql)?://[^/@\\s]*:[^/@\\s]*@" . }}
hub.database.url: expected no password in it; a Secret with it is hub.database.password.secret
{{- else if not (regexMatch "^postgres(ql)?://[^:/@\\s]+@[^@\\s]+/[^/@\\s]+$" .) }}
hub.database.url: expected postgres://USER@HOST/NAME, got {{ . | toJson }}
{{- end }}
{{- end }}
{{- if and $hub.keepDays (not $hub.forward) }}
hub.keepDays: expected 0 where hub.forward names no topic, got {{ $hub.keepDays }}: a hub that forwards nothing has its events nowhere else
{{- end }}
{{- range $index, $origin := $hub.corsOrigins }}
{{- if not (regexMatch "^https://[^/\\s]+$" $origin) }}
hub.corsOrigins[{{ $index }}]: expected an origin, https://HOST[:PORT] and nothing behind it, got {{ $origin | toJson }}
{{- end }}
{{- end }}
{{- end }}

{{- define "fivefold.checkGateway" -}}
{{- $gateway := .Values.gateway }}
{{- $tls := .Values.tls }}
{{- with $gateway.existing }}
{{- if and (not .name) (or .namespace .sectionName) }}
gateway.existing.name: expected the Gateway whose {{ ternary "namespace" "sectionName" (ne .namespace "") }} is given, got none
{{- end }}
{{- if and .name (not $gateway.enabled) }}
gateway.enabled: expected true where gateway.existing names a Gateway, got false: it would have no routes
{{- end }}
{{- end }}
{{- include "fivefold.checkHosts" (dict "path" "gateway.hostnames" "value" $gateway.hostnames) }}
{{- include "fivefold.checkGrpc" . }}
{{- include "fivefold.checkSite" . }}
{{- if and (eq $tls.source "secret") (not $tls.secret) }}
tls.secret: expected the Secret with the certificate where tls.source is secret, got none
{{- end }}
{{- if and (eq $tls.source "selfSigned") $tls.secret }}
tls.source: expected secret or certManager where there is a tls.secret, got selfSigned, which makes a Secret of its own
{{- end }}
{{- if and (eq $tls.source "certManager") (not $tls.issuer.name) }}
tls.issuer.name: expected cert-manager's issuer where tls.source is certManager, got none
{{- end }}
{{- if and $tls.issuer.name (ne $tls.source "certManager") }}
tls.source: expected certManager where there is a tls.issuer.name, got {{ $tls.source }}, which asks no issuer
{{- end }}
{{- if and (include "fivefold.ownGateway" .) (eq $tls.source "certManager") (not $gateway.hostnames) }}
gateway.hostnames: cert-manager needs at least one, got none
{{- end }}
{{- with $tls.upstream }}
{{- if .enabled }}
{{- if not .secret }}
tls.upstream.secret: expected the Secret with the Service's certificate, got none
{{- end }}
{{- if not .authority }}
tls.upstream.authority: expected the ConfigMap whose ca.crt signed the Service's certificate, got none
{{- end }}
{{- end }}
{{- end }}
{{- end }}
