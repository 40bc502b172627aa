"""The Kubernetes API as a pod sees it: read, list, make and change objects of a few kinds in its own namespace.

Four calls need no client library. What is in the objects is left to `secrets`, `rayjob`, `rerun` and `rayservice`,
which of them the pod's account may touch to the chart's Roles, and a person's way to the API to `kubectl`.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts a pod's token, its namespace and the API's certificate authority."""

SECONDS = 20.0


class Kind(NamedTuple):
    """Where the API keeps the objects of a kind: their group with its version, and their name in the plural."""

    group: str
    plural: str


SECRET = Kind("/api/v1", "secrets")
JOB = Kind("/apis/batch/v1", "jobs")
CRONJOB = Kind("/apis/batch/v1", "cronjobs")
RAYJOB = Kind("/apis/ray.io/v1", "rayjobs")
RAYSERVICE = Kind("/apis/ray.io/v1", "rayservices")


class ApiError(Exception):
    """The API cannot be reached, or refused; the message says what was asked and what it answered."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Objects(ABC):
    """Objects of one namespace, however the API is reached."""

    namespace: str

    def read(self, kind: Kind, name: str) -> dict[str, Any] | None:
        """An object as the API gives it, or None where there is none. Raises `ApiError`."""
        try:
            return self.call("GET", self._path(kind, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def find(self, kind: Kind, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """The objects that have these labels. Raises `ApiError`."""
        selector = urllib.parse.quote(",".join(f"{name}={value}" for name, value in labels.items()))
        found = self.call("GET", f"{self._path(kind)}?labelSelector={selector}")
        return list(found.get("items") or ())

    def create(self, kind: Kind, item: dict[str, Any]) -> bool:
        """Make an object; False where one of its name is there already. Raises `ApiError`."""
        try:
            self.call("POST", self._path(kind), item)
        except ApiError as error:
            if error.status == 409:
                return False
            raise
        return True

    def replace(self, kind: Kind, item: dict[str, Any]) -> None:
        """Put an object in the place of the one that was read. Raises `ApiError`, where it has changed since, too."""
        self.call("PUT", self._path(kind, item["metadata"]["name"]), item)

    @abstractmethod
    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the API, and give its answer. Raises `ApiError`, with the status that it answered."""

    def _path(self, kind: Kind, name: str = "") -> str:
        return f"{kind.group}/namespaces/{self.namespace}/{kind.plural}{name and '/'}{name}"


@dataclass(frozen=True)
class Api(Objects):
    """The API at `url`, for one namespace. `token` is read anew for each call: the kubelet replaces it."""

    url: str
    namespace: str
    token: Path
    authority: Path | None = None

    @classmethod
    def of_pod(cls, account: Path = ACCOUNT) -> Api:
        """The API of the cluster that this process runs in; raises `ApiError` outside of one."""
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        try:
            namespace = (account / "namespace").read_text().strip()
        except OSError:
            namespace = ""
        if not host or not namespace:
            raise ApiError(f"expected to run in a pod with an account, found no {account}")
        place = f"[{host}]" if ":" in host else host
        return cls(f"https://{place}:{port}", namespace, account / "token", account / "ca.crt")

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """As `Objects` has it."""
        headers = {"authorization": f"Bearer {self.token.read_text().strip()}", "content-type": "application/json"}
        request = urllib.request.Request(  # noqa: S310  # the cluster's own address
            self.url + path, json.dumps(body).encode() if body else None, headers, method=method
        )
        context = ssl.create_default_context(cafile=self.authority) if self.authority else None
        handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=SECONDS) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                raise ApiError(f"{method} {path}: {error.code} {error.reason}{_why(error)}", error.code) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            # Also an answer that breaks off.
            raise ApiError(f"{method} {path}: {error}") from None


def _why(error: urllib.error.HTTPError) -> str:
    """What the API says beside its status: which field it does not like, or whom it does not let in."""
    try:
        answer = json.load(error)
    except (OSError, http.client.HTTPException, ValueError):
        return ""
    message = answer.get("message") if isinstance(answer, dict) else None
    return f": {message}" if message else ""
