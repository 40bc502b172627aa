"""REST: a dispatch for inference, FastAPI for everything else, one error body for both.

dispatch          the ASGI callable that comes first; answers inference by itself, hands on the rest
inference         one inference over HTTP: headers in, body in, `Dataplane.answer`, reply out
v1  v2            what is particular to records and to the Open Inference Protocol
http_errors       codes to statuses, errors to bodies
routes            every other route as a function from request to reply
openapi_document  the document that describes them; docs shows it
app               the whole application; router, its models for the reader's own
"""

from fivefold.serving.http.app import app
from fivefold.serving.http.router import router

__all__ = ["app", "router"]
