"""The line that deploys what is recommended."""

from __future__ import annotations

import os

import pytest

from pytest_winserve.recommend.deployed import how_to_deploy
from pytest_winserve.session.settings import resolve
from pytest_winserve.topology import Topology


def lines(topology: str, **given: object) -> list[str]:
    return list(how_to_deploy(Topology.parse(topology), resolve(given, lambda key: None)))


def test_the_line_has_what_the_search_was_given() -> None:
    found = lines(
        "nginx4-waitress:threads=8", app="shop:create_app()", env_file=["prod.env"],
        env=["KEY=secret"], python="my venv", fast="/health", start_timeout="60", users="5",
    )  # fmt: skip
    quoted = ("shop:create_app()", '"my venv"')
    if os.name != "nt":
        quoted = ("'shop:create_app()'", "'my venv'")
    words = (
        "winserve deploy nginx4-waitress:threads=8 --app {} --python {} --fast /health "
        "--start-timeout 60 --env-file prod.env --to site"
    )
    assert found == [
        "",
        f"Deploy it, on the Windows machine: {words.format(*quoted)}",
        "  with KEY in a file that --env-file names",
    ]


@pytest.mark.parametrize(
    ("topology", "said"),
    [("gunicorn", "it needs fork"), ("nginx4", "--even-development")],
)
def test_what_cannot_be_deployed_is_said_with_the_reason(topology: str, said: str) -> None:
    (_, line) = lines(topology, app="shop:app")
    assert line.startswith("Not deployed by winserve deploy: ")
    assert said in line


def test_the_sample_app_is_not_deployed() -> None:
    assert lines("waitress", app="pytest_winserve.sample_app:app") == []
