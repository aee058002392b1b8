"""An app as people write them: a login, a token against forged requests in each form and for the
page's script, notes that are made and changed, a file to upload. Its users: `ann` and `bob`."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, abort, redirect, render_template_string, request, session, url_for
from werkzeug.wrappers import Response

PASSWORDS = {"ann": "correct-horse-7", "bob": "battery-staple-8"}

PAGE = """<!doctype html>
<html><head><title>Notes</title>
<meta name="csrf-token" content="{{ token() }}">
<link rel="stylesheet" href="/static/notes.css">
</head><body>{% block body %}{% endblock %}</body></html>
"""
FORM = '<input id="csrf_token" name="csrf_token" type="hidden" value="{{ token() }}">'
LOGIN = f"""<form method="post" id="login">{FORM}
<input name="username"><input name="password" type="password">
<button>Log in</button></form>"""
HOME = f"""<h1>Notes of {{{{ user }}}}</h1>
<form method="post" action="/notes" id="new">{FORM}<textarea name="text"></textarea>
<button>Keep</button></form>
<form method="post" action="/logout" id="out">{FORM}<button>Log out</button></form>"""
NOTE = """<p>{{ text }}</p><a id="change" href="/notes/{{ number }}/change">Change</a>"""
CHANGE = f"""<form method="post" id="change" enctype="multipart/form-data">{FORM}
<textarea name="text">{{{{ text }}}}</textarea><input type="file" name="picture">
<button>Save</button></form>"""

app = Flask(__name__)
app.secret_key = "the same in each process"  # noqa: S105 - of a test
notes: list[str] = []


def shown(body: str, **values: Any) -> str:
    page = PAGE.replace("{% block body %}{% endblock %}", body)
    return render_template_string(page, token=token, **values)


def token() -> str:
    """The user's token, another one in each session."""
    return str(session.setdefault("token", secrets.token_urlsafe(24)))


@app.before_request
def forged() -> None:
    if request.method == "GET":
        return
    given = request.form.get("csrf_token") or request.headers.get("X-CSRFToken", "")
    if not hmac.compare_digest(given, session.get("token", "none")):
        abort(400, "The CSRF token is missing or wrong.")


def logged_in(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def wrapped(**values: Any) -> Any:
        return view(**values) if "user" in session else redirect(url_for("login"))

    return wrapped


@app.route("/login", methods=["GET", "POST"])
def login() -> str | Response:
    if request.method == "POST":
        user = request.form["username"]
        if PASSWORDS.get(user) == request.form["password"]:
            session["user"] = user
            return redirect(url_for("home"))
    return shown(LOGIN)


@app.get("/")
@logged_in
def home() -> str:
    return shown(HOME, user=session["user"])


@app.post("/notes")
@logged_in
def add() -> Response:
    notes.append(request.form["text"])
    return redirect(url_for("note", number=len(notes)))


@app.get("/notes/<int:number>")
@logged_in
def note(number: int) -> str:
    return shown(NOTE, number=number, text=notes[number - 1])


@app.route("/notes/<int:number>/change", methods=["GET", "POST"])
@logged_in
def change(number: int) -> str | Response:
    if request.method == "POST":
        notes[number - 1] = request.form["text"]
        return redirect(url_for("note", number=number))
    return shown(CHANGE, number=number, text=notes[number - 1])


@app.get("/api/me")
@logged_in
def me() -> dict[str, Any]:
    return {"user": {"name": session["user"], "key": session.setdefault("key", _key())}}


@app.post("/api/search")
@logged_in
def search() -> dict[str, Any]:
    if request.headers.get("Authorization") != f"Bearer {session.get('key')}":
        abort(403)
    wanted = request.json["words"]
    return {"found": [number for number, text in enumerate(notes, 1) if wanted in text]}


def _key() -> str:
    return secrets.token_urlsafe(24)


@app.post("/logout")
@logged_in
def logout() -> Response:
    session.clear()
    return redirect(url_for("login"))
