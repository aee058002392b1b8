"""The app in this process, by pytest-flask's `client`."""

from __future__ import annotations

from flask.testing import FlaskClient


def test_a_note_is_kept(client: FlaskClient) -> None:
    assert client.post("/notes", data={"text": "milk"}).status_code == 201
    assert client.get("/notes").json == ["milk"]


def test_the_next_test_begins_without_notes(client: FlaskClient) -> None:
    assert client.get("/notes").json == []
