"""What the server answers beside the dispatch: each route as a function from a request to a reply.

`Interface` knows no framework's application: `app` mounts it in our own, `fivefold.router` in the reader's.
Inference comes through here too where it did not come by the dispatch, and is left to `inference` all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from fivefold.core.errors import AccessError, FivefoldError, NotFound, ProtocolError
from fivefold.guard import Principal
from fivefold.guard.keys import Scope
from fivefold.serving.dataplane import Dataplane, defect
from fivefold.serving.http.answer_compression import asked, fitting
from fivefold.serving.http.asgi import Receive
from fivefold.serving.http.http_errors import JSON, Header, HttpReply, identity, problem, to_bytes
from fivefold.serving.http.inference import HttpCodec, admit, begin, check_accept, check_headers, infer
from fivefold.serving.http.v1 import V1
from fivefold.serving.http.v2 import V2
from fivefold.serving.messages import Call
from fivefold.serving.oip import metadata
from fivefold.serving.repository import Model

Handler = Callable[[Request, Call], Awaitable[HttpReply]]
Endpoint = Callable[[Request], Awaitable[Response]]

_ANY: Final = ("*/*",)
_NOT_CACHED: Final[Header] = (b"cache-control", b"no-cache")


class Interface:
    """The routes of one `Dataplane`. Handlers find name, version and file in the request's path parameters."""

    def __init__(self, dataplane: Dataplane) -> None:
        self.dataplane = dataplane
        self.v1 = V1(dataplane.settings)
        self.v2 = V2(dataplane.settings)

    def model_routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of every route of a model; `{name}` and `{version}` stand for themselves."""
        out: list[tuple[str, str, Endpoint]] = []
        for version in ("", "/versions/{version}"):
            v1, v2 = f"/v1/models/{{name}}{version}", f"/v2/models/{{name}}{version}"
            out += [
                ("POST", f"{v1}:predict", self.inference(self.v1)),
                ("GET", f"{v1}:{{verb}}", self.endpoint(self._verb)),
                ("POST", f"{v1}:{{verb}}", self.endpoint(self._verb)),
                ("POST", f"{v2}/infer", self.inference(self.v2)),
                ("GET", f"{v1}/contract", self.endpoint(self._contract)),
                ("GET", f"{v1}/input-statistics", self.endpoint(self._input_statistics, scope="admin")),
                ("GET", f"{v1}/bundle", self.endpoint(self._bundle, scope="bundles")),
                ("GET", f"{v1}/bundle/{{file:path}}", self.endpoint(self._bundle, _ANY, scope=_of_file)),
                ("GET", v1, self.endpoint(self._status)),
                ("GET", f"{v2}/ready", self.endpoint(self._model_ready)),
                ("GET", f"{v2}/stats", self.endpoint(self._statistics)),
                ("GET", f"{v2}/config", self.endpoint(self._config)),
                ("GET", v2, self.endpoint(self._metadata)),
            ]
        return out

    def server_routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of every route of the server as a whole.

        Probes have no key, so what they ask is open even where there is a guard. So are the metrics, for whoever
        scrapes the pods: they name models and count, and hold nothing of a request. A gateway does not route to them.
        """
        return [
            ("GET", "/livez", self.endpoint(self._live, scope=None, anybody=True)),
            ("GET", "/readyz", self.endpoint(self._ready, scope=None, anybody=True)),
            ("GET", "/metrics", self.endpoint(self._metrics, _ANY, scope=None)),
            ("GET", "/v1/models", self.endpoint(self._models)),
            ("GET", "/v2", self.endpoint(self._server)),
            ("GET", "/v2/", self.endpoint(self._server)),
            ("GET", "/v2/health/live", self.endpoint(self._live, scope=None, anybody=True)),
            ("GET", "/v2/health/ready", self.endpoint(self._ready, scope=None, anybody=True)),
            ("GET", "/v2/models", self.endpoint(self._models)),
            ("GET", "/v2/models/stats", self.endpoint(self._statistics)),
            ("POST", "/v2/repository/index", self.endpoint(self._index)),
            ("POST", "/v2/repository/models/{name}/load", self.endpoint(self._not_implemented, scope="admin")),
            ("POST", "/v2/repository/models/{name}/unload", self.endpoint(self._not_implemented, scope="admin")),
        ]

    def endpoint(
        self,
        handler: Handler,
        produces: tuple[str, ...] = ("application/json",),
        *,
        scope: Scope | Callable[[Request], Scope] | None = "infer",
        anybody: bool = False,
    ) -> Endpoint:
        """A handler with everything around it: limits, request id, the one error body.

        `scope` is what a guard asks for; None: the route is open to everybody. `anybody` may ask by any name and from
        any site, as probes do.
        """

        async def answer(request: Request) -> Response:
            headers = dict(request.scope["headers"])
            call = begin(self.dataplane, headers)
            caller: Principal | None = None
            try:
                check_headers(request.scope, self.dataplane.settings)
                if self.dataplane.origins is not None and not anybody:
                    self.dataplane.origins.check(request.scope, headers)
                if self.dataplane.guard is not None and scope is not None:
                    right = scope(request) if callable(scope) else scope
                    caller = admit(self.dataplane.guard, request.scope, headers, right)
                if produces != _ANY:
                    check_accept(headers, produces)
                coding = asked(headers)
                if coding == "gzip" and "/v2/" in request.url.path:
                    # tritonclient for asyncio asks for it with every request, and reads metadata as it comes.
                    coding = None
                reply = fitting(await handler(request, call), coding)
            except FivefoldError as error:
                reply = problem(self.dataplane.refuse(call, error), call)
            except Exception as cause:
                reply = problem(self.dataplane.refuse(call, defect(cause)), call)
            finally:
                if caller is not None:
                    caller.release()
            return response(reply, head=request.method == "HEAD")

        return answer

    def inference(self, codec: HttpCodec) -> Endpoint:
        """The endpoint of one protocol's inference."""

        async def answer(request: Request) -> Response:
            given = request.path_params
            receive = _replayed(request)
            return response(
                await infer(self.dataplane, codec, given["name"], given.get("version"), request.scope, receive)
            )

        return answer

    def _find(self, request: Request) -> Model:
        return self.dataplane.models.find(request.path_params["name"], request.path_params.get("version"))

    async def _verb(self, request: Request, call: Call) -> HttpReply:
        """Whatever stands behind a model's colon and is not POST `:predict`."""
        verb = request.path_params["verb"]
        if verb == "explain":
            raise ProtocolError("not_implemented", "explanations are not implemented here")
        if verb == "predict":
            error = ProtocolError("method_not_allowed", f"expected POST, got {request.method}")
            reply = problem(self.dataplane.refuse(call, error), call)
            reply.headers.append((b"allow", b"OPTIONS, POST"))
            return reply
        raise NotFound("not_found", f"no verb {verb[:64]!r}", help="predict")

    async def _live(self, _request: Request, call: Call) -> HttpReply:
        return _json(call, {"live": True})

    async def _ready(self, _request: Request, call: Call) -> HttpReply:
        return self._readiness(call)

    async def _model_ready(self, request: Request, call: Call) -> HttpReply:
        self._find(request)
        return self._readiness(call)

    def _readiness(self, call: Call) -> HttpReply:
        reply = _json(call, {"ready": self.dataplane.ready})
        if not self.dataplane.ready:
            reply.status = 503
            reply.headers.append((b"retry-after", b"%d" % max(1, round(self.dataplane.settings.retry_after))))
        return reply

    async def _metrics(self, request: Request, call: Call) -> HttpReply:
        body, media_type = self.dataplane.telemetry.expose(request.headers.get("accept", ""))
        who = (b"x-fivefold-replica", self.dataplane.replica.encode())
        return HttpReply(200, [(b"content-type", media_type.encode()), who, *identity(call)], body)

    async def _models(self, _request: Request, call: Call) -> HttpReply:
        return _json(call, {"models": self.dataplane.models.names()})

    async def _status(self, request: Request, call: Call) -> HttpReply:
        model = self._find(request)
        models = self.dataplane.models
        about = {
            "name": model.name,
            "ready": self.dataplane.ready,
            "version": model.version,
            "versions": models.versions(model.name),
            "default_version": models.default(model.name),
            "bundle": model.bundle.digest,
            "contract": model.metadata["contract"],
            "contracts": list(model.views),
            "runtime": model.bundle.manifest.runtime,
        }
        return _json(call, about)

    async def _contract(self, request: Request, call: Call) -> HttpReply:
        return _tagged(request, call, self._find(request).view_of(call.contract).contract.to_bytes(), json=True)

    async def _bundle(self, request: Request, call: Call) -> HttpReply:
        open_to_all = self.dataplane.settings.bundles_open or _of_file(request) == "infer"
        if self.dataplane.guard is None and not open_to_all:
            raise AccessError(
                "forbidden",
                "the bundles' files are not given out",
                help="start the server with FIVEFOLD_SERVE_BUNDLES=true; the contract is at …/contract",
            )
        return self._file(request, call, self._find(request), request.path_params.get("file", "bundle.json"))

    def _file(self, request: Request, call: Call, model: Model, name: str) -> HttpReply:
        """A file of the bundle."""
        try:
            body = model.bundle.read(name)
        except KeyError:
            raise NotFound(
                "not_found", f"the bundle has no file {name[:128]!r}", help=", ".join(model.bundle.names()[:8])
            ) from None
        return _tagged(request, call, body, json=name.endswith(".json"))

    async def _server(self, _request: Request, call: Call) -> HttpReply:
        return _json(call, metadata.server_metadata())

    async def _metadata(self, request: Request, call: Call) -> HttpReply:
        model = self._find(request)
        versions = self.dataplane.models.versions(model.name)
        return _json(call, metadata.model_metadata(model, model.view_of(call.contract), versions))

    async def _config(self, request: Request, call: Call) -> HttpReply:
        model = self._find(request)
        return _json(call, metadata.model_config(model, model.view_of(call.contract), self.dataplane.settings.max_rows))

    async def _statistics(self, request: Request, call: Call) -> HttpReply:
        models = list(self.dataplane.models)
        if "name" in request.path_params:
            asked = self._find(request)
            every = "version" not in request.path_params
            models = [model for model in models if model is asked or (every and model.name == asked.name)]
        stats = [metadata.model_statistics(model) for model in models]
        return _json(call, {"model_stats": stats, "parameters": {"replica": self.dataplane.replica}})

    async def _input_statistics(self, request: Request, call: Call) -> HttpReply:
        model = self._find(request)
        inputs = self.dataplane.inputs
        if inputs is None:
            help = "FIVEFOLD_INPUT_STATISTICS=true turns them on"
            raise NotFound("not_found", "what comes in is not counted here", help=help)
        about = {"model": model.name, "version": model.version, "replica": self.dataplane.replica}
        return _json(call, about | inputs.of(model).to_json())

    async def _index(self, _request: Request, call: Call) -> HttpReply:
        return _json(call, metadata.repository_index(self.dataplane))

    async def _not_implemented(self, _request: Request, _call: Call) -> HttpReply:
        raise ProtocolError(
            "not_implemented",
            "loading and unloading are not implemented here",
            help="start the server with the models that it should serve",
        )


def _of_file(request: Request) -> Scope:
    """The scope that a bundle's file needs. The contract says how to ask, so whoever may ask reads it here too."""
    return "infer" if request.path_params.get("file") == "contract.json" else "bundles"


def response(reply: HttpReply, *, head: bool = False) -> Response:
    """A reply as Starlette's response; without its body for HEAD."""
    out = Response(b"" if head else reply.body, reply.status)
    varies = [value for name, value in reply.headers if name == b"vary"]
    out.raw_headers = list(reply.headers)
    if len(varies) > 1:
        out.raw_headers = [header for header in reply.headers if header[0] != b"vary"]
        out.raw_headers.append((b"vary", b", ".join(dict.fromkeys(varies))))
    if reply.status not in (204, 304):
        out.raw_headers.append((b"content-length", b"%d" % len(reply.body)))
    return out


def allow(methods: str, call: Call) -> HttpReply:
    """The answer to OPTIONS: what the path takes."""
    return HttpReply(204, [(b"allow", methods.encode()), *identity(call)], b"")


def _tagged(request: Request, call: Call, body: bytes, *, json: bool) -> HttpReply:
    """A file whose digest is its ETag, so that a device fetches only what it lacks."""
    etag = f'"{hashlib.sha256(body).hexdigest()}"'
    headers = [(b"etag", etag.encode()), _NOT_CACHED, *identity(call)]
    wanted = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in wanted or "*" in wanted:
        return HttpReply(304, headers, b"")
    return HttpReply(200, [JSON if json else (b"content-type", b"application/octet-stream"), *headers], body)


def _json(call: Call, value: Any) -> HttpReply:
    return HttpReply(200, [JSON, *identity(call)], to_bytes(value))


def _replayed(request: Request) -> Receive:
    """The request's messages, also where a dependency of the reader's has taken in the body already."""
    body: bytes | None = getattr(request, "_body", None)
    if body is None:
        return request.receive
    given = False

    async def receive() -> Any:
        nonlocal given
        if given:
            return await request.receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
