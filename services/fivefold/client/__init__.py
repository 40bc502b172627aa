"""The typed client: one API for HTTP and gRPC, chosen by URL, in a blocking and an async form.

`Client(URL)` and `AsyncClient(URL)` take http, https, grpc and grpcs. What a call does is written once, as a
generator of sends and pauses (`retry`); the two clients only differ in who performs them.
"""

from fivefold.client.calls import Inference, Prediction
from fivefold.client.clients import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "Inference", "Prediction"]
