"""What the article says, each statement judged by what was measured here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pytest_winserve.load.measures.outcomes import is_good
from pytest_winserve.load.results.result import Result
from pytest_winserve.report.findings import verdict_sentence
from pytest_winserve.report.measurements import VerdictRecord
from pytest_winserve.report.numbers import per_second, percent, plural
from pytest_winserve.servers import get_server
from pytest_winserve.topology import Topology

ALIKE = 1.5
"""The article calls 491 and 693 answers per second about the same: a factor of 1.41."""
RETRIED = 0.9
"""Seconds from which a connect was made by another try; Linux makes the second after 1 s."""
CLOSE = 0.1
"""Rates of one run each that differ by less than this share say nothing of which is higher."""
SOME_REFUSED = 0.005
"""The article had 1.6 % of refused connects."""
MANY = 0.1
"""From this share on, the article's 68 % of 502 are found again, and not the few of a larger load:
there it had 0.6 %."""
NAMED = ("mod_wsgi", "gunicorn", "tornado", "gevent", "uwsgi", "fastcgi", "cgi")
"""The ways to deploy that the article lists."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured, by the names of the experiments; what failed is not there.

    `refuses` says whether the server's system refuses a connect when a listen queue is full, as
    Windows does. Others drop it, and the client tries again.
    """

    verdicts: Mapping[str, VerdictRecord]
    results: Mapping[str, Result]
    refuses: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a statement held here, and why; None: that cannot be told here."""

    held: bool | None
    reason: str

    @property
    def word(self) -> str:
        return {True: "held", False: "did not hold", None: "cannot be told here"}[self.held]


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of the article in other words, and the experiments that it is about."""

    text: str
    about: tuple[str, ...]
    by: Callable[[Measured], Judgement]

    def judge(self, measured: Measured) -> Judgement:
        """What was measured says of it."""
        known = {*measured.verdicts, *measured.results}
        missing = [name for name in self.about if name not in known]
        if missing:
            return Judgement(None, f"not measured: {', '.join(missing)}")
        return self.by(measured)


def _threads_do_not_block(measured: Measured) -> Judgement:
    verdict = measured.verdicts["flask"]
    return Judgement(verdict.non_blocking, verdict_sentence(verdict).text)


def _tornado_blocks(measured: Measured) -> Judgement:
    verdict = measured.verdicts["tornado"]
    return Judgement(not verdict.non_blocking, verdict_sentence(verdict).text)


def _flask_refuses(measured: Measured) -> Judgement:
    result = measured.results["flask-500"]
    refused = result.outcomes.get("refused", 0)
    many = refused >= SOME_REFUSED * result.sent > 0
    if many or measured.refuses:
        words = f"{refused} of {plural(result.sent, 'request')} were refused"
        return Judgement(many, words)
    return _dropped_instead(result)


def _one_behind_nginx_fails(measured: Measured) -> Judgement:
    result = measured.results["nginx1-500"]
    share = result.outcomes.get("502", 0) / result.answered if result.answered else 0.0
    if measured.refuses or share >= MANY:
        return Judgement(share >= MANY, f"{percent(share)} of the answers were 502")
    return _dropped_instead(result)


def _four_are_enough(measured: Measured) -> Judgement:
    return _without_errors(measured.results["nginx4-500"])


def _first_502(measured: Measured) -> Judgement:
    result = measured.results["nginx4-1000"]
    share = result.outcomes.get("502", 0) / result.answered if result.answered else 0.0
    if 0 < share < MANY:
        return Judgement(True, f"{percent(share)} of the answers were 502")
    if not measured.refuses:
        return _dropped_instead(result)
    if share:
        return Judgement(False, f"{percent(share)} of the answers were 502")
    return Judgement(False, f"none of {plural(result.answered, 'answer')} was a 502")


def _tornado_is_alike(measured: Measured) -> Judgement:
    flask, tornado = (measured.results[n] for n in ("nginx4-1000", "nginx4-tornado-1000"))
    one, other = good_rate(flask), good_rate(tornado)
    reason = f"{per_second(other)} with Tornado, {per_second(one)} with Flask's own server"
    if not one or not other:
        return Judgement(False, reason)
    return Judgement(
        1 / ALIKE <= other / one <= ALIKE,
        f"{reason}: {other / one:.2f} times as many (alike: up to {ALIKE:g} times, the article had "
        "1.41)",
    )


def _more_servers_answer_more(measured: Measured) -> Judgement:
    one, four = (good_rate(measured.results[name]) for name in ("flask-500", "nginx4-500"))
    words = (
        f"{per_second(four)} by four behind nginx, {per_second(one)} by one (the article: 639 and "
        "356)"
    )
    if one and abs(four / one - 1) < CLOSE:
        return Judgement(None, f"too close to tell by one run: {words}")
    return Judgement(four > one, words)


def _conclusion(measured: Measured) -> Judgement:
    best, *others = names = ("nginx4-500", "flask-500", "nginx1-500")
    results = {name: measured.results[name] for name in names}
    errors = {name: result.error_rate or 0.0 for name, result in results.items()}
    rates = {name: good_rate(result) for name, result in results.items()}
    words = ", ".join(
        f"{name} {per_second(rates[name])} with {percent(errors[name])} errors" for name in names
    )
    fewest = errors[best] == min(errors.values())
    if fewest and any(abs(rates[best] / rates[name] - 1) < CLOSE for name in others if rates[name]):
        return Judgement(None, f"too close to tell by one run: {words}")
    return Judgement(fewest and rates[best] == max(rates.values()), words)


def _only_tornado(measured: Measured) -> Judgement:
    able = [name for name in NAMED if _runs_on_windows(name)]
    others = [name for name in NAMED if name not in able]
    return Judgement(
        able == ["tornado"],
        f"of those that it lists, {', '.join(able)} run on Windows; {', '.join(others)} do not",
    )


def _runs_on_windows(name: str) -> bool:
    topology = Topology.parse(name)
    return get_server(name).unsupported("win32", topology.server_options) is None


def _advice_without_experiment(_: Measured) -> Judgement:
    return Judgement(
        None,
        "no experiment holds one system against another; the article advises it without a "
        "measurement, its largest loads had 1000 users",
    )


def _without_errors(result: Result) -> Judgement:
    if not result.answered:
        return Judgement(False, "nothing was answered")
    if not result.errors:
        return Judgement(True, f"all {plural(result.sent, 'request')} were answered well")
    return Judgement(False, f"{_failures(result)} of {plural(result.sent, 'request')}")


def _failures(result: Result) -> str:
    failed = {name: n for name, n in result.outcomes.items() if not is_good(name) and n}
    return ", ".join(f"{n} x {name}" for name, n in sorted(failed.items()))


def _dropped_instead(result: Result) -> Judgement:
    """Why refused connects, and the 502 that come of them, cannot be told where none is refused. A
    502 that is seen there all the same has another cause."""
    late, connects = result.connect.above(RETRIED), result.connect.count
    share = percent(late / connects if connects else None)
    failed = f"; {_failures(result)} of {plural(result.sent, 'request')}" if result.errors else ""
    return Judgement(
        None,
        "this system never refuses a connect because of a full queue: it drops it, and the client "
        f"tries again a second later. {late} of {connects} connects ({share}) "
        f"took that long{failed}",
    )


def good_rate(result: Result) -> float:
    """Answers per second that were no errors."""
    return (result.sent - result.errors) / result.elapsed if result.elapsed > 0 else 0.0


STATEMENTS = (
    Statement(
        "Of the ways to deploy that Flask's documentation lists, only Tornado runs on Windows.",
        (), _only_tornado,
    ),
    Statement(
        "Flask's own server with threads answers a page while it waits for a slow one.",
        ("flask",), _threads_do_not_block,
    ),
    Statement(
        "Tornado is asynchronous, yet under it a slow page of a Flask app holds up every other.",
        ("tornado",), _tornado_blocks,
    ),
    Statement(
        "With 500 users Flask's own server refuses many connections.",
        ("flask-500",), _flask_refuses,
    ),
    Statement(
        "nginx before one Flask server is no better: most of its answers are 502.",
        ("nginx1-500",), _one_behind_nginx_fails,
    ),
    Statement(
        "Four Flask servers behind nginx answer 500 users without an error.",
        ("nginx4-500",), _four_are_enough,
    ),
    Statement(
        "With 1000 users on them the first few answers are 502.",
        ("nginx4-1000",), _first_502,
    ),
    Statement(
        "With 1000 users it makes no great difference whether four Tornado or four Flask servers "
        "answer.",
        ("nginx4-1000", "nginx4-tornado-1000"), _tornado_is_alike,
    ),
    Statement(
        "More servers behind nginx answer more requests.",
        ("flask-500", "nginx4-500"), _more_servers_answer_more,
    ),
    Statement(
        "So nginx before four Flask servers is the best of these.",
        ("flask-500", "nginx1-500", "nginx4-500"), _conclusion,
    ),
    Statement(
        "Who has more than ten thousand users at a time had better move to Linux.",
        (), _advice_without_experiment,
    ),
)  # fmt: skip
