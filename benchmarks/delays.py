"""A server whose answers take known times: log-normal, median 40 ms, p99 about 130 ms.

usage: python benchmarks/delays.py; prints its port and serves until its input closes.
"""

from __future__ import annotations

import asyncio
import math
import random
import sys

MEDIAN, SIGMA = 0.040, 0.5


class Answering(asyncio.Protocol):
    """One connection; each request is answered after a delay drawn for it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        delay = self.chance.lognormvariate(math.log(MEDIAN), SIGMA)
        asyncio.get_running_loop().call_later(delay, self.answer)

    def answer(self) -> None:
        # ab speaks HTTP/1.0 and keeps a connection only when it is told so.
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
        )


async def serve() -> None:
    loop = asyncio.get_running_loop()
    chance = random.Random(1)
    server = await loop.create_server(lambda: Answering(chance), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
