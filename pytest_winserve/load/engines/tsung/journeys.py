"""tsung's configuration of journeys: what a user does in a pass, step by step.

tsung's own cookies know neither `Max-Age` nor `Expires`, nor a pass that ends, and its `<match>`
does not say of which request it was. So each step has one evaluated fun before its request, which
makes the request out of the user's values and cookies, and one after it, which looks at the answer
(`<dyn_variable>` has all of it). The funs that they share are `erlang.FUNS`. They count by names:

* `winserve_at_L_sent`, `winserve_at_L_OUTCOME`: of the request at the place L of the plan's labels;
* `winserve_pass_J_begun`, `winserve_pass_J_complete`: passes of the journey J;
* `winserve_unmet_L_K_STATUS`: answers of which the K-th expectation of the step did not hold;
* `winserve_inexact_NAME`: a cookie of which tsung would not do what the other engines do;
* `winserve_cookies_stayed`: requests that went with a cookie of tsung's own.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pytest_winserve.errors import UsageError
from pytest_winserve.load.engine import Target
from pytest_winserve.load.engines.tsung.erlang import FUNS, binary, evaluated
from pytest_winserve.load.journeys.compiled import form_text, from_pages, without_cookies
from pytest_winserve.load.journeys.journey import Journey
from pytest_winserve.load.journeys.steps import Step, content_type
from pytest_winserve.load.journeys.takes import COOKIE, HEADER, JSON
from pytest_winserve.load.journeys.templates import Template
from pytest_winserve.load.plan import Plan
from pytest_winserve.system.header_fields import value_of
from pytest_winserve.tags import REQUEST_HEADER

_SAME_PATTERN = re.compile(
    r"(?:[^\\(\x80-\U0010ffff]|\\[wWdDsSbBnrt\W]|\((?!\?)|\(\?(?:[:=!]|<[=!]|P<\w+>|[ims]+\)))*",
    re.A,
)
"""A pattern that means the same to Python's module re and to Erlang's."""
_APART = ("user-agent", "content-type")
"""Headers that tsung writes itself when they are not its own."""


def check_journeys(plan: Plan) -> None:
    """UsageError for what tsung cannot do as the other engines do, with the step and the key."""
    for journey in plan.journeys:
        if plan.stages and journey.table is not None:
            raise UsageError(
                f"the journey {journey.name!r}, data: the engine tsung starts new users for "
                "stages, so that a row of the data would go to several; leave stages out, or take "
                "the engine builtin or locust"
            )
        for number, step in enumerate(journey.steps, 1):
            found = _refused(step)
            if found:
                raise UsageError(
                    f"the journey {journey.name!r}, step {number} ({step.label}), {found}; take "
                    "the engine builtin or locust"
                )


def _refused(step: Step) -> str:
    """The key of a step and why tsung cannot do it; empty when it can."""
    if step.follow:
        return (
            "follow: the engine tsung does not follow redirects; write where it leads as a step of "
            "its own"
        )
    if step.files:
        return "files: the engine tsung sends no uploads"
    if Template(step.path).whole is not None:
        return (
            f"{step.method.lower()} = {step.path!r}: the engine tsung cannot tell whether a value "
            "is a path of the site; write the path with the value in it, such as '/orders/{id}'"
        )
    for name, take in step.takes.items():
        if take.where.startswith((JSON, COOKIE)):
            kind = take.where.partition(":")[0]
            return (
                f"take: {name}: the engine tsung takes values by a pattern or 'header:Name', and "
                f"not by '{kind}:'"
            )
        if not take.where.startswith(HEADER) and not _SAME_PATTERN.fullmatch(take.where):
            return (
                f"take: {name}: the pattern {take.where!r} has what Erlang's regular expressions "
                "may read in another way; write it with ASCII letters, [...], \\d, \\w, \\s and "
                "groups"
            )
    if step.body and not value_of(step.headers, "Content-Type"):
        return (
            "body: the engine tsung sends it as a form, unless its type is named; add "
            "headers = { Content-Type = 'text/plain' }, or what it is"
        )
    if value_of(step.headers, "Accept-Encoding"):
        return "headers: Accept-Encoding: the engine tsung looks at pages that are not compressed"
    return ""


def expectations(step: Step) -> list[str]:
    """What must hold of an answer to a step, in words, in the order in which it is looked at."""
    expect = step.expected
    return [
        expect.status_words,
        *([f"text {expect.text!r}"] if expect.text else []),
        *(f"header {name}: {text!r}" for name, text in expect.header.items()),
        *(f"{{{name}}} to be found by {take.where}" for name, take in step.takes.items()),
    ]


@dataclass(frozen=True, slots=True)
class JourneySessions:
    """The journeys of a plan as a session of tsung. `folder` gets the rows of the data, and what
    each user is to do: `shares` has its life (ms) and its passes at most, in the order of starts.
    """

    plan: Plan
    target: Target
    tag: str | None
    folder: Path
    shares: Sequence[tuple[int, int]]

    def options(self) -> Iterator[str]:
        """The files: a line for each user, the first for the first that starts."""
        path = self.folder / "shares"
        path.write_text("".join(f"{life},{count}\n" for life, count in self.shares), "ascii")
        yield f'<option name="file_server" id="shares" value="{path}"/>'
        for place, journey in enumerate(self.plan.journeys):
            if journey.table is None:
                continue
            path = self.folder / f"rows-{place}"
            with path.open("w", encoding="ascii") as file:
                for user in range(len(self.shares)):
                    row = journey.table.of(user, journey.rows)
                    file.write(",".join(_encoded(row[name]) for name in journey.table.columns))
                    file.write("\n")
            yield f'<option name="file_server" id="rows{place}" value="{path}"/>'

    def session(self, name: str) -> str:
        """The session: its users make one pass after the other."""
        journeys = self.plan.journeys
        rows = "".join(
            _line_of(f"rows{place}", f"winserve_row{place}")
            for place, journey in enumerate(journeys)
            if journey.table is not None
        )
        begin = FUNS.replace("@SECURE@", "true" if self.target.secure else "false")
        passes = "".join(map(self._passes, range(len(journeys))))
        return (
            f'<session name="{name}" weight="1" type="ts_http">'
            f"{evaluated(begin, 'winserve_begun')}{_line_of('shares', 'winserve_share')}"
            f"{evaluated(_SHARE, 'winserve_shared')}{rows}"
            f'<repeat name="again" max_repeat="{10**12}">'
            f"{evaluated(self._set_out(), 'winserve_on')}{passes}"
            f"{evaluated(_AGAIN, 'winserve_go')}"
            '<while var="winserve_go" eq="1"/></repeat>'
            f"{evaluated(_END, 'winserve_ended')}</session>"
        )

    def _set_out(self) -> str:
        """The fun with which a pass begins: the journey is chosen, and nothing known of before."""
        journeys = self.plan.journeys
        bounds = list(itertools.accumulate(journey.weight for journey in journeys))
        chosen = " ".join(
            f"X < {bound / bounds[-1]:.12f} -> {place};" for place, bound in enumerate(bounds[:-1])
        )
        clauses = []
        for place, journey in enumerate(journeys):
            cookies, _ = without_cookies(journey)
            jar = ",".join(
                f"{{{binary(name)},{binary('/')},{binary(value)},infinity,false}}"
                for name, value in cookies.items()
            )
            values = ",".join(
                f"{binary(name)} => {binary(value)}" for name, value in journey.variables.items()
            )
            row = "#{}"
            if journey.table is not None:
                names = ",".join(map(binary, journey.table.columns))
                row = f"(get(winserve_row))(winserve_row{place}, [{names}], Vars)"
            clauses.append(f"{place} -> {{[{jar}], maps:merge(#{{{values}}}, {row})}}")
        return f"""
            fun({{_, Vars}}) ->
              X = rand:uniform(),
              J = if {chosen} true -> {len(journeys) - 1} end,
              {{Jar, Values}} = case J of {"; ".join(clauses)} end,
              put(winserve_jar, Jar), put(winserve_values, Values),
              put(winserve_left, get(winserve_left) - 1),
              put(winserve_set_out, erlang:monotonic_time(milli_seconds)),
              ts_mon_cache:add({{count, (get(winserve_name))([pass, J, begun])}}),
              J
            end."""

    def _passes(self, place: int) -> str:
        """The steps of a journey, each for a user that is on it."""
        before = sum(len(journey.steps) for journey in self.plan.journeys[:place])
        journey = self.plan.journeys[place]
        _, sent = without_cookies(journey)
        texts = []
        page: Step | None = None
        for at, step in enumerate(sent.steps):
            writer = _StepWriter(self, journey, step, before + at)
            texts.append(
                f'<if var="winserve_on" eq="{place}">'
                f"{writer.before(page)}{writer.request()}{self._after(writer, place, at)}"
                '<if var="winserve_wait" eq="1"><thinktime value="%%_winserve_pause%%"/></if>'
                f"{evaluated(_GO % {'place': place}, 'winserve_on')}</if>"
            )
            page = step if step.method == "GET" else page
        return "".join(texts)

    def _after(self, writer: _StepWriter, place: int, at: int) -> str:
        """The fun that looks at the answer, and says how long the user pauses."""
        steps = self.plan.journeys[place].steps
        think = self._think(steps[at])
        # What breaks a pass off is followed by the pause after the step before, as everywhere.
        broken = self._think(steps[at - 1]) if at else f"{self.plan.think_time}"
        code = _AFTER % {
            "place": place,
            "label": writer.label,
            "checks": ",".join(writer.checks()),
            "last": "true" if at == len(steps) - 1 else "false",
            "think": think,
            "broken": broken,
        }
        return evaluated(code, "winserve_on", "winserve_wait", "winserve_pause")

    def _think(self, step: Step) -> str:
        """Seconds of pause after a step, as an expression."""
        if isinstance(step.think, tuple):
            low, high = step.think
            return f"({low} + rand:uniform() * {high - low})"
        return str(self.plan.think_time if step.think is None else step.think)


@dataclass(frozen=True, slots=True)
class _StepWriter:
    """One step as tsung is told it; `label` is its place in the plan's labels."""

    sessions: JourneySessions
    journey: Journey
    step: Step
    label: int

    def before(self, page: Step | None) -> str:
        """The fun that makes the request. `page` is the step of the page that the user is on."""
        step, plan = self.step, self.sessions.plan
        own = {"Host": urlsplit(self.sessions.target.url).netloc}
        headers = dict(step.headers)
        kind = content_type(step)
        if kind:
            headers = {"Content-Type": kind, **headers}
        host = value_of(headers, "Host") or own["Host"]
        more = {
            name: text for name, text in headers.items() if name.lower() not in ("host", *_APART)
        }
        if not plan.keepalive:
            more["Connection"] = "close"
        if self.sessions.tag is not None:
            more[REQUEST_HEADER] = self.sessions.tag
        lines = [_text(Template(host), "header")]
        for name, text in more.items():
            lines += [binary(f"\r\n{name}: "), _text(Template(text), "header")]
        if not value_of(headers, "Cookie"):
            lines.append("(get(winserve_cookies))(P)")
        if page is not None and step.method != "GET":
            named = (value_of(each.headers, "Host") for each in plan.steps)
            called = next((name for name in named if name), own["Host"])
            origin = f"{urlsplit(self.sessions.target.url).scheme}://{called}"
            lines += [binary(f"\r\nReferer: {origin}"), "get(winserve_page)"]
        apart = [
            _text(Template(text), "header")
            for name, text in headers.items()
            if name.lower() in _APART
        ]
        keeps = "put(winserve_page, P)," if step.method == "GET" else ""
        code = f"""
            fun({{Http, _}}) ->
              V = get(winserve_values),
              P = {self._path()},
              Sent = [P, iolist_to_binary([{",".join(lines)}]), {self._body()}{
            "".join(f", {text}" for text in apart)
        }],
              {keeps}
              put(winserve_path, P),
              case element(tuple_size(Http), Http) of
                [] -> ok; _ -> ts_mon_cache:add({{count, winserve_cookies_stayed}})
              end,
              ts_mon_cache:add([{{count, winserve_sent}},
                                {{count, winserve_at_{self.label}_sent}}]),
              Sent
            end."""
        names = ["winserve_path", "winserve_head", "winserve_body"]
        names += [f"winserve_apart{n}" for n in range(len(apart))]
        return evaluated(code, *names)

    def request(self) -> str:
        """The request: its path, headers and body are what the fun before it made."""
        step = self.step
        apart = [name for name in ("Content-Type",) if content_type(step)]
        apart += [name for name in step.headers if name.lower() in _APART]
        fields = "".join(
            f'<http_header name="{name}" value="%%_winserve_apart{n}%%"/>'
            for n, name in enumerate(apart)
        )
        body = "" if step.method == "GET" else ' contents="%%_winserve_body%%"'
        return (
            '<request subst="true"><dyn_variable name="winserve_answer" re="(?s)(.*)"/>'
            f'<http url="%%_winserve_path%%" method="{step.method}" version="1.1"{body}>'
            f'<http_header name="Host" value="%%_winserve_head%%"/>{fields}</http></request>'
        )

    def _path(self) -> str:
        template = Template(self.step.path)
        pages = from_pages(self.journey)
        return _joined(
            template, {name: "part" if name in pages else "quoted" for name in template.names}
        )

    def _body(self) -> str:
        step = self.step
        if step.form is not None:
            return _text(Template(form_text(step.form)), "form")
        if step.json is not None:
            return _text(Template(step.json_text), "json")
        return _text(Template(step.body or ""), "plain")

    def checks(self) -> Iterator[str]:
        """A fun for each of `expectations`, true when it holds; what is taken is put away."""
        expect = self.step.expected
        statuses = [f"Status =:= {status}" for status in expect.status]
        yield f"fun() -> {' orelse '.join(statuses) or '(Status >= 200) and (Status < 400)'} end"
        if expect.text:
            wanted = _text(Template(expect.text), "plain")
            yield f"fun() -> (get(winserve_has))({wanted}, Body) end"
        for name, text in expect.header.items():
            wanted = _text(Template(text), "plain")
            yield f"fun() -> (get(winserve_in))({wanted}, Field({binary(name.lower())}, <<>>)) end"
        for name, take in self.step.takes.items():
            if take.header:
                found = f"Field({binary(take.header)}, none)"
            else:
                found = f"(get(winserve_find))({binary(take.where)}, Body, Html)"
            yield f"fun() -> (get(winserve_take))({binary(name)}, {found}) end"


def _line_of(file: str, name: str) -> str:
    """The next line of a file, as a variable."""
    return (
        f'<setdynvars sourcetype="file" fileid="{file}" delimiter=";" order="iter">'
        f'<var name="{name}"/></setdynvars>'
    )


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")


def _text(template: Template, written: str) -> str:
    """A text with its values, each written in that way (see `erlang.FUNS`), as an expression."""
    return _joined(template, dict.fromkeys(template.names, written))


def _joined(template: Template, written: dict[str, str]) -> str:
    parts: list[str] = []
    encoding = "latin-1" if "header" in written.values() else "utf-8"
    names = iter(template.in_turn)
    for literal in template.literals:
        parts.append(binary(literal, encoding))
        if (name := next(names, None)) is not None:
            value = f"maps:get({binary(name)}, get(winserve_values))"
            parts.append(f"(get(winserve_{written[name]}))({value})")
    return f"iolist_to_binary([{','.join(parts)}])"


# A step is over: what became of it is counted, and the pause that comes is chosen. Where tsung has
# cookies of its own, a pause of 1 ms lets it forget them (see `erlang.FUNS`).
_AFTER = """
fun({Http, Vars}) ->
  Count = fun(What) ->
    ts_mon_cache:add({count, (get(winserve_name))([at, %(label)s, What])})
  end,
  Made = case element(5, Http) of
    {none, Status} when is_integer(Status) ->
      {ok, Raw} = ts_dynvars:lookup(winserve_answer, Vars),
      {Fields, Body} = (get(winserve_read))(Raw),
      Field = fun(Name, Otherwise) ->
        case lists:keyfind(Name, 1, Fields) of {_, Text} -> Text; false -> Otherwise end
      end,
      Html = binary:match(Field(<<"content-type">>, <<"html">>), <<"html">>) =/= nomatch,
      [(get(winserve_set))(Text) || {<<"set-cookie">>, Text} <- Fields],
      case (get(winserve_unmet))([%(checks)s]) of
        none ->
          Count(Status),
          ts_mon_cache:add({count, (get(winserve_name))([Status])}), met;
        K ->
          Count(unexpected),
          ts_mon_cache:add([{count, winserve_unexpected},
                            {count, (get(winserve_name))([unmet, %(label)s, K, Status])}]), broken
      end;
    {none, none} -> Count(closed), ts_mon_cache:add({count, winserve_closed}), broken;
    _ -> ts_mon_cache:add({count, winserve_unknown}), broken
  end,
  Last = %(last)s,
  Over = Last orelse Made =:= broken,
  case Made =:= met andalso Last of
    true -> ts_mon_cache:add({count, (get(winserve_name))([pass, %(place)s, complete])});
    false -> ok
  end,
  case Over of
    true ->
      Taken = erlang:monotonic_time(milli_seconds) - get(winserve_set_out),
      ts_mon_cache:add({sample, winserve_session, Taken});
    false -> ok
  end,
  Think = case {Made, Over andalso get(winserve_left) =:= 0} of
    {_, true} -> 0;
    {met, _} -> %(think)s;
    {broken, _} -> %(broken)s
  end,
  Forgets = (get(winserve_forget))(Http),
  Pause = case Forgets andalso Think < 0.001 of true -> 0.001; false -> Think end,
  [case Over of true -> -1; false -> %(place)s end,
   case Pause >= 0.001 of true -> 1; false -> 0 end,
   iolist_to_binary(io_lib:format("~.3f", [Pause * 1.0]))]
end."""
_SHARE = """
fun({_, Vars}) ->
  {ok, Line} = ts_dynvars:lookup(winserve_share, Vars),
  Numbers = binary:split(iolist_to_binary(Line), <<",">>),
  [Life, Count] = [binary_to_integer(Number) || Number <- Numbers],
  put(winserve_life, Life), put(winserve_left, Count), 0
end."""
_GO = """
fun({_, Vars}) ->
  {ok, On} = ts_dynvars:lookup(winserve_on, Vars),
  Taken = erlang:monotonic_time(milli_seconds) - get(winserve_began),
  case On =:= %(place)s andalso Taken < get(winserve_life) of true -> On; false -> -1 end
end."""
_AGAIN = """
fun(_) ->
  Taken = erlang:monotonic_time(milli_seconds) - get(winserve_began),
  case get(winserve_left) > 0 andalso Taken < get(winserve_life) of true -> 1; false -> 0 end
end."""
_END = """
fun(_) -> ts_mon_cache:add({sample, winserve_ended, erlang:system_time(milli_seconds)}), 0 end."""
