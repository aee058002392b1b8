"""Where a process listens."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress

from pytest_winserve.system.ports import Address
from pytest_winserve.system.windows import tells_who_listens

LISTEN, TIME_WAIT = "0A", "06"  # TCP_LISTEN, TCP_TIME_WAIT of the kernel's net/tcp_states.h
TABLES = (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6))


def listeners_of(pid: int) -> set[Address] | None:
    """The TCP addresses at which this process listens; None where the system does not tell.

    On Linux without psutil: a site is up sooner without it, and a backend does not have it.
    """
    if sys.platform == "linux":
        try:
            return _by_proc(pid)
        except OSError:
            return None
    else:
        return _by_psutil(pid) if tells_who_listens() else None


def _by_psutil(pid: int) -> set[Address] | None:
    import psutil

    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return None
    return {(c.laddr.ip, c.laddr.port) for c in connections if c.status == psutil.CONN_LISTEN}


def _by_proc(pid: int) -> set[Address]:
    own = set()
    with os.scandir(f"/proc/{pid}/fd") as descriptors:
        for descriptor in descriptors:
            with suppress(FileNotFoundError):  # closed meanwhile
                own.add(os.readlink(descriptor))  # noqa: PTH115 - `socket:[INODE]`
    found = set()
    for table, family in TABLES:
        with suppress(FileNotFoundError), open(f"/proc/{pid}/net/{table}") as lines:  # noqa: PTH123
            for line in lines:
                fields = line.split()
                # Who listens comes first. A load leaves tens of thousands of closed connections,
                # and to make their lines costs the kernel longer than all the rest.
                if fields[3] == TIME_WAIT:
                    break
                if fields[3] == LISTEN and f"socket:[{fields[9]}]" in own:
                    found.add(_address(fields[1], family))
    return found


def _address(text: str, family: int) -> Address:
    """`0100007F:1F90`: words of 32 bits in this machine's order, and the port."""
    words, _, port = text.partition(":")
    parts = (int(words[at : at + 8], 16) for at in range(0, len(words), 8))
    packed = b"".join(part.to_bytes(4, sys.byteorder) for part in parts)
    return socket.inet_ntop(family, packed), int(port, 16)
