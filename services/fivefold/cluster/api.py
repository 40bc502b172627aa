"""The Kubernetes API as a pod sees it: read, make and change Secrets in its own namespace.

Three calls need no client library. What is in the Secrets is left to `fivefold.cluster.secrets`.
"""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts a pod's token, its namespace and the API's certificate authority."""

SECONDS = 20.0


class ApiError(Exception):
    """The API cannot be reached, or refused; the message says what was asked and what it answered."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Api:
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

    def secret(self, name: str) -> dict[str, Any] | None:
        """A Secret as the API gives it, or None where there is none. Raises `ApiError`."""
        try:
            return self._call("GET", name)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def create(self, secret: dict[str, Any]) -> bool:
        """Make a Secret; False where somebody else has made it meanwhile. Raises `ApiError`."""
        try:
            self._call("POST", "", secret)
        except ApiError as error:
            if error.status == 409:
                return False
            raise
        return True

    def replace(self, secret: dict[str, Any]) -> None:
        """Put a Secret in the place of the one that was read. Raises `ApiError`, where it has changed since, too."""
        self._call("PUT", secret["metadata"]["name"], secret)

    def _call(self, method: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        path = f"/api/v1/namespaces/{self.namespace}/secrets{name and '/'}{name}"
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
                raise ApiError(f"{method} {path}: {error.code} {error.reason}", error.code) from None
        except OSError as error:
            raise ApiError(f"{method} {path}: {error}") from None
