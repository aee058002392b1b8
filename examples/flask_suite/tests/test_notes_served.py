"""The same app as it will be served: nginx in front of two processes of waitress."""

from __future__ import annotations

from pytest_winserve import Site


def test_notes_are_the_same_in_every_process(winserve: Site) -> None:
    before = winserve.get("/notes").json()
    assert winserve.client.post(f"{winserve.url}/notes", data={"text": "milk"}).status_code == 201
    for _ in winserve.backends:
        assert winserve.get("/notes").json() == [*before, "milk"]


def test_under_load(winserve: Site) -> None:
    result = winserve.load(users=10, count=200, path="/notes")
    result.require("error_rate == 0%", "unaccounted == 0")
