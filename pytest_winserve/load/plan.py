"""What load to send: a validated, frozen value that every engine reads.

Two models:

* closed: `users` users, each of which sends a request, waits for the answer, thinks, repeats;
* open (`rate` given): requests arrive `rate` times per second whatever the answers do. `users` is
  then the limit of requests in flight (10 000 unless given); a request that would exceed it is
  dropped and counted as such, never sent.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_winserve.errors import UsageError
from pytest_winserve.load.journeys.journey import Journey, labels_of
from pytest_winserve.load.journeys.steps import Step
from pytest_winserve.load.request_parts import (
    NOT_SHOWN,
    SECRET_NAME,
    check_method,
    check_path,
    checked_headers,
)
from pytest_winserve.system.header_fields import merged

DEFAULT_PATH = "/test"
OPEN_MODEL_IN_FLIGHT = 10_000


def _number(name: str, value: object, *, above_zero: bool) -> float:
    wanted = "a number > 0" if above_zero else "a number >= 0"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{name}={value!r}: {wanted} is needed")
    if not math.isfinite(value) or value < 0 or (above_zero and value == 0):
        raise UsageError(f"{name}={value!r}: {wanted} is needed")
    return float(value)


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{name}={value!r}: a whole number >= 1 is needed")
    return value


@dataclass(frozen=True, slots=True)
class Request:
    """One kind of request. `weight` is its share among the plan's requests, relative to theirs.

    UsageError when it could not be written as one HTTP request.
    """

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = b""
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_path(self.path)
        check_method(self.method)
        headers = checked_headers(self.headers)
        if not isinstance(self.body, bytes):
            raise UsageError(f"body={self.body!r}: bytes are needed")
        weight = _number("weight", self.weight, above_zero=True)
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "headers", headers)

    def with_headers(self, headers: Mapping[str, str]) -> Request:
        """This request with more headers; what it names itself stays."""
        return replace(self, headers=merged(headers, self.headers))

    def without_secrets(self) -> Request:
        """This request without the values of headers that are secrets by their names."""
        return replace(
            self,
            headers={
                name: NOT_SHOWN if SECRET_NAME.search(name.lower()) else value
                for name, value in self.headers.items()
            },
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "method": self.method,
            "headers": dict(self.headers),
            "body": base64.b64encode(self.body).decode("ascii"),
            "weight": self.weight,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Request:
        return cls(**{**data, "body": base64.b64decode(data["body"])})


@dataclass(frozen=True, slots=True)
class Stage:
    """`seconds` in which the level moves linearly from the previous one to `level`.

    The level is users in the closed model (whole, starting from 0) and arrivals per second in the
    open model (starting from the plan's `rate`).
    """

    seconds: float
    level: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", _number("seconds", self.seconds, above_zero=True))
        object.__setattr__(self, "level", _number("level", self.level, above_zero=False))

    def to_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "level": self.level}


@dataclass(frozen=True, slots=True)
class Plan:
    """See `make`, which checks what it is given; times are seconds, rates are per second."""

    users: int
    duration: float | None
    count: int | None
    requests: tuple[Request, ...]
    keepalive: bool
    rate: float | None
    stages: tuple[Stage, ...]
    think_time: float
    timeout: float
    warmup: float
    connect_rate: float | None
    journeys: tuple[Journey, ...] = ()

    @classmethod
    def make(
        cls,
        *,
        users: int | None = None,
        duration: float | None = None,
        count: int | None = None,
        path: str | None = None,
        requests: Iterable[Request | str] | None = None,
        keepalive: bool = True,
        rate: float | None = None,
        stages: Iterable[Stage | tuple[float, float]] | None = None,
        think_time: float = 0.0,
        timeout: float = 10.0,
        warmup: float = 0.0,
        connect_rate: float | None = None,
        journeys: Iterable[Journey] | None = None,
    ) -> Plan:
        """A plan that can be run, or a UsageError that says what is wrong and what would be right.

        It ends after `duration` seconds, after `count` requests, or with its `stages`; a count may
        be combined with either, and what comes first ends it. `path` is one GET request ("/test"
        when neither it nor `requests` is given). `stages` ramp the users (closed model), or the
        arrivals per second starting from `rate` (open model). `think_time` pauses each user after
        each answer. `timeout` is for one request, connecting included. `warmup` seconds of the
        same load come first and are not counted. `connect_rate` limits new connections per second
        (closed model; in the open model the arrivals are the pace).

        With `journeys` each user walks through one of them after the other instead, and `count`
        is of passes: of walks from a journey's beginning to its end.
        """
        limit = cls._make_limits(duration, count, stages)
        if not isinstance(keepalive, bool):
            raise UsageError(f"keepalive={keepalive!r}: True or False is needed")
        if rate is not None:
            rate = _number("rate", rate, above_zero=not limit[2])
        if limit[2] and not rate and not any(stage.level for stage in limit[2]):
            raise UsageError("stages whose levels are all 0 send nothing: give one level > 0")
        think_time = _number("think_time", think_time, above_zero=False)
        if rate is not None and think_time:
            raise UsageError("think_time with rate: arrivals do not wait for users; leave one out")
        if connect_rate is not None:
            connect_rate = _number("connect_rate", connect_rate, above_zero=True)
            if rate is not None:
                raise UsageError("connect_rate with rate: rate is the pace already; leave one out")
        ways = cls._make_journeys(journeys, path, requests, rate)
        some = cls._make_users(users, rate, limit[2])
        for journey in ways:
            journey.check_users(some)
        return cls(
            users=some,
            duration=limit[0],
            count=limit[1],
            requests=() if ways else cls._make_requests(path, requests),
            keepalive=keepalive,
            rate=rate,
            stages=limit[2],
            think_time=think_time,
            timeout=_number("timeout", timeout, above_zero=True),
            warmup=_number("warmup", warmup, above_zero=False),
            connect_rate=connect_rate,
            journeys=ways,
        )

    @staticmethod
    def _make_journeys(
        journeys: Iterable[Journey] | None,
        path: str | None,
        requests: Iterable[Request | str] | None,
        rate: float | None,
    ) -> tuple[Journey, ...]:
        if journeys is None:
            return ()
        for name, value in (("path", path), ("requests", requests)):
            if value is not None:
                raise UsageError(f"{name} with journeys: their steps say it; leave one out")
        if rate is not None:
            raise UsageError(
                "rate with journeys: a journey goes on when its answer is there, so that its users "
                "are the pace; leave rate out, and give users or stages"
            )
        made = tuple(journeys)
        if not made or not all(isinstance(journey, Journey) for journey in made):
            raise UsageError("journeys: a list of Journey is needed, with one at least")
        names = [journey.name for journey in made]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"two journeys are called {twice!r}: name them apart")
        return made

    @staticmethod
    def _make_limits(
        duration: float | None,
        count: int | None,
        stages: Iterable[Stage | tuple[float, float]] | None,
    ) -> tuple[float | None, int | None, tuple[Stage, ...]]:
        if duration is None and count is None and stages is None:
            raise UsageError("a plan without an end: give duration= (seconds), count= or stages=")
        if duration is not None and stages is not None:
            raise UsageError("duration with stages: the stages say how long; leave duration out")
        if duration is not None:
            duration = _number("duration", duration, above_zero=True)
        if count is not None:
            count = _whole("count", count)
        made: list[Stage] = []
        for stage in stages or ():
            if isinstance(stage, Stage):
                made.append(stage)
            elif isinstance(stage, Sequence) and not isinstance(stage, str) and len(stage) == 2:
                made.append(Stage(*stage))
            else:
                raise UsageError(f"stage {stage!r}: (seconds, level) is needed")
        if stages is not None and not made:
            raise UsageError("stages=[]: at least one (seconds, level) is needed")
        return duration, count, tuple(made)

    @staticmethod
    def _make_users(users: int | None, rate: float | None, stages: tuple[Stage, ...]) -> int:
        if rate is not None:
            return OPEN_MODEL_IN_FLIGHT if users is None else _whole("users", users)
        if stages:
            if users is not None:
                raise UsageError(
                    "users with stages: the stages' levels are the users; leave it out"
                )
            for stage in stages:
                if stage.level != int(stage.level):
                    raise UsageError(f"level={stage.level!r}: a whole number of users is needed")
            return int(max(stage.level for stage in stages))
        return 1 if users is None else _whole("users", users)

    @staticmethod
    def _make_requests(
        path: str | None, requests: Iterable[Request | str] | None
    ) -> tuple[Request, ...]:
        if path is not None and requests is not None:
            raise UsageError("path with requests: add the path to the requests; leave path out")
        if requests is None:
            return (Request(DEFAULT_PATH if path is None else path),)
        if isinstance(requests, str) or not isinstance(requests, Iterable):
            raise UsageError(f"requests={requests!r}: a list of Request or paths is needed")
        made = tuple(r if isinstance(r, Request) else Request(r) for r in requests)
        if not made:
            raise UsageError("requests=[]: at least one request is needed")
        return made

    @property
    def labels(self) -> tuple[str, ...]:
        """A name of each request: `GET /test`, and `GET /test #2` for a second one of these; with
        journeys of each step."""
        if self.journeys:
            return labels_of(self.journeys)
        names = [f"{request.method} {request.path}" for request in self.requests]
        before = [names[:place].count(name) for place, name in enumerate(names)]
        return tuple(
            f"{name} #{seen + 1}" if seen else name
            for name, seen in zip(names, before, strict=True)
        )

    @property
    def open_model(self) -> bool:
        return self.rate is not None

    @property
    def seconds(self) -> float | None:
        """How long requests are started at most; None when only a count ends the plan."""
        if self.stages:
            return sum(stage.seconds for stage in self.stages)
        return self.duration

    def level_at(self, t: float) -> float:
        """Users (closed) or arrivals per second (open) that the plan wants t seconds in."""
        if not self.stages:
            return float(self.users) if self.rate is None else self.rate
        level, begin = self.rate or 0.0, 0.0
        for stage in self.stages:
            if t < begin + stage.seconds:
                return level + (stage.level - level) * max(0.0, t - begin) / stage.seconds
            level, begin = stage.level, begin + stage.seconds
        return level

    def stretches(self, i: int) -> list[tuple[float, float]]:
        """From when to when (s) the user with the number i, from 0, sends in the closed model.

        With stages: while the level is above its number. Otherwise once, without an end when only
        a count ends the plan; never for one that the plan does not have.
        """
        if not self.stages:
            end = math.inf if self.duration is None else self.duration
            return [(0.0, end)] if i < self.users else []
        found: list[tuple[float, float]] = []
        begin: float | None = None
        level, at = 0.0, 0.0
        for stage in self.stages:
            crossing = at
            if stage.level != level:
                crossing = at + stage.seconds * (i - level) / (stage.level - level)
            if begin is None and stage.level > i:
                begin = max(at, crossing)
            elif begin is not None and stage.level <= i:
                found.append((begin, crossing))
                begin = None
            level, at = stage.level, at + stage.seconds
        if begin is not None:
            found.append((begin, at))
        return found

    def arrival_time(self, k: float) -> float:
        """Seconds after the start at which the k-th arrival (from 0) of the open model is due.

        The inverse of the integral of `level_at`; math.inf when the stages end before.
        """
        assert self.rate is not None
        if not self.stages:
            return k / self.rate
        level, begin = self.rate, 0.0
        for stage in self.stages:
            arrivals = (level + stage.level) / 2 * stage.seconds
            if k < arrivals:
                # level*t + slope/2*t^2 = k, in the form that stays exact for a slope near 0.
                slope = (stage.level - level) / stage.seconds
                root = math.sqrt(max(0.0, level * level + 2 * slope * k))
                return begin + (2 * k / (level + root) if k else 0.0)
            k -= arrivals
            level, begin = stage.level, begin + stage.seconds
        return math.inf

    @property
    def offered(self) -> float | None:
        """Arrivals per second, on average until the plan ends; None in the closed model."""
        if self.rate is None:
            return None
        seconds = math.inf if self.seconds is None else self.seconds
        if self.count is not None:
            seconds = min(seconds, self.arrival_time(self.count))
        return self._arrivals_by(seconds) / seconds

    def _arrivals_by(self, seconds: float) -> float:
        """The integral of `level_at`."""
        assert self.rate is not None
        if not self.stages:
            return self.rate * seconds
        total, level, begin = 0.0, self.rate, 0.0
        for stage in self.stages:
            part = max(0.0, min(stage.seconds, seconds - begin))
            end = level + (stage.level - level) * part / stage.seconds
            total += (level + end) / 2 * part
            level, begin = stage.level, begin + stage.seconds
        return total

    def with_headers(self, headers: Mapping[str, str]) -> Plan:
        """This plan with more headers in every request; what a request names itself stays."""
        return replace(
            self,
            requests=tuple(each.with_headers(headers) for each in self.requests),
            journeys=tuple(each.with_headers(headers) for each in self.journeys),
        )

    def without_secrets(self) -> Plan:
        """This plan as it may be shown."""
        return replace(
            self,
            requests=tuple(each.without_secrets() for each in self.requests),
            journeys=tuple(each.without_secrets() for each in self.journeys),
        )

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of all journeys, as `labels` has them: one that follows a redirect is there
        twice."""
        return tuple(
            step
            for journey in self.journeys
            for step in journey.steps
            for _ in range(1 + step.follow)
        )

    @property
    def asked(self) -> Iterator[tuple[str, str, Mapping[str, str]]]:
        """The label, path and headers of each request, or of each step."""
        requests: tuple[Request | Step, ...] = (*self.requests, *self.steps)
        for label, each in zip(self.labels, requests, strict=True):
            yield label, each.path, each.headers

    @property
    def redirecting(self) -> frozenset[str]:
        """The labels of the steps that expect a redirect, or follow one."""
        labelled = zip(self.labels, self.steps, strict=False)  # a plan of requests has no steps
        return frozenset(
            label
            for label, step in labelled
            if step.follow or any(300 <= status < 400 for status in step.expected.status)
        )

    @property
    def largest_body(self) -> int:
        """Bytes of the largest body that is sent, but for what values add to a journey's."""
        bodies = [len(request.body) for request in self.requests]
        return max([*bodies, *(step.body_size for step in self.steps)])

    def split(self, n: int) -> tuple[Plan, ...]:
        """Plans for n workers; users, count, rates and levels add up to this plan's.

        Fewer than n when there are fewer users, or requests to send, than workers.
        """
        _whole("n", n)
        n = min(n, self.users, self.count or n)
        return tuple(
            replace(
                self,
                users=_whole_share(self.users, n, i),
                count=None if self.count is None else _whole_share(self.count, n, i),
                rate=None if self.rate is None else _share(self.rate, n, i),
                connect_rate=None if self.connect_rate is None else _share(self.connect_rate, n, i),
                stages=tuple(self._stage_share(stage, n, i) for stage in self.stages),
            )
            for i in range(n)
        )

    def _stage_share(self, stage: Stage, n: int, i: int) -> Stage:
        if self.rate is not None:
            return Stage(stage.seconds, _share(stage.level, n, i))
        return Stage(stage.seconds, _whole_share(int(stage.level), n, i))

    def to_dict(self) -> dict[str, Any]:
        return {
            "users": self.users,
            "duration": self.duration,
            "count": self.count,
            "requests": [request.to_dict() for request in self.requests],
            "keepalive": self.keepalive,
            "rate": self.rate,
            "stages": [stage.to_dict() for stage in self.stages],
            "think_time": self.think_time,
            "timeout": self.timeout,
            "warmup": self.warmup,
            "connect_rate": self.connect_rate,
            **self._journeys_dict(),
        }

    def _journeys_dict(self) -> dict[str, Any]:
        made = [journey.to_dict() for journey in self.journeys]
        return {"journeys": made} if made else {}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """The inverse of to_dict."""
        return cls(
            **{
                **data,
                "requests": tuple(Request.from_dict(r) for r in data["requests"]),
                "stages": tuple(Stage(**stage) for stage in data["stages"]),
                # Older files do not have them.
                "journeys": tuple(map(Journey.from_dict, data.get("journeys", ()))),
            }
        )


def _whole_share(total: int, n: int, i: int) -> int:
    return total // n + (i < total % n)


def _share(total: float, n: int, i: int) -> float:
    # The last share is what is left, so that adding the shares up gives the total exactly.
    return total / n if i < n - 1 else total - sum([total / n] * (n - 1))
