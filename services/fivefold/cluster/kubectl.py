"""The Kubernetes API by way of `kubectl`, as a person reaches it: its context, its login, its errors.

Every way to log in that a kubeconfig may name is kubectl's; nothing of one is read here.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from typing import Any

from fivefold.cluster.kubernetes_api import SECONDS, ApiError, Objects

_REASON = re.compile(r"\((NotFound|AlreadyExists|Forbidden|Unauthorized)\)")
_STATUS = {"NotFound": 404, "AlreadyExists": 409, "Forbidden": 403, "Unauthorized": 401}


@dataclass(frozen=True)
class Kubectl(Objects):
    """The API that kubectl asks, for one namespace; `context` of the kubeconfig, empty: the current one."""

    namespace: str
    context: str = ""
    program: str = "kubectl"

    @classmethod
    def of(cls, namespace: str = "", context: str = "", program: str = "kubectl") -> Kubectl:
        """With the context's own namespace where none is given. Raises `ApiError`."""
        found = cls(namespace, context, program)
        if namespace:
            return found
        given = found._run("config", "view", "--minify", "--output", "jsonpath={..namespace}").strip()
        return cls(given or "default", context, program)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """As `Objects` has it."""
        verb = {"GET": "get", "POST": "create", "PUT": "replace"}[method]
        words = [verb, "--raw", path, *(() if body is None else ("--filename", "-"))]
        try:
            answer: dict[str, Any] = json.loads(self._run(*words, given=None if body is None else json.dumps(body)))
        except ValueError as error:
            raise ApiError(f"{method} {path}: {error}") from None
        return answer

    def _run(self, *words: str, given: str | None = None) -> str:
        """What kubectl prints. Raises `ApiError` with its own words."""
        context = ("--context", self.context) if self.context else ()
        line = [self.program, *context, f"--request-timeout={SECONDS:.0f}s", *words]
        try:
            done = subprocess.run(  # noqa: S603  # the person's own kubectl
                line, input=given, capture_output=True, text=True, timeout=3 * SECONDS
            )
        except FileNotFoundError:
            raise ApiError(f"there is no {self.program} on this machine") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ApiError(f"{self.program}: {error}") from None
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
            reason = _REASON.search(said[-1])
            raise ApiError(f"{self.program}: {said[-1]}", _STATUS[reason[1]] if reason else 0)
        return done.stdout
