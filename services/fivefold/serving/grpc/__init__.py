"""gRPC: the Open Inference Protocol with Triton's stream, the standard health service, one error form for all.

servicer      the services' methods; where they are put on a server
call          what is the same in every call, whatever it comes by
http1/        the methods with one answer over HTTP/1.1, behind a proxy that ends HTTP/2
tensor_codec  protobuf tensors to the contract's and back
bidi_stream   one bidirectional stream: order, limit, drain
control       metadata, configuration, statistics, the repository
health        grpc.health.v1, for the server, each model and each version
grpc_errors   codes to gRPC statuses, errors to statuses with details
grpc_server   a plain server, for tests and for use without Ray
proto/        the wire, and what `generate` makes from it
"""
