"""A ranking in words that a person can act on: ASCII, like the summary of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from pytest_winserve.load.measures.intervals import Interval
from pytest_winserve.load.measures.outcomes import NO_BACKEND, is_good, is_status
from pytest_winserve.load.measures.units import format_memory
from pytest_winserve.load.results.complaints import shown
from pytest_winserve.load.results.journeys import unexpected_lines
from pytest_winserve.load.results.result import Result
from pytest_winserve.recommend.ranking import (
    SAME_MEMORY,
    SURE_ROUNDS,
    TOO_WIDE,
    Candidate,
    Missed,
    Ranking,
)
from pytest_winserve.recommend.several import Several
from pytest_winserve.report.findings import verdict_sentence
from pytest_winserve.report.numbers import NOT_MEASURED, per_second, percent, plural, seconds
from pytest_winserve.report.overview import DEVELOPMENT_MARK, DEVELOPMENT_NOTE
from pytest_winserve.report.record import NotTried
from pytest_winserve.report.terminal import clean, table

HEADER = ("met the criteria", "rate /s", "of the fastest", "p95", "processes", "memory", "runs")

AMONG_EQUALS = (
    "Of equals, one whose server is made for production is recommended, then the one with the "
    "fewest processes, then the one with the least memory (up to "
    f"{percent(SAME_MEMORY)} more counts as the same), then the one with the lowest p95, then the "
    "first by name."
)
TOO_NOISY = "too noisy to tell"

OUTLASTING = 0.01
"""From this share of the requests on, the text says that they outlasted the load."""

_SEEN = {
    "refused": "refused the connection",
    "reset": "broke the connection off",
    "connect_timeout": "did not take the connection in time",
    "timeout": "took the request and did not answer in time",
    "closed_early": "closed the connection before the answer was complete",
    "bad_response": "answered with what is no answer of this site",
}


def render(
    ranking: Ranking,
    left_out: Sequence[NotTried],
    several: Several | None = None,
    *,
    width: int = 80,
) -> str:
    """The ranking in lines of at most `width` characters; ends with a newline."""
    lines = [
        *_verdict(ranking, width),
        *_one_process(ranking, several or Several(), width),
        *_met(ranking, width),
        *_failed(ranking, width),
        *_not_started(ranking.not_started, width),
        *_not_tried(left_out, width),
    ]
    return "".join(line + "\n" for line in lines)


def _verdict(ranking: Ranking, width: int) -> Iterator[str]:
    criteria = f"criteria: {'; '.join(ranking.criteria)}"
    winner, best = ranking.winner, ranking.fastest
    if winner is None or best is None:
        yield "NOTHING MET THE CRITERIA"
        yield from _wrapped(criteria, width)
        return
    yield f"RECOMMENDED: {winner.topology}"
    yield from _wrapped(criteria, width)
    yield from _wrapped(f"It met them in {plural(len(winner.results), 'run')}: {_costs(winner)}.",
                        width)  # fmt: skip
    others = [each for each in ranking.equal if each is not winner]
    alone = " of those with one process" if ranking.aside else ""
    if winner is best and not others:
        yield from _wrapped(
            f"It was the fastest{alone}, and every other that met the criteria was slower by more "
            f"than {percent(ranking.margin)}.",
            width,
        )
    elif winner is best:
        yield from _wrapped(
            f"It was the fastest{alone}. Slower by no more than {percent(ranking.margin)}: "
            f"{_names(others)}. {AMONG_EQUALS}",
            width,
        )
    elif winner not in ranking.equal:
        yield from _wrapped(
            f"The fastest{alone} was {best.topology} ({_costs(best)}), which is made for "
            f"development. {winner.topology} is not surely slower by more than "
            f"{percent(ranking.margin)} {_interval(winner, best)}. {AMONG_EQUALS}",
            width,
        )
    else:
        yield from _wrapped(
            f"The fastest{alone} was {best.topology} ({_costs(best)}). {winner.topology} was "
            f"slower by no more than {percent(ranking.margin)} {_interval(winner, best)}. "
            f"Equals: {_names(ranking.equal)}. {AMONG_EQUALS}",
            width,
        )
    yield from _wrapped(_of_the_winner(winner), width)
    doubts: dict[str, list[str]] = {}
    for each, other in ranking.doubtful:
        near = f"{other.topology} {_interval(each, other)}"
        doubts.setdefault(each.topology, []).append(near)
    for name, rivals in doubts.items():
        yield from _wrapped(
            f"Not sure: is {name} within {percent(ranking.margin)} of {', '.join(rivals)}? "
            "The runs differ too much. More runs (--rounds), or a machine with less to do, "
            "would show it.",
            width,
        )
    if any(each.limited for each in ranking.met):
        yield from _wrapped(
            "*: the load generator was the limit, so that the rate is a lower bound.", width
        )


def _one_process(ranking: Ranking, several: Several, width: int) -> Iterator[str]:
    """Why one process is recommended, or would be better."""
    if several.reasons:
        tried = ranking.met or ranking.failed or ranking.not_started
        yield from _wrapped(
            "One process of the app: several lose its users. Not proposed for that: "
            f"{several.not_proposed}"
            + ("." if tried else "; name one with one process, such as waitress, or mend the app."),
            width,
        )
        yield from _listed(several.reasons, width)
    if several.apart:
        text = "Several processes have several times what the app has once:"
        if ranking.aside:
            text = (
                "One process of the app is preferred. Set aside for that, though it met the "
                f"criteria: {_names(ranking.aside)}."
            )
        yield from _wrapped(text, width)
        yield from _listed(several.apart, width)


def _listed(texts: Iterable[str], width: int) -> Iterator[str]:
    for text in texts:
        yield from _wrapped(f"- {text}", width, "  ")


def _of_the_winner(winner: Candidate) -> str:
    """What whoever takes it should know; empty when there is nothing."""
    told = []
    if winner.development:
        told.append(
            f"{winner.topology} is made for development, not to deploy with; nothing that is made "
            "for production was within the margin."
        )
    answered = (set(result.by_backend) - {NO_BACKEND} for result in winner.results.values())
    count = max(map(len, answered), default=0)
    if count > 1:
        told.append(
            f"Its {count} backends share no memory: a session, cache, counter or job that the app "
            "keeps in memory is another one in each."
        )
    return " ".join(told)


def _costs(candidate: Candidate) -> str:
    processes = (
        "processes " + NOT_MEASURED
        if candidate.processes is None
        else f"{candidate.processes} process{'es' * (candidate.processes != 1)}"
    )
    memory = format_memory(None if candidate.memory is None else int(candidate.memory))
    return f"{per_second(candidate.rate)}, p95 {seconds(candidate.p95)}, {processes}, {memory}"


def _names(candidates: Iterable[Candidate]) -> str:
    return ", ".join(each.topology for each in candidates)


def _interval(one: Candidate, other: Candidate) -> str:
    found = one.against(other)
    if found is None:
        return "(one run has no scatter)"
    share = f"{one.share_of(other):.2f} of its rate"
    if _too_wide(found):
        return f"({share}, {TOO_NOISY})"
    return f"({share}, 99 % interval {math.exp(found.low):.2f} to {math.exp(found.high):.2f})"


def _too_wide(interval: Interval) -> bool:
    return interval.high - interval.low > math.log(TOO_WIDE)


def _met(ranking: Ranking, width: int) -> Iterator[str]:
    best = ranking.fastest
    if best is None:
        return
    yield ""
    rows = []
    for each in ranking.met:
        mark = "*" if each.limited else ""
        rows.append((
            f"{each.topology}{DEVELOPMENT_MARK * each.development}",
            f"{each.rate:.1f}{mark}",
            _of(each, best),
            seconds(each.p95),
            "-" if each.processes is None else str(each.processes),
            "-" if each.memory is None else format_memory(int(each.memory)),
            str(len(each.results)),
        ))  # fmt: skip
    yield from table(HEADER, rows, width)
    if any(each.development for each in ranking.met):
        yield from _wrapped(f"{DEVELOPMENT_NOTE}.", width)
    for each in ranking.met:
        for words in _not_the_page(each):
            yield from _wrapped(f"{each.topology}: {words}", width)
        for words, _ in shown(each.logged):
            yield from _wrapped(f"{each.topology} logged: {words}", width)
    waited = [
        f"{each.topology} ({count})"
        for each in ranking.met
        if (count := _outlasting(each)) is not None
    ]
    if waited:
        yield from _wrapped(
            "A hundredth of the requests or more took longer than the whole load: "
            f"{', '.join(waited)}. Their users waited while others were served, and met no "
            "timeout only because the load ended. A longer --duration shows what becomes of them.",
            width,
        )


def _not_the_page(candidate: Candidate) -> list[str]:
    """What of its answers was something else than the page that was asked for, in its first run."""
    results = list(candidate.results.values())[:1]
    return [
        words
        for result in results
        for words in (result.redirected, *result.differences, *result.astray)
        if words
    ]


def _outlasting(candidate: Candidate) -> str | None:
    """How many requests of its first run took longer than the whole load; None for less than a
    hundredth."""
    result = next(iter(candidate.results.values()), None)
    if result is None or not result.plan.duration:
        return None
    waited = result.total.above(result.plan.duration)
    if not waited or waited < OUTLASTING * result.sent:
        return None
    return f"{waited} of {result.sent}"


def _of(one: Candidate, best: Candidate) -> str:
    """The share of the best rate, with its interval where there were rounds enough for one."""
    if one is best:
        return "1"
    found = one.against(best)
    share = f"{one.share_of(best):.2f}"
    if found is None or one.in_common(best) < SURE_ROUNDS:
        return share
    if _too_wide(found):
        return f"{share} ({TOO_NOISY})"
    return f"{share} ({math.exp(found.low):.2f}-{math.exp(found.high):.2f})"


def _failed(ranking: Ranking, width: int) -> Iterator[str]:
    if not ranking.failed:
        return
    yield ""
    yield "Did not meet the criteria, the nearest first:"
    for each in ranking.failed:
        rate = f"{per_second(each.rate or None)}, " if each.results else ""
        missed = "; ".join(_missed_words(one) for one in each.missed) or _never(each, ranking)
        yield from _wrapped(f"{each.topology}: {rate}{missed}", width, "  ")
        for why in reasons(each):
            yield from _wrapped(why, width, "    ")


def _never(candidate: Candidate, ranking: Ranking) -> str:
    evaluated = {check.criterion for check in candidate.checks}
    missing = [name for name in ranking.criteria if name not in evaluated]
    return f"{', '.join(missing)}: {NOT_MEASURED}"


def _missed_words(missed: Missed) -> str:
    value = NOT_MEASURED if missed.measured is None else f"measured {missed.measured}"
    often = f" in {missed.failed} of {missed.of} runs" if missed.of > 1 else ""
    why = f" ({missed.reason})" if missed.measured is None and missed.reason else ""
    return f"{missed.criterion} failed{often}: {value}{why}"


def reasons(candidate: Candidate) -> list[str]:
    """What went wrong in the runs of a candidate, each from the side that it came from."""
    first = candidate.records[0]
    verdicts = [verdict for record in candidate.records for verdict in record.verdicts]
    reasons = [one.text for one in map(verdict_sentence, verdicts) if one.good is False]
    for result in candidate.results.values():
        if result.errors or (result.ledger is not None and result.ledger.unaccounted):
            reasons += errors_by_side(result, first.server or "", first.behind)
    reasons += _not_the_page(candidate)
    reasons += [words for words, _ in shown(candidate.logged)]
    reasons += candidate.trouble
    return list(dict.fromkeys(reasons))


def errors_by_side(result: Result, server: str, behind: str | None) -> list[str]:
    """Each kind of error of a load with the side that it came from: client, front or backend."""
    outer = f"the front {behind}" if behind else f"the server {server}"
    lines = []
    statuses = {
        name: n for name, n in result.outcomes.items() if is_status(name) and not is_good(name)
    }
    if statuses:
        shares = {key: share.errors or 0 for key, share in result.by_backend.items()}
        own = shares.pop(NO_BACKEND, 0)
        apps = sum(shares.values())
        counts = ", ".join(f"{n} x {name}" for name, n in sorted(statuses.items()))
        sides = []
        if apps:
            sides.append(f"{apps} from the app in the backends")
        if own or not apps:
            by = "because no backend answered it" if behind else "without the app's answer"
            sides.append(f"{own or sum(statuses.values())} from {outer} itself, {by}")
        lines.append(f"{counts}: {'; '.join(sides)}")
    lines += [f"unexpected: {line}" for line in unexpected_lines(result.unexpected)]
    for name, words in _SEEN.items():
        n = result.outcomes.get(name, 0)
        if n:
            lines.append(f"{n} x {name}: {outer} {words}")
    if result.outcomes.get("client_limit"):
        lines.append(
            f"{result.outcomes['client_limit']} x client_limit: from the client, this machine had "
            "no port or descriptor left for them"
        )
    if result.ledger is not None:
        lines += result.ledger.notes
        lines += [side.line() for side in result.ledger.sides if side.unaccounted]
    return lines


def _not_started(candidates: Sequence[Candidate], width: int) -> Iterator[str]:
    if not candidates:
        return
    yield ""
    yield "Could not be measured:"
    same: dict[str, list[str]] = {}
    for each in candidates:
        same.setdefault("; ".join(each.trouble), []).append(each.topology)
    for why, names in same.items():
        yield from _wrapped(f"{', '.join(names)}: {why}", width, "  ")


def _not_tried(left_out: Sequence[NotTried], width: int) -> Iterator[str]:
    if not left_out:
        return
    yield ""
    yield "Could not be tried:"
    for lacks in left_out:
        yield from _wrapped(f"{lacks.name} ({lacks.state}): {lacks.reason}", width, "  ")
        if lacks.hint:
            yield from _wrapped(f"get it: {lacks.hint}", width, "    ")


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return wrap(
        clean(text), width, initial_indent=indent, subsequent_indent=indent + "  ",
        break_on_hyphens=False,
    )  # fmt: skip
