"""tsung's configuration (XML) for a plan.

Every user is a static one, `<user session= start_time=>`, so that as many start as the plan says,
when it says (`ts_launcher_static.erl`; the users of an `<arrivalphase>` come at random, and those
that are late at its end never). A user ends by itself after its last answer, because a run that is
cut by `<load duration=>` loses what was under way. For this, and for counting what tsung does not,
a session has steps that evaluate Erlang (`<setdynvars sourcetype="eval">`, `ts_config.erl`); they
put these names into tsung's log:

* `winserve_sent`: requests wanted, each once however often its connect is tried again;
* `winserve_NNN`: complete answers with this status; `winserve_closed`: requests whose connection
  was closed before a status; `winserve_unknown`: an answer that this tsung keeps in another way;
* `winserve_began`, `winserve_ended`: UNIX ms of each user's start and end;
  `winserve_session`: ms that each user took that ended by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

from pytest_winserve.errors import UsageError
from pytest_winserve.load.engine import Target
from pytest_winserve.load.engines.tsung.erlang import evaluated
from pytest_winserve.load.engines.tsung.journeys import JourneySessions, check_journeys
from pytest_winserve.load.plan import Plan, Request
from pytest_winserve.tags import REQUEST_HEADER

MOST_USERS = 20_000
"""Static users that tsung reads in reasonable time: its lists take time with their square."""

WITHOUT_BODY = ("GET", "OPTIONS")
WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")
"""Methods that `ts_http.erl` (`get_message2`) sends; HEAD is one, too, but it waits for a body."""

RETRIES = 3
"""How often in its life a user of the closed model tries a failed connect again: tsung's own
default (`max_retries`). In the open model never, since a user is one request."""

# A step costs more than the request's own Erlang, as it is not compiled: so there is one per
# request, or two around a pause. Each is a fun of the session and its variables.
_BEGIN = """
fun(_) ->
  put(winserve_began, erlang:monotonic_time(milli_seconds)),
  put(winserve_left, %(count)s),
  ts_mon_cache:add([{count, winserve_sent},
                    {sample, winserve_began, erlang:system_time(milli_seconds)}]), 0
end."""
# ts_client.erl gives #http{} (ts_http.hrl) to the step: its fifth element is {none, Status} after
# an answer, and {none, none} after a close without a status (reset_session, ts_http_common.erl).
_DONE = """
  Done = case element(5, Http) of
    {none, 200} -> winserve_200;
    {none, Status} when is_integer(Status) ->
      list_to_atom("winserve_" ++ integer_to_list(Status));
    {none, none} -> winserve_closed;
    _ -> winserve_unknown
  end,
"""
_GO = """
  Left = get(winserve_left) - 1,
  put(winserve_left, Left),
  Taken = erlang:monotonic_time(milli_seconds) - get(winserve_began),
"""
_STEP = f"""
fun({{Http, _}}) -> {_DONE} {_GO}
  if Left > 0, Taken < %(life)s ->
       ts_mon_cache:add([{{count, Done}}, {{count, winserve_sent}}]), 1;
     true -> ts_mon_cache:add({{count, Done}}), 0
  end
end."""
_BEFORE_PAUSE = f"fun({{Http, _}}) -> {_DONE} ts_mon_cache:add({{count, Done}}), 0 end."
_AFTER_PAUSE = f"""
fun(_) -> {_GO}
  if Left > 0, Taken < %(life)s -> ts_mon_cache:add({{count, winserve_sent}}), 1; true -> 0 end
end."""
_END = """
fun(_) ->
  Taken = erlang:monotonic_time(milli_seconds) - get(winserve_began),
  ts_mon_cache:add([{sample, winserve_session, Taken},
                    {sample, winserve_ended, erlang:system_time(milli_seconds)}]), 0
end."""
_UNLIMITED = 10**12
JOURNEYS = "journeys"
"""The session of all users where they are on journeys."""


@dataclass(frozen=True, slots=True)
class Client:
    """A machine that sends: its host name, and its share of the users relative to the others'.

    tsung starts a node there by ssh; see `docs/engines.md`.
    """

    host: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class StaticUser:
    """One static user: starts after `start` ms; after `life` ms, or `count` requests, no more."""

    start: int
    life: int
    count: int


def users_of(plan: Plan) -> list[StaticUser]:
    """The users of a plan; UsageError when there are more than tsung can be given."""
    if plan.open_model:
        made = _arrivals(plan)
    elif plan.stages:
        made = _staged(plan)
    else:
        made = _steady(plan)
    users: list[StaticUser] = []
    for user in made:
        if len(users) == MOST_USERS:
            raise UsageError(
                f"the engine tsung can be given {MOST_USERS} users at most (in the open model one "
                "for each arrival): take a smaller plan, or the engine builtin"
            )
        users.append(user)
    return users


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _steady(plan: Plan) -> Iterator[StaticUser]:
    pace = 0.0 if plan.connect_rate is None else 1 / plan.connect_rate
    life = _UNLIMITED if plan.duration is None else _ms(plan.duration)
    for i, share in enumerate(_shares(plan.count, plan.users)):
        start = _ms(i * pace)
        if share and start < life:
            yield StaticUser(start, life - start, share)


def _shares(count: int | None, users: int) -> list[int]:
    if count is None:
        return [_UNLIMITED] * users
    return [count // users + (i < count % users) for i in range(users)]


def _staged(plan: Plan) -> Iterator[StaticUser]:
    for i, share in enumerate(_shares(plan.count, plan.users)):
        for begin, end in plan.stretches(i):
            start, life = _ms(begin), _ms(end) - _ms(begin)
            if life and share:
                yield StaticUser(start, life, share)


def _arrivals(plan: Plan) -> Iterator[StaticUser]:
    end = math.inf if plan.seconds is None else plan.seconds
    k = 0
    while plan.count is None or k < plan.count:
        at = plan.arrival_time(k)
        if at >= end:
            return
        yield StaticUser(_ms(at), _UNLIMITED, 1)
        k += 1


def check_plan(plan: Plan) -> None:
    """UsageError for what tsung cannot do."""
    check_journeys(plan)
    for request in plan.requests:
        allowed = WITH_BODY if request.body else (*WITHOUT_BODY, *WITH_BODY)
        if request.method not in allowed:
            body = " with a body" if request.body else ""
            raise UsageError(
                f"method={request.method!r}: the engine tsung sends {', '.join(allowed)}{body}; "
                "for others take the engine builtin"
            )
    if plan.connect_rate is not None and not plan.keepalive:
        raise UsageError(
            "connect_rate without keepalive: the engine tsung paces the first connect of each user "
            "only; leave one out, or take the engine builtin"
        )
    if plan.stages and plan.count is not None and not plan.open_model:
        raise UsageError(
            "count with stages: the engine tsung gives each user its share of a count, which "
            "stages change; leave one out, or take the engine builtin"
        )


def configuration(
    plan: Plan,
    target: Target,
    address: tuple[str, int],
    tag: str | None,
    folder: Path,
    longest: float,
    clients: Sequence[Client] = (),
) -> str:
    """The XML. `folder` gets the bodies of requests; `longest` s is the emergency stop.

    Without `clients`, users run inside the controller's VM on this machine.
    """
    users = users_of(plan)
    names = {key: f"u{i}" for i, key in enumerate(dict.fromkeys((u.life, u.count) for u in users))}
    requests = [
        _request(plan, request, target, tag, _body(request, folder / f"body-{i}"))
        for i, request in enumerate(plan.requests)
    ]
    step = "".join(_choice(plan.requests, requests))
    shares = [(user.life, user.count) for user in sorted(users, key=lambda user: user.start)]
    journeys = JourneySessions(plan, target, tag, folder, shares)
    host, port = address
    kind = ("ssl" if target.secure else "tcp") + ("6" if ":" in host else "")
    timeout = max(1, _ms(plan.timeout))
    retries = 0 if plan.open_model else RETRIES
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<!DOCTYPE tsung SYSTEM "tsung-1.0.dtd">',
        '<tsung loglevel="warning" version="1.0" dumptraffic="false" backend="fullstats">',
        "<clients>",
        *(_client(client, len(users)) for client in clients),
        *([] if clients else [_local(len(users))]),
        "</clients>",
        f'<servers><server host={quoteattr(host)} port="{port}" type="{kind}"/></servers>',
        f'<load duration="{math.ceil(longest)}" unit="second">',
        *(
            _user(user, JOURNEYS if plan.journeys else names[user.life, user.count])
            for user in users
        ),
        "</load>",
        "<options>",
        *(
            f'<option name="{name}" value="{value}"/>'
            for name, value in (
                ("connect_timeout", timeout),
                ("idle_timeout", timeout),
                ("max_retries", retries),
            )
        ),
        *(journeys.options() if plan.journeys else ()),
        "</options>",
        "<sessions>",
        *(
            [journeys.session(JOURNEYS)]
            if plan.journeys
            else [_session(plan, name, *numbers, step) for numbers, name in names.items()]
        ),
        "</sessions>",
        "</tsung>",
    ]
    return "\n".join(lines) + "\n"


def _client(client: Client, users: int) -> str:
    return (
        f"<client host={quoteattr(client.host)} weight={quoteattr(str(client.weight))} "
        f'maxusers="{users + 1}"/>'
    )


def _local(users: int) -> str:
    return f'<client host="localhost" use_controller_vm="true" maxusers="{users + 1}"/>'


def _user(user: StaticUser, session: str) -> str:
    # In whole milliseconds: from a fraction tsung makes a timeout that is none, and never starts.
    return f'<user session="{session}" start_time="{user.start}" unit="millisecond"/>'


def _body(request: Request, path: Path) -> Path | None:
    if not request.body:
        return None
    path.write_bytes(request.body)
    return path


def _request(
    plan: Plan, request: Request, target: Target, tag: str | None, body: Path | None
) -> str:
    headers = {"Host": urlsplit(target.url).netloc}
    given = {name.lower() for name in request.headers}
    headers = {name: text for name, text in headers.items() if name.lower() not in given}
    headers |= request.headers
    if tag is not None:
        headers[REQUEST_HEADER] = tag
    if not plan.keepalive:
        headers["Connection"] = "close"
    contents = "" if body is None else f" contents_from_file={quoteattr(str(body))}"
    fields = "".join(
        f"<http_header name={quoteattr(name)} value={quoteattr(text)}/>"
        for name, text in headers.items()
    )
    return (
        f'<request><http url={quoteattr(request.path)} method="{request.method}" version="1.1"'
        f"{contents}>{fields}</http></request>"
    )


def _choice(requests: Sequence[Request], texts: Iterable[str]) -> Iterator[str]:
    """The request, or a choice by weight among several."""
    texts = list(texts)
    if len(texts) < 2:
        yield from texts
        return
    total = sum(request.weight for request in requests)
    bound, clauses = 0.0, []
    for i, request in enumerate(requests[:-1]):
        bound += request.weight / total
        clauses.append(f"X < {bound:.12f} -> {i}")
    clauses.append(f"true -> {len(texts) - 1}")
    yield evaluated(f"fun(_) -> X = rand:uniform(), if {'; '.join(clauses)} end end.", "pick")
    for i, text in enumerate(texts):
        yield f'<if var="pick" eq="{i}">{text}</if>'


def _session(plan: Plan, name: str, life: int, count: int, step: str) -> str:
    numbers = {"life": life, "count": count}
    after = evaluated(_STEP % numbers, "go")
    if plan.think_time:
        think = max(1, _ms(plan.think_time)) / 1000
        after = (
            f"{evaluated(_BEFORE_PAUSE, 'done')}"
            f'<thinktime value="{think:.3f}" random="false"/>'
            f"{evaluated(_AFTER_PAUSE % numbers, 'go')}"
        )
    return (
        f'<session name="{name}" weight="1" type="ts_http">'
        f"{evaluated(_BEGIN % numbers, 'begun')}"
        f'<repeat name="again" max_repeat="{_UNLIMITED}">'
        f'{step}{after}<while var="go" eq="1"/></repeat>'
        f"{evaluated(_END, 'ended')}</session>"
    )
