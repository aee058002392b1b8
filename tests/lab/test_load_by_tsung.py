"""Loads that tsung sends to real sites: the ledger adds up as with the built-in engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_winserve import Lab
from tests.kit.commands import winserve
from tests.kit.components import needs
from tests.kit.loads import adds_up, load_on_four, seen

pytestmark = needs("tsung")


@pytest.mark.parametrize("keepalive", [True, False])
def test_what_tsung_sent_is_what_nginx_logged_and_the_backends_ran(
    lab: Lab, keepalive: bool
) -> None:
    result = load_on_four(lab, "tsung", keepalive)
    # From nginx's log: tsung does not see who answered.
    assert not any(share.total.count for share in result.by_backend.values())


def test_statuses_of_a_failing_app_are_counted_each(lab: Lab) -> None:
    with lab.serve("nginx1-waitress") as site:
        paths = ["/test", "/misbehave?status=503", "/misbehave?status=404"]
        result = site.load(users=3, count=60, requests=paths, engine="tsung")
    adds_up(result)
    assert set(result.outcomes) <= {"200", "503", "404"}
    assert seen(result)["front's log"] == result.sent == 60


def test_the_command_shows_the_tables(tmp_path: Path) -> None:
    arguments = ["--engine", "tsung", "--users", "5", "--duration", "1", "--report", "report"]
    done = winserve("load", "nginx4-waitress", *arguments, cwd=tmp_path)
    assert done.status == 0, done.err
    assert "load by tsung: 5 users, 1 s, keep-alive, GET /test" in done.out
    assert "unaccounted: 0" in " ".join(done.out.split())
    assert "tsung could not measure: first_byte" in done.out
    data = json.loads((tmp_path / "report" / "results.json").read_text())
    (result,) = data["tests"][0]["results"]
    assert result["engine"] == "tsung"
    assert result["unmeasured"] == ["first_byte"]
    assert result["generator"]["lag"] is None
