"""Notes in SQLite, by a factory as in Flask's own tutorial."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from flask import Flask, Response, jsonify, request


def create_app(database: str | os.PathLike[str] | None = None) -> Flask:
    """The app on a database file: the argument, or `NOTES_DATABASE`, or `notes.db` here."""
    path = Path(database or os.environ.get("NOTES_DATABASE", "notes.db"))
    with closing(sqlite3.connect(path, timeout=30)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS notes (text NOT NULL)")
    app = Flask(__name__)

    @app.get("/notes")
    def notes() -> Response:
        with closing(sqlite3.connect(path, timeout=30)) as db:
            return jsonify([text for (text,) in db.execute("SELECT text FROM notes")])

    @app.post("/notes")
    def add() -> tuple[str, int]:
        with closing(sqlite3.connect(path, timeout=30)) as db, db:
            db.execute("INSERT INTO notes VALUES (?)", (request.form["text"],))
        return "", 201

    return app
