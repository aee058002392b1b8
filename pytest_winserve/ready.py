"""Readiness: ask with a real request, and keep looking at the program that should answer."""

from __future__ import annotations

import http.client
import select
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pytest_winserve.errors import StartTimeout
from pytest_winserve.ports import Address
from pytest_winserve.process import Deadline

LOOK_EVERY = 0.05
CONNECT_SECONDS = 5.0  # a refused connect alone takes 2 s on Windows


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, reason and headers (names in lower case) of an answer."""

    status: int
    reason: str
    headers: Mapping[str, str]


def first_answer(
    address: Address,
    path: str,
    headers: Mapping[str, str],
    deadline: Deadline,
    look: Callable[[], None],
) -> Answer:
    """The answer to GET `path` at an address, retried while nobody answers.

    `look` is called at every turn and raises when it is pointless to go on. Raises StartTimeout at
    the deadline, after one try at least.
    """
    while True:
        look()
        connection = http.client.HTTPConnection(*address, timeout=CONNECT_SECONDS)
        try:
            connection.request("GET", path, headers=dict(headers))
            last = "connected, but there was no answer"
            while not select.select([connection.sock], [], [], LOOK_EVERY)[0]:
                look()
                if not deadline.left:
                    break
            else:
                response = connection.getresponse()
                response.read()
                fields = {name.lower(): value for name, value in response.getheaders()}
                return Answer(response.status, response.reason, fields)
        except (OSError, http.client.HTTPException) as error:
            last = str(error) or type(error).__name__
            time.sleep(0.01)
        finally:
            connection.close()
        if not deadline.left:
            where = "{}:{}".format(*address)
            raise StartTimeout(f"no answer to GET {path} at {where} in time: {last}")
