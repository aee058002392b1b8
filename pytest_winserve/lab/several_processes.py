"""Does an app survive several processes? Its keys, its cookies, and what each process has alone.

What is certain to lose users is told apart from what may be harmless.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PureWindowsPath  # takes both kinds of paths
from urllib.parse import urlsplit

import requests

from pytest_winserve.backend.own_state import OwnState
from pytest_winserve.lab.client import Client
from pytest_winserve.system.header_fields import value_of
from pytest_winserve.system.trust import Trust
from pytest_winserve.tags import BACKEND_HEADER, PROCESS_HEADER, REQUEST_HEADER, STATE_TAG

TIMEOUT = 30.0
AT_ONCE = 4
"""Requests under way at a time for each process: so the processes of one server all get some."""
ROUNDS = 5
"""How often they are sent, until each process has answered twice."""
SHOWN = 4
"""Cookies and files that are named at most."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in the `processes` that answered. `lost` are the reasons why users are lost;
    `apart` is what each process has for itself and one process would have once; `told` what else
    it has."""

    processes: int
    lost: tuple[str, ...]
    apart: tuple[str, ...]
    told: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer says to a browser: `renewed` are the cookies it sets, `who` is its process."""

    who: str
    status: int
    place: str
    cookies: tuple[tuple[str, str], ...]

    @property
    def renewed(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.cookies)

    def like(self, other: Answer) -> bool:
        """Whether it is the same page, for the same user."""
        return (self.status, self.place) == (other.status, other.place) and (
            self.renewed <= other.renewed
        )


def ask(
    url: str,
    path: str,
    tag: str,
    run: Mapping[str, str],
    cookies: Sequence[tuple[str, str]] = (),
    trust: Trust | None = None,
) -> Answer:
    """One GET on a connection of its own with the headers of the run, no redirect followed, the
    body not read."""
    headers = {REQUEST_HEADER: tag, "Connection": "close"}
    if cookies:
        own = filter(None, [value_of(run, "Cookie")])
        headers["Cookie"] = "; ".join([*own, *(f"{name}={value}" for name, value in cookies)])
    with Client(url, run, trust) as client:
        # Every cookie goes back, also one for HTTPS only.
        answer = client.get(
            path, headers=headers, timeout=TIMEOUT, allow_redirects=False, stream=True
        )
        with answer:
            pid = answer.headers.get(PROCESS_HEADER, "").partition(".")[0]
            backend = answer.headers.get(BACKEND_HEADER, "").rpartition(".")[2]
            place = urlsplit(answer.headers.get("Location", ""))
            return Answer(
                f"backend {backend}, pid {pid}" if pid else url,
                answer.status_code,
                # Without host and port, which differ between backends that are asked directly.
                place._replace(scheme="", netloc="").geturl(),
                tuple(_cookies(answer)),
            )


def _cookies(answer: requests.Response) -> Iterator[tuple[str, str]]:
    for text in answer.raw.headers.getlist("Set-Cookie"):
        first, *attributes = (part.strip() for part in text.split(";"))
        name, _, value = first.partition("=")
        if value and "max-age=0" not in (each.lower().replace(" ", "") for each in attributes):
            yield name, value


def in_turns(
    urls: Sequence[str],
    path: str,
    tag: str,
    processes: int,
    run: Mapping[str, str],
    cookies: Sequence[tuple[str, str]] = (),
    trust: Trust | None = None,
) -> dict[str, list[Answer]]:
    """The answers of each process, until each of so many has given two."""
    found: dict[str, list[Answer]] = {}
    each = max(1, AT_ONCE * processes // len(urls))
    with ThreadPoolExecutor(each * len(urls)) as pool:
        for _ in range(ROUNDS):
            for answer in pool.map(
                lambda url: ask(url, path, tag, run, cookies, trust), [*urls] * each
            ):
                found.setdefault(answer.who, []).append(answer)
            # More than there are, where each request has a process of its own.
            each_twice = all(len(answers) > 1 for answers in found.values())
            if len(found) > processes or (len(found) == processes and each_twice):
                break
    return found


def lost_cookies(
    urls: Sequence[str],
    path: str,
    tag: str,
    processes: int,
    run: Mapping[str, str],
    trust: Trust | None = None,
) -> str | None:
    """Why the cookies that one process sets with GET `path` are not understood by another one; None
    when they are, or when nothing can be concluded."""
    try:
        first = ask(urls[0], path, tag, run, trust=trust)
        if not first.cookies:
            return None
        found = in_turns(urls, path, tag, processes, run, first.cookies, trust)
    except requests.RequestException:
        return None
    own = found.pop(first.who, [])
    # An app may set a cookie with each answer, or answer by chance: then nothing is concluded.
    if not own or not all(each.like(own[0]) and own[0].like(each) for each in own):
        return None
    others = [answers for answers in found.values() if not any(a.like(own[0]) for a in answers)]
    if not others:
        return None
    names = ", ".join(dict.fromkeys(name for name, _ in first.cookies[:SHOWN]))
    return (
        f"the cookies of one process are not understood by others: {first.who} set {names} with "
        f"GET {path}, and {_of(len(others), len(found))} to that "
        f"{_otherwise(others[0][0], own[0])}. Keep sessions where every process sees them (a "
        "database, Redis, a signed cookie), or each user at one process, by front.sticky=true"
    )


def _of(count: int, others: int) -> str:
    if others == 1:
        return "the other process answers"
    return f"{count} of {others} other processes answer"


def _otherwise(answer: Answer, own: Answer) -> str:
    if answer.status != own.status:
        return f"with {answer.status} instead of {own.status}"
    if answer.place != own.place:
        return f"by leading to {answer.place} instead of {own.place}"
    return f"by setting {', '.join(sorted(answer.renewed - own.renewed))} anew, as for a stranger"


def keys_that_differ(states: Sequence[OwnState]) -> list[str]:
    """The keys that are not the same in every process."""
    names = dict.fromkeys(name for state in states for name in state.keys)
    return [name for name in names if len({state.keys.get(name) for state in states}) > 1]


def judged(
    states: Sequence[OwnState], cookies: Iterable[str], *, keeps_users: bool, processes: int
) -> Findings:
    """The findings, of what the processes have and why cookies are lost. With `keeps_users` each
    user meets one process only, as long as that lives."""
    lost, told = list(cookies), []
    for name in keys_that_differ(states):
        text = f"{name} is another one in each process, made anew when it starts"
        if keeps_users:
            told.append(f"{text}: whoever's process ends loses the session")
        else:
            lost.insert(0, f"{text}: what one signs (sessions, tokens of forms) the others refuse. "
                           "Give all of them one key, from the environment or a file")  # fmt: skip
    if 0 < len(states) < processes:
        told.append(f"{len(states)} of {processes} processes were looked at; the others did not "
                    "answer")  # fmt: skip
    return Findings(len(states), tuple(lost), tuple(_apart(states)), (*told, *_own(states)))


def _apart(states: Sequence[OwnState]) -> Iterator[str]:
    """What several processes have where one would have it once."""
    schedulers = Counter(thread for state in states for thread in set(state.threads)
                         if thread.schedules)  # fmt: skip
    for thread, count in schedulers.items():
        if count > 1:
            yield (
                f"{_each(count, states)} runs the scheduler thread {thread.name!r} ({thread.of}): "
                f"its jobs run {count} times"
            )
    count = sum(state.memory_database is True for state in states)
    if count > 1:
        yield (
            f"{_each(count, states)} has an SQLite database in memory: what one writes the others "
            "do not see"
        )
    for name, count in _logs(states, rotates=True):
        yield (
            f"the log {name} is rotated by {count} processes: on Windows none "
            "can rename it while another has it open, elsewhere lines are lost. A log for each "
            "process, or one that the service rotates, mends it"
        )


def _own(states: Sequence[OwnState]) -> Iterator[str]:
    """What else the processes have."""
    parts = {
        "started the thread": [[f"{each.name!r} ({each.of})" for each in state.threads
                                if not each.schedules] for state in states],
        "started the process": [[repr(each) for each in state.children or ()] for state in states],
    }  # fmt: skip
    for what, lists in parts.items():
        for name, count in Counter(name for names in lists for name in set(names)).items():
            yield f"{_each(count, states)} {what} {name}"
    count = sum(state.memory_database is None for state in states)
    if count:
        yield (
            f"it is not known whether {_each(count, states)} has an SQLite database in memory: a "
            "connection was open when the app was loaded, and one of its threads was at work"
        )
    listening = [address for state in states for address in state.listens or ()]
    if listening:
        yield f"the app listens by itself at {', '.join(dict.fromkeys(listening))}"
    for name, count in _logs(states, rotates=False):
        yield f"the log {name} is written by {count} processes"


def _logs(states: Sequence[OwnState], *, rotates: bool) -> list[tuple[str, int]]:
    """The names of files that several processes write their logs to, and of how many."""
    turning = {log.path for state in states for log in state.logs if log.rotates}
    counts = Counter(log.path for state in states for log in state.logs)
    return [
        (PureWindowsPath(path).name, count)
        for path, count in counts.items()
        if count > 1 and (path in turning) is rotates
    ]


def _each(count: int, states: Sequence[OwnState]) -> str:
    if count == len(states):
        return f"each of {count} processes"
    return f"one of {len(states)} processes" if count == 1 else f"each of {count} of the processes"


def look(
    urls: Sequence[str],
    front: str | None,
    fast: str,
    tag: str,
    processes: int,
    run: Mapping[str, str],
    trust: Trust | None = None,
) -> list[str]:
    """Have each process tell what it has, and look what becomes of the cookies of the fast path and
    the first page: at the backends, or through a front that keeps a user at one of them. All
    requests carry the headers of the run; `trust` is what a client of the front trusts."""
    with suppress(requests.RequestException):  # those that have told are known
        in_turns(urls, fast, STATE_TAG, processes, run)
    where, trusted = (urls, None) if front is None else ([front], trust)
    lost = (
        lost_cookies(where, path, tag, processes, run, trusted)
        for path in dict.fromkeys((fast, "/"))
    )
    return [why for why in lost if why is not None][:1]
