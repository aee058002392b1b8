"""What the answers of a load were beside their status: where redirects led, how long bodies were,
and whether they were what a single request got just before.

A login page is answered fast, with 200 or 302, whatever the page behind it costs: so a load tells
what it measured.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from pytest_winserve.load.measures.outcomes import is_answer, is_redirect, is_status

OTHERS = "(others)"
"""Where redirects led that are not kept apart any more, because they led to too many places."""
SHOWN = 4
SAME_SHARE, SAME_BYTES = 0.1, 16
"""Sizes differ when they are apart by more than this share of the greater, and by more bytes than
these: a number or a token in a page may have some digits more."""


@dataclass(frozen=True, slots=True)
class AnswerKind:
    """Answers of one kind: to which of the plan's requests (by label), their status, where they
    redirected to, their size in bytes, and how many. `location` is empty without a redirect; `size`
    is None where nobody told, or for sizes that are not kept apart."""

    request: str
    status: str
    location: str
    size: int | None
    count: int


@dataclass(frozen=True, slots=True)
class Reference:
    """What a single request got just before the load: one of the plan's, which was not followed.
    `status` is None without an answer, and `error` says why. `cookies`: it was sent with those of
    the site's client, as a `get` is, and the load was not. `set_cookies` are those that the answer
    sets, without their values."""

    request: str
    status: str | None
    location: str = ""
    size: int | None = None
    error: str = ""
    cookies: bool = False
    set_cookies: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """How it was sent, in words."""
        with_cookies = " with the cookies of the site's client" if self.cookies else ""
        return f"a single request just before the load{with_cookies}"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reference:
        """One as plain data has it."""
        return cls(**{**data, "set_cookies": tuple(data.get("set_cookies", ()))})


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of a load by kind, as far as its engine tells; and the single ones before it.
    `astray` is what in them leads elsewhere than to where the client asked, in words."""

    kinds: tuple[AnswerKind, ...] = ()
    before: tuple[Reference, ...] = ()
    astray: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Answers:
        """The inverse of to_dict."""
        return cls(
            tuple(AnswerKind(**kind) for kind in data["kinds"]),
            tuple(map(Reference.from_dict, data["before"])),
            tuple(data.get("astray", ())),  # older files do not have it
        )


def redirects(outcomes: Mapping[str, int]) -> int:
    """How many answers were redirects."""
    return sum(n for outcome, n in outcomes.items() if is_redirect(outcome))


def nothing_but_redirects(outcomes: Mapping[str, int]) -> bool:
    """Whether there were answers, and all of them redirects."""
    answered = sum(n for outcome, n in outcomes.items() if is_answer(outcome))
    return answered > 0 and redirects(outcomes) == answered


def redirects_text(
    outcomes: Mapping[str, int],
    answers: Answers | None,
    expected: Mapping[str, int] = MappingProxyType({}),
) -> str:
    """`8475 of 8475 answers (100.0%) were redirects: to /login 8475`; empty without any. `expected`
    are those that are left out, by the request that is to be redirected."""
    count = redirects(outcomes) - sum(expected.values())
    if not count:
        return ""
    answered = sum(n for outcome, n in outcomes.items() if is_answer(outcome))
    share = f"{count} of {answered} answers ({count / answered:.1%}) were redirects"
    which = " where no step expects one" if expected else ""
    return f"{share}{which}: {_where(answers or Answers(), expected)}"


def _where(answers: Answers, expected: Collection[str]) -> str:
    places: dict[str, int] = {}
    for kind in answers.kinds:
        if is_redirect(kind.status) and kind.request not in expected:
            place = kind.location or "nowhere"
            places[place] = places.get(place, 0) + kind.count
    if not places:
        known = [one.location for one in answers.before if one.location]
        single = f"; a single request before was sent to {', '.join(known)}" if known else ""
        return f"where to, the engine does not tell{single}"
    most = sorted(places.items(), key=lambda item: (-item[1], item[0]))
    told = [f"to {place} {n}" for place, n in most[:SHOWN]]
    rest = sum(n for _, n in most[SHOWN:])
    return ", ".join([*told, *([f"elsewhere {rest}"] if rest else [])])


def differences(outcomes: Mapping[str, int], answers: Answers | None) -> list[str]:
    """How the answers differ from those to a single request before the load, in words: in their
    status, and in their size."""
    lines: list[str] = []
    for one in () if answers is None else answers.before:
        if answers is not None and one.status is not None:
            mine = _kinds_of(one, outcomes, answers)
            lines += filter(None, (_other_statuses(one, mine), _other_sizes(one, mine)))
    return lines


def _kinds_of(
    one: Reference, outcomes: Mapping[str, int], answers: Answers
) -> Sequence[AnswerKind]:
    if answers.kinds or len(answers.before) != 1:
        return [kind for kind in answers.kinds if kind.request == one.request]
    # An engine that counts statuses only, and a plan of one request.
    return [
        AnswerKind(one.request, outcome, "", None, n)
        for outcome, n in outcomes.items()
        if is_status(outcome)
    ]


def _other_statuses(one: Reference, kinds: Sequence[AnswerKind]) -> str:
    others: dict[str, int] = {}
    for kind in kinds:
        if kind.status != one.status:
            others[kind.status] = others.get(kind.status, 0) + kind.count
    if not others:
        return ""
    return (
        f"{sum(others.values())} of {sum(kind.count for kind in kinds)} answers to {one.request} "
        f"had another status than {one.told} ({one.status}): "
        + ", ".join(f"{status} {n}" for status, n in sorted(others.items()))
    )


def _other_sizes(one: Reference, kinds: Sequence[AnswerKind]) -> str:
    alike = [kind for kind in kinds if kind.status == one.status and kind.size is not None]
    if one.size is None:
        return ""
    size = one.size
    others = [kind for kind in alike if kind.size is not None and _apart(kind.size, size)]
    if not others:
        return ""
    most = sorted(others, key=lambda kind: -kind.count)
    told = [f"{kind.size} bytes {kind.count}" for kind in most[:SHOWN]]
    rest = sum(kind.count for kind in most[SHOWN:])
    return (
        f"{sum(kind.count for kind in others)} of {sum(kind.count for kind in alike)} answers to "
        f"{one.request} had another size than {one.told} "
        f"({size} bytes): " + ", ".join([*told, *([f"others {rest}"] if rest else [])])
    )


def _apart(one: int, other: int) -> bool:
    distance = abs(one - other)
    return distance > SAME_BYTES and distance > SAME_SHARE * max(one, other)
