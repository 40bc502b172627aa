"""`fivefold.router`: the routes of one or more bundles for the reader's own FastAPI application.

    app = FastAPI()
    app.include_router(fivefold.router("tumour.bundle"), prefix="/models", dependencies=[Depends(logged_in)])

The reader's dependencies, middleware and prefix apply as to any router; errors of ours keep our body, everything else
stays the reader's. The server's own routes (health, metrics, the page) are left to `fivefold.serving.http.app`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.telemetry import Telemetry
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.http.host_models import typed
from fivefold.serving.http.openapi_document import prefix_of
from fivefold.serving.http.routes import Interface
from fivefold.serving.limits import ServingLimits
from fivefold.serving.repository import Model, Repository


def router(
    *bundles: Bundle | str | Path,
    settings: ServingLimits | None = None,
    telemetry: Telemetry | None = None,
    defaults: Mapping[str, str] | None = None,
) -> APIRouter:
    """A FastAPI router that serves the bundles over V1 and the Open Inference Protocol, typed in the reader's OpenAPI.

    Bundles are opened, verified and tested here, and closed when the application shuts down. `settings` gives the
    limits; its addresses have no meaning here, and whom to let in is the reader's to say. `defaults` maps a model's
    name to the version that answers when none is asked for. Raises `BundleInvalid`, and `ValueError` for no bundle, the
    same model twice, or settings with keys.
    """
    if not bundles:
        raise ValueError("expected at least one bundle, got none")
    settings = settings or ServingLimits()
    if settings.guarded:
        # Passed over in silence, this would be an open server that its owner believes to be guarded.
        raise ValueError("expected settings without keys or an oidc_issuer: who may ask is left to your dependencies")
    opened = [bundle if isinstance(bundle, Bundle) else Bundle.open(bundle) for bundle in bundles]
    models = Repository([Model(bundle, Scorer.open(bundle)) for bundle in opened], defaults=defaults)
    dataplane = Dataplane(models, settings, telemetry or Telemetry("online", log_sample=settings.log_sample))
    interface = Interface(dataplane)

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        yield
        dataplane.close()

    out = APIRouter(lifespan=lifespan)
    for method, path, endpoint in interface.server_routes():
        # Probes, metrics and the endpoints of a server that manages its models are the reader's own.
        if path.startswith(("/v1", "/v2")) and "{name}" not in path:
            _add(out, method, path, endpoint, {"openapi_extra": {"tags": ["models"]}})
    for name in models.names():
        for version in (None, *models.versions(name)):
            model = models.find(name, version)
            given = {"name": name} if version is None else {"name": name, "version": version}
            for method, path, endpoint in interface.model_routes():
                if ("{version}" in path) != (version is not None) or "{verb}" in path:
                    continue
                concrete = path.replace("{name}", name).replace("{version}", version or "")
                described: dict[str, Any] = {"openapi_extra": {"tags": [name]}}
                if method == "POST":
                    suffix = prefix_of(model) if version else f"{prefix_of(model)}_default"
                    described = typed(model, "v1" if path.startswith("/v1") else "v2", suffix)
                _add(out, method, concrete, _bound(endpoint, given), described)
    return out


def _add(
    router: APIRouter,
    method: str,
    path: str,
    endpoint: Callable[[Request], Awaitable[Response]],
    described: Mapping[str, Any],
) -> None:
    router.add_api_route(
        path,
        endpoint,
        methods=[method],
        response_class=Response,
        response_model=None,
        name=f"{method.lower()} {path}",
        **described,
    )


def _bound(
    endpoint: Callable[[Request], Awaitable[Response]], given: Mapping[str, str]
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of one model: its name and version as path parameters that the path itself no longer has."""

    async def answer(request: Request) -> Response:
        request.scope["path_params"] = {**request.path_params, **given}
        return await endpoint(request)

    return answer
