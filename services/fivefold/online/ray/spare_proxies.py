"""A proxy on every worker of the cluster, also on one that has no replica yet: a spare is ready, and answers by others.

Ray Serve runs proxies beside replicas alone. A worker that is kept free, so that a replacement finds room, then has
nobody who listens: its pod is never ready, whoever watches pods is told that something is wrong, and it joins the
rotation only after its replica has come and its proxy has started. `proxy_on_every_worker` is what
`RAY_SERVE_CONTROLLER_CALLBACK_IMPORT_PATH` names, which the controller calls before it looks where proxies belong.
There is no public setting for that; a test guards what is relied on. Where replicas go is left to Ray, and it is not
for a cluster whose autoscaler takes idle workers away: one with a proxy is never idle.
"""

from __future__ import annotations

from typing import Any


def proxy_on_every_worker() -> None:
    """Have this process's controller of Ray Serve start a proxy on each node that may hold replicas, and on its own."""
    from ray.serve._private.controller import ServeController

    ServeController._update_proxy_nodes = _update_proxy_nodes  # type: ignore[method-assign]  # see above: no public way


def _update_proxy_nodes(controller: Any) -> None:
    """Stands in for `ServeController._update_proxy_nodes`.

    A node that drains gets none, as with Ray's own. Neither does one without cores, as the head: replicas need some.
    """
    nodes = controller.cluster_node_info_cache
    resources = nodes.get_total_resources_per_node()
    chosen = {node for node in nodes.get_alive_node_ids() if resources.get(node, {}).get("CPU", 0) > 0}
    chosen |= controller.deployment_state_manager.get_active_node_ids()
    chosen -= set(nodes.get_draining_nodes())
    controller._proxy_nodes = chosen | {controller._controller_node_id}
