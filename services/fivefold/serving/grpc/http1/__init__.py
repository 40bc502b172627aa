"""gRPC's calls with one request and one answer, over HTTP/1.1 from a proxy that speaks HTTP/2 with the clients.

wire          the form of requests and answers: framing, deadline, binary metadata, trailers
connection    one connection of the proxy's
"""
