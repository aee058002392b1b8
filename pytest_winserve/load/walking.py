"""A journey walked once, by one user, with each step looked at: for whoever writes one, and to sign
in before a measurement."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pytest_winserve.errors import LoadError
from pytest_winserve.load.engine import Target, resolve, secured
from pytest_winserve.load.journeys.compiled import Journeys
from pytest_winserve.load.journeys.cookies import Kept
from pytest_winserve.load.journeys.journey import Journey, labels_of
from pytest_winserve.load.journeys.masking import masked
from pytest_winserve.load.journeys.visitor import Answer, Visitor
from pytest_winserve.load.request_parts import NOT_SHOWN, SECRET_NAME

MOST_BODY = 16_000_000
SHOWN_BODY = 400
SHOWN_VALUE = 2
"""Characters of a taken value that are shown: enough to know it again, too few to use it."""


@dataclass(frozen=True, slots=True)
class Walked:
    """What became of one request of a walk, without secrets: the request as lines, the answer's
    status and where it redirects to, how its body begins, the values that were taken of it, and
    what did not hold; empty when all did."""

    label: str
    request: tuple[str, ...]
    status: int
    place: str
    beginning: str
    taken: dict[str, str]
    wrong: str


class Walk:
    """A walk of one user through a journey. LoadError when a request is not answered."""

    def __init__(
        self,
        journey: Journey,
        target: Target,
        *,
        address: tuple[str, int] | None = None,
        timeout: float = 10.0,
    ) -> None:
        self._labels = labels_of([journey])
        self._address = address or resolve(target)
        self._timeout = timeout
        self._target = target
        netloc = urlsplit(target.url).netloc
        url = f"{urlsplit(target.url).scheme}://{netloc}"
        self._visitor = Visitor(Journeys([journey], url, target.warmup_tag, keepalive=False), 0)

    def __iter__(self) -> Iterator[Walked]:
        """Each request with its answer, until the end or what does not hold."""
        visitor = self._visitor
        visitor.set_out()
        while not visitor.arrived:
            step, request = visitor.step, visitor.request()
            shown = shown_request(request, visitor.secrets())
            label = self._labels[visitor.index]
            answer = self._exchange(request, label)
            unmet = visitor.take_in(answer)
            secrets = visitor.secrets(answer)
            followed = visitor.following
            yield Walked(
                label,
                shown,
                answer.status,
                masked((answer.header("location") or "").partition("?")[0], secrets),
                masked(answer.text, secrets)[:SHOWN_BODY],
                {} if unmet or followed else {n: _hint(visitor.values[n]) for n in step.takes},
                "" if unmet is None else f"expected {unmet.expected}",
            )
            if unmet is not None:
                return

    def cookie_for(self, path: str) -> str:
        """The cookies that the user has at the end, as a header's value for a path."""
        return self._visitor.jar.header(path)

    def cookies(self) -> list[Kept]:
        """Those cookies, with where each goes."""
        return self._visitor.jar.kept()

    def _exchange(self, request: bytes, label: str) -> Answer:
        method = request.split(b" ", 1)[0].decode()
        try:
            with (
                socket.create_connection(self._address, timeout=self._timeout) as plain,
                secured(plain, self._target) as sock,
                contextlib.closing(http.client.HTTPResponse(sock, method=method)) as response,
            ):
                sock.sendall(request)
                response.begin()
                body = response.read(MOST_BODY)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise LoadError(f"{label} was not answered: {type(error).__name__}: {error}") from None
        fields = [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in response.getheaders()
        ]
        return Answer(response.status, fields, body)


def shown_request(request: bytes, secrets: Sequence[str]) -> tuple[str, ...]:
    """A request as lines, without secrets."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    lines = [masked(first, secrets)]
    for field in fields:
        name, _, value = field.partition(": ")
        if name.lower() == "cookie":
            names = [pair.partition("=")[0].strip() for pair in value.split(";")]
            value = "; ".join(f"{each}={NOT_SHOWN}" for each in names)
        elif SECRET_NAME.search(name.lower()):
            value = NOT_SHOWN
        lines.append(f"{name}: {masked(value, secrets)}")
    text = body.decode("utf-8", "replace")
    if body and not text.isprintable():
        return (*lines, f"({len(body)} bytes)")
    form = b"x-www-form-urlencoded" in head
    shown = [_shown_field(each, secrets) for each in text.split("&")] if form else []
    return (*lines, *(["&".join(shown) or masked(text, secrets)[:SHOWN_BODY]] if body else []))


def _shown_field(field: str, secrets: Sequence[str]) -> str:
    name, _, value = field.partition("=")
    hidden = SECRET_NAME.search(name.lower())
    return f"{name}={NOT_SHOWN if hidden else masked(value, secrets)}"


def _hint(value: str) -> str:
    size = "1 character" if len(value) == 1 else f"{len(value)} characters"
    return f"{value[:SHOWN_VALUE]}... ({size})" if len(value) > 4 * SHOWN_VALUE else f"({size})"
