"""The data of a journey: rows of values, one for each user."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_winserve.errors import UsageError
from pytest_winserve.load.request_parts import NOT_SHOWN

IN_TURN, AT_RANDOM, UNIQUE = "in turn", "random", "unique"
DEALS = (IN_TURN, AT_RANDOM, UNIQUE)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a CSV file, or of mappings; `source` says where they are from. The values may be
    secrets: no message names one."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    source: str = "data"

    def __repr__(self) -> str:
        return f"Rows({self.source!r}, columns={self.columns}, {len(self.rows)} rows)"

    def of(self, user: int, deal: str) -> dict[str, str]:
        """The values of the user with that number, from 0, of all that the load has."""
        count = len(self.rows)
        if deal == AT_RANDOM:
            # By its number, so that it is the same row in every process and every run.
            place = random.Random(user).randrange(count)
        elif deal == UNIQUE:
            place = user  # there are enough: see Journey.check_users
        else:
            place = user % count
        return dict(zip(self.columns, self.rows[place], strict=False))  # each is as long

    def without_values(self) -> Rows:
        """These columns, with nothing of what is in them."""
        return Rows(self.columns, ((NOT_SHOWN,) * len(self.columns),), self.source)

    def to_dict(self) -> dict[str, Any]:
        return {
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "source": self.source,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rows:
        """The inverse of to_dict."""
        return cls(tuple(data["columns"]), tuple(map(tuple, data["rows"])), data["source"])


def read_rows(place: Path) -> Rows:
    """The rows of a CSV file (UTF-8), whose first line names the columns. Raises UsageError."""
    try:
        text = place.read_text("utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise UsageError(f"data: {place} cannot be read: {error}") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    columns: tuple[str, ...] | None = None
    rows = []
    try:
        for line in reader:
            if not line:
                continue
            if columns is None:
                columns = tuple(name.strip() for name in line)
                _check_columns(columns, f"{place}, line {reader.line_num}")
            elif len(line) != len(columns):
                raise UsageError(
                    f"{place}, line {reader.line_num}: {len(line)} values, but there are "
                    f"{len(columns)} columns ({', '.join(columns)})"
                )
            else:
                rows.append(tuple(line))
    except csv.Error as error:
        raise UsageError(f"{place}, line {reader.line_num}: {error}") from None
    if columns is None or not rows:
        raise UsageError(
            f"{place}: there is no row in it; the first line names the columns, such as "
            "user,password, and each line after it is a row"
        )
    return Rows(columns, tuple(rows), place.name)


def rows_of(given: Iterable[Mapping[str, object]]) -> Rows:
    """The rows that mappings describe, each with the same names. Raises UsageError."""
    rows = list(given)
    if not rows or not all(isinstance(row, Mapping) and row for row in rows):
        raise UsageError("data: the path of a CSV file, or a list of mappings of names to values")
    columns = tuple(map(str, rows[0]))
    _check_columns(columns, "data")
    for number, row in enumerate(rows, 1):
        if set(map(str, row)) != set(columns):
            raise UsageError(
                f"data: row {number} has {', '.join(map(str, row))}, but the first one has "
                f"{', '.join(columns)}"
            )
    return Rows(columns, tuple(tuple(str(row[name]) for name in rows[0]) for row in rows))


def _check_columns(columns: tuple[str, ...], where: str) -> None:
    for name in columns:
        if not name or columns.count(name) > 1:
            what = f"the column {name} is there twice" if name else "a column has no name"
            raise UsageError(f"{where}: {what}; the first line names each column once")
