"""What Ray Serve's HAProxy is told by variables that Ray reads: buffers, retries, metrics.

The process that starts Ray and every process of its cluster must find them. What no variable changes is edited by
`launch`.
"""

HAPROXY = {
    # A datagram for every request, parsed by a Python process, would cost as much as the request.
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    # Room for all the headers that we take, so that it is we who refuse more, and for a request to be asked again.
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": "65536",
    # Scoring has no side effect: a request whose replica died before it answered is asked again of another one.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
    # More often than a dead replica may fail before HAProxy leaves it out (3): a request that runs out of retries on a
    # connection that was used before is dropped without an answer.
    "RAY_SERVE_HAPROXY_RETRIES": "8",
}
