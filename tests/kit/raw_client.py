"""A client that sees how a connection ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tests.kit.waiting import WAIT_SECONDS


@dataclass(frozen=True, slots=True)
class Reply:
    """What a raw connection brought, and how it ended: `end`, `reset` or `timeout`."""

    data: bytes
    ended: str

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def raw_body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def body(self) -> bytes:
        """The body without the frame of its chunks; as far as it came."""
        if self.headers.get("transfer-encoding") != "chunked":
            return self.raw_body
        body, rest = b"", self.raw_body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return body


def exchange(
    port: int,
    path: str,
    timeout: float = WAIT_SECONDS,
    *,
    method: str = "GET",
    body: bytes | None = None,
) -> Reply:
    """A request on a connection of its own, read until it ends."""

    async def ask() -> Reply:
        # Not recv(), which Wine has return the end for a reset that came before it was called.
        async with asyncio.timeout(WAIT_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"
        if body is not None:
            head += f"Content-Length: {len(body)}\r\n"
        writer.write(head.encode("ascii") + b"\r\n" + (body or b""))
        data = b""
        try:
            while part := await asyncio.wait_for(reader.read(65536), timeout):
                data += part
        except ConnectionResetError:
            return Reply(data, "reset")
        except TimeoutError:
            return Reply(data, "timeout")
        finally:
            writer.close()
        return Reply(data, "end")

    return asyncio.run(ask())
