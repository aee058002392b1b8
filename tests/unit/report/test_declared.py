"""What servers declare beside what was measured, and what could not be tried."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_winserve.report import declared, html, markdown, terminal
from tests.kit.results import Make, report_on, run_of

LACKS = {
    "host": "local",
    "name": "gevent",
    "state": "missing",
    "reason": "the Python package gevent is not installed",
    "mend": "python -m pip install gevent",
}


def measured(
    make: Make, server: str, behind: str | None, value: int, declared: int | None, **keys: Any
) -> dict[str, Any]:
    """A test with a probe and a capacity; `server` behind a front or alone."""
    at_least = keys.pop("at_least", False)
    blocked = keys.pop("blocked", 0)
    return make.test(
        f"{behind}-{server}" if behind else server,
        server=server,
        behind=behind,
        declared=declared,
        capacities=[make.capacity(value, declared=declared, at_least=at_least)],
        verdicts=[make.verdict(blocked=blocked)],
        **keys,
    )


def table(*tests: dict[str, Any], make: Make) -> dict[str, tuple[str, ...]]:
    (found,) = declared.tables(run_of(make.data(*tests)))
    return {row[0]: row[1:] for row in found.rows} | {"": found.header[1:]}


def test_one_row_per_server_and_settings(make: Make) -> None:
    found = table(
        measured(make, "tornado", None, 1, 1, blocked=8),
        measured(make, "tornado", "nginx4", 4, 4, blocked=2),
        measured(make, "tornado:threads=8", None, 8, 8),
        measured(make, "flask", None, 64, None, at_least=True),
        make=make,
    )
    assert found[""] == (
        "Declares", "At once, alone", "Blocks, alone", "At once, nginx4", "Blocks, nginx4",
    )  # fmt: skip
    assert found["tornado"] == ("1", "1", "100 %", "4", "25 %")
    assert found["tornado:threads=8"] == ("8", "8", "no", "-", "-")
    assert found["flask"] == ("no bound", ">= 64", "no", "-", "-")


@pytest.mark.parametrize(
    ("value", "declared", "at_least", "said"),
    [
        (4, 4, False, "4"),
        (3, 4, False, "3, NOT 4"),
        (5, 4, False, "5, NOT 4"),
        (10, None, False, "10, NOT no bound"),
        (64, None, True, ">= 64"),
        (64, 100, True, ">= 64"),
        (63, 100, False, "63, NOT 100"),
        (7, "unknown", False, "7"),
    ],
)
def test_a_number_that_contradicts_says_so(
    make: Make, value: int, declared: Any, at_least: bool, said: str
) -> None:
    test = measured(make, "some", None, value, declared, at_least=at_least)
    other = measured(make, "other", None, 4, 4)
    assert table(test, other, make=make)["some"][1] == said


def test_what_did_not_start_is_not_a_number(make: Make) -> None:
    dead = make.test(
        "tornado", server="tornado", behind=None, outcome="error", events=["did not start: no"]
    )
    more = [measured(make, name, None, 4, 4) for name in ("one", "other")]
    assert table(dead, *more, make=make)["tornado"] == ("4", "did not start", "-")


def test_older_files_and_single_topologies_have_no_table(make: Make) -> None:
    older = make.data(make.full(), make.full("tornado"))
    del older["left_out"]
    assert declared.tables(run_of(older)) == []
    assert declared.left_out(run_of(older)) is None
    assert declared.tables(run_of(make.data(measured(make, "tornado", None, 1, 1)))) == []


def test_every_form_of_the_report_has_it(make: Make) -> None:
    tests = [measured(make, name, None, 3, 4) for name in ("one", "other")]
    report = report_on(make.data(*tests, left_out=[LACKS]))
    text = markdown.render(report)
    assert "| one | 4 | 3, NOT 4 | no |" in text
    assert (
        "| gevent | local | missing | the Python package gevent is not installed | "
        "python -m pip install gevent |"
    ) in text
    page = html.render(report)
    assert "3, NOT 4" in page
    assert "python -m pip install gevent" in page
    said = " ".join(terminal.render(report).split())
    assert (
        "not tried on local: gevent (missing): the Python package gevent is not installed; "
        "python -m pip install gevent"
    ) in said


@pytest.fixture
def tool() -> ModuleType:
    """The program that writes the tables of docs/servers.md."""
    place = Path(__file__).parents[3] / "benchmarks" / "servers_table.py"
    spec = importlib.util.spec_from_file_location("servers_table", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_written_again_with_versions_and_without_places(
    make: Make, tool: ModuleType
) -> None:
    tests = [measured(make, name, None, 4, 4) for name in ("one", "other")]
    data = make.data(*tests, left_out=[LACKS])
    data["environment"]["machines"] = {}
    lines = tool.section(run_of(data), "local")
    page = "a\n<!-- servers of local: begin -->\nold\n<!-- servers of local: end -->\nb\n"
    made = tool.put(page, "local", lines)
    assert made.startswith("a\n<!-- servers of local: begin -->\n2026-11-23, Windows-11")
    assert made.endswith("<!-- servers of local: end -->\nb\n")
    assert "Versions: flask 3.1.3, nginx 1.31.3." in made
    assert "| one | 4 | 4 | no |" in made
    assert "old" not in made
    assert "C:" not in made
    # Once more changes nothing.
    assert tool.put(made, "local", lines) == made
    with pytest.raises(SystemExit, match="no place for the host 'wine'"):
        tool.put(page, "wine", lines)
