"""Which site each collected test wants: by the settings, its markers and its parameters.

pytest makes a test for each parameter before all markers are known: one in `pytest.param` belongs
to some of the tests only, and a hook of the suite may add one afterwards. So `generated` says what
a function may want, and `settle`, when the tests are there, what each of them does.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.lab.available import Surveys
from pytest_winserve.session.settings import Settings
from pytest_winserve.session.site_keys import SiteKey, site_keys
from pytest_winserve.topology import Topology

Function = TypeVar("Function", bound=Callable[..., None])
SITE_KEY = pytest.StashKey[SiteKey]()
"""What a test wants, once it is settled."""

ID_KEY = pytest.StashKey[str]()
"""The id of a test, to which xdist adds the name of its group with --dist=loadgroup."""

ONE_IS_NOT_ENOUGH = "winserve_several_processes"
"""The attribute of a test function that is about several processes."""

USUAL_HOST = "local"
"""The host that the id of a test does not name."""

Place = tuple[str, str]
"""A host and a topology: what the id of a test names."""


class Wanted:
    """What the tests of a run want, with its settings."""

    def __init__(self, settings: Settings, surveys: Surveys) -> None:
        self._settings = settings
        self._surveys = surveys
        self._generated: dict[tuple[object, str], set[Place]] = {}

    def keys(self, node: pytest.Item, **more: Any) -> list[SiteKey]:
        """By the markers of a node; `more` has the last word. Raises UsageError."""
        return site_keys(self._settings, marker_of(node.iter_markers("winserve")) | more,
                         self._surveys)  # fmt: skip

    def key(self, node: pytest.Item) -> SiteKey:
        """The one site of a test that pytest does not run once for each."""
        keys = self.keys(node)
        if len(keys) == 1:
            return keys[0]
        raise UsageError(
            f"{len(keys)} sites are to be tried ({', '.join(key.topology for key in keys)}), but "
            "a unittest.TestCase, request.getfixturevalue('winserve') and a step of pytest-bdd "
            "have one only: name it by @pytest.mark.winserve(topology=...), or have the test "
            "function take `winserve` as an argument"
        )

    def of_the_run(self) -> tuple[list[SiteKey], list[str]]:
        """What a site of the whole run may be, by the settings alone, and their ids. UsageError."""
        keys = site_keys(self._settings, {}, self._surveys)
        return keys, [_id(key) for key in keys]

    def run_key(self) -> SiteKey:
        """The one site of the whole run, for a test that pytest does not run once for each."""
        keys, ids = self.of_the_run()
        if len(keys) == 1:
            return keys[0]
        raise UsageError(
            f"{len(keys)} sites are to be tried ({', '.join(ids)}), but what gets winserve_session "
            "by request.getfixturevalue has one only: name it by --winserve-topology, or have the "
            "test function or its fixture take `winserve_session` as an argument"
        )

    def generated(self, metafunc: pytest.Metafunc) -> tuple[list[SiteKey], list[str]]:
        """What a function is run with, a key for each place, and their ids. UsageError."""
        node = metafunc.definition
        keys: dict[Place, SiteKey] = {}
        for marks in _choices(node):
            marker = marker_of([*marks, *node.iter_markers("winserve")])
            for key in site_keys(self._settings, marker, self._surveys):
                keys.setdefault(_place(key), key)
        self._generated[node.parent, node.name] = set(keys)
        return list(keys.values()), [_id(key) for key in keys.values()]

    def settle(self, items: list[pytest.Item]) -> list[pytest.Item]:
        """Say for each test what it wants; the tests that nobody wants, since their markers name
        another topology than their id. UsageError for what cannot be."""
        groups: dict[tuple[object, str], list[pytest.Item]] = {}
        for item in items:
            item.stash.setdefault(ID_KEY, item.nodeid)
            if "winserve" not in getattr(item, "fixturenames", ()):
                continue
            given = _parameter(item)
            if isinstance(given, SiteKey):
                item.stash.setdefault(SITE_KEY, given)
                groups.setdefault((item.parent, _without_site(item.name, given)), []).append(item)
            elif given is not None:
                item.stash[SITE_KEY] = self._of_parameter(item, given)
            elif len(keys := self.keys(item)) == 1:
                item.stash[SITE_KEY] = keys[0]
        return [item for group in groups.values() for item in self._unwanted(group)]

    def _of_parameter(self, item: pytest.Item, given: object) -> SiteKey:
        """The site that a parameter of the suite's own names."""
        if not isinstance(given, str | Mapping):
            raise UsageError(
                f"{item.nodeid}: parametrize('winserve', ...) takes topologies, or dictionaries "
                f"with the arguments of the marker winserve, not {given!r}"
            )
        more = {"topology": given} if isinstance(given, str) else dict(given)
        keys = self.keys(item, **marker_of([pytest.mark.winserve(**more).mark]))
        if len(keys) != 1:
            sites = ", ".join(f"{key.topology} on {key.host}" for key in keys)
            raise UsageError(
                f"{item.nodeid}: {len(keys)} sites for one parameter ({sites}): name each of them, "
                "with its host if the run has several"
            )
        return keys[0]

    def _unwanted(self, group: list[pytest.Item]) -> Iterator[pytest.Item]:
        """Settle the tests that differ only in their place; those that are not wanted."""
        taken: set[Place] = set()
        for item in group:
            wanted = {_place(each): each for each in self.keys(item)}
            function = item.parent, getattr(item, "originalname", item.name)
            generated = self._generated.get(function, set(wanted))
            if not wanted.keys() <= generated:
                if len(wanted) > 1:
                    raise UsageError(
                        f"{item.nodeid}: the marker winserve with {len(wanted)} topologies came "
                        "when pytest had made a test for each topology already: name one in it, "
                        "or write it on the test, its class or its module"
                    )
                ((place, other),) = wanted.items()
                if place in taken:
                    yield item
                    continue
                taken.add(place)
                item.stash[SITE_KEY] = other
            elif (place := _place(_parameter(item))) in wanted:
                item.stash[SITE_KEY] = wanted[place]
            else:
                yield item


def only_with_several_processes(function: Function) -> Function:
    """Have a stock check only where the app runs in several processes: elsewhere there is no such
    test, and none to be skipped."""
    setattr(function, ONE_IS_NOT_ENOUGH, True)
    return function


def has_its_processes(item: object) -> bool:
    """Whether a test that is about several processes has several."""
    if not getattr(getattr(item, "function", None), ONE_IS_NOT_ENOUGH, False):
        return True
    key = _parameter(item) if isinstance(item, pytest.Item) else None
    return not isinstance(key, SiteKey) or Topology.parse(key.topology).processes > 1


def in_order(items: list[pytest.Item], *, grouped: bool) -> None:
    """Put the tests of one site one after another, as with a session fixture, so that few sites are
    up at a time, and into one group of xdist's, whose marker nobody else knows, unless the suite
    has put them into one. Other tests keep their places."""
    places = [place for place, item in enumerate(items) if SITE_KEY in item.stash]
    for item in (items[place] for place in places if grouped):
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.stash[SITE_KEY].group()))
    rank = {key: n for n, key in enumerate(dict.fromkeys(items[p].stash[SITE_KEY] for p in places))}
    ordered = sorted((items[place] for place in places), key=lambda i: rank[i.stash[SITE_KEY]])
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def parametrized_by_the_suite(metafunc: pytest.Metafunc) -> bool:
    """Whether the suite has parameters of its own for `winserve`. UsageError when the test would
    get them instead of the site."""
    if any("winserve" in call.params for call in metafunc._calls):
        return True
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = _argument(mark, 0, "argnames", ())
        if "winserve" in re.findall(r"\w+", names if isinstance(names, str) else " ".join(names)):
            indirect = _argument(mark, 2, "indirect", False)
            if indirect is True or (indirect and "winserve" in indirect):
                return True
            raise UsageError(
                "parametrize('winserve', ...) gives the test the bare values: write indirect=True"
            )
    return False


def id_of_parameter(value: object) -> str | None:
    """The id of a topology among the suite's own parameters, however it is spelled; None leaves it
    to pytest."""
    if not isinstance(value, str):
        return None
    try:
        return str(Topology.parse(value))
    except UsageError:  # a set, or what is refused later
        return None


def id_of(item: pytest.Item) -> str:
    """The id of a test, however it is distributed."""
    return item.stash.get(ID_KEY, item.nodeid)


def named_otherwise(item: pytest.Item, key: SiteKey) -> list[str]:
    """What is to be told of a test whose name has another topology than it is run on."""
    given = _parameter(item)
    if not isinstance(given, SiteKey) or _place(given) == _place(key):
        return []
    return [f"the test is named after {given.topology}: its marker winserve came later"]


def marker_of(markers: Iterable[pytest.Mark]) -> dict[str, Any]:
    """The arguments of markers `winserve`; of several, the first that names something wins."""
    found: dict[str, Any] = {}
    for marker in markers:
        try:
            found = marker_arguments(*marker.args, **marker.kwargs) | found
        except TypeError as error:
            reason = str(error).removeprefix("marker_arguments() ")
            raise UsageError(
                f"@pytest.mark.winserve {reason}; "
                "it takes topology=, host=, app=, command=, slow=, fast=, start_timeout=, journey="
            ) from None
    return found


def marker_arguments(
    *,
    topology: str | list[str] | tuple[str, ...] | None = None,
    host: str | list[str] | tuple[str, ...] | None = None,
    app: str | None = None,
    command: str | None = None,
    slow: str | None = None,
    fast: str | None = None,
    start_timeout: float | None = None,
    journey: str | None = None,
) -> dict[str, Any]:
    """What was given; calling this function is what checks a marker."""
    return {name: value for name, value in locals().items() if value is not None}


def _argument(mark: pytest.Mark, position: int, name: str, default: Any) -> Any:
    return mark.kwargs.get(name, (*mark.args[position : position + 1], default)[0])


def _choices(node: pytest.Item) -> Iterator[list[pytest.Mark]]:
    """The markers `winserve` in `pytest.param` that a test of this function may have, together."""
    sets: list[list[list[pytest.Mark]]] = []
    for parametrize in node.iter_markers("parametrize"):
        values = _argument(parametrize, 1, "argvalues", ())
        sets.append([])
        # What comes from a generator can be read once, by pytest.
        for value in values if isinstance(values, list | tuple) else ():
            marks = [mark for mark in map(_mark, getattr(value, "marks", ()))
                     if mark.name == "winserve"]  # fmt: skip
            if marks not in sets[-1]:
                sets[-1].append(marks)
    for chosen in itertools.product(*(each or [[]] for each in sets)):
        yield [mark for marks in chosen for mark in marks]


def _mark(given: pytest.Mark | pytest.MarkDecorator) -> pytest.Mark:
    return given.mark if isinstance(given, pytest.MarkDecorator) else given


def _parameter(item: pytest.Item) -> Any:
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get("winserve")


def _place(key: SiteKey) -> Place:
    return key.host, key.topology


def _id(key: SiteKey) -> str:
    """It depends on nothing else of the run, so that a test keeps its id when another host or
    topology is named beside its own."""
    return key.topology if key.host == USUAL_HOST else f"{key.host}-{key.topology}"


def _without_site(name: str, key: SiteKey) -> str:
    """A test's name without the id of its site."""
    return re.sub(rf"(?<=[\[-]){re.escape(_id(key))}(?=[-\]])", "", name, count=1)
