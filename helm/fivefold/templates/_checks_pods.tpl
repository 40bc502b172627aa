{{/* What values cannot mean of pods, and of the network around them; see _checks.tpl. */}}

{{- define "fivefold.checkTolerations" -}}
{{- $path := .path }}
{{- range $index, $toleration := .value }}
{{- with $toleration }}
{{- if and (eq (.operator | default "Equal") "Exists") .value }}
{{ $path }}[{{ $index }}].value: expected none where operator is Exists, got {{ .value | toJson }}
{{- end }}
{{- if and (not .key) (ne (.operator | default "Equal") "Exists") }}
{{ $path }}[{{ $index }}].key: expected one, or operator Exists, which means every taint
{{- end }}
{{- if and (hasKey . "tolerationSeconds") (ne (.effect | default "") "NoExecute") }}
{{ $path }}[{{ $index }}].effect: expected NoExecute where there are tolerationSeconds, got {{ .effect | default "" | toJson }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* A role's own additions. `path`, `of`, `container`: our own container's name; `environment`: the role's variables. */}}
{{- define "fivefold.checkRole" -}}
{{- $path := .path }}
{{- $pod := .of.pod }}
{{- include "fivefold.checkLabels" (dict "path" (printf "%s.nodeSelector" $path) "value" .of.nodeSelector) }}
{{- include "fivefold.checkTolerations" (dict "path" (printf "%s.tolerations" $path) "value" .of.tolerations) }}
{{- include "fivefold.checkLabels" (dict "path" (printf "%s.pod.labels" $path) "value" $pod.labels) }}
{{- $containers := list .container }}
{{- range concat ($pod.initContainers | default list) ($pod.containers | default list) }}{{ $containers = append $containers .name }}{{ end }}
{{- include "fivefold.checkOnce" (dict "path" (printf "%s.pod.containers" $path) "what" "name of a container" "value" $containers) }}
{{- $own := list "HOME" "RAY_AUTH_MODE" "FIVEFOLD_BUNDLE_CACHE" "FIVEFOLD_TRUSTED_KEYS" "FIVEFOLD_TLS_CERT" "FIVEFOLD_GRPC_PROXY" "FIVEFOLD_SLOT" "FIVEFOLD_GROUP" "FIVEFOLD_LOG_FORMAT" "FIVEFOLD_LOG_PIPE" "RAY_LOG_TO_STDERR" "RAY_BACKEND_LOG_JSON" }}
{{- $names := list }}
{{- range $name, $_ := .environment }}
{{- $names = append $names $name }}
{{- if has $name $own }}
{{ $path | trimSuffix ".workers" }}.environment.{{ $name }}: expected a variable that the chart leaves to you, got one that it sets itself
{{- end }}
{{- if not (regexMatch "^[A-Za-z_][A-Za-z0-9_.-]*$" $name) }}
{{ $path | trimSuffix ".workers" }}.environment: expected a variable's name, got {{ $name | toJson }}
{{- end }}
{{- end }}
{{- range $index, $variable := $pod.env }}
{{- $names = append $names .name }}
{{- if has .name $own }}
{{ $path }}.pod.env[{{ $index }}].name: expected a variable that the chart leaves to you, got {{ .name }}, which it sets itself
{{- end }}
{{- if and .value .valueFrom }}
{{ $path }}.pod.env[{{ $index }}]: expected value or valueFrom, got both
{{- end }}
{{- end }}
{{- include "fivefold.checkOnce" (dict "path" (printf "%s.pod.env" $path) "what" "variable, of environment too," "value" $names) }}
{{- $volumes := list }}
{{- range $index, $volume := $pod.volumes }}
{{- $volumes = append $volumes .name }}
{{- if regexMatch "^(tmp|data|shared-memory|ray-logs|bundle-.+|trusted-keys|api-keys|upstream-tls|authority|manifest|ca-bundle|kafka-.+|registry-.+)$" .name }}
{{ $path }}.pod.volumes[{{ $index }}].name: expected a name that the chart leaves to you, got {{ .name }}
{{- end }}
{{- end }}
{{- include "fivefold.checkOnce" (dict "path" (printf "%s.pod.volumes" $path) "what" "name of a volume" "value" $volumes) }}
{{- $mounts := list }}
{{- range $index, $mount := $pod.volumeMounts }}
{{- $mounts = append $mounts .mountPath }}
{{- if not (has .name $volumes) }}
{{ $path }}.pod.volumeMounts[{{ $index }}].name: expected one of {{ $path }}.pod.volumes, got {{ .name }}
{{- end }}
{{- if has (trimSuffix "/" .mountPath) (list "" "/tmp" "/tmp/ray" "/dev/shm" "/bundles/cache" "/bundles/claim" "/etc/fivefold" "/etc/fivefold/keys" "/etc/fivefold/tls" "/etc/fivefold/trusted" "/etc/fivefold/ca-bundle") }}
{{ $path }}.pod.volumeMounts[{{ $index }}].mountPath: expected a place that the chart leaves to you, got {{ .mountPath }}
{{- end }}
{{- end }}
{{- include "fivefold.checkOnce" (dict "path" (printf "%s.pod.volumeMounts" $path) "what" "place" "value" $mounts) }}
{{- end }}

{{- define "fivefold.checkPods" -}}
{{- with .Values }}
{{- include "fivefold.checkLabels" (dict "path" "scheduling.nodeSelector" "value" .scheduling.nodeSelector) }}
{{- include "fivefold.checkTolerations" (dict "path" "scheduling.tolerations" "value" .scheduling.tolerations) }}
{{- include "fivefold.checkLabels" (dict "path" "podLabels" "value" .podLabels) }}
{{- range list
    (dict "path" "online.head" "of" .online.head "container" "ray-head")
    (dict "path" "online.workers" "of" .online.workers "container" "ray-worker" "environment" .online.environment)
    (dict "path" "batch.head" "of" .batch.head "container" "ray-head")
    (dict "path" "batch.workers" "of" .batch.workers "container" "ray-worker" "environment" .batch.environment)
    (dict "path" "stream" "of" .stream "container" "worker" "environment" .stream.environment)
    (dict "path" "hub" "of" .hub "container" "hub" "environment" .hub.environment)
    (dict "path" "site" "of" .site "container" "site")
    (dict "path" "gate" "of" .gate "container" "gate")
    (dict "path" "jobs" "of" .jobs "container" "secrets") }}
{{- include "fivefold.checkRole" . }}
{{- end }}
{{- $pod := .podSecurityContext | default dict }}
{{- $container := .containerSecurityContext | default dict }}
{{- if and $pod.runAsNonRoot (hasKey $pod "runAsUser") (eq (int $pod.runAsUser) 0) }}
podSecurityContext.runAsUser: expected another id than 0 where runAsNonRoot is true, got 0: no pod would start
{{- end }}
{{- if and $container.privileged (hasKey $container "allowPrivilegeEscalation") (not $container.allowPrivilegeEscalation) }}
containerSecurityContext.privileged: expected false where allowPrivilegeEscalation is false, got true
{{- end }}
{{- if and .caBundle.configMap .caBundle.secret }}
caBundle: expected a configMap or a secret, got both
{{- end }}
{{- range $key := list "http" "https" }}
{{- $url := get $.Values.proxy $key }}
{{- if and $url (not (regexMatch "^https?://[^/@\\s]+:[0-9]+/?$" $url)) }}
proxy.{{ $key }}: expected http://HOST:PORT of the proxy, got {{ regexReplaceAll "//.*@" $url "//…@" | toJson }}; one with a password is a variable out of a Secret, in the pod.env of the roles
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Families of addresses. */}}
{{- define "fivefold.checkAddresses" -}}
{{- with .Values.network }}
{{- include "fivefold.checkOnce" (dict "path" "network.ipFamilies" "what" "family" "value" .ipFamilies) }}
{{- if and (eq (len .ipFamilies) 2) (has .ipFamilyPolicy (list "" "SingleStack")) }}
network.ipFamilyPolicy: expected PreferDualStack or RequireDualStack where network.ipFamilies has two, got {{ .ipFamilyPolicy | default "none, which means SingleStack" }}
{{- end }}
{{- if and (eq .bind "0.0.0.0") (has "IPv6" .ipFamilies) }}
network.bind: expected "::" where network.ipFamilies has IPv6, got 0.0.0.0, on which no pod answers there
{{- else if and (eq .bind "0.0.0.0") (eq .ipFamilyPolicy "RequireDualStack") }}
network.bind: expected "::" where network.ipFamilyPolicy is RequireDualStack, got 0.0.0.0, on which no pod answers IPv6
{{- end }}
{{- end }}
{{- include "fivefold.checkOnce" (dict "path" "networkPolicy.dnsPorts" "what" "port" "value" (toStrings .Values.networkPolicy.dnsPorts)) }}
{{- end }}

{{/* Where a policy would keep pods from what values send them to. */}}
{{- define "fivefold.checkNetwork" -}}
{{- $policy := .Values.networkPolicy }}
{{- range $name, $rules := $policy }}
{{- if and (kindIs "slice" $rules) (not (has $name (list "callers" "operator" "dns" "dnsPorts" "metrics"))) }}
{{- range $index, $rule := $rules }}
{{- $path := printf "networkPolicy.%s[%d]" $name $index }}
{{- range $at, $port := $rule.ports }}
{{- if kindIs "string" $port.port }}
{{- if regexMatch "^[0-9]+$" $port.port }}
{{ $path }}.ports[{{ $at }}].port: expected a number without quotes, or a port's name, got {{ $port.port | toJson }}
{{- end }}
{{- else }}
{{- include "fivefold.checkPort" (dict "path" (printf "%s.ports[%d].port" $path $at) "value" ($port.port | int64 | toString)) }}
{{- if and $port.endPort (lt (int64 ($port.endPort | default 0)) (int64 $port.port)) }}
{{ $path }}.ports[{{ $at }}].endPort: expected at least port, {{ $port.port }}, got {{ $port.endPort }}
{{- end }}
{{- end }}
{{- end }}
{{- range $at, $peer := $rule.to }}
{{- with $peer.ipBlock }}
{{- $cidr := .cidr }}
{{- range .except }}
{{- if not (include "fivefold.holds" (dict "outer" $cidr "inner" .)) }}
{{ $path }}.to[{{ $at }}].ipBlock.except: expected blocks within {{ $cidr }}, got {{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if $policy.enabled }}
{{- with .Values }}
{{- $proxy := or .proxy.http .proxy.https }}
{{- if and .stream.enabled (not $policy.brokers) }}
networkPolicy.brokers: expected a rule that lets workers of the stream to the brokers, got none
{{- end }}
{{- if and .stream.enabled .stream.registry.url (not $policy.registry) (not $policy.stores) (not $proxy) }}
networkPolicy.registry: expected a rule that lets workers to stream.registry.url, got none
{{- end }}
{{- if and .stream.enabled .stream.kafka.tokenUrl (not $policy.issuer) (not $policy.stores) (not $proxy) }}
networkPolicy.issuer: expected a rule that lets workers of the stream to stream.kafka.tokenUrl, got none
{{- end }}
{{- if and .hub.enabled .hub.database.url (not $policy.database) }}
networkPolicy.database: expected a rule that lets the hub to hub.database.url, got none
{{- end }}
{{- if and .hub.enabled .hub.forward (not $policy.brokers) }}
networkPolicy.brokers: expected a rule that lets the hub to hub.forward, got none
{{- end }}
{{- if and .oidc.issuer (include "fivefold.called" $) (not $policy.issuer) (not $proxy) (or .hub.enabled (not (or $policy.stores $policy.egress))) }}
networkPolicy.issuer: expected a rule that lets pods to oidc.issuer, got none
{{- end }}
{{- if and .online.enabled .online.gcs.redis.address (not $policy.redis) (not $policy.egress) }}
networkPolicy.redis: expected a rule that lets the head to online.gcs.redis.address, got none
{{- end }}
{{- if and $proxy (not $policy.proxy) }}
networkPolicy.proxy: expected a rule that lets pods to the proxy, got none
{{- end }}
{{- end }}
{{- if and (not $policy.kubernetesApi) (or (include "fivefold.makesSecrets" .) .Values.batch.enabled (include "fivefold.workersScale" .) (include "fivefold.gated" .)) }}
networkPolicy.kubernetesApi: expected a rule for the pods that ask the Kubernetes API (the job that makes Secrets, the release gate, runs, a head that scales), got none
{{- end }}
{{- end }}
{{- end }}
