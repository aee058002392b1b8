"""Pass/fail conditions on what was measured: `METRIC OP VALUE[UNIT]`, such as `error_rate < 1%`.

A criterion is parsed before anything runs, so that a misspelt one cannot pass; one whose metric has
no samples fails: "not measured" is never zero.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from pytest_winserve.errors import CriterionFailed, UsageError
from pytest_winserve.load.measures.histogram import RELATIVE_ERROR
from pytest_winserve.load.measures.intervals import wilson
from pytest_winserve.load.measures.outcomes import OUTCOMES

MetricKind = Literal["share", "latency", "rate", "count", "truth"]
Subject = Literal["load", "probe", "capacity"]

_PLAIN: Mapping[str, MetricKind] = {
    "error_rate": "share",
    "rate": "rate",
    "mean": "latency",
    "max": "latency",
    "unaccounted": "count",
    "non_blocking": "truth",
    "capacity": "count",
}
ROWS = ("connect.", "tls.", "first_byte.")
"""What stands before a metric of other times than the total."""

CLOSE = 0.1
"""The share of the bound within which a criterion that holds is close to failing."""

_UNITS: Mapping[MetricKind, Mapping[str, float]] = {
    "share": {"": 1.0, "%": 0.01},
    "latency": {"ms": 0.001, "s": 1.0},
    "rate": {"": 1.0, "/s": 1.0},
    "count": {"": 1.0},
    "truth": {"": 1.0},
}
_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_SHAPE = re.compile(r"\s*(?P<metric>[^\s<>=!]+)\s*(?P<op>[<>=!]+)\s*(?P<value>\S.*?)\s*")
_VALUE = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+|true|false)\s*(?P<unit>[^\d\s.]*)")
_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100(?:\.0+)?)")
_CALL = re.compile(r"(outcome|status)\((.*)\)")


class Measured(Protocol):
    """What criteria are evaluated on: a Result, a Verdict, a Capacity.

    An attribute `at_least` that is true marks a `capacity` that is only a lower bound.
    """

    def metric(self, name: str) -> tuple[float | None, int | None]:
        """The value in seconds, per second, as a share or a count, and its number of samples.

        None for a value that was not measured, None for a number that means nothing here.
        """


@dataclass(frozen=True, slots=True)
class Check:
    """What a criterion said about one value. `note` is what a reader should know beside it: the
    number of samples, how sure the value is, or why it was not measured or may not be believed.
    `close`: it holds, but within 10 % of its bound."""

    criterion: Criterion
    measured: float | None
    passed: bool
    note: str
    close: bool = False

    @property
    def shown(self) -> str | None:
        """The measured value in the criterion's unit; None when it was not measured."""
        return None if self.measured is None else self.criterion.show(self.measured)

    @property
    def reason(self) -> str:
        """One line, also when it passed: `p95 < 500ms: measured 612ms, n=12000`."""
        value = "not measured" if self.shown is None else f"measured {self.shown}"
        return f"{self.criterion}: {value}{f', {self.note}' if self.note else ''}"

    @property
    def brief(self) -> str:
        """The criterion, what was measured, and why that does not count where it would hold."""
        text = f"{self.criterion}: {f'measured {self.shown}' if self.shown else 'not measured'}"
        if self.measured is not None and self.criterion.compares(self.measured) and self.note:
            return f"{text}, {self.note}"
        return text


@dataclass(frozen=True, slots=True)
class Criterion:
    """`value` is in seconds, per second, a share of 1, a count, or 1/0 for true/false.

    `percent` tells that a count is compared as a share of what was sent.
    """

    metric: str
    op: str
    value: float
    unit: str
    kind: MetricKind
    percent: bool = False

    @classmethod
    def parse(cls, text: str) -> Criterion:
        """UsageError when the metric, the operator, the number or the unit cannot be.

        `non_blocking` alone means `non_blocking == true`.
        """
        if text.strip() == "non_blocking":
            text = "non_blocking == true"
        shape = re.fullmatch(_SHAPE, text)
        if not shape:
            raise UsageError(
                f"criterion {text!r}: METRIC OP VALUE is needed, such as 'error_rate < 1%'"
            )
        metric, kind = _parse_metric(shape["metric"], text)
        if shape["op"] not in _OPERATORS:
            raise UsageError(
                f"criterion {text!r}: unknown operator {shape['op']!r}; "
                f"there are {' '.join(sorted(_OPERATORS))}"
            )
        value = _VALUE.fullmatch(shape["value"])
        if not value:
            raise UsageError(f"criterion {text!r}: {shape['value']!r} is not a number with a unit")
        return cls._with_value(text, metric, kind, shape["op"], value["number"], value["unit"])

    @classmethod
    def _with_value(
        cls, text: str, metric: str, kind: MetricKind, op: str, number: str, unit: str
    ) -> Criterion:
        if kind == "truth":
            if op != "==" or unit or number not in {"true", "false", "1", "0"}:
                raise UsageError(f"criterion {text!r}: '{metric} == true' (or false) is needed")
            return cls(metric, op, float(number in {"true", "1"}), "", kind)
        if number in {"true", "false"}:
            raise UsageError(f"criterion {text!r}: {metric} is a number, not {number}")
        percent = unit == "%" and kind == "count" and "(" in metric
        factor = 0.01 if percent else _UNITS[kind].get(unit)
        if factor is None:
            units = [name for name in _UNITS[kind] if name]
            if kind == "count" and "(" in metric:
                units = ["%"]
            if not unit:
                raise UsageError(f"criterion {text!r}: {metric} needs a unit: {' or '.join(units)}")
            fitting = f"takes {' or '.join(units)}" if units else "takes no unit"
            raise UsageError(
                f"criterion {text!r}: the unit {unit!r} does not fit; {metric} {fitting}"
            )
        value = float(number) * factor
        if (kind == "share" or percent) and value > 1:
            raise UsageError(f"criterion {text!r}: a share is at most 100% (or 1 without the unit)")
        return cls(metric, op, value, unit or ("/s" if kind == "rate" else ""), kind, percent)

    @property
    def subject(self) -> Subject:
        """What it can be evaluated on: a load's Result, a probe's Verdict or a Capacity."""
        if self.metric == "non_blocking":
            return "probe"
        return "capacity" if self.metric == "capacity" else "load"

    def check(self, value: float | None, n: int | None, note: str = "") -> Check:
        """Compare a measured value; None is "not measured" and fails.

        `n` is the number of samples behind it, or of requests sent for a share of a count. The
        note tells how sure the value is: a share's Wilson interval, a percentile's error by the
        histogram and how many samples lie above it.
        """
        if self.percent and value is not None:
            value = value / n if n else None
        if value is None:
            return Check(self, None, False, note)
        passed = self.compares(value)
        close = passed and self._close(value)
        notes = [] if n is None else [f"n={n}"]
        notes += self._uncertainty(value, n or 0)
        notes += [note] if note else []
        notes += [f"close: within {CLOSE:.0%} of the bound"] if close else []
        return Check(self, value, passed, ", ".join(notes), close)

    def compares(self, value: float) -> bool:
        """Whether a value is on the right side of the bound."""
        return _OPERATORS[self.op](value, self.value)

    def _close(self, value: float) -> bool:
        counted = self.metric in {"unaccounted", "capacity", "non_blocking"}
        if counted or self.op == "==" or not self.value:
            return False
        # Rounding does not decide: 0.9 is within 10 % of 1.
        return abs(value - self.value) <= CLOSE * self.value * (1 + 1e-9)

    def _uncertainty(self, value: float, n: int) -> list[str]:
        q = quantile_of(self.metric)
        if q is not None and n:
            above = int(round(n * (100 - q) / 100, 6))
            return [f"at most {RELATIVE_ERROR:.1%} too high", f"{above} samples above"]
        if (self.kind == "share" or self.percent) and n:
            interval = wilson(round(value * n), n)
            low, high = (f"{100 * end:.3g}%" for end in (interval.low, interval.high))
            return [f"95% interval {low} to {high}"]
        return []

    def show(self, value: float) -> str:
        """A value of the metric in the criterion's unit."""
        if self.kind == "truth":
            return "true" if value else "false"
        unit = self.unit
        if self.kind == "share" or self.percent:
            return f"{_plain(value / 0.01)}%" if unit == "%" else _plain(value)
        return f"{_plain(value / _UNITS[self.kind][unit])}{unit}"

    def __str__(self) -> str:
        return f"{self.metric} {self.op} {self.show(self.value)}"


def _plain(value: float) -> str:
    """Six digits, and no exponent: what is shown can be parsed again."""
    text = f"{value:.6g}"
    return f"{value:f}".rstrip("0").rstrip(".") if "e" in text else text


def _parse_metric(name: str, text: str) -> tuple[str, MetricKind]:
    call = _CALL.fullmatch(name)
    if call:
        return _parse_call(call[1], call[2], text)
    prefix = next((p for p in ROWS if name.startswith(p)), "")
    bare = name.removeprefix(prefix)
    quantile = _QUANTILE.fullmatch(bare)
    if quantile and float(quantile[1]) > 0:
        return f"{prefix}p{float(quantile[1]):.10g}", "latency"
    if bare in _PLAIN and (not prefix or _PLAIN[bare] == "latency"):
        return name, _PLAIN[bare]
    if re.fullmatch(r"p[\d.]+", bare):
        raise UsageError(f"criterion {text!r}: {bare} is no percentile; there are p0.1 to p100")
    names = [*_PLAIN, "p50", "p90", "p95", "p99", "p99.9", "status(502)"]
    names += [f"{p}{m}" for p in ROWS for m in ("p50", "p95", "p99", "mean", "max")]
    names += [f"outcome({outcome})" for outcome in OUTCOMES]
    raise UsageError(f"criterion {text!r}: unknown metric {name!r}; {_nearest(name, names)}")


def _parse_call(function: str, argument: str, text: str) -> tuple[str, MetricKind]:
    if function == "status":
        if not re.fullmatch(r"[1-5]\d\d", argument):
            raise UsageError(f"criterion {text!r}: status({argument}): a status such as 502")
    elif argument not in OUTCOMES and not re.fullmatch(r"[1-5]\d\d", argument):
        near = _nearest(argument, OUTCOMES)
        raise UsageError(f"criterion {text!r}: unknown outcome {argument!r}; {near}")
    return f"{function}({argument})", "count"


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}"


def evaluate(criterion: Criterion, measured: Measured, broken: str = "", note: str = "") -> Check:
    """One criterion on one subject; `broken` is why nothing measured there may be believed, `note`
    what is to be told beside the value all the same."""
    value, n = measured.metric(criterion.metric)
    if broken:
        return replace(criterion.check(value, n), passed=False, note=broken, close=False)
    if (
        criterion.metric == "capacity"
        and value is not None
        and getattr(measured, "at_least", False)
    ):
        # The true value lies somewhere above: only a demand for more than something can hold.
        check = criterion.check(value, n, "at least; the limit of the measurement was reached")
        return replace(check, passed=check.passed and criterion.op in {">", ">="})
    return criterion.check(value, n, ", ".join(filter(None, (_sample_note(criterion, n), note))))


def quantile_of(metric: str) -> float | None:
    """The q of pNN, connect.pNN, tls.pNN or first_byte.pNN; None for every other metric."""
    match = _QUANTILE.fullmatch(metric.removeprefix(next(filter(metric.startswith, ROWS), "")))
    return float(match[1]) if match else None


def about_redirects(criterion: Criterion) -> bool:
    """Whether a criterion names a status 3xx, and so says that redirects are what is measured."""
    return bool(re.fullmatch(r"(?:status|outcome)\(3\d\d\)", criterion.metric))


def _sample_note(criterion: Criterion, n: int | None) -> str:
    q = quantile_of(criterion.metric)
    if q is None or q == 100 or not n or round(n * (100 - q), 6) >= 1000:
        return ""
    return f"few samples: {1000 / (100 - q):.0f} are needed to trust it"


def require(
    subject: Measured,
    criteria: Sequence[Criterion | str],
    *,
    evidence: Sequence[str] = (),
    broken: str = "",
) -> tuple[Check, ...]:
    """Evaluate all criteria and return the checks; CriterionFailed when one does not hold.

    The error lists every failing criterion and then the lines of `evidence`. UsageError, before
    anything is evaluated, when one cannot be parsed.
    """
    __tracebackhide__ = True
    checks = tuple(evaluate(criterion, subject, broken) for criterion in parse_all(criteria))
    demand(checks, evidence)
    return checks


def parse_all(criteria: Sequence[Criterion | str]) -> list[Criterion]:
    """Each criterion, parsed where it is a text. UsageError when one cannot be."""
    return [c if isinstance(c, Criterion) else Criterion.parse(c) for c in criteria]


def demand(checks: Sequence[Check], evidence: Sequence[str]) -> None:
    """CriterionFailed unless every check passed: what failed, what nearly did, the evidence."""
    __tracebackhide__ = True
    failed = [check for check in checks if not check.passed]
    if failed:
        # The first line is all that a short summary and --tb=line show.
        lines = [f"{failed[0].brief}; {len(failed)} of {len(checks)} criteria failed:"]
        lines += [f"  {check.reason}" for check in failed]
        lines += [f"  (holds) {check.reason}" for check in checks if check.close]
        raise CriterionFailed("\n".join([*lines, *(f"  {line}" for line in evidence)]))
