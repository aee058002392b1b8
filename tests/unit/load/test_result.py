"""A result made by hand, so that every number of the tables can be checked on paper."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from pytest_winserve.errors import CriterionFailed
from pytest_winserve.load.criteria import Criterion
from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.measures.units import format_duration, format_rate
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.result import Result
from pytest_winserve.load.results.shares import (
    BackendShare,
    Generator,
    OutcomeTimes,
    RequestShare,
    Second,
)


def histogram(n: int, seconds: float) -> Histogram:
    result = Histogram()
    result.record_many([round(seconds * 1e6)] * n)
    return result


def second(at: int, n: int, mean: float, **outcomes: int) -> Second:
    counts = {key.removeprefix("_"): value for key, value in outcomes.items()}
    finished = sum(counts.values())
    return Second(
        at, finished, finished, counts, n, n * 0.001, n, n * mean, session_count=0, session_sum=0.0
    )


def make(**changes: Any) -> Result:
    """Three windows of 10, 10 and 5 s with 100 answers of 0.9 s, 200 of 0.02 s, 400 of 0.01 s."""
    timeline = [Second(at) for at in range(25)]
    timeline[3] = second(3, 100, 0.9, _200=100, refused=7)
    timeline[12] = second(12, 200, 0.02, _200=150, _502=50)
    timeline[24] = second(24, 400, 0.01, _200=400, refused=3)
    total = Histogram.merged([histogram(100, 0.9), histogram(200, 0.02), histogram(400, 0.01)])
    values: dict[str, Any] = {
        "plan": Plan.make(users=10, duration=25),
        "engine": "builtin",
        "url": "http://127.0.0.1:1",
        "sent": 710,
        "outcomes": {"200": 650, "502": 50, "refused": 10},
        "dropped": 0,
        "elapsed": 25.0,
        "connect": histogram(700, 0.001),
        "first_byte": histogram(700, 0.005),
        "total": total,
        "sessions": Histogram(),
        "timeline": tuple(timeline),
        "by_backend": {"0": BackendShare(700, total)},
        "generator": Generator(1, 0, 0.1, 0.001, "none"),
    }
    return Result(**{**values, **changes})


def test_counts_and_rates() -> None:
    result = make()
    assert (result.answered, result.errors, result.unfinished) == (700, 60, 0)
    assert result.error_rate == 60 / 710
    assert result.rate == 28.0
    assert result.percentile(100) == 0.9


def test_nothing_sent_has_no_rates() -> None:
    nothing = Histogram()
    result = make(sent=0, outcomes={}, elapsed=0.0, total=nothing, timeline=(), by_backend={})
    assert (result.error_rate, result.rate, result.percentile(50)) == (None, None, None)
    with pytest.raises(CriterionFailed, match="not measured"):
        result.require("error_rate < 1%")
    assert result.tsung_tables()["rows"]["request"]["count"] == 0


def test_outcomes_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="711 requests sent"):
        make(sent=711)
    with pytest.raises(ValueError, match="700 requests sent"):
        make(sent=700, generator=Generator(2, 1, 0, 0, "none"))


def test_a_lost_worker_marks_the_result_and_fails_every_criterion() -> None:
    result = make(sent=715, generator=Generator(2, 1, 0.1, 0.001, "none"))
    assert result.unfinished == 5
    assert "INCOMPLETE: 1 of 2 workers" in result.summary()
    with pytest.raises(CriterionFailed, match="1 of 2 load workers were lost"):
        result.require("rate > 0/s")


def test_dict_round_trip_through_json_is_exact() -> None:
    result = make(unmeasured=frozenset({"first_byte"}))
    data = json.loads(json.dumps(result.to_dict()))
    assert Result.from_dict(data) == result


def test_metrics() -> None:
    result = make()
    assert result.metric("status(502)") == (50, 710)
    assert result.metric("outcome(refused)") == (10, 710)
    assert result.metric("outcome(reset)") == (0, 710)
    assert result.metric("connect.max") == (0.001, 700)
    assert result.metric("first_byte.mean") == (0.005, 700)
    assert result.metric("unaccounted") == (None, None)
    assert make(unmeasured=frozenset({"connect"})).metric("connect.p95") == (None, 0)


def test_require_returns_the_result_or_shows_the_evidence() -> None:
    result = make(dropped=4)
    assert result.require("error_rate < 10%", "p50 < 50ms") is result
    with pytest.raises(CriterionFailed) as caught:
        result.require("error_rate < 1%", "status(502) == 0", "non_blocking")
    text = str(caught.value)
    for part in ("3 of 3", "8.45", "n=710", "200 650, 502 50, refused 10", "0 700", "dropped"):
        assert part in text


def test_a_percentile_is_told_with_its_interval() -> None:
    # Of 700 answers the ranks 324 and 376 are both among the 400 of 10 ms.
    (check,) = make().checks(Criterion.parse("p50 < 1ms"))
    assert "95% interval 9.97ms to 10ms" in check.reason
    # From the 659th to the 672nd: among the 100 of 0.9 s.
    (check,) = make().checks(Criterion.parse("p95 < 1s"))
    assert "95% interval 0.893s to 0.9s" in check.reason
    for text in ("p99.9 < 1s", "max < 1s", "rate > 1", "unaccounted == 0"):
        (check,) = make().checks(Criterion.parse(text))
        assert "95% interval" not in check.reason


LIMITED = Generator(1, 0, 0.99, 0.02, "generator-cpu")


def test_no_criterion_holds_when_the_generator_was_the_limit_unless_told() -> None:
    result = make(generator=LIMITED)
    with pytest.raises(CriterionFailed) as caught:
        result.require("rate > 1", "error_rate < 50%")
    text = str(caught.value)
    assert "2 of 2 criteria failed" in text
    assert "rate > 1/s: measured 28/s, the load generator was the limit (generator-cpu)" in text
    assert "allow_limited=True" in text
    assert "--winserve-limited=allow" in text
    assert result.require("rate > 1", "error_rate < 50%", allow_limited=True) is result
    (check,) = result.checks(Criterion.parse("rate > 1"), allow_limited=True)
    assert "the load generator was the limit" in check.note
    with pytest.raises(CriterionFailed, match="rate > 100/s: measured 28/s"):
        result.require("rate > 100", allow_limited=True)


def test_a_lost_worker_is_not_allowed_for() -> None:
    result = make(sent=715, generator=Generator(2, 1, 0.1, 0.001, "generator-cpu"))
    with pytest.raises(CriterionFailed, match="1 of 2 load workers were lost") as caught:
        result.require("rate > 0/s", allow_limited=True)
    assert "lost with a worker 5" in str(caught.value)


def test_the_evidence_names_the_outcomes_and_the_backends() -> None:
    fast, slow = histogram(400, 0.01), histogram(250, 0.9)
    shares = {
        "0": BackendShare(400, fast, 0),
        "1": BackendShare(250, slow, 38),
        "-": BackendShare(12, histogram(12, 0.001), 12),
    }
    result = make(by_backend=shares)
    with pytest.raises(CriterionFailed) as caught:
        result.require("error_rate < 1%", "p95 < 500ms", "connect.max < 0.1ms", "rate > 50")
    text = str(caught.value)
    assert "errors: 60, of them 502 50, refused 10" in text
    assert "errors by backend: 0 0 of 400, 1 38 of 250; 22 not answered by a backend" in text
    assert "slower than 500ms by backend: - 0 of 12, 0 0 of 400, 1 250 of 250" in text
    assert text.count("slower than") == 1
    # An engine that does not see who answered.
    with pytest.raises(CriterionFailed, match="answers by backend: not measured"):
        make(by_backend={}).require("error_rate < 1%")
    # Where nobody could tell, nothing is told.
    with pytest.raises(CriterionFailed) as caught:
        make().require("error_rate < 1%")
    assert "errors by backend" not in str(caught.value)


def test_the_evidence_names_the_requests_and_how_long_errors_took() -> None:
    fast, slow = histogram(450, 0.01), histogram(250, 0.9)
    result = make(
        by_request={
            "GET /a": RequestShare({"200": 450, "refused": 10}, fast),
            "GET /b": RequestShare({"200": 200, "502": 50}, slow),
        },
        by_outcome={
            "200": OutcomeTimes(fast),
            "502": OutcomeTimes(histogram(50, 0.25)),
            "refused": OutcomeTimes(histogram(10, 0.002)),
        },
    )
    with pytest.raises(CriterionFailed) as caught:
        result.require("error_rate < 1%", "p95 < 500ms")
    text = str(caught.value)
    assert "errors by request: GET /a 10 of 460, GET /b 50 of 250" in text
    assert "mean time until an error: 502 0.25 sec, refused 2.00 msec" in text
    assert "slower than 500ms by request: GET /a 0 of 450, GET /b 250 of 250" in text
    # With one kind of request there is nothing to keep apart.
    with pytest.raises(CriterionFailed) as caught:
        replace(result, by_request={"GET /a": result.by_request["GET /a"]}).require("p95 < 500ms")
    assert "by request" not in str(caught.value)


def test_older_files_do_not_tell_the_errors_by_backend() -> None:
    data = json.loads(json.dumps(make().to_dict()))
    del data["by_backend"]["0"]["errors"]
    assert Result.from_dict(data) == make()


def test_older_files_keep_less_apart() -> None:
    data = json.loads(json.dumps(make().to_dict()))
    for key in ("service", "by_request", "by_outcome"):
        del data[key]
    for second in data["timeline"]:
        del second["total"]
    del data["by_backend"]["0"]["service"]
    assert Result.from_dict(data) == make()


def test_summary_names_the_limit_above_the_numbers() -> None:
    lines = make(generator=Generator(1, 0, 0.99, 0.02, "generator-cpu")).summary().splitlines()
    assert "generator-cpu" in lines[0]
    assert lines[1].startswith("710 sent")
    assert "LIMITED" not in make().summary()


def test_tables_in_the_form_of_the_article() -> None:
    tables = make().tsung_tables()
    assert tables["rows"]["request"] == {
        "highest_10sec_mean": pytest.approx(0.9),
        "lowest_10sec_mean": pytest.approx(0.01),
        "highest_rate": 80.0,  # 400 in the last window of 5 s
        "mean_rate": 28.0,
        "mean": pytest.approx((90 + 4 + 4) / 700),
        "count": 700,
    }
    assert tables["rows"]["page"] == tables["rows"]["request"]
    assert tables["rows"]["session"]["count"] == 0
    assert set(tables["rows"]["session"].values()) == {0, None}
    assert tables["codes"] == {
        "200": {"highest_rate": 80.0, "mean_rate": 26.0, "total": 650},
        "502": {"highest_rate": 5.0, "mean_rate": 2.0, "total": 50},
    }
    assert tables["errors"] == {"refused": {"highest_rate": 0.7, "total": 10}}


def test_the_same_tables_as_tsung_would_make_them() -> None:
    """Windows of 10, 10 and 5 s; the first is in no column but totals, the last neither in `mean`
    nor in `count`, and `mean_rate` is the plain mean of 20 and 80."""
    tables = make().tsung_tables()["as_tsung"]
    assert tables["rows"]["request"] == {
        "highest_10sec_mean": pytest.approx(0.02),
        "lowest_10sec_mean": pytest.approx(0.01),
        "highest_rate": 80.0,
        "mean_rate": 50.0,
        "mean": pytest.approx((90 + 4) / 300),
        "count": 300,
    }
    assert tables["rows"]["page"] == tables["rows"]["request"]
    assert set(tables["rows"]) == {"connect", "page", "request"}  # no session ended
    assert tables["codes"] == {
        "200": {"highest_rate": 80.0, "mean_rate": 47.5, "total": 650},
        "502": {"highest_rate": 5.0, "mean_rate": 2.5, "total": 50},
    }
    assert tables["errors"] == {"refused": {"highest_rate": 0.6, "total": 10}}


def test_of_one_window_tsung_would_have_no_table() -> None:
    timeline = (*(Second(at) for at in range(10)), second(10, 100, 0.9, _200=100, refused=7))
    counts: dict[str, Any] = {"sent": 107, "outcomes": {"200": 100, "refused": 7}}
    # Its last block would be of the same second as the first, which its report skips.
    tables = make(elapsed=10.2, timeline=timeline, **counts).tsung_tables()
    assert tables["as_tsung"] == {"rows": {}, "codes": {}, "errors": {}}
    assert tables["rows"]["request"]["count"] == 100


def test_a_short_last_window_belongs_to_the_one_before() -> None:
    # 214 requests that timed out in the last 0.05 s are not 4280 a second.
    timeline = (*(Second(at) for at in range(10)), second(10, 214, 10.0, timeout=214))
    tables = make(
        sent=214, outcomes={"timeout": 214}, elapsed=10.05, timeline=timeline
    ).tsung_tables()
    assert tables["errors"]["timeout"]["highest_rate"] == pytest.approx(214 / 10.05)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.000385, "0.385 msec"),
        (0.0343, "34.30 msec"),
        (0.39, "0.39 sec"),
        (84, "1mn 24sec"),
        (3723, "1h 2mn 3sec"),
    ],
)
def test_format_duration(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text


def test_format_rate() -> None:
    assert [format_rate(rate) for rate in (None, 506, 11.4, 356.317)] == [
        "-",
        "506 / sec",
        "11.4 / sec",
        "356.32 / sec",
    ]
