"""HTTP redirects as answers: what an address redirects to is for the caller to look at, or to refuse.

urllib follows them by itself, to other hosts and to plain http too, and names the address that redirected it.
"""

from __future__ import annotations

import urllib.request
from typing import Any


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A handler for `urllib.request.build_opener`: a redirect ends in `HTTPError` with its own status."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:  # noqa: ARG002  # its shape
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302
