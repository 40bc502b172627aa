"""Online: serving on Ray Serve.

    ray/      the deployment, what it is built from, and what it tells Ray
    haproxy/  the proxy in front of the replicas
    local/    `fivefold serve`: one machine's run
    dev/      `fivefold serve --dev`: the same answers from one process, without Ray

What a request means and how it is answered is `fivefold.serving`'s.
"""
