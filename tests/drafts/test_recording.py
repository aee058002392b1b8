"""A recording that was made in a real browser becomes a journey that other users can make."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urljoin

import pytest
import requests
from click.testing import CliRunner
from werkzeug.serving import make_server

from pytest_winserve.cli import cli
from pytest_winserve.load.journeys.journey import Journey
from pytest_winserve.load.journeys.journey_file import read_journeys
from pytest_winserve.load.journeys.templates import Template
from tests.kit.apps import notes
from tests.kit.chromium import Browser, chromium
from tests.kit.components import needs

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


@pytest.fixture
def site() -> Iterator[str]:
    """Where the app of notes is served."""
    notes.notes.clear()
    server = make_server("127.0.0.1", 0, notes.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def used_by_ann(browser: Browser, site: str, picture: Path) -> None:
    """What somebody does with the app."""
    browser.open(f"{site}/")
    browser.fill("[name=username]", "ann")
    browser.fill("[name=password]", notes.PASSWORDS["ann"])
    browser.click("#login button")
    browser.fill("[name=text]", "buy milk & {eggs}")
    browser.click("#new button")
    assert browser.fetch(SEARCH) == {"found": [1]}
    browser.click("#change")
    browser.choose("[name=picture]", picture)
    browser.click("#change button")
    browser.open(f"{site}/")
    browser.click("#out button")


def walk(journey: Journey, site: str, user: int) -> list[str]:
    """Do a journey step by step; what each step was answered."""
    values = journey.values_of(user)
    answers = []
    with requests.Session() as session:
        for step in journey.steps:

            def filled(text: str) -> str:
                return Template(text).fill(values)

            path = Template(step.path).fill(values, lambda _, value: quote(value, safe="/"))
            answer = session.request(
                step.method,
                urljoin(site, path),
                data={name: filled(text) for name, text in (step.form or {}).items()},
                json=step.json and json.loads(filled(step.json_text)),
                headers={name: filled(text) for name, text in step.headers.items()},
                files={name: (each.name, each.content) for name, each in step.uploads.items()},
                allow_redirects=False,
                timeout=30,
            )
            assert answer.status_code in step.expected.status, f"{step.label}: {answer.text}"
            for name, text in step.expected.header.items():
                assert filled(text) in answer.headers[name], step.label
            for name, take in step.takes.items():
                found = take.find(answer.text, answer.headers.get, is_html=True)
                assert found is not None, f"{step.label}: {name}"
                values[name] = found
            answers.append(f"{step.method} {path} {answer.status_code}")
    return answers


@needs("chromium")
def test_what_a_user_did_in_a_browser_is_what_other_users_do(site: str, tmp_path: Path) -> None:
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"\x89PNG\r\n\0\xff")
    with chromium(tmp_path) as browser:
        used_by_ann(browser, site, picture)
        har = browser.har()
    (tmp_path / "notes.har").write_text(json.dumps(har))
    file = tmp_path / "notes.toml"
    done = CliRunner().invoke(cli, ["journey", "from-har", str(tmp_path / "notes.har"),
                                    "--to", str(file)])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert f"write one row per user into {tmp_path / 'users.csv'}: username,password" in done.output
    assert "POST /notes/1/change (step 10) sent (Chromium keeps no upload)" in done.output
    text = file.read_text("utf-8")
    for secret in secrets_of(har):
        assert secret not in text

    (tmp_path / "picture").write_bytes(picture.read_bytes())
    with (tmp_path / "users.csv").open("a") as rows:
        rows.writelines(f"{name},{password}\n" for name, password in notes.PASSWORDS.items())
    (journey,) = read_journeys(file)
    assert walk(journey, site, 0) == after_one_more(2)
    assert walk(journey, site, 1) == after_one_more(3)
    assert notes.notes == ["buy milk & {eggs}"] * 3


def secrets_of(har: dict[str, object]) -> set[str]:
    """What must not be in a file: the password, each token, each session."""
    text = json.dumps(har)
    found = {notes.PASSWORDS["ann"], "ann"}
    for before in ("csrf_token=", "session=", "Bearer "):
        pieces = text.split(before)[1:]
        found |= {piece.split("&")[0].split(";")[0].split('"')[0] for piece in pieces}
    assert len(found) > 3
    return found


def after_one_more(number: int) -> list[str]:
    """The steps of the recording where so many notes are there."""
    return [
        "GET / 302", "GET /login 200", "POST /login 302", "GET / 200",
        "POST /notes 302", f"GET /notes/{number} 200", "GET /api/me 200", "POST /api/search 200",
        f"GET /notes/{number}/change 200", f"POST /notes/{number}/change 302",
        f"GET /notes/{number} 200", "GET / 200", "POST /logout 302", "GET /login 200",
    ]  # fmt: skip
