"""The GETs of a plan, each sent once just before the load, to hold its answers against."""

from __future__ import annotations

import http.client
from dataclasses import replace
from time import perf_counter
from urllib.parse import urlsplit

from pytest_winserve.load.engine import Target, resolve, secured
from pytest_winserve.load.handshake import connected
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.recording.wire import Route, place_of
from pytest_winserve.load.results.answers import Answers, Reference
from pytest_winserve.load.results.result import Result
from pytest_winserve.load.results.whereabouts import MOST_COOKIES, attributes

LEAST_COUNT = 10
"""A load of fewer requests is not compared: others would weigh as much as it does."""
MOST_REQUESTS = 10
"""Requests of a plan that are sent once before."""
MOST_SECONDS = 5.0
"""For all of them, each from the connect to the last byte."""
MOST_BYTES = 64_000_000
PIECE = 65_536


def with_singles(result: Result, before: tuple[Reference, ...]) -> Result:
    """A load's result with what `singles` got before it."""
    return replace(result, answers=replace(result.answers or Answers(), before=before))


def singles(
    plan: Plan, target: Target, address: tuple[str, int] | None = None
) -> tuple[Reference, ...]:
    """What each GET of a plan gets when it is sent once, as the load sends it, without being
    followed; as many as are answered in MOST_SECONDS, and none for a load of a few requests.
    Requests of other methods may have effects, and are not sent.

    They are sent to `address`, or to the target's own, and carry the tag of the target's warm-up:
    they are no part of the load. LoadError when its name is not known.
    """
    if plan.count is not None and plan.count < LEAST_COUNT:
        return ()
    address = address or resolve(target)
    host = urlsplit(target.url).netloc
    requests = [
        (label, Route(index, request, host, target.warmup_tag, keepalive=False))
        for index, (label, request) in enumerate(zip(plan.labels, plan.requests, strict=True))
        if request.method == "GET"
    ]
    found = []
    end = perf_counter() + MOST_SECONDS
    for label, route in requests[:MOST_REQUESTS]:
        left = min(end - perf_counter(), plan.timeout)
        if left > 0:
            found.append(_single(label, route, address, left, target))
    return tuple(found)


def _single(
    label: str, route: Route, address: tuple[str, int], seconds: float, target: Target
) -> Reference:
    try:
        with connected(address, seconds) as plain, secured(plain, target) as sock:
            sock.sendall(route.data)
            response = http.client.HTTPResponse(sock, method=route.method)
            try:
                response.begin()
                size = _size_of(response)
            finally:
                response.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Reference(label, None, error=f"{type(error).__name__}: {error}"[:200])
    place = place_of(response.getheader("Location", ""))
    cookies = response.headers.get_all("Set-Cookie", [])[:MOST_COOKIES]
    return Reference(
        label, str(response.status), place, size, set_cookies=tuple(map(attributes, cookies))
    )


def _size_of(response: http.client.HTTPResponse) -> int | None:
    """The size of the body, which is read so that the server does not see it broken off; None for
    one that is longer than what is read."""
    size = 0
    while piece := response.read1(PIECE):
        size += len(piece)
        if size > MOST_BYTES:
            return None
    return size
