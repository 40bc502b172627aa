"""HAProxy's configuration as Ray itself writes it."""

import asyncio
from pathlib import Path

from ray.serve._private.common import RequestProtocol
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions, gRPCOptions


def written(directory: Path, replicas: list[str], grpc: int = 20005, http: int | None = None) -> Path:
    """A configuration as Ray writes it for replicas with HTTP and gRPC each, and the head's proxy behind them.

    The first replica has port `grpc`, the next the one after that; for HTTP too, or from `http` on.
    """
    options = HAProxyConfig(
        socket_path=str(directory / "admin.sock"),
        server_state_base=str(directory),
        server_state_file=str(directory / "state"),
        http_options=HTTPOptions(host="127.0.0.1", port=8000),
        grpc_options=gRPCOptions(port=9000, grpc_servicer_functions=["fivefold.online.ray.deployment.grpc_services"]),
        has_received_routes=True,
        has_received_servers=True,
        metrics_enabled=False,
    )
    first = {RequestProtocol.GRPC: grpc, RequestProtocol.HTTP: grpc if http is None else http}
    backends = {
        f"{protocol.value.lower()}-fivefold": BackendConfig(
            name=f"{protocol.value.lower()}-fivefold",
            path_prefix="/",
            app_name="fivefold",
            servers=[
                ServerConfig(name=f"SERVE_REPLICA_{name}", host="127.0.0.1", port=first[protocol] + index)
                for index, name in enumerate(replicas)
            ],
            fallback_server=ServerConfig(name="SERVE_PROXY_ACTOR-fallback", host="127.0.0.1", port=8500),
            protocol=protocol,
        )
        for protocol in (RequestProtocol.HTTP, RequestProtocol.GRPC)
    }
    path = directory / "haproxy.cfg"

    async def write() -> None:
        HAProxyApi(options, backends, config_file_path=str(path))._generate_config_file_internal()

    asyncio.run(write())
    return path
