"""How sure a figure is: intervals for means over runs, and for shares of requests.

All are two-sided with 95 % confidence unless another `level` is asked for. Only the standard
library is needed: Student's quantile is found by bisection of his distribution function.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance

LEVEL = 0.95
MOST_RUNS = 100
"""Where `runs_needed` gives up counting."""

_AS_NORMAL = 1e6
"""Degrees of freedom from which on Student's distribution is the normal one to nine digits."""
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`, both included, in the unit of what it is about."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def joined(self, other: Interval) -> Interval:
        """The shortest interval that holds both."""
        return Interval(min(self.low, other.low), max(self.high, other.high))

    def widened(self, by: float) -> Interval:
        """Longer by `by` on each side."""
        return Interval(self.low - by, self.high + by)


def t_distribution(t: float, df: float) -> float:
    """P(T <= t) for Student's t with `df` > 0 degrees of freedom, whole or not.

    P(|T| > t) is the regularised incomplete beta function I_x(df/2, 1/2) at x = df / (df + t^2)
    (Abramowitz and Stegun 26.7.1 with 26.5.27). ValueError for df that is not greater than 0.
    """
    if not df > 0:
        raise ValueError(f"df={df!r}: degrees of freedom greater than 0 are needed")
    if df >= _AS_NORMAL:
        return NormalDist().cdf(t)
    square = t * t
    outside = _incomplete_beta(df / 2, 0.5, df / (df + square), square / (df + square))
    return 1 - outside / 2 if t > 0 else outside / 2


def t_quantile(p: float, df: float) -> float:
    """The t that Student's variable with `df` degrees of freedom does not exceed with probability
    `p`. ValueError unless 0 < p < 1 and df > 0."""
    if not 0 < p < 1:
        raise ValueError(f"p={p!r}: a probability between 0 and 1 is needed")
    if p < 0.5:
        return -t_quantile(1 - p, df)
    low, high = 0.0, 1.0
    while t_distribution(high, df) < p:
        low, high = high, high * 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if t_distribution(middle, df) < p:
            low = middle
        else:
            high = middle
    return high


def _incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """I_x(a, b), where y = 1 - x is given too so that nothing is lost when x is near 1."""
    if x <= 0 or y <= 0:
        return float(x > 0)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1 - front * _beta_fraction(b, a, y) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of I_x(a, b) (DLMF 8.17.22), by the modified method of Lentz."""
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away(1 + term * d)
            c = _away(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            return value
    raise ArithmeticError(f"I_{x}({a}, {b}) does not converge")


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def paired_difference(
    a: Sequence[float], b: Sequence[float], level: float = LEVEL
) -> Interval | None:
    """For the mean of b[i] - a[i], n pairs: mean +- t(n - 1) * s / sqrt(n) (Student 1908).

    None for fewer than two pairs; ValueError when the lengths differ.
    """
    differences = [y - x for x, y in zip(a, b, strict=True)]
    n = len(differences)
    if n < 2:
        return None
    error = math.sqrt(variance(differences) / n)
    return _around(fmean(differences), error, n - 1, level)


def difference(a: Sequence[float], b: Sequence[float], level: float = LEVEL) -> Interval | None:
    """For mean(b) - mean(a) of independent runs that need not scatter alike (Welch 1947).

    With u = var(a)/n_a and v = var(b)/n_b: difference +- t(df) * sqrt(u + v), where df is
    (u + v)^2 / (u^2 / (n_a - 1) + v^2 / (n_b - 1)) (Satterthwaite 1946). None when a side has fewer
    than two runs.
    """
    if len(a) < 2 or len(b) < 2:
        return None
    centre = fmean(b) - fmean(a)
    u, v = variance(a) / len(a), variance(b) / len(b)
    whole = u + v
    if not whole:
        return Interval(centre, centre)
    # As shares of the whole: the squares of tiny variances would vanish.
    df = 1 / ((u / whole) ** 2 / (len(a) - 1) + (v / whole) ** 2 / (len(b) - 1))
    return _around(centre, math.sqrt(whole), df, level)


def _around(centre: float, error: float, df: float, level: float) -> Interval:
    half = t_quantile((1 + level) / 2, df) * error
    return Interval(centre - half, centre + half)


def runs_needed(spread: float, half_width: float, *, paired: bool) -> int | None:
    """How many runs per side give an interval of at most `half_width` on each side of its centre.

    `spread` is the standard deviation of the runs of a side (of the pairs' differences when
    `paired`), in the unit of `half_width`. None when it takes more than MOST_RUNS.
    """
    sides = 1 if paired else 2

    def enough(n: int) -> bool:
        half = t_quantile((1 + LEVEL) / 2, sides * (n - 1)) * spread * math.sqrt(sides / n)
        return half <= half_width

    found = bisect_left(range(MOST_RUNS + 1), True, 2, key=enough)
    return found if found <= MOST_RUNS else None


def wilson(hits: int, n: int, level: float = LEVEL) -> Interval:
    """For the share that `hits` of `n` requests stand for (Wilson 1927, the score interval).

    (p + z^2/2n +- z * sqrt(p(1 - p)/n + z^2/4n^2)) / (1 + z^2/n). It holds for requests that fail
    independently of each other; errors come in clusters, so the truth may be wider. ValueError
    unless 0 <= hits <= n and n > 0.
    """
    if not 0 <= hits <= n or not n:
        raise ValueError(f"{hits} of {n}: a share of something is needed")
    z = NormalDist().inv_cdf((1 + level) / 2)
    p, square = hits / n, z * z
    centre = p + square / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + square / (4 * n * n))
    low, high = ((centre + sign * half) / (1 + square / n) for sign in (-1, 1))
    # Exactly 0 and 1 at the ends, which rounding misses.
    return Interval(0.0 if hits == 0 else low, 1.0 if hits == n else high)


def share_difference(a: tuple[int, int], b: tuple[int, int], level: float = LEVEL) -> Interval:
    """For the difference b - a of two shares, each (hits, n), from their Wilson intervals.

    Newcombe 1998, method 10: with p, l, u of each side, from d - sqrt((p_b - l_b)^2 + (u_a -
    p_a)^2) to d + sqrt((u_b - p_b)^2 + (p_a - l_a)^2). ValueError as `wilson`.
    """
    of_a, of_b = wilson(*a, level), wilson(*b, level)
    p_a, p_b = a[0] / a[1], b[0] / b[1]
    return Interval(
        p_b - p_a - math.hypot(p_b - of_b.low, of_a.high - p_a),
        p_b - p_a + math.hypot(of_b.high - p_b, p_a - of_a.low),
    )
