"""torch is in no environment but its own, where `make test-full` runs the tests that need it."""

import importlib.util

from tests.support import programs

collect_ignore = []

if importlib.util.find_spec("torch") is None:
    programs.environment("torch", "torch modules, packed")
    collect_ignore.append("test_torch.py")

NODE = programs.node("packed models on the browser's runtime")
RUNTIME = programs.web_runtime("packed models on the browser's runtime")

if NODE is None or RUNTIME is None:
    collect_ignore.append("test_wasm.py")
