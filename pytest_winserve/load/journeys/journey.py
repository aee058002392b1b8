"""A journey: what a user does, step by step."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_winserve.errors import UsageError
from pytest_winserve.load.journeys.rows import DEALS, IN_TURN, UNIQUE, Rows, read_rows, rows_of
from pytest_winserve.load.journeys.steps import Step, nearest
from pytest_winserve.load.journeys.templates import ENVIRONMENT, Template
from pytest_winserve.load.request_parts import NOT_SHOWN, PATH

FOLLOWED = " (followed)"
MOST_FOLLOWED = 10
"""Redirects that a step follows one after the other."""


class StepError(UsageError):
    """What is wrong with a step; `number` is its place in the journey, from 1."""

    def __init__(self, number: int, text: str) -> None:
        self.number = number
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Journey:
    """What a user does: `steps`, one after the other. `weight` is its share among the journeys.

    `data` is the path of a CSV file, or rows as mappings: each user has one of them, dealt by
    `rows`: "in turn", "random" or "unique" (no row to two users). UsageError when a step could not
    be sent, or uses a value that is not there.
    """

    name: str
    steps: Sequence[Step]
    weight: float = 1.0
    data: Rows | str | Path | Iterable[Mapping[str, object]] | None = field(
        default=None, repr=False
    )
    rows: str = IN_TURN
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    """The variables that `{env:NAME}` in a step stands for; unless given, those of this process."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise UsageError(f"name={self.name!r}: a journey has a name, such as 'order'")
        weight = self.weight
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not 0 < weight < float("inf"):
            raise UsageError(f"weight={weight!r}: a number greater than 0 is needed")
        if self.rows not in DEALS:
            raise UsageError(f"rows={self.rows!r}: one of {', '.join(map(repr, DEALS))} is needed")
        steps = tuple(self.steps)
        if not steps or not all(isinstance(step, Step) for step in steps):
            raise UsageError(f"the journey {self.name!r} has no step: a list of Step is needed")
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "weight", float(weight))
        object.__setattr__(self, "data", _data(self.data))
        if self.rows != IN_TURN and self.table is None:
            raise UsageError(f"rows={self.rows!r} without data: name the CSV file by data")
        self._check_values()

    def _check_values(self) -> None:
        """Each value that a step uses is given by the data, or taken in a step before it."""
        known = set(self.table.columns) if self.table is not None else set()
        found: dict[str, str] = {}
        for number, step in enumerate(self.steps, 1):
            for template in step.sent:
                self._check_known(template.names, known, number, found)
            self._check_whole_path(step, number, found)
            for template in step.judged:
                self._check_known(template.names, known, number, found)
            known |= set(step.take)
        object.__setattr__(self, "environment", found)

    def _check_whole_path(self, step: Step, number: int, found: Mapping[str, str]) -> None:
        """A value that is a whole path is one; what is taken is looked at when it is there."""
        whole = Template(step.path).whole
        if whole is None or any(whole in each.take for each in self.steps):
            return
        values = [found[whole]] if whole in found else []
        if self.table is not None and whole in self.table.columns:
            place = self.table.columns.index(whole)
            values = [row[place] for row in self.table.rows]
        for row, value in enumerate(values, 1):
            if not PATH.fullmatch(value) and value != NOT_SHOWN:
                raise StepError(
                    number,
                    f"{{{whole}}} is all of the path, and what it is in row {row} is none: a path "
                    "starts with '/' and has no spaces; or write get = '/{" + whole + "}'",
                )

    def _check_known(
        self, names: Iterable[str], known: set[str], number: int, found: dict[str, str]
    ) -> None:
        for name in names:
            if name.startswith(ENVIRONMENT):
                found[name] = self._variable(name.removeprefix(ENVIRONMENT), number)
            elif name not in known:
                raise StepError(number, self._unknown(name, known, number))

    def _variable(self, name: str, number: int) -> str:
        given = os.environ if self.environment is None else self.environment
        for key in (name, f"{ENVIRONMENT}{name}"):
            if key in given:
                return given[key]
        raise StepError(
            number, f"there is no environment variable {name}: set it where this command runs"
        )

    def _unknown(self, name: str, known: set[str], number: int) -> str:
        later = [n for n, step in enumerate(self.steps, 1) if n >= number and name in step.take]
        if later:
            return f"the value {{{name}}} is used before it is taken, in step {later[0]}"
        if self.table is None:
            gives = "no step before it takes it, and the journey has no data"
        else:
            gives = (
                f"no step before it takes it, and {self.table.source} has no such column (it has "
                f"{', '.join(self.table.columns)})"
            )
        near = nearest(name, sorted(known)) if known else ""
        mean = f"; {near}" if near.startswith("did") else ""
        return f"there is no value {{{name}}}: {gives}{mean}. A brace that is none: {{{{{name}}}}}"

    @property
    def table(self) -> Rows | None:
        """`data`, for the type checker."""
        assert self.data is None or isinstance(self.data, Rows)
        return self.data

    @property
    def variables(self) -> dict[str, str]:
        """The values that every user has: those of the environment."""
        return dict(self.environment or {})

    def values_of(self, user: int) -> dict[str, str]:
        """What a user has when it begins, by its number, from 0, among all of the load."""
        values = self.variables
        return values if self.table is None else values | self.table.of(user, self.rows)

    def longest(self, each: float) -> float:
        """Seconds that a pass may take, when a request and the pause after it take `each`."""
        pauses = [step.think for step in self.steps]
        thinks = sum(max(p) if isinstance(p, tuple) else p or 0.0 for p in pauses)
        requests = sum(1 + MOST_FOLLOWED * step.follow for step in self.steps)
        return requests * each + thinks

    def check_users(self, users: int) -> None:
        """UsageError when there are too few rows for so many users."""
        if self.rows == UNIQUE and self.table is not None and len(self.table.rows) < users:
            raise UsageError(
                f"the journey {self.name!r} gives each user a row of its own, and "
                f"{self.table.source} has {len(self.table.rows)} rows for {users} users: take "
                f"fewer users, or rows = '{IN_TURN}'"
            )

    def with_headers(self, headers: Mapping[str, str]) -> Journey:
        """This journey with more headers in every step; what a step names itself stays."""
        return replace(self, steps=tuple(step.with_headers(headers) for step in self.steps))

    def without_secrets(self) -> Journey:
        """This journey as it may be shown."""
        return replace(
            self,
            steps=tuple(step.without_secrets() for step in self.steps),
            data=None if self.table is None else self.table.without_values(),
            environment=dict.fromkeys(self.variables, NOT_SHOWN),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "steps": [step.to_dict() for step in self.steps],
            "weight": self.weight,
            "data": None if self.table is None else self.table.to_dict(),
            "rows": self.rows,
            "environment": self.variables,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Journey:
        """The inverse of to_dict."""
        rows = data["data"]
        return cls(
            **{
                **data,
                "steps": tuple(map(Step.from_dict, data["steps"])),
                "data": None if rows is None else Rows.from_dict(rows),
            }
        )


def _data(given: object) -> Rows | None:
    if given is None or isinstance(given, Rows):
        return given
    if isinstance(given, str | Path):
        return read_rows(Path(given))
    if isinstance(given, Iterable):
        return rows_of(given)
    raise UsageError("data: the path of a CSV file, or a list of mappings of names to values")


def labels_of(journeys: Sequence[Journey]) -> tuple[str, ...]:
    """A name of each step of each journey, in their order: `GET /login`; with the journey's before
    it where there are several, and a number where one would be there twice. What a step follows
    has one of its own, after it."""
    names = []
    for journey in journeys:
        for step in journey.steps:
            name = f"{journey.name}: {step.label}" if len(journeys) > 1 else step.label
            names += [name, f"{name}{FOLLOWED}"] if step.follow else [name]
    before = [names[:place].count(name) for place, name in enumerate(names)]
    return tuple(
        f"{name} #{seen + 1}" if seen else name for name, seen in zip(names, before, strict=True)
    )
