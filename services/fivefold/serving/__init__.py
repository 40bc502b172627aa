"""Serving: one process answers, by HTTP and by gRPC, whoever started it. Ray is nowhere in sight here.

`dataplane` is the path of every request; `http` and `grpc` turn bytes into requests and answers into bytes.
"""
