"""The ASGI callable that comes first: inference by one dictionary look-up, everything else to FastAPI.

No framework's request, no regular expression and no validation model is between the server and `inference` here. What
a request means is left to `inference`; what is not in the dictionary (an unknown model, another method) to the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

from fivefold.serving.contract_version import ASKED, PREFIX, split
from fivefold.serving.dataplane import Dataplane, defect
from fivefold.serving.http.asgi import Application, Receive, Scope, Send
from fivefold.serving.http.http_errors import HttpReply, deliver, identity, problem
from fivefold.serving.http.inference import HttpCodec, begin, infer

Target = tuple[HttpCodec, str, str | None]
"""The protocol of a path, and the name and version of the model it leads to."""


class Dispatch:
    """An ASGI application; works below a root path, and in any server that speaks ASGI 3."""

    def __init__(self, dataplane: Dataplane, v1: HttpCodec, v2: HttpCodec, rest: Application) -> None:
        self.dataplane = dataplane
        self._rest = rest
        self._protocols = v1, v2
        self.targets = targets(dataplane, v1, v2)
        """Where inference goes, by path."""

    def refresh(self) -> None:
        """Lead to the models that the dataplane has now; with its `replace`, in one step of the event loop."""
        self.targets = targets(self.dataplane, *self._protocols)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        if PREFIX in scope["path"]:
            scope = versioned(scope)
        if scope["method"] == "POST":
            target = self.targets.get(route_path(scope))
            if target is not None:
                reply = await infer(self.dataplane, *target, scope, receive)
                await deliver(reply, send)
                return
        origins = self.dataplane.origins
        if origins is not None and origins.cors and scope["method"] == "OPTIONS":
            headers = dict(scope["headers"])
            asked = origins.preflight("OPTIONS", headers)
            if asked is not None:
                # A browser sends no key with it, so this comes before the guard.
                await deliver(HttpReply(204, [*asked, *identity(begin(self.dataplane, headers))], b""), send)
                return
        begun = False

        async def watched(message: object) -> None:
            nonlocal begun
            begun = True
            await send(message)  # type: ignore[arg-type]  # passed on as it came

        try:
            await self._rest(scope, receive, watched)
        except Exception as cause:
            if begun:
                raise
            call = begin(self.dataplane, dict(scope["headers"]))
            await deliver(problem(self.dataplane.refuse(call, defect(cause)), call), send)


def targets(dataplane: Dataplane, v1: HttpCodec, v2: HttpCodec) -> Mapping[str, Target]:
    """Path -> target, for every model with and without its versions."""
    out: dict[str, Target] = {}
    for name in dataplane.models.names():
        for version in (None, *dataplane.models.versions(name)):
            below = f"{name}/versions/{version}" if version else name
            out[f"/v1/models/{below}:predict"] = (v1, name, version)
            out[f"/v2/models/{below}/infer"] = (v2, name, version)
    return out


def versioned(scope: Scope) -> Scope:
    """A request below `/contracts/VERSION` as the one that it stands for, with the version as its header.

    The path's version goes before a header's, which a proxy may have put there for another one.
    """
    version, rest = split(route_path(scope))
    if version is None:
        return scope
    own = scope["path"]
    before = own[: len(own) - len(route_path(scope))]
    name = ASKED.encode()
    headers = [header for header in scope["headers"] if header[0] != name]
    headers.append((name, version.encode("latin-1", "backslashreplace")))
    return {**scope, "path": before + rest, "raw_path": (before + rest).encode(), "headers": headers}


def route_path(scope: Scope) -> str:
    """The path below the root path. ASGI servers put the root path into `path` too; some hosts do not."""
    path: str = scope["path"]
    root = scope.get("root_path")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :]
    return path
