"""The whole HTTP application: the dispatch in front, FastAPI behind it, the page and the documentation.

The host runs what `app` gives, and so does any ASGI server. Opening bundles and building the `Dataplane` is left to the
host; routes for the reader's own FastAPI application are `fivefold.router`'s.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from fivefold.core.errors import FivefoldError, NotFound, ProtocolError
from fivefold.guard import Guard
from fivefold.serving import page
from fivefold.serving.dataplane import Dataplane, defect
from fivefold.serving.http import docs, openapi_document
from fivefold.serving.http.answer_compression import asked, compress, fitting, taken, vary
from fivefold.serving.http.dispatch import Dispatch
from fivefold.serving.http.http_errors import JSON, Header, HttpReply, identity, problem, to_bytes
from fivefold.serving.http.inference import admit, begin
from fivefold.serving.http.page_runtime import CONTENT_SECURITY_POLICY, PageRuntime, RuntimeFile, page_runtime
from fivefold.serving.http.routes import Endpoint, Handler, Interface, allow, response
from fivefold.serving.limits import ServingLimits
from fivefold.serving.messages import Call

Route = tuple[str, str, Endpoint]
"""Method, path and endpoint."""

Files = dict[str, tuple[bytes, list[Header]]]
"""What never changes: path -> body and headers."""

_JSON_ALONE: Final = ("application/json",)

_HTML: Final[Header] = (b"content-type", b"text/html; charset=utf-8")
_CAREFUL: Final[list[Header]] = [
    (b"x-content-type-options", b"nosniff"),
    # An address that leads here may hold credentials, and no other site is to hear of it.
    (b"referrer-policy", b"no-referrer"),
]
_BY_ACCEPT: Final[Header] = (b"vary", b"accept")


def app(
    dataplane: Dataplane, settings: ServingLimits, *, more: Callable[[Interface], Iterable[Route]] = lambda _: ()
) -> Dispatch:
    """The ASGI application of a `Dataplane`; it works below a root path. `more` gives routes of the host's own."""
    interface = Interface(dataplane)
    # Our own document and documentation page stand in for FastAPI's, whose page loads its scripts from a CDN.
    framework = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for method, path, endpoint in (*interface.server_routes(), *interface.model_routes()):
        _add(framework, method, path, endpoint)
    any_type = ("*/*",)
    runtime = page_runtime(settings.page_runtime) if settings.page and settings.page_runtime else None
    bundles = dataplane.guard is not None or dataplane.settings.bundles_open
    files = _page(settings, bundles=bundles, runtime=runtime)
    page = files.pop("/", None)
    _add(framework, "GET", "/", interface.endpoint(_root(page), any_type if page else _JSON_ALONE, scope=None))
    for path, (body, headers) in files.items():
        _add(framework, "GET", path, interface.endpoint(_fixed(body, headers), any_type, scope=None))
    for path, file in runtime.files.items() if runtime else ():
        _add(framework, "GET", path, interface.endpoint(_unchanging(file), any_type, scope=None))
    documentation = Documentation(dataplane)
    for path in documentation.paths:
        _add(framework, "GET", path, interface.endpoint(documentation.handler(path), any_type, scope=None))
    for method, path, endpoint in more(interface):
        _add(framework, method, path, endpoint)
    framework.add_exception_handler(HTTPException, _refused(dataplane))
    framework.add_exception_handler(Exception, _unexpected(dataplane))
    return Dispatch(dataplane, interface.v1, interface.v2, framework)


def _add(framework: FastAPI, method: str, path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> None:
    methods = ["GET", "HEAD"] if method == "GET" else [method]
    framework.add_api_route(path, endpoint, methods=methods, response_model=None)


class Documentation:
    """What describes the server, made anew when it has other models."""

    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        self._models = dataplane.models
        self._handlers = _documentation(dataplane)
        self.paths = tuple(self._handlers)

    def handler(self, path: str) -> Handler:
        """What answers at one of `paths`."""

        async def answer(request: Request, call: Call) -> HttpReply:
            if self._models is not self._dataplane.models:
                self._models = self._dataplane.models
                self._handlers = _documentation(self._dataplane)
            return await self._handlers[path](request, call)

        return answer


def _documentation(dataplane: Dataplane) -> dict[str, Handler]:
    """What describes the server, for programs and for people."""
    whole = {path: _fixed(*file) for path, file in _described(openapi_document.document(dataplane)).items()}
    if dataplane.guard is None:
        return whole
    part = _described(openapi_document.document(dataplane, models=False))
    plain = _described(without_examples(openapi_document.document(dataplane)))
    return {
        path: _more_for_who_is_known(dataplane.guard, whole[path], _fixed(*plain[path]), _fixed(*file))
        for path, file in part.items()
    }


def _described(document: dict[str, Any]) -> Files:
    """The document as JSON and as a page."""
    policy = docs.CONTENT_SECURITY_POLICY.encode()
    return {
        "/openapi.json": (to_bytes(document), [JSON]),
        "/docs": (docs.render(document), [_HTML, (b"content-security-policy", policy)]),
    }


def _page(settings: ServingLimits, *, bundles: bool, runtime: PageRuntime | None) -> Files:
    """The page for people, where it is wanted. It is open to everybody and holds no model: it asks for those."""
    if not settings.page:
        return {}
    policy = (b"content-security-policy", page.CONTENT_SECURITY_POLICY.encode())
    return {
        path: (body, [(b"content-type", media_type.encode()), policy, (b"cache-control", b"no-cache")])
        for path, (body, media_type) in page.files(
            settings.grpc,
            bundles=bundles,
            runtime=runtime.told if runtime else None,
            input_statistics=settings.input_statistics,
        ).items()
    }


def without_examples(value: Any) -> Any:
    """A document without the examples of its bodies, which are golden rows."""
    if isinstance(value, list):
        return [without_examples(item) for item in value]
    if not isinstance(value, dict):
        return value
    body = "schema" in value
    return {name: without_examples(item) for name, item in value.items() if not (body and name == "example")}


def _more_for_who_is_known(guard: Guard, whole: Handler, plain: Handler, part: Handler) -> Handler:
    """The whole for who may read contracts and bundles, `plain` for who may read contracts. Who shows no key, as a
    browser does not, gets the part without models."""

    async def answer(request: Request, call: Call) -> HttpReply:
        headers = dict(request.scope["headers"])
        named = b"authorization" in headers or b"x-api-key" in headers
        chosen = part
        if named:
            caller = admit(guard, request.scope, headers, "infer")
            caller.release()
            chosen = whole if "bundles" in caller.scopes else plain
        reply = await chosen(request, call)
        vary(reply, b"authorization, x-api-key")
        reply.headers.append((b"cache-control", b"private, no-cache"))
        return reply

    return answer


def _root(page: tuple[bytes, list[Header]] | None) -> Handler:
    """What stands at `/`: the page for who names HTML, as browsers do; for all others V1's liveness.

    KServe's V1 client asks there whether the server lives, and takes any media type.
    """
    alive = _fixed(to_bytes({"status": "alive"}), [JSON, _BY_ACCEPT])
    if page is None:
        return alive
    body, headers = page
    shown = _fixed(body, [*headers, _BY_ACCEPT])

    async def answer(request: Request, call: Call) -> HttpReply:
        named = "text/html" in request.headers.get("accept", "").lower()
        return await (shown if named else alive)(request, call)

    return answer


def _fixed(body: bytes, headers: list[Header]) -> Handler:
    packed = cache(lambda: compress(body))

    async def answer(request: Request, call: Call) -> HttpReply:
        reply = HttpReply(200, [*headers, *_CAREFUL, *identity(call)], body)
        return fitting(reply, asked(dict(request.scope["headers"])), packed)

    return answer


def _unchanging(file: RuntimeFile) -> Handler:
    """A file that is compressed already and may be kept for good: another one has another address."""
    always: list[Header] = [
        (b"content-type", file.media_type.encode()),
        (b"cache-control", b"public, max-age=31536000, immutable"),
        (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
        *_CAREFUL,
    ]

    async def answer(request: Request, call: Call) -> HttpReply:
        coding = taken(dict(request.scope["headers"]), file.packed)
        reply = HttpReply(200, [*always, *identity(call)], file.body if coding is None else file.packed[coding])
        if coding is not None:
            reply.headers.append((b"content-encoding", coding.encode()))
        vary(reply)
        return reply

    return answer


def _refused(dataplane: Dataplane) -> Callable[[Request, Exception], Awaitable[Response]]:
    """What the framework refuses by itself, in our words: no such route, or not with this method."""

    async def answer(request: Request, error: Exception) -> Response:
        call = begin(dataplane, dict(request.scope["headers"]))
        status = getattr(error, "status_code", HTTPStatus.INTERNAL_SERVER_ERROR)
        path = request.url.path[:128]
        refusal: FivefoldError
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            given = (getattr(error, "headers", None) or {}).get("Allow", "")
            methods = ", ".join(sorted({"OPTIONS", *filter(None, given.replace(" ", "").split(","))}))
            if request.method == "OPTIONS":
                return response(allow(methods, call))
            refusal = ProtocolError(
                "method_not_allowed", f"{request.method} {path}: expected {methods}, got {request.method}"
            )
            reply = problem(dataplane.refuse(call, refusal), call)
            reply.headers.append((b"allow", methods.encode()))
        elif status == HTTPStatus.NOT_FOUND:
            refusal = NotFound("not_found", f"no route {path}", help=_way(path))
            reply = problem(dataplane.refuse(call, refusal), call)
        else:
            reply = problem(dataplane.refuse(call, defect(error)), call)
        return response(reply, head=request.method == "HEAD")

    return answer


def _way(path: str) -> str:
    """What may help who asked for a path that is none: the slashes that no route has, or the list of routes."""
    tidy = "/" + "/".join(filter(None, path.split("/")))
    # A 404 is never answered by a redirect: clients follow those without the body, or with a key to elsewhere.
    return "the routes are at /docs" if tidy == path else f"did you mean {tidy}? the routes are at /docs"


def _unexpected(dataplane: Dataplane) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        call = begin(dataplane, dict(request.scope["headers"]))
        return response(problem(dataplane.refuse(call, defect(error)), call), head=request.method == "HEAD")

    return answer
