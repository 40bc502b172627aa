"""REST: the lean path for inference, FastAPI for everything else, one error body for both.

lean        the ASGI callable at the front; answers inference by itself, hands on the rest
exchange    one inference over HTTP: headers in, body in, `Serving.answer`, reply out
v1  v2      what is particular to records and to the Open Inference Protocol
problems    codes to statuses, errors to bodies
routes      every other route as a function from request to reply
openapi     the document that describes them; docs shows it
app         the whole application; router, its models for the reader's own
"""

from fivefold.serving.http.app import app
from fivefold.serving.http.router import router

__all__ = ["app", "router"]
