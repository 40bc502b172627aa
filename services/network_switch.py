"""A network with a switch, for `make run-edge`: a relay to HOST:PORT that ends every connection while a file is there.

python network_switch.py HOST:PORT FILE        prints the address at which it listens
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

LOOK_SECONDS = 0.1


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: tuple[str, int], cut: Path) -> None:
    """Both ways, until one side has ended or the network is cut."""
    try:
        if cut.exists():
            return
        there, back = await asyncio.open_connection(*target)
    except OSError:
        return
    finally:
        if cut.exists():
            writer.transport.abort()
    pumps = [asyncio.ensure_future(pump(reader, back)), asyncio.ensure_future(pump(there, writer))]
    try:
        while not cut.exists():
            done, _ = await asyncio.wait(pumps, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if done:
                break
    finally:
        for task in pumps:
            task.cancel()
        for each in (writer, back):
            each.transport.abort()


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Bytes from one to the other."""
    with contextlib.suppress(OSError):
        while chunk := await source.read(65536):
            sink.write(chunk)
            await sink.drain()


async def main(target: str, cut: Path) -> None:
    """Listen until the process is ended."""
    host, _, port = target.rpartition(":")
    server = await asyncio.start_server(
        lambda reader, writer: relay(reader, writer, (host, int(port)), cut), "127.0.0.1", 0
    )
    address, number = server.sockets[0].getsockname()
    print(f"{address}:{number}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
