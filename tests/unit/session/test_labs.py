"""The lab that the settings describe."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_winserve.session import labs
from pytest_winserve.session.settings import Settings, resolve

GIVEN = {
    "provision": True,
    "load_from": "host",
    "nginx": "system",
    "engine": "tsung",
    "require": ["error_rate < 1%"],
    "limited": "allow",
    "start_timeout": "90",
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
        "load_from": "host",
        "nginx": "system",
        "engine": "tsung",
        "require": ("error_rate < 1%",),
        "allow_limited": True,
        "start_timeout": 90.0,
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
