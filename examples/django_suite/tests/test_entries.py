"""The project in this process, with pytest-django's client and database."""

from __future__ import annotations

import pytest
from django.test import Client


@pytest.mark.django_db
def test_an_entry_is_kept(client: Client) -> None:
    assert client.post("/entries", {"name": "Ada"}).json() == {"names": ["Ada"]}


@pytest.mark.django_db
def test_the_next_test_begins_without_entries(client: Client) -> None:
    assert client.get("/entries").json() == {"names": []}
