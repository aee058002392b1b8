"""What the settings say of a load: the arguments of `Plan.make` and `Site.load`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_winserve.errors import UsageError
from pytest_winserve.lab.lab import fast_path
from pytest_winserve.session.settings import Settings

if TYPE_CHECKING:
    from pytest_winserve.load.journeys.journey import Journey
    from pytest_winserve.load.plan import Plan, Request, Stage

FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}


def load_arguments(settings: Settings, path: str | None = None) -> dict[str, Any]:
    """The arguments of a load of the path, or of the fast one. Raises UsageError."""
    stages = [_stage(text) for text in settings.stages] or None

    def unless_stages(name: str) -> Any:
        # Stages say both themselves; given beside them, each is refused.
        return getattr(settings, name) if stages is None or name in settings.given else None

    requests = _requests(settings, path)
    journeys = _journeys(settings, path)
    what = {"path": path} if requests is None else {"requests": requests}
    return {
        "users": unless_stages("users"),
        "duration": unless_stages("duration"),
        "stages": stages,
        "think_time": settings.think,
        "warmup": settings.warmup,
        "timeout": settings.timeout,
        **(what if journeys is None else {"journeys": journeys}),
    }


def check_load(settings: Settings) -> None:
    """Raise UsageError for a load of the stock checks that cannot be."""
    from pytest_winserve.load.plan import Plan

    check_engine(settings, Plan.make(**load_arguments(settings)))


def check_engine(settings: Settings, plan: Plan) -> None:
    """Raise UsageError for a plan that the engine of the settings cannot send."""
    from pytest_winserve.load.engine import ChecksPlans
    from pytest_winserve.load.engines import get_engine

    engine = get_engine(settings.engine)
    if not isinstance(engine, ChecksPlans):
        return
    try:
        engine.check(plan)
    except UsageError as error:
        file = settings.journey or settings.requests
        raise UsageError(f"{file}: {error}" if file else str(error)) from None


def journeys_of(name: str | None) -> tuple[Journey, ...]:
    """The journeys of a file; none without a name. Raises UsageError."""
    from pytest_winserve.load.journeys.journey_file import read_journeys

    return () if name is None else read_journeys(name)


def login_of(name: str | None) -> Journey | None:
    """The journey that `FILE` or `FILE::NAME` names. Raises UsageError."""
    if name is None:
        return None
    file, mark, which = name.partition("::")
    journeys = journeys_of(file)
    found = [each for each in journeys if each.name == which or not mark]
    if len(found) == 1:
        return found[0]
    names = ", ".join(each.name for each in journeys)
    raise UsageError(f"as={name}: one journey of {file} is needed, as {file}::NAME; it has {names}")


def _journeys(settings: Settings, path: str | None) -> list[Journey] | None:
    """The journeys that the settings name; None without any."""
    if settings.journey is None:
        return None
    beside = [name for name in ("method", "data", "json", "requests") if getattr(settings, name)]
    beside += ["path"] * (path is not None)
    if beside:
        raise UsageError(f"journey with {beside[0]}: its steps say what is sent; leave one out")
    return list(journeys_of(settings.journey))


def _requests(settings: Settings, path: str | None) -> list[Request] | None:
    """The requests that the settings describe; None for a GET of the path."""
    from pytest_winserve.load.plan import Request
    from pytest_winserve.load.request_file import JSON_TYPE, read_requests
    from pytest_winserve.session.labs import headers_of

    one = [name for name in ("method", "data", "json") if getattr(settings, name) is not None]
    if settings.requests is not None:
        beside = ["path"] * (path is not None) + one
        if beside:
            raise UsageError(f"requests with {beside[0]}: the file says it of each; leave one out")
        return list(read_requests(settings.requests))
    if not one:
        return None
    headers, body = {}, b""
    if settings.data is not None and settings.json is not None:
        raise UsageError("data with json: a request has one body; leave one out")
    if settings.data is not None:
        headers, body = FORM_TYPE, _content(settings.data, "data")
    elif settings.json is not None:
        headers, body = JSON_TYPE, _content(settings.json, "json")
        try:
            json.loads(body)
        except ValueError as error:
            raise UsageError(f"json: this is not JSON: {error}") from None
    if "content-type" in map(str.lower, headers_of(settings)):
        headers = {}
    method = settings.method or "POST"
    return [Request(path or fast_path(settings.fast, settings.app), method, headers, body)]


def _content(text: str, what: str) -> bytes:
    from pytest_winserve.load.request_file import read_bytes

    return read_bytes(Path(text[1:]), what) if text.startswith("@") else text.encode()


def _stage(text: str) -> Stage:
    from pytest_winserve.load.plan import Stage

    level, _, seconds = text.partition(":")
    try:
        times = float(seconds), float(level)
    except ValueError:
        raise UsageError(
            f"stages: {text!r}: LEVEL:SECONDS is needed, such as 10:5,100:20 (up to 10 users in "
            "5 s, then up to 100 in 20 s)"
        ) from None
    return Stage(*times)
