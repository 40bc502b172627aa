"""Where Ray Serve's controller starts proxies: on every worker, a spare one too."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from ray.serve._private import controller
from ray.serve._private.test_utils import MockClusterNodeInfoCache

from fivefold.online.ray.spare_proxies import proxy_on_every_worker


@pytest.fixture
def patched() -> Iterator[None]:
    """A process whose controller has been called back."""
    before = controller.ServeController._update_proxy_nodes
    proxy_on_every_worker()
    yield
    controller.ServeController._update_proxy_nodes = before


@pytest.mark.usefixtures("patched")
@pytest.mark.parametrize(
    ("draining", "filled", "chosen"),
    [
        ((), (), {"head", "filled", "spare"}),
        ((), ("filled",), {"head", "filled", "spare"}),
        (("filled",), ("filled",), {"head", "spare"}),
        # A node that has just gone is not looked for among those that are alive.
        ((), ("gone",), {"head", "filled", "spare", "gone"}),
        (("head",), (), {"head", "filled", "spare"}),
    ],
)
def test_every_worker_has_a_proxy_but_one_that_drains(
    draining: tuple[str, ...], filled: tuple[str, ...], chosen: set[str]
) -> None:
    """The head, which has no core to give, has one because the controller is there."""
    nodes = MockClusterNodeInfoCache()
    nodes.add_node("head", {"memory": 1.0})
    for name in ("filled", "spare"):
        nodes.add_node(name, {"CPU": 2.0})
    nodes.draining_nodes = dict.fromkeys(draining, 0)
    ours = SimpleNamespace(
        cluster_node_info_cache=nodes,
        deployment_state_manager=SimpleNamespace(get_active_node_ids=lambda: set(filled)),
        _controller_node_id="head",
    )

    controller.ServeController._update_proxy_nodes(ours)

    assert ours._proxy_nodes == chosen


def test_ray_still_decides_there() -> None:
    """The controller calls back before it looks for the first time, and what it finds is all that it goes by."""
    made = inspect.getsource(controller.ServeController.__init__)
    looked = inspect.getsource(controller.ServeController._update_proxy_nodes)
    loop = inspect.getsource(controller.ServeController.run_control_loop_step)
    callback = "call_function_from_import_path(RAY_SERVE_CONTROLLER_CALLBACK_IMPORT_PATH)"

    assert -1 < made.index(callback) < made.index("self._update_proxy_nodes()")
    assert "self.deployment_state_manager.get_active_node_ids()" in looked
    assert "new_proxy_nodes.add(self._controller_node_id)" in looked
    assert "self.proxy_state_manager.update(proxy_nodes=self._proxy_nodes)" in loop
