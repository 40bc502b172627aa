{{/* Ray Serve's configuration: where it listens, and the one application with its typed arguments. */}}
{{- define "fivefold.serveConfig" -}}
{{- $online := .Values.online }}
{{- $settings := dict
    "http" (include "fivefold.listen" (dict "root" . "port" 8000))
    "grpc" (include "fivefold.listen" (dict "root" . "port" 9000))
    "min_replicas" $online.replicas.min
    "max_replicas" $online.replicas.max
    "drain_seconds" $online.drainSeconds }}
{{- if include "fivefold.knowsKeys" . }}
{{- $_ := set $settings "keys" "/etc/fivefold/keys" }}
{{- end }}
{{- with .Values.oidc }}
{{- if .issuer }}
{{- $_ := set $settings "oidc_issuer" .issuer }}
{{- $_ := set $settings "oidc_audience" .audience }}
{{- with .jwks }}{{- $_ := set $settings "oidc_jwks" . }}{{- end }}
{{- end }}
{{- end }}
{{- if not (include "fivefold.guarded" .) }}
{{- $_ := set $settings "allow_public" true }}
{{- end }}
{{- $arguments := dict
    "models" (include "fivefold.models" . | fromJsonArray)
    "defaults" $online.defaults
    "settings" (merge $settings $online.settings)
    "num_cpus" $online.replicas.cpus }}
{{- with $online.replicas.gpus }}{{- $_ := set $arguments "num_gpus" . }}{{- end }}
{{- /* The gateway shall be the one that gives an idle connection up, or it may send a request on one that is being closed.
Traefik does so after 90 s, Google's load balancer after 600 s. */}}
{{- dict
    "proxy_location" "EveryNode"
    "http_options" (dict "host" .Values.network.bind "port" 8000 "keep_alive_timeout_s" 620)
    "grpc_options" (dict "port" 9000 "grpc_servicer_functions" (list "fivefold.online.ray.deployment.grpc_services"))
    "logging_config" (dict "encoding" "JSON" "log_level" "WARNING" "enable_access_log" false)
    "applications" (list (dict
        "name" "fivefold"
        "route_prefix" "/"
        "import_path" "fivefold.online.ray.deployment:build"
        "args" $arguments
        "deployments" (list (dict "name" "Online" "max_replicas_per_node" $online.replicas.perWorker))))
    | toYaml }}
{{- end }}
