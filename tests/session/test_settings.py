"""Named sets in the settings of a run."""

from __future__ import annotations

from pytest_winserve.lab.available import Surveys
from pytest_winserve.session.settings import resolve
from pytest_winserve.session.site_keys import site_keys, validate


def test_named_sets_are_expanded_for_each_host() -> None:
    settings = resolve({"topology": "article"}, lambda key: None)
    validate(settings, Surveys())
    keys = site_keys(settings, {}, Surveys())
    assert [key.topology for key in keys] == [
        "flask", "nginx1", "nginx4", "tornado", "nginx4-tornado",
    ]  # fmt: skip
    surveys = Surveys()
    everything = [
        key.topology
        for key in site_keys(resolve({"topology": "all"}, lambda key: None), {}, surveys)
    ]
    assert "nginx4-waitress" in everything
    assert "nginx4" in everything
    assert "command" not in everything
    with_command = resolve({"topology": "all", "command": "serve {port}"}, lambda key: None)
    assert "nginx4-command" in [key.topology for key in site_keys(with_command, {}, surveys)]
