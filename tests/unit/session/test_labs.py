"""The lab that the settings describe."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_winserve.backend import SAMPLE_APP
from pytest_winserve.errors import UsageError
from pytest_winserve.session import labs
from pytest_winserve.session.settings import Settings, resolve
from tests.kit.platforms import not_on_windows

GIVEN = {
    "provision": True,
    "load_from": "host",
    "nginx": "system",
    "engine": "tsung",
    "require": ["error_rate < 1%"],
    "limited": "allow",
    "python": "/shop/venv",
    "start_timeout": "90",
    "hold": "2",
    "chdir": "shop",
    "start": "one-by-one",
    "header": ["X-Api-Key: key"],
    "cookie": ["session=abc"],
    "auth": "shop:pass",
    "host_header": "shop.example",
}


class Made:
    """Takes what a lab is made with."""

    def __init__(self, host: str, **arguments: Any) -> None:
        self.host = host
        self.arguments = arguments


@pytest.fixture(autouse=True)
def _no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labs, "Lab", Made)


def lab_of(settings: Settings, host: str, **more: Any) -> Made:
    made: object = labs.lab_of(settings, host, **more)
    assert isinstance(made, Made)
    return made


def test_a_lab_has_all_that_the_settings_say_of_it() -> None:
    lab = lab_of(resolve(GIVEN, lambda key: None), "wine")
    assert lab.host == "wine"
    assert lab.arguments == {
        "provision": True,
        "python": "/shop/venv",
        "load_from": "host",
        "nginx": "system",
        "engine": "tsung",
        "require": ("error_rate < 1%",),
        "allow_limited": True,
        "start_timeout": 90.0,
        "hold": 2.0,
        "chdir": "shop",
        "environment": {},
        "start": "one-by-one",
        "headers": {
            "X-Api-Key": "key",
            "Cookie": "session=abc",
            "Authorization": "Basic c2hvcDpwYXNz",
            "Host": "shop.example",
        },
    }


def test_other_criteria_than_those_of_the_settings() -> None:
    settings = resolve(GIVEN, lambda key: None)
    assert lab_of(settings, "local", require=()).arguments["require"] == ()
    assert lab_of(settings, "local", require=["rate > 0"]).arguments["require"] == ["rate > 0"]


SHOP = {"app": "shop:app"}


def test_an_active_environment_runs_the_app_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = resolve(SHOP, lambda key: None)
    assert labs.python_of(settings, "local") is None
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    assert labs.python_of(settings, "local") == str(tmp_path)
    assert labs.python_of(settings, "wine") is None
    assert lab_of(settings, "local").arguments["python"] == str(tmp_path)
    sample = replace(resolve({}, lambda key: None), app=SAMPLE_APP)
    assert labs.python_of(sample, "local") is None
    given = resolve({"python": "/shop/venv"}, lambda key: None)
    assert labs.python_of(given, "local") == "/shop/venv"


def test_the_environment_that_the_lab_runs_in_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    assert labs.python_of(resolve(SHOP, lambda key: None), "local") is None


@not_on_windows("a link takes a privilege there")
def test_the_environment_that_the_lab_runs_in_by_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(sys.prefix, target_is_directory=True)
    monkeypatch.setenv("VIRTUAL_ENV", str(link))
    assert labs.python_of(resolve(SHOP, lambda key: None), "local") is None


def test_a_python_for_another_host_is_refused() -> None:
    settings = resolve({"python": "/shop/venv"}, lambda key: None)
    with pytest.raises(UsageError, match=r"the host ssh:there has a Python of its own"):
        labs.host_of(settings, "ssh:there")


def test_an_active_environment_without_its_python_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    with pytest.raises(UsageError, match=r"VIRTUAL_ENV=.* deactivate it, or name another Python"):
        labs.other_python(resolve(SHOP, lambda key: None), "local")
