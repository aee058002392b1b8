from __future__ import annotations

import pytest

from pytest_winserve.errors import CriterionFailed, UsageError
from pytest_winserve.load.criteria import Criterion, evaluate, require


class Fixed:
    def __init__(
        self, value: float | None, n: int | None = 1000, *, at_least: bool = False
    ) -> None:
        self.value = value
        self.n = n
        self.at_least = at_least

    def metric(self, name: str) -> tuple[float | None, int | None]:
        return self.value, self.n


@pytest.mark.parametrize(
    ("text", "canonical", "value", "subject"),
    [
        ("rate > 1000000/s", "rate > 1000000/s", 1e6, "load"),
        ("error_rate < 0.000001", "error_rate < 0.000001", 1e-6, "load"),
        ("error_rate<1%", "error_rate < 1%", 0.01, "load"),
        (" error_rate <= 0.01 ", "error_rate <= 0.01", 0.01, "load"),
        ("error_rate < 0.1%", "error_rate < 0.1%", 0.001, "load"),
        ("rate > 100/s", "rate > 100/s", 100, "load"),
        ("rate>100", "rate > 100/s", 100, "load"),
        ("p95 < 500ms", "p95 < 500ms", 0.5, "load"),
        ("p95 < 500 ms", "p95 < 500ms", 0.5, "load"),
        ("p99.9<=1.5s", "p99.9 <= 1.5s", 1.5, "load"),
        ("p50.0 < 1s", "p50 < 1s", 1, "load"),
        ("p100 < 1s", "p100 < 1s", 1, "load"),
        ("mean < .5s", "mean < 0.5s", 0.5, "load"),
        ("max < 2s", "max < 2s", 2, "load"),
        ("connect.p95 < 5ms", "connect.p95 < 5ms", 0.005, "load"),
        ("first_byte.max < 5ms", "first_byte.max < 5ms", 0.005, "load"),
        ("outcome(refused) == 0", "outcome(refused) == 0", 0, "load"),
        ("status(502) < 1%", "status(502) < 1%", 0.01, "load"),
        ("unaccounted == 0", "unaccounted == 0", 0, "load"),
        ("non_blocking", "non_blocking == true", 1, "probe"),
        ("non_blocking == false", "non_blocking == false", 0, "probe"),
        ("capacity >= 4", "capacity >= 4", 4, "capacity"),
    ],
)
def test_grammar(text: str, canonical: str, value: float, subject: str) -> None:
    criterion = Criterion.parse(text)
    assert str(criterion) == canonical
    assert criterion.value == pytest.approx(value)
    assert criterion.subject == subject
    assert Criterion.parse(canonical) == criterion


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "METRIC OP VALUE"),
        ("error_rate", "METRIC OP VALUE"),
        ("error_rat < 1%", "error_rate"),
        ("p95 < 500", "ms or s"),
        ("p95 < 5%", "ms or s"),
        ("error_rate < 5ms", "%"),
        ("error_rate < 101%", "100%"),
        ("error_rate < 5", "100%"),
        ("error_rate != 5%", "operator"),
        ("error_rate = 5%", "operator"),
        ("error_rate < -5%", "number"),
        ("error_rate < nan", "number"),
        ("p100.1 < 5ms", "percentile"),
        ("p0 < 5ms", "percentile"),
        ("p101 < 5ms", "percentile"),
        ("connect.rate > 5", "unknown metric"),
        ("outcome(refusd) == 0", "refused"),
        ("status(999) == 0", "502"),
        ("status(50) == 0", "502"),
        ("unaccounted < 1%", "no unit"),
        ("capacity >= 4s", "no unit"),
        ("non_blocking >= 1", "== true"),
        ("rate > true", "number"),
    ],
)
def test_a_wrong_criterion_says_what_would_be_right(text: str, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        Criterion.parse(text)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("<", (True, False, False)),
        ("<=", (True, True, False)),
        (">", (False, False, True)),
        (">=", (False, True, True)),
        ("==", (False, True, False)),
    ],
)
def test_operators(op: str, expected: tuple[bool, bool, bool]) -> None:
    criterion = Criterion.parse(f"rate {op} 10")
    assert tuple(criterion.check(value, 1).passed for value in (9, 10, 11)) == expected


def test_not_measured_fails_whatever_is_demanded() -> None:
    for text in ("p95 < 1s", "p95 > 0s", "unaccounted == 0", "error_rate >= 0"):
        check = evaluate(Criterion.parse(text), Fixed(None, 0))
        assert not check.passed
        assert "not measured" in check.reason


def test_percent_of_a_count_is_the_share_of_sent() -> None:
    criterion = Criterion.parse("status(502) < 1%")
    assert criterion.check(9, 1000).passed
    assert not criterion.check(10, 1000).passed
    assert not criterion.check(0, 0).passed


def test_few_samples_are_named_and_still_judged() -> None:
    check = evaluate(Criterion.parse("p99 < 1s"), Fixed(0.5, 100))
    assert check.passed
    assert "few samples: 1000" in check.reason
    assert "few" not in evaluate(Criterion.parse("p99 < 1s"), Fixed(0.5, 1000)).reason


@pytest.mark.parametrize(
    ("text", "value", "close"),
    [
        ("error_rate < 1%", 0.0098, True),
        ("error_rate < 1%", 0.009, True),
        ("error_rate < 1%", 0.0089, False),
        ("error_rate < 1%", 0.011, False),  # it fails, which is told in any case
        ("p95 <= 500ms", 0.46, True),
        ("rate > 100", 109, True),
        ("rate > 100", 111, False),
        ("rate >= 0", 0, False),
        ("status(502) < 10%", 95, True),
        ("outcome(refused) == 10", 10, False),
        ("capacity >= 4", 4, False),
        ("unaccounted <= 1", 1, False),
        ("non_blocking", 1, False),
    ],
)
def test_a_near_miss_is_told_also_when_it_passes(text: str, value: float, close: bool) -> None:
    check = evaluate(Criterion.parse(text), Fixed(value))
    assert check.close is close
    assert ("close: within 10% of the bound" in check.reason) is close


def test_a_share_is_told_with_its_interval() -> None:
    # 925 of 150481 requests: Wilson's interval is 0.576 % to 0.655 %.
    check = evaluate(Criterion.parse("error_rate < 0.6%"), Fixed(925 / 150481, 150481))
    assert not check.passed
    assert "n=150481, 95% interval 0.576% to 0.655%" in check.reason
    share = evaluate(Criterion.parse("status(502) < 1%"), Fixed(0, 1000))
    assert "95% interval 0% to 0.383%" in share.reason
    for text in ("outcome(refused) == 0", "rate > 1", "mean < 1s", "max < 1s", "unaccounted == 0"):
        assert "interval" not in evaluate(Criterion.parse(text), Fixed(0.5)).reason


def test_a_percentile_is_told_with_its_error_and_the_samples_above() -> None:
    check = evaluate(Criterion.parse("connect.p99.9 < 1s"), Fixed(0.5, 25_900))
    assert "n=25900, at most 0.8% too high, 25 samples above" in check.reason


def test_a_lower_bound_proves_only_demands_for_more() -> None:
    bound = Fixed(64, at_least=True)
    assert evaluate(Criterion.parse("capacity >= 4"), bound).passed
    assert not evaluate(Criterion.parse("capacity <= 64"), bound).passed
    assert not evaluate(Criterion.parse("capacity == 64"), bound).passed


def test_a_broken_measurement_never_passes() -> None:
    check = evaluate(Criterion.parse("rate >= 0"), Fixed(5), broken="a worker was lost")
    assert not check.passed
    assert "a worker was lost" in check.reason


def test_require_lists_every_failure_and_the_evidence() -> None:
    with pytest.raises(CriterionFailed) as caught:
        require(Fixed(5), ["rate > 6", "rate > 4", "rate < 3"], evidence=["seen: this"])
    text = str(caught.value)
    assert "2 of 3" in text
    assert "rate > 6/s" in text
    assert "rate < 3/s" in text
    assert "rate > 4/s" not in text
    assert "seen: this" in text


def test_require_shows_what_nearly_failed_beside_what_did() -> None:
    with pytest.raises(CriterionFailed) as caught:
        require(Fixed(100), ["rate > 101", "rate > 95", "rate > 50"])
    assert "(holds) rate > 95/s: measured 100/s" in str(caught.value)
    assert "rate > 50" not in str(caught.value)


def test_require_refuses_a_wrong_criterion_before_any_is_judged() -> None:
    with pytest.raises(UsageError):
        require(Fixed(5), ["rate > 6", "rat > 4"])
