"""The pure core: contracts, columns, bundles, the scorer, errors and the telemetry vocabulary.

It imports numpy, the model runtime and a decoder; never Ray, a web framework, gRPC or Kafka. Every pattern decodes to
columns, calls the one scorer and encodes; nothing about a model and no rule about data lives outside this package.
"""
