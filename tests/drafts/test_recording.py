"""A recording that was made in a real browser becomes a journey that other users can make."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from pytest_winserve import Lab
from pytest_winserve.cli import cli
from pytest_winserve.load.journeys.journey_file import read_journeys
from tests.kit.apps.notes import PASSWORDS
from tests.kit.chromium import Browser, chromium
from tests.kit.components import needs
from tests.kit.loads import adds_up

STEPS = (
    "GET /", "GET /login", "POST /login", "GET / #2", "POST /notes", "GET /notes/*", "GET /api/me",
    "POST /api/search", "GET /notes/{notes_id}/change", "POST /notes/{notes_id}/change",
    "GET /notes/{notes_id}", "GET / #3", "POST /logout", "GET /login #2",
)  # fmt: skip
SEARCH = """
fetch('/api/me').then(answer => answer.json()).then(me => fetch('/api/search', {
    method: 'POST',
    headers: {
        'Content-Type': 'application/json', Authorization: 'Bearer ' + me.user.key,
        'X-CSRFToken': document.querySelector('meta[name=csrf-token]').content,
    },
    body: JSON.stringify({words: 'milk'}),
})).then(answer => answer.json())
"""


def used_by_ann(browser: Browser, site: str, picture: Path) -> None:
    """What somebody does with the app."""
    browser.open(f"{site}/")
    browser.fill("[name=username]", "ann")
    browser.fill("[name=password]", PASSWORDS["ann"])
    browser.click("#login button")
    browser.fill("[name=text]", "buy milk & {eggs}")
    browser.click("#new button")
    assert browser.fetch(SEARCH) == {"found": [1]}
    browser.click("#change")
    browser.choose("[name=picture]", picture)
    browser.click("#change button")
    browser.open(f"{site}/")
    browser.click("#out button")


@needs("chromium")
def test_what_a_user_did_in_a_browser_is_what_other_users_do(tmp_path: Path) -> None:
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"\x89PNG\r\n\0\xff")
    with Lab() as lab, lab.serve("nginx1-waitress", "tests.kit.apps.notes:app") as site:
        with chromium(tmp_path) as browser:
            used_by_ann(browser, site.url, picture)
            har = browser.har()
        file = journey_of(har, tmp_path)
        (tmp_path / "picture").write_bytes(picture.read_bytes())
        with (tmp_path / "users.csv").open("a") as rows:
            rows.writelines(f"{name},{password}\n" for name, password in PASSWORDS.items())
        result = site.load(users=2, count=6, timeout=30, journeys=read_journeys(file))
    adds_up(result)
    assert result.unexpected == (), result.summary()
    (share,) = result.journeys
    assert (share.name, share.begun, share.complete) == ("notes", 6, 6)
    assert {step: each.ended for step, each in result.by_request.items()} == dict.fromkeys(STEPS, 6)


def journey_of(har: dict[str, object], folder: Path) -> Path:
    """The file that the command makes of a recording."""
    (folder / "notes.har").write_text(json.dumps(har))
    file = folder / "notes.toml"
    line = ["journey", "from-har", str(folder / "notes.har"), "--to", str(file)]
    done = CliRunner().invoke(cli, line)
    assert done.exit_code == 0, done.output
    assert f"write one row per user into {folder / 'users.csv'}: username,password" in done.output
    assert "POST /notes/1/change (step 10) sent (Chromium keeps no upload)" in done.output
    text = file.read_text("utf-8")
    for secret in secrets_of(har):
        assert secret not in text
    return file


def secrets_of(har: dict[str, object]) -> set[str]:
    """What must not be in a file: the password, each token, each session."""
    text = json.dumps(har)
    found = {PASSWORDS["ann"], "ann"}
    for before in ("csrf_token=", "session=", "Bearer "):
        pieces = text.split(before)[1:]
        found |= {piece.split("&")[0].split(";")[0].split('"')[0] for piece in pieces}
    assert len(found) > 3
    return found
