"""Make the Python modules and the client's descriptors of the `.proto` files.

`python -m fivefold.serving.grpc.generate [DIRECTORY]`

They are committed, so that serving needs no compiler; a test makes them again and compares. What is particular to a
release of the compiler is left to the lock, which names it.
"""

from __future__ import annotations

import sys
from pathlib import Path

SOURCES = ("fivefold/serving/grpc/proto/inference.proto", "fivefold/serving/grpc/proto/model_config.proto")
"""The files, as they are named on their import path and in the descriptors."""


def generate(output: Path) -> None:
    """Write the modules and their type stubs below `output`, which stands for the directory that holds `fivefold`.

    Raises `RuntimeError` where the compiler refuses a file; it says why on the standard error stream.
    """
    from grpc_tools import protoc

    root = Path(__file__).parents[3]
    # The client reads the descriptors into a pool of its own, where no other library's copy of the protocol can clash.
    descriptors = output / "fivefold" / "client" / "inference.binpb"
    descriptors.parent.mkdir(parents=True, exist_ok=True)
    into = [f"--python_out={output}", f"--pyi_out={output}", f"--descriptor_set_out={descriptors}", "--include_imports"]
    arguments = ["protoc", f"--proto_path={root}", *into, *SOURCES]
    if protoc.main(arguments):
        raise RuntimeError("the protobuf compiler refused a file")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[3])
