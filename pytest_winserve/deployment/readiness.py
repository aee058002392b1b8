"""Readiness: ask with a real request, and keep looking at the program that should answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from pytest_winserve.deployment.contract import READY_RUN, Spec
from pytest_winserve.errors import StartError, StartTimeout
from pytest_winserve.system.exchange import LOOK_EVERY, Answer, Exchanges
from pytest_winserve.system.ports import ADDRESS, Address
from pytest_winserve.system.program import Deadline, Program
from pytest_winserve.system.trust import Trust
from pytest_winserve.tags import REQUEST_HEADER, lab_tag

CONNECT_SECONDS = 5.0
"""How long one try may take to connect; a refused connect alone takes 2 s on Windows."""
SETTLE_SECONDS = 0.5
"""How long a server gets to finish what it writes about a request that failed."""


def first_answer(
    address: Address,
    path: str,
    headers: Mapping[str, str],
    deadline: Deadline,
    look: Callable[[], None],
    trust: Trust | None = None,
) -> Answer:
    """The answer to GET `path` at an address, retried while nobody answers.

    `look` is called again and again, and raises when it is pointless to go on. Raises StartTimeout
    at the deadline, after one try at least; StartError for an answer that has no end.
    """
    while True:
        look()
        with Exchanges(address, look, trust=trust) as exchanges:
            left = max(deadline.left, LOOK_EVERY)
            connect_by = Deadline.after(min(left, CONNECT_SECONDS))
            get = exchanges.get(path, headers, Deadline.after(left), connect_by)
            exchanges.finish()
        if get.endless:
            raise StartError(
                f"the answer to the first request, GET {path}, {get.without('--fast')}"
            )
        if get.answer is not None and get.error is None:
            return get.answer
        if not deadline.left:
            where = "{}:{}".format(*address)
            raise StartTimeout(f"no answer to GET {path} at {where} in time: {get.error}")
        time.sleep(0.01)


def ready_headers(spec: Spec) -> dict[str, str]:
    """The headers of the readiness request of a site."""
    return {**spec.headers, REQUEST_HEADER: lab_tag(READY_RUN)}


def answer_of_app(
    port: int,
    spec: Spec,
    deadline: Deadline,
    look: Callable[[], None],
    program: Program,
    trust: Trust | None = None,
    missed: str = "",
) -> Answer:
    """The answer to the readiness request of a site at a port of this machine. `missed` is said of
    an app that answers it with an error.

    Raises StartTimeout at the deadline; StartError for a 5xx, which is the app's failure to come
    up. Both show the end of the log of `program`.
    """
    path = spec.fast
    try:
        answer = first_answer((ADDRESS, port), path, ready_headers(spec), deadline, look, trust)
    except StartTimeout as error:
        mend = "--start-timeout gives it longer, --fast names another path"
        raise StartTimeout(program.blame(f"{error}; {mend}")) from None
    if answer.status >= 500:
        look()
        time.sleep(SETTLE_SECONDS)
        raise StartError(
            program.blame(
                f"the app answered {answer.status} {answer.reason} to its first request, GET {path}"
                f"{missed}"
            )
        )
    return answer
