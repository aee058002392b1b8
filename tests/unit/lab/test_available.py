"""What a host can serve with, and the settings that a server declares to matter."""

from __future__ import annotations

import pytest

from pytest_winserve.errors import MissingComponent, UsageError
from pytest_winserve.hosts import open_host
from pytest_winserve.lab.available import Surveys, settings_that_matter
from pytest_winserve.servers import get_server, server_names
from pytest_winserve.topology import Topology


@pytest.mark.parametrize(
    ("server", "settings"),
    [
        ("flask", ["flask", "flask:threaded=false"]),
        ("tornado", ["tornado", "tornado:threads=2", "tornado:threads=8"]),
        ("waitress", ["waitress", *(f"waitress:threads={n}" for n in (1, 2, 8))]),
        ("command", ["command"]),
        (
            "gunicorn",
            ["gunicorn", "gunicorn:workers=2", "gunicorn:workers=8", "gunicorn:threads=2",
             "gunicorn:threads=8", "gunicorn:workers=2:threads=2"],
        ),
    ],
)  # fmt: skip
def test_settings_that_change_what_is_declared(server: str, settings: list[str]) -> None:
    assert settings_that_matter(server) == settings


def test_every_server_has_settings_that_can_be() -> None:
    for name in server_names():
        texts = settings_that_matter(name)
        usual = Topology.parse(name).declared
        assert all(Topology.parse(text).declared != usual for text in texts[1:])


def test_what_a_host_cannot_run_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def require(server: object, platform: str, python: object = None) -> None:
        name = getattr(server, "name")  # noqa: B009
        if name == "tornado":
            raise MissingComponent(name, "it is not installed", "get it")
        if name == "waitress":
            raise UsageError("waitress does not run here: no")

    monkeypatch.setattr("pytest_winserve.hosts.local.require_server", require)
    found = Surveys().of(open_host("local"), None)
    assert not {"tornado", "waitress", "command"} & set(found.able)
    told = [(each.name, each.state, each.reason, each.mend) for each in found.left_out]
    assert told == [
        ("tornado", "missing", "it is not installed", "get it"),
        ("waitress", "never", "waitress does not run here: no", ""),
    ]


def test_a_host_is_asked_once_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        "pytest_winserve.hosts.local.require_server",
        lambda server, _, **__: asked.append(server.name),
    )
    surveys = Surveys()
    # Another object of the same host each time, as for each test that is collected.
    bare, with_command = (surveys.of(open_host("local"), each) for each in (None, "serve {port}"))
    once = len(asked)
    assert {*asked} == {*server_names()}
    assert asked.count("flask") == 1
    assert {*with_command.able} - {*bare.able} == {"command"}
    Surveys().of(open_host("local"), None)  # another run
    assert len(asked) == 2 * once


def test_how_a_topology_is_taken_apart() -> None:
    found = Topology.parse("nginx4-waitress:threads=8:front.keepalive=0")
    assert found.served_with == "waitress:threads=8"
    assert found.behind == "nginx4:front.keepalive=0"
    assert Topology.parse("flask:threaded=false").behind is None
    assert Topology.parse("nginx2").served_with == "flask"
    assert get_server("flask").name == "flask"
