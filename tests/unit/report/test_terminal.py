"""The terminal summary: what it says, and that it fits."""

from __future__ import annotations

import dataclasses
import re
from html import unescape as html_unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_winserve.load.measures.listen_queues import ListenDrops
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.complaints import SHOWN, Complaint, together
from pytest_winserve.load.results.result import Result
from pytest_winserve.load.results.shares import Generator, OutcomeTimes, RequestShare
from pytest_winserve.report import (
    findings,
    html,
    markdown,
    numbers,
    overview,
    tables,
    terminal,
)
from pytest_winserve.report.blocks import SiteBlock
from pytest_winserve.report.measurements import CapacityRecord, VerdictRecord
from tests.kit.results import Make, histogram, report_on

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def _terminal(data: dict[str, Any], *, width: int = 80, color: bool = False) -> str:
    return terminal.render(report_on(data), width=width, color=color)


def _html(data: dict[str, Any]) -> str:
    return html.render(report_on(data))


def _markdown(data: dict[str, Any]) -> str:
    return markdown.render(report_on(data))


def _blocks(data: dict[str, Any]) -> tuple[SiteBlock, ...]:
    return report_on(data).blocks


def _text(data: dict[str, Any], width: int = 80) -> str:
    """The summary with its line breaks and indents undone."""
    return " ".join(_terminal(data, width=width, color=False).split())


def _everything(make: Make) -> dict[str, Any]:
    generator = Generator(workers=2, lost=0, cpu=0.99, lag=0.2, limited_by="generator-cpu")
    return make.data(
        make.full(),
        make.full(
            "tornado",
            outcome="failed",
            verdicts=[make.verdict(blocked=8)],
            capacities=[make.capacity(1, declared=None, per_backend=None)],
            results=[
                make.result(
                    outcomes={"200": 4000, "refused": 312, "timeout": 4},
                    generator=generator,
                    checks=[make.check(passed=False, measured="9 s", reason="n is small (20)")],
                )
            ],
        ),
        make.full("nginx4-tornado:threads=16", results=[make.result(outcomes={"200": 3000})]),
        make.test("waitress", outcome="error", events=["backend 0 died\nline 1\nline 2"]),
        make.full("flask", results=[make.result(outcomes={})]),
        requirements=[
            {"criterion": "error_rate < 1%", "evaluated": 3, "failed": 1},
            {"criterion": "p95 < 1s", "evaluated": 1, "failed": 0},
            {"criterion": "non_blocking == 1", "evaluated": 0, "failed": 0},
        ],
    )


def _hostile(make: Make) -> dict[str, Any]:
    evil = "<script>\n\r\x1b[2J\x07|`" + "\u8fd9\u662f\u0301\udcff" + "/a-b" * 60
    requests = [make.request(1.0, blocked=True, backend=None, pid=None, thread=None)] * 2
    verdict = make.verdict(slow=evil, fast=2, blocked=2, fast_requests=requests)
    check = make.check(evil, passed=False, measured=evil, reason=evil)
    result = make.result(
        plan=Plan.make(duration=1, path="/" + "x" * 200), checks=[check], engine=evil
    )
    test = make.full(
        evil,
        nodeid=evil,
        host=evil,
        app=evil,
        verdicts=[verdict | {"fast": evil}],
        capacities=[make.capacity(2, how=evil)],
        results=[result],
        events=[evil, "\n", "", *["line\n" * 300]],
    )
    requirements = [{"criterion": evil, "evaluated": 0, "failed": 0}]
    return make.data(test, make.full(evil + "2"), requirements=requirements)


def test_an_empty_run_renders_nothing(make: Make) -> None:
    assert _terminal(make.data(), width=80, color=True) == ""


@pytest.mark.parametrize("width", [20, 33, 40, 60, 72, 79, 80, 100, 132, 250])
@pytest.mark.parametrize("kind", ["everything", "hostile"])
def test_no_line_is_longer_than_the_terminal(make: Make, width: int, kind: str) -> None:
    data = _everything(make) if kind == "everything" else _hostile(make)
    text = _terminal(data, width=width, color=False)
    assert max(map(len, text.splitlines())) <= width
    assert text.isascii()
    assert set(text) - {"\n"} <= set(map(chr, range(32, 127)))
    assert not any(line != line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("kind", ["everything", "hostile"])
def test_colour_changes_nothing_but_colour(make: Make, kind: str) -> None:
    data = _everything(make) if kind == "everything" else _hostile(make)
    plain = _terminal(data, width=80, color=False)
    coloured = _terminal(data, width=80, color=True)
    assert _ANSI.sub("", coloured) == plain
    assert coloured != plain
    assert "\x1b[1;31m" in coloured
    for line in coloured.splitlines():
        assert not line.startswith("\x1b[") or line.endswith("\x1b[0m")


def test_a_run_without_trouble_has_no_red(make: Make) -> None:
    data = make.data(make.full(results=[make.result(outcomes={"200": 2400})]))
    assert "31m" not in _terminal(data, width=80, color=True)


def test_the_findings_of_one_topology(make: Make) -> None:
    text = _text(make.data(make.full()))
    assert "nginx4 on local: pytest_winserve.sample_app:app" in text
    assert "does not block: all 8 fast requests were answered during /sleep?seconds=1" in text
    assert "runs 4 requests at once; nginx4 declares 4" in text
    assert "counted in the backends; per backend 1 + 1 + 1 + 1" in text
    assert "load by builtin: 500 users, 12 s, one connection per request, GET /test" in text
    assert "sent 2400, answered 2380, errors 70 (2.92 %), 198.3 /s" in text
    assert "2400 sent = 2380 answered + 20 failed" in text
    assert "unaccounted: 0" in text
    assert "Comparison" not in text


def test_the_articles_first_table_at_80_columns(make: Make) -> None:
    """The published numbers of Flask under 500 users, at the width of an ordinary terminal."""

    def row(*values: float) -> dict[str, float]:
        names = ("highest_10sec_mean", "lowest_10sec_mean", "highest_rate", "mean_rate", "mean")
        return dict(zip((*names, "count"), values, strict=True))

    measured = {
        "rows": {
            "connect": row(0.0343, 0.03191, 506, 356.6, 0.03319, 103908),
            "page": row(0.42, 0.29, 505, 356.32, 0.39, 103782),
            "request": row(0.42, 0.29, 505, 356.32, 0.39, 103782),
            "session": row(84, 10.64, 11.4, 1.21, 14.24, 362),
        },
        "codes": {"200": {"highest_rate": 505, "mean_rate": 356.32, "total": 104792}},
        "errors": {"refused": {"highest_rate": 58.6, "total": 1667}},
    }
    load = dataclasses.replace(_blocks(make.data(make.full()))[0].loads[0], tables=measured)
    main, codes, errors = tables.article_tables(load)
    assert terminal.table(main.header, main.rows, 80) == [
        "            highest      lowest     Highest          Mean",
        "Name     10sec mean  10sec mean        Rate          Rate        Mean   Count",
        "-------  ----------  ----------  ----------  ------------  ----------  ------",
        "connect  34.30 msec  31.91 msec   506 / sec   356.6 / sec  33.19 msec  103908",
        "page       0.42 sec    0.29 sec   505 / sec  356.32 / sec    0.39 sec  103782",
        "request    0.42 sec    0.29 sec   505 / sec  356.32 / sec    0.39 sec  103782",
        "session   1mn 24sec   10.64 sec  11.4 / sec    1.21 / sec   14.24 sec     362",
    ]
    assert terminal.table(main.header, main.rows, 120)[0] == (
        "Name    | highest 10sec mean | lowest 10sec mean | Highest Rate |    Mean Rate |"
        "       Mean |  Count"
    )
    assert terminal.table(codes.header, codes.rows, 80)[-1:] == [
        "200  |    505 / sec | 356.32 / sec |       104792"
    ]
    assert terminal.table(errors.header, errors.rows, 80)[-1:] == [
        "refused |   58.6 / sec |         1667"
    ]


def test_errors_make_a_table_only_when_there_are_any(make: Make) -> None:
    with_errors = _terminal(make.data(make.full()), width=80, color=False)
    assert "refused |" in with_errors
    without = make.data(make.full(results=[make.result(outcomes={"200": 2400})]))
    assert _terminal(without, width=80, color=False).count("Total number") == 1


@pytest.mark.parametrize(
    ("blocked", "fast", "words"),
    [
        (0, 8, "does not block: all 8 fast requests were answered"),
        (0, 1, "does not block: the fast request was answered"),
        (2, 8, "BLOCKS: 2 of 8 fast requests (25 %) had to wait for /sleep?seconds=1"),
        (2, 8, "(backend 0: 1, backend 1: 1)"),
        (1, 1, "BLOCKS: 1 of 1 fast request (100 %) had to wait"),
        (0, 0, "blocking not measured: no fast request was sent"),
    ],
)
def test_verdicts_in_words(make: Make, blocked: int, fast: int, words: str) -> None:
    verdict = make.verdict(blocked=blocked, fast=fast)
    assert words in findings.verdict_sentence(VerdictRecord.from_dict(verdict)).text
    assert findings.verdict_sentence(VerdictRecord.from_dict(verdict)).good is (
        blocked == 0 and fast > 0
    )
    assert words in _text(make.data(make.test(verdicts=[verdict])), width=200)


def test_a_verdict_tells_of_answers_that_are_errors(make: Make) -> None:
    requests = [make.request(0.1, status=status) for status in (200, 500, 500, 304, 404, None)]
    details = findings.verdict_details(
        VerdictRecord.from_dict(make.verdict(fast=6, fast_requests=requests))
    )
    assert "/test answered 404 1 time; /test answered 500 2 times" in details
    assert "/test got no answer 1 time" in details
    assert "304" not in details


@pytest.mark.parametrize(
    ("capacity", "words", "good"),
    [
        ({"value": 4}, "runs 4 requests at once; waitress declares 4", True),
        ({"value": 1, "declared": 1}, "runs 1 request at once; waitress declares 1", True),
        (
            {"value": 64, "at_least": True, "declared": None},
            "runs at least 64 requests at once; no bound declared",
            True,
        ),
        (
            {"value": 1, "at_least": True, "declared": 4},
            "runs at least 1 requests at once; waitress declares 4",
            True,
        ),
        ({"value": 1, "declared": None}, "MEASURED 1 at once, DECLARED no bound", False),
        ({"value": 3}, "MEASURED 3 at once, DECLARED 4 by waitress", False),
        ({"value": 5}, "MEASURED 5 at once, DECLARED 4 by waitress", False),
        (
            {"value": 64, "at_least": True},
            "MEASURED at least 64 at once, DECLARED 4 by waitress",
            False,
        ),
        (
            {"value": 7, "declared": "unknown"},
            "runs 7 requests at once; what waitress declares is unknown",
            None,
        ),
    ],
)
def test_capacities_in_words(
    make: Make, capacity: dict[str, Any], words: str, good: bool | None
) -> None:
    sentence = findings.capacity_sentence(
        CapacityRecord.from_dict(make.capacity(**capacity)), "waitress"
    )
    assert (sentence.text, sentence.good) == (words, good)


def test_what_limits_a_load_stands_above_its_numbers(make: Make) -> None:
    generator = Generator(workers=2, lost=1, cpu=0.99, lag=0.2, limited_by="client-ports")
    result = make.result(generator=generator, sent=2500, dropped=3)
    text = _text(make.data(make.full(results=[result])), width=200)
    limit = text.index("LIMITED BY THE LOAD GENERATOR (client-ports)")
    lost = text.index("INCOMPLETE: 1 of 2 load workers were lost, with them the outcome of 100")
    dropped = text.index("3 requests never sent")
    assert max(limit, lost, dropped) < text.index("highest")


def test_nothing_sent_is_not_measured_and_never_zero(make: Make) -> None:
    text = _text(make.data(make.full(results=[make.result(outcomes={}, ledger=None)])), width=200)
    assert "nothing was sent: every number of this load is not measured" in text
    assert "sent 0; error rate and answers per second not measured" in text
    assert "p50, p95, p99 and max not measured (0 answers)" in text
    assert "ledger: not measured" in text
    assert "0 %" not in text
    assert "0.0 /s" not in text


def test_what_an_engine_cannot_measure_has_no_count(make: Make) -> None:
    empty = make.result(outcomes={})["connect"]
    result = make.result()
    result |= {"connect": empty, "unmeasured": ["connect", "sessions"]}
    for second in result["timeline"]:
        second |= {"connect_count": 0, "connect_sum": 0.0}
    load = _blocks(make.data(make.full(results=[result])))[0].loads[0]
    rows = {row[0]: row[1:] for row in tables.article_tables(load)[0].rows}
    assert set(rows["connect"]) == set(rows["session"]) == {"-"}
    assert rows["request"][-1] == "2380"
    text = _text(make.data(make.full(results=[result])))
    assert "builtin could not measure: connect, sessions" in text


def test_a_total_that_was_not_measured_is_not_zero(make: Make) -> None:
    result = Result.from_dict({**make.result(unmeasured=frozenset({"total"})), "checks": None})
    assert findings.latency(result) == "p50, p95, p99 and max not measured"


def test_quantiles_of_few_samples_say_so(make: Make) -> None:
    result = Result.from_dict(make.result(outcomes={"200": 200}))
    latency = findings.latency(result)
    assert re.fullmatch(r"p50 \S+ ms, p95 \S+ ms, p99 n small, max \S+ ms \(200 answers\)", latency)


def test_no_number_stands_for_a_quantile_of_few_samples(make: Make) -> None:
    few = [make.full(name, results=[make.result(outcomes={"200": 19})]) for name in ("a", "b")]
    found = _blocks(make.data(*few))
    assert [row.p95 for row in overview.comparison(found)] == ["n small"] * 2
    assert findings.latency(found[0].loads[0].result).startswith(
        "p50 n small, p95 n small, p99 n sm"
    )


def test_requests_and_outcomes_have_tables_when_there_are_several(make: Make) -> None:
    fast, slow = histogram(*[0.01] * 2000), histogram(*[9.5] * 20)
    shares = {
        "GET /a": RequestShare({"200": 2000}, fast),
        "GET /b": RequestShare({"timeout": 20}, histogram()),
    }
    times = {"200": OutcomeTimes(fast), "timeout": OutcomeTimes(slow)}
    result = make.result(by_request=shares, by_outcome=times, service=fast)
    requests, outcomes = tables.detail_tables(Result.from_dict(result))
    quick = ("10.0 ms", *["10.0 ms"] * 3, "10.0 ms")
    assert requests.rows == (
        ("GET /a", "2000", "0", *quick),
        ("GET /b", "20", "20", "-", "-", "-", "-", "-"),
    )
    assert outcomes.rows == (
        ("200", "2000", *quick),
        ("timeout", "20", "9.50 s", "9.50 s", "n small", "n small", "9.50 s"),
    )
    text = _text(make.data(make.full(results=[result])))
    assert "GET /b" in text
    assert "from the intended start p50" in text
    assert "; service time p50 10.0 ms, p95 10.0 ms, p99 10.0 ms, max 10.0 ms" in text
    one = make.result(by_request={"GET /a": shares["GET /a"]}, by_outcome={"200": times["200"]})
    assert tables.detail_tables(Result.from_dict(one)) == []


def test_the_page_has_the_tables_by_tsungs_definitions_too(make: Make) -> None:
    data = make.data(make.full())
    load = _blocks(data)[0].loads[0]
    main, codes, errors = tables.tsung_tables_of(load)
    # Of 12 seconds the last two: what ended in them, and the mean of the ten before.
    request = {row[0]: row[1:] for row in main.rows}["request"]
    rest = sum(second.total_count for second in load.result.timeline[10:])
    assert request[2] == request[3] == f"{rest / 2:g} / sec"
    assert request[-1] == str(2380 - rest)
    assert [row[-1] for row in codes.rows] == ["2330", "50"]
    assert [row[-1] for row in errors.rows] == ["20"]
    assert "Main statistics, by tsung" in _html(data)
    assert "by tsung" not in _text(data)


def test_the_open_model_tells_what_was_offered_and_what_was_late(make: Make) -> None:
    plan = Plan.make(rate=250, duration=12)
    generator = Generator(workers=1, lost=0, cpu=0.2, lag=0.0, limited_by="none", late=7)
    data = make.data(make.full(results=[make.result(plan=plan, generator=generator)]))
    said = "offered 250.0 /s, answered 198.3 /s; 7 late by more than 10 ms"
    for text in (_text(data), _markdown(data), _html(data)):
        assert said in text
    unknown = Result.from_dict(make.result(plan=plan))
    assert findings.pace(unknown).endswith("; late not measured")
    closed = make.data(make.full())
    for text in (_text(closed), _markdown(closed), _html(closed)):
        assert "offered" not in text


def test_a_machine_that_was_busy_is_told_and_is_no_failure(make: Make) -> None:
    busy = Generator(workers=1, lost=0, cpu=0.2, lag=0.0, limited_by="none", host_cpu=0.973)
    result = Result.from_dict(make.result(generator=busy))
    (sentence,) = findings.load_warnings(result)
    assert sentence.good is None
    assert sentence.text.startswith("the generator's machine was busy (97% of its processors)")
    assert sentence.text in result.summary()
    assert result.limited == ""


def test_connects_that_were_dropped_are_told(make: Make) -> None:
    generator = Generator(workers=1, lost=0, cpu=0.2, lag=0.0, limited_by="none", syn_retried=24)
    connect = histogram(*[0.001] * 2376, *[1.001] * 24)
    site = dataclasses.replace(make.usage(), listen_drops=ListenDrops(overflows=30, drops=31))
    result = Result.from_dict(make.result(generator=generator, connect=connect, site=site))
    (sentence,) = findings.load_warnings(result)
    assert sentence.good is False
    assert sentence.text == (
        "listen queue overflow or loss: 24 of 2400 connects (1.00%) were made by another try, "
        "a second or more after the first; the site's machine counted 31 dropped connects, "
        "30 of them by a full listen queue"
    )
    assert sentence.text in result.summary()
    # What the machine counted alone may be somebody else's.
    (sentence,) = findings.load_warnings(Result.from_dict(make.result(site=site)))
    assert (sentence.good, sentence.text[:18]) == (None, "the site's machine")


def test_a_ledger_that_does_not_add_up_is_bad(make: Make) -> None:
    result = Result.from_dict(make.result(ledger=make.ledger(2400, 2380, seen=2377)))
    sentence = findings.ledger_text(result)
    assert sentence.good is False
    assert sentence.text.endswith("unaccounted: 3")


def test_failed_checks_and_events_are_shown(make: Make) -> None:
    failed = make.check("p99 < 1s", passed=False, measured=None, reason="not measured")
    other = make.check("capacity >= 4", passed=False, measured="1", reason="")
    reason = "close: within 10% of the bound"
    close = make.check("p95 < 500ms", measured="480 ms", reason=reason, close=True)
    test = make.full(
        verdicts=[make.verdict(checks=[make.check("non_blocking == 1")])],
        capacities=[make.capacity(checks=[other])],
        results=[make.result(checks=[failed, close, make.check("rate > 1/s", close=False)])],
        events=["site died\n" + "\n".join(f"log {i}" for i in range(20))],
    )
    text = _terminal(make.data(test), width=80, color=False)
    assert "  FAILED p99 < 1s: not measured\n" in text
    assert "  holds p95 < 500ms: measured 480 ms (close: within 10% of the bound)\n" in text
    assert "  FAILED capacity >= 4: measured 1\n" in text
    assert "non_blocking" not in text
    assert "rate > 1/s" not in text
    assert "  event: site died\n    (8 lines left out)\n    log 8\n" in text
    assert text.endswith("    log 19\n")


def test_a_test_that_measured_nothing_says_so(make: Make) -> None:
    text = _text(make.data(make.test(outcome="error"), make.test(outcome="failed")))
    assert "not measured: no probe, capacity or load came to an end (1 error, 1 failed)" in text


def test_requirements(make: Make) -> None:
    text = _terminal(_everything(make), width=80, color=False)
    assert text.endswith(
        "required error_rate < 1%: FAILED in 1 of 3 measurements\n"
        "required p95 < 1s: held in 1 measurement\n"
        "required non_blocking == 1: NEVER MEASURED\n"
    )


def test_the_comparison_has_one_line_per_topology(make: Make) -> None:
    text = _terminal(_everything(make), width=80, color=False)
    lines = text[text.index("\nComparison\n") :].splitlines()[5:10]
    assert [line.replace("|", " ").split()[:4] for line in lines] == [
        ["nginx4", "no", "4", "198.3"],
        ["tornado", "YES", "1", "333.3*"],
        ["nginx4-tornado:threads=16", "no", "4", "250.0"],
        ["waitress", "-", "-", "-"],
        ["flask", "no", "4", "-"],
    ]
    assert "-: not measured." in text
    assert "* the" in text


def test_a_server_made_for_development_is_marked_in_every_form(make: Make) -> None:
    data = make.data(make.full("flask", development=True), make.full("waitress"))
    terminal = " ".join(_terminal(data, width=80, color=False).split())
    assert "flask (dev) " in terminal
    assert "waitress (dev)" not in terminal
    for text in (terminal, " ".join(_markdown(data).split()), " ".join(_html(data).split())):
        assert text.count("this server is made for development, not to deploy with") == 1
        assert "(dev) the server is made for development, not to deploy with." in text
    both = (make.full("tornado"), make.full("waitress"))
    assert "development" not in _terminal(make.data(*both), width=80, color=False)


def _complaint(kind: str, *, grave: bool = True, **counts: int) -> dict[str, Any]:
    counts = {name.replace("_", "-"): n for name, n in counts.items()}
    one = Complaint(kind, counts, f"first {kind}", grave)
    return one.to_dict()


def test_complaints_of_logs_are_in_every_form_also_when_all_passed(make: Make) -> None:
    logged = [_complaint("ValueError (traceback)", backend_0=3, backend_1=9),
              _complaint("Task queue depth", grave=False, backend_1=1)]  # fmt: skip
    words = ("LOGGED meanwhile: ValueError (traceback) 12 times (backend-0 3, backend-1 9): "
             "first ValueError")  # fmt: skip
    load = {**make.result(outcomes={"200": 50}), "logged": logged}
    for test in (
        make.test(verdicts=[make.verdict(logged=logged)]),
        make.test(capacities=[make.capacity(logged=logged)]),
        make.test(results=[load]),
    ):
        data = make.data(test)
        plain = _markdown(data).replace("\\", "")
        for text in (_text(data), " ".join(plain.split()), html_unescape(_html(data))):
            assert words in text
            assert "logged meanwhile: Task queue depth once (backend-1)" in text


def test_of_many_kinds_some_are_shown_and_the_others_counted(make: Make) -> None:
    logged = [_complaint(f"E{n:02}", backend_0=n + 1) for n in range(SHOWN + 3)]
    sentences = findings.logged_sentences([Complaint.from_dict(one) for one in logged])
    assert len(sentences) == SHOWN + 1
    assert sentences[-1].text == "LOGGED meanwhile: and 3 other kinds"


def test_complaints_of_several_logs_are_put_together_the_gravest_first() -> None:
    one = Complaint("a", {"backend-0": 1}, "first")
    two = Complaint("a", {"backend-0": 2, "backend-1": 1}, "second")
    notice = Complaint("queue", {"backend-0": 90}, "full", grave=False)
    rare = Complaint("b", {"nginx": 1}, "once")
    assert together([notice, rare, one, two]) == (
        Complaint("a", {"backend-0": 3, "backend-1": 1}, "first"), rare, notice,
    )  # fmt: skip


def test_the_comparison_takes_the_worst_and_the_biggest(make: Make) -> None:
    small = make.result(outcomes={"200": 100, "refused": 100})
    block = make.full(
        verdicts=[make.verdict(), make.verdict(blocked=2), make.verdict(fast=0)],
        capacities=[make.capacity(64, at_least=True), make.capacity(64), make.capacity(65)],
        results=[make.result(), small],
    )
    row, other = overview.comparison(_blocks(make.data(block, make.test("flask", host="wine"))))
    assert row.cells("-")[:4] == ["nginx4 on local", "25 %", "64", "198.3"]
    assert row.error_rate == 70 / 2400
    assert other.cells("-") == ["flask on wine", *["-"] * 7]


def test_blocks_are_apart_by_host_topology_and_app(make: Make) -> None:
    tests = [make.test(), make.test(host="wine"), make.test(app="shop:app"), make.test("flask")]
    found = _blocks(make.data(*tests, *tests))
    assert [(b.host, b.topology, b.app, b.outcomes) for b in found] == [
        (test["host"], test["topology"], test["app"], "2 passed") for test in tests
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not measured"),
        (0.0, "0.00 ms"),
        (0.00042, "0.42 ms"),
        (0.0123, "12.3 ms"),
        (0.312, "312 ms"),
        (0.9996, "1.00 s"),
        (1.2, "1.20 s"),
        (12.34, "12.3 s"),
        (123.4, "123 s"),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert numbers.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not measured"),
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.25, "25 %"),
        (0.00616, "0.62 %"),
        (0.1234, "12.3 %"),
        (1e-7, "< 0.01 %"),
        (0.99999, "> 99.9 %"),
    ],
)
def test_percent(value: float | None, text: str) -> None:
    assert numbers.percent(value) == text


@given(st.floats(min_value=0, max_value=1))
def test_only_all_and_nothing_print_as_such(fraction: float) -> None:
    assert (numbers.percent(fraction) == "0 %") == (fraction == 0)
    assert (numbers.percent(fraction) == "100 %") == (fraction == 1)


@given(
    st.lists(st.lists(st.text("ab:=-", max_size=40), min_size=3, max_size=3), min_size=1),
    st.integers(20, 100),
)
def test_any_table_fits(rows: list[list[str]], width: int) -> None:
    lines = terminal.table(["topology", "rate /s", "unaccounted"], rows, width)
    assert max(map(len, lines), default=0) <= width


def test_a_shortened_name_stays_unique() -> None:
    rows = [[f"nginx4-waitress:{'x' * 30}:threads={n}", "1"] for n in (8, 16)]
    lines = terminal.table(["topology", "rate"], rows, 30)
    assert len(lines) == 4
    assert len(set(lines[2:])) == 2
    same = [[f"a{'x' * 30}{n}{'y' * 30}", "1"] for n in (8, 9)]
    assert "rate 1" in " ".join(terminal.table(["topology", "rate"], same, 30))
