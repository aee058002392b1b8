"""The same project as it will be served.

It runs in processes of its own, which see nothing of pytest-django's database: that is a
transaction of this process. So they get a database of their own, made by the project's migrations.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pytest_winserve import Site


@pytest.fixture(scope="module", autouse=True)
def _database(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["GUESTBOOK_DATABASE"] = str(tmp_path_factory.mktemp("served") / "guestbook.db")
    command = [sys.executable, "-m", "django", "migrate", "--settings=guestbook.settings"]
    subprocess.run([*command, "--pythonpath=."], check=True)


def test_entries_are_the_same_in_every_process(winserve: Site) -> None:
    winserve.client.post(f"{winserve.url}/entries", data={"name": "Ada"})
    for _ in winserve.backends:
        assert winserve.get("/entries").json() == {"names": ["Ada"]}


def test_under_load(winserve: Site) -> None:
    result = winserve.load(users=10, count=200, path="/entries")
    result.require("error_rate == 0%", "unaccounted == 0")
