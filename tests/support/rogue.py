"""A bundle whose model does, when told, what no model should: a number says which."""

from pathlib import Path

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract

NAME = "rogue"

CAUGHT = {
    1: "raise SystemExit(3)",
    2: "raise KeyboardInterrupt",
    3: "raise asyncio.CancelledError",
    4: "raise GeneratorExit",
    5: "signal.raise_signal(signal.SIGINT)",
    6: "os.kill(os.getpid(), signal.SIGTERM)",
    7: "os._exit(1)",
    8: "raise StopIteration",
    9: "raise MemoryError",
    10: "sys.stdout.close(); sys.stderr.close(); raise ValueError",
    11: "os.chdir('/'); sys.setrecursionlimit(100); locale.setlocale(locale.LC_ALL, 'C'); raise ValueError",
    12: "threading.Thread(target=sys.exit).start(); threading.Thread(target=lambda: 1 / 0).start(); raise ValueError",
    13: "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    14: "_thread.interrupt_main(); raise ValueError",
    15: "asyncio.get_event_loop().stop()",
}
"""What is the failure of the one request that asked for it."""

ENDS = 100
"""What nobody in the process can catch."""

_CONTRACT = b"""{"format": 1, "name": "rogue", "version": "1.0.0",
 "inputs": [{"name": "act", "dtype": "int64", "minimum": 0, "maximum": 100}],
 "outputs": [{"name": "act", "dtype": "int64", "minimum": 0, "maximum": 100}]}"""

_HEAD = """
import _thread, asyncio, locale, os, posix, signal, sys, threading

class Rogue:
    def predict(self, columns):
        for act in columns["act"].tolist():
            self.do(act)
        return {"act": columns["act"]}

    def do(self, act):
        if act == 100:
            posix_exit(1)
"""


def bundle(directory: Path) -> Path:
    """The bundle's path."""
    source = _HEAD.replace("import _thread", "from posix import _exit as posix_exit\nimport _thread", 1)
    source += "".join(f"        if act == {act}:\n            {line}\n" for act, line in CAUGHT.items())
    written = Bundle.write(
        directory / NAME,
        contract=Contract.from_json(_CONTRACT),
        model={"model/rogue.py": source.encode()},
        runtime="python",
        entry="rogue:Rogue",
        golden=([{"act": 0}], [{"act": 0}]),
        tolerance=0.0,
    )
    return Path(written.path)
