"""The variables of every process of a Ray cluster that serves, known without loading what they are for.

What one machine's run adds is `online.local.environment`'s, what a cluster's pods add the chart's.
"""

from fivefold.online.haproxy.haproxy_settings import HAPROXY

ENVIRONMENT = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "fivefold.online.ray.deployment.middlewares",
    **HAPROXY,
    # Ray gives its workers, replicas among them, the lowest priority but four: every other process of a busy machine
    # then goes before an answer.
    "RAY_worker_niceness": "0",
}
"""What every process of the cluster must find in its environment, the head's and the workers' alike."""
