"""Readiness: ask with a real request, and keep looking at the program that should answer."""

from __future__ import annotations

import http.client
import select
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pytest_winserve.deployment.contract import READY_RUN
from pytest_winserve.errors import StartError, StartTimeout
from pytest_winserve.system.ports import ADDRESS, Address
from pytest_winserve.system.program import Deadline, Program
from pytest_winserve.tags import REQUEST_HEADER, lab_tag

LOOK_EVERY = 0.05
SETTLE_SECONDS = 0.5
"""How long a server gets to finish what it writes about a request that failed."""
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


def answer_of_app(
    port: int, path: str, deadline: Deadline, look: Callable[[], None], program: Program
) -> Answer:
    """The answer to the readiness request GET `path` at a port of this machine.

    Raises StartTimeout at the deadline; StartError for a 5xx, which is the app's failure to come
    up. Both show the end of the log of `program`.
    """
    headers = {REQUEST_HEADER: lab_tag(READY_RUN)}
    try:
        answer = first_answer((ADDRESS, port), path, headers, deadline, look)
    except StartTimeout as error:
        raise StartTimeout(program.blame(str(error))) from None
    if answer.status >= 500:
        look()
        time.sleep(SETTLE_SECONDS)
        raise StartError(
            program.blame(
                f"the app answered {answer.status} {answer.reason} to its first request, GET {path}"
            )
        )
    return answer
