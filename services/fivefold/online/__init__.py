"""Online serving: one path (`serving`), two transports (`http`, `grpc`), one host (`host`), one page (`page`).

Every transport decodes a request to columns, hands it to `serving.Serving` and encodes the answer. Nothing about a
model and no rule about data lives here; both are core's.
"""
