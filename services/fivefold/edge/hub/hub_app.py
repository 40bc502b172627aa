"""The hub over HTTP: routes, and what each answers; every error is the product's own, in the body that serving has.

    POST /v1/edge/{device}/lanes/{lane}/events    a batch of a lane
    GET  /v1/edge/{device}/watermark              how far an outbox' lanes have come
    PUT  /v1/edge/{device}/report                 what a device says of itself
    GET  /v1/edge/{device}/models                 the releases that it is to run
    GET  /v1/edge/{device}/archives/{sha256}      their bytes, in ranges
    GET  /v1/hub/overview, /v1/hub/quarantine     for operators; / is the page that shows them
    POST /v1/hub/releases                         a release, whose archive came before (`publish_routes`)
    GET  /livez, /readyz, /metrics

Who may ask is `request_access`', what happens to a batch `event_ledger`'s; `device_routes` and `operator_routes` are
the two halves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fivefold.core.errors import FivefoldError, NotFound, ProtocolError
from fivefold.serving.dataplane import Dataplane, defect
from fivefold.serving.http.http_errors import HttpReply, identity, problem
from fivefold.serving.http.inference import begin, check_headers
from fivefold.serving.http.routes import response
from fivefold.serving.messages import Call

HubHandler = Callable[[Request, Call], Awaitable[HttpReply]]
Route = tuple[str, str, HubHandler]
"""Method, path and handler."""

_PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"GET, POST, PUT"),
    (
        b"access-control-allow-headers",
        b"authorization, content-type, content-encoding, if-none-match, x-fivefold-outbox",
    ),
    (b"access-control-max-age", b"600"),
)


def build_app(plane: Dataplane, routes: list[Route]) -> FastAPI:
    """The application of some routes; `plane` gives requests their ids and counts how they end."""
    framework = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for method, path, handler in routes:
        methods = ["GET", "HEAD"] if method == "GET" else [method]
        framework.add_api_route(path, _endpoint(plane, handler), methods=methods, response_model=None)
    framework.add_exception_handler(HTTPException, _no_route(plane))
    return framework


def _endpoint(plane: Dataplane, handler: HubHandler) -> Callable[[Request], Awaitable[Response]]:
    counters = plane.telemetry.counters("http")

    async def answer(request: Request) -> Response:
        call = begin(plane, dict(request.scope["headers"]))
        try:
            check_headers(request.scope, plane.settings)
            reply = await handler(request, call)
            counters.codes["ok"] = counters.codes.get("ok", 0) + 1
        except FivefoldError as error:
            reply = problem(plane.refuse(call, error), call)
        except Exception as cause:
            reply = problem(plane.refuse(call, defect(cause)), call)
        return response(reply, head=request.method == "HEAD")

    return answer


def _no_route(plane: Dataplane) -> Callable[[Request, Exception], Awaitable[Response]]:
    """What the framework refuses by itself, in our words: no such route, or not with this method."""

    async def answer(request: Request, error: Exception) -> Response:
        headers = dict(request.scope["headers"])
        call = begin(plane, headers)
        path = request.url.path[:128]
        if getattr(error, "status_code", 0) != HTTPStatus.METHOD_NOT_ALLOWED:
            return response(problem(plane.refuse(call, NotFound("not_found", f"no route {path}")), call))
        allowed = (getattr(error, "headers", None) or {}).get("Allow", "")
        if request.method == "OPTIONS":
            reply = HttpReply(204, [(b"allow", allowed.encode()), *identity(call)], b"")
            if call.marks and b"access-control-request-method" in headers:
                reply.headers += _PREFLIGHT
            return response(reply)
        refusal = ProtocolError("method_not_allowed", f"{path}: expected {allowed}, got {request.method}")
        reply = problem(plane.refuse(call, refusal), call)
        reply.headers.append((b"allow", allowed.encode()))
        return response(reply, head=request.method == "HEAD")

    return answer
