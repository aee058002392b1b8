"""What a suite with pytest-flask has: `app`; and where the served app keeps its notes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from flask import Flask
from notes import create_app


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """The app in this process, for pytest-flask's `client`; each test has a database of its own."""
    return create_app(tmp_path / "notes.db")


@pytest.fixture(scope="session", autouse=True)
def _database_of_the_served_app(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The served app is in other processes, which get this process's environment."""
    os.environ["NOTES_DATABASE"] = str(tmp_path_factory.mktemp("served") / "notes.db")
