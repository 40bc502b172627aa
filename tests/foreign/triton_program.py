"""NVIDIA's tritonclient as its users write it, over HTTP and over gRPC in one process. See `steps`."""

import triton_grpc  # noqa: F401  # importing registers its steps
import triton_http  # noqa: F401
from steps import main

if __name__ == "__main__":
    main()
