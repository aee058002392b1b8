"""The first journey file of an app: it runs as it is, and its login when there are accounts."""

from __future__ import annotations

import shutil
from pathlib import Path

from pytest_winserve import Lab
from pytest_winserve.load.journeys.journey_file import read_journeys
from tests.kit.apps import notes
from tests.kit.commands import winserve
from tests.kit.components import needs
from tests.kit.loads import adds_up

LOGIN = "# [[journey]]"


@needs("minutes")
def test_a_first_file_for_an_app_runs(tmp_path: Path) -> None:
    shutil.copy(str(notes.__file__), tmp_path / "app.py")
    done = winserve("journey", "new", cwd=tmp_path)
    assert done.status == 0, done.err
    assert done.out == (
        "journeys.toml: the journey of a visitor of app.py:app\n"
        "the login at /login stands at its end, as comments: it needs users\n"
        "then try it: winserve journey check journeys.toml\n"
    )
    file = tmp_path / "journeys.toml"
    visitor = read_journeys(file)
    text = file.read_text("utf-8")
    begin = text.index(LOGIN)
    lines = [line.removeprefix("# ") for line in text[begin:].splitlines()]
    file.write_text(text[:begin] + "\n".join(lines), "utf-8")
    rows = [",".join(each) for each in notes.PASSWORDS.items()]
    (tmp_path / "users.csv").write_text("\n".join(["username,password", *rows]))
    both = read_journeys(file)
    with Lab() as lab, lab.serve("waitress", "tests.kit.apps.notes:app") as site:
        for journeys in (visitor, both):
            result = site.load(users=4, count=8, timeout=30, journeys=journeys)
            adds_up(result)
            assert result.unexpected == (), result.summary()
            assert sum(share.complete for share in result.journeys) == 8
    assert {share.name for share in result.journeys} == {"visitor", "login"}

    done = winserve("journey", "new", cwd=tmp_path)
    assert (done.status, done.err) == (
        2, "winserve: journeys.toml is there already: name another file by --to, or remove it\n",
    )  # fmt: skip


def test_an_app_that_has_no_routes_to_tell(tmp_path: Path) -> None:
    app = "--app=wsgiref.simple_server:demo_app"
    done = winserve("journey", "new", app, cwd=tmp_path)
    assert done.status == 2
    assert "demo_app does not tell its routes: it is no Flask app" in done.err
    assert list(tmp_path.iterdir()) == []
