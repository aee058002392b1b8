"""Typed options, and the registry that finds servers, fronts and hosts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pytest_winserve import fronts, hosts, registry, servers
from pytest_winserve.errors import UsageError
from pytest_winserve.load import engines
from pytest_winserve.options import Option, Value, defaults

YES = Option("yes", True, "a truth")
COUNT = Option("count", 4, "a whole number", 1, 10)
SHARE = Option("share", 0.5, "a number", 0.25)


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        (YES, "true", True),
        (YES, "YES", True),
        (YES, "on", True),
        (YES, "false", False),
        (YES, "no", False),
        (YES, "Off", False),
        (COUNT, "1", 1),
        (COUNT, "10", 10),
        (SHARE, "0.25", 0.25),
        (SHARE, "1e9", 1e9),
    ],
)
def test_parse(option: Option, text: str, value: Value) -> None:
    parsed = option.parse(text)
    assert parsed == value
    assert type(parsed) is type(option.default)
    assert option.parse(option.format(parsed)) == parsed


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        (YES, "1", "yes='1' is not true or false"),
        (YES, "", "yes='' is not true or false"),
        (COUNT, "0", "count=0 is out of range: 1 to 10"),
        (COUNT, "11", "count=11 is out of range: 1 to 10"),
        (COUNT, "x", "count='x' is not a whole number"),
        (COUNT, "4.0", "count='4.0' is not a whole number"),
        (SHARE, "half", "share='half' is not a number"),
        (SHARE, "0.2", "share=0.2 is out of range: at least 0.25"),
        (SHARE, "nan", "share=nan is out of range: at least 0.25"),
    ],
)
def test_refused(option: Option, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        option.parse(text)
    assert str(caught.value) == said


def test_defaults_fill_what_was_not_given() -> None:
    assert defaults((YES, COUNT), {"yes": False}) == {"yes": False, "count": 4}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (servers, servers.server_names),
        (fronts, fronts.front_names),
        (hosts, hosts.host_names),
        (engines, engines.engine_names),
    ],
)
def test_names_are_the_files_and_folders_of_the_kind(
    kind: ModuleType, names: Callable[[], list[str]]
) -> None:
    (folder,) = map(Path, kind.__path__)
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in folder.glob("*/__init__.py")}
    assert files | folders
    assert not files & folders
    assert names() == sorted(files | folders)


def test_each_kind_goes_by_the_name_of_its_file_and_says_what_it_is() -> None:
    for name in servers.server_names():
        server = servers.get_server(name)
        assert server.name == name
        assert server.summary
        assert all(option.help for option in server.options)
    for name in fronts.front_names():
        assert fronts.get_front(name).name == name
        assert all(option.help for option in fronts.get_front(name).options)
    for name in engines.engine_names():
        assert engines.get_engine(name).name == name


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown server 'waitres'; nearest: waitress; known: "):
        servers.get_server("waitres")
    known = ", ".join(fronts.front_names())
    with pytest.raises(UsageError, match=f"unknown front 'ngnix'; nearest: nginx; known: {known}$"):
        fronts.get_front("ngnix")
    with pytest.raises(UsageError, match=r"unknown host 'locl'; nearest: local"):
        hosts.open_host("locl")
    with pytest.raises(UsageError, match="the host local takes no argument, but has 'here'"):
        hosts.open_host("local:here")


def test_nearest_is_silent_about_what_is_not_near() -> None:
    assert registry.nearest("xyz", ["flask", "command"]) == "known: command, flask"


def test_a_name_from_outside_the_package_is_no_member() -> None:
    for name in ("..errors", ""):
        with pytest.raises(UsageError, match="unknown server"):
            registry.member("pytest_winserve.servers", "server", name, "SERVER")
