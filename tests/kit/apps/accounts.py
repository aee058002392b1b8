"""Accounts with a login, forms and a database, with Flask-Login, Flask-WTF and SQLite.

`ACCOUNTS_DB` is the database's file, which the first process makes with `PEOPLE` accounts in it;
`SECRET_KEY` the key, and each process makes one of its own where it is not set.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing

from flask import Flask, flash, redirect, render_template_string, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import (
    LoginManager,
    UserMixin,
    current_user,
    login_required,
    login_user,
    logout_user,
)
from flask_wtf import FlaskForm
from werkzeug.security import check_password_hash, generate_password_hash
from wtforms import PasswordField, StringField
from wtforms.validators import DataRequired

PEOPLE = 50
PAGE = """<!doctype html>
<title>{{ title }}</title>
{% for message in get_flashed_messages() %}<p class="message">{{ message }}</p>{% endfor %}
<h1>{{ title }}</h1>
{% for text in texts or () %}<li>{{ text }}</li>{% endfor %}
<form method="post">{{ form.hidden_tag() }}
{% for field in form if field.name != "csrf_token" %}{{ field.label }} {{ field }}{% endfor %}
<button>Send</button></form>
"""


class Login(FlaskForm):  # type: ignore[misc]
    username = StringField(validators=[DataRequired()])
    password = PasswordField(validators=[DataRequired()])


class Note(FlaskForm):  # type: ignore[misc]
    text = StringField(validators=[DataRequired()])


class Leave(FlaskForm):  # type: ignore[misc]
    pass


class User(UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name


def password_of(number: int) -> str:
    return f"not-{number}-for-you"


def database() -> sqlite3.Connection:
    return sqlite3.connect(os.environ["ACCOUNTS_DB"], timeout=30, isolation_level=None)


def fill() -> None:
    with closing(database()) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("BEGIN IMMEDIATE")
        db.execute("CREATE TABLE IF NOT EXISTS people (name TEXT PRIMARY KEY, password TEXT)")
        db.execute("CREATE TABLE IF NOT EXISTS notes (name TEXT, text TEXT)")
        if not db.execute("SELECT count(*) FROM people").fetchone()[0]:
            people = [
                (f"user{n}", generate_password_hash(password_of(n), "pbkdf2:sha256:1000"))
                for n in range(PEOPLE)
            ]
            db.executemany("INSERT INTO people VALUES (?, ?)", people)
        db.execute("COMMIT")


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["SECRET_KEY"] = os.environ.get("SECRET_KEY") or secrets.token_hex()
    login_manager = LoginManager(app)
    login_manager.login_view = "login"
    fill()

    @login_manager.user_loader  # type: ignore[untyped-decorator]
    def load_user(name: str) -> User:
        return User(name)

    def page(title: str, form: FlaskForm, texts: list[str] | None = None) -> str:
        return render_template_string(PAGE, title=title, form=form, texts=texts)

    @app.get("/")
    def index() -> str:
        return "hello"

    @app.route("/login", methods=["GET", "POST"])
    def login() -> ResponseReturnValue:
        form = Login()
        if form.validate_on_submit():
            with closing(database()) as db:
                found = db.execute(
                    "SELECT password FROM people WHERE name = ?", (form.username.data,)
                ).fetchone()
            if found and check_password_hash(found[0], form.password.data):
                login_user(User(form.username.data))
                return redirect(request.args.get("next") or url_for("notes"))
            flash("Wrong name or password")
        return page("Sign in", form)

    @app.route("/notes", methods=["GET", "POST"])
    @login_required  # type: ignore[untyped-decorator]
    def notes() -> ResponseReturnValue:
        form = Note()
        with closing(database()) as db:
            if form.validate_on_submit():
                values = current_user.id, form.text.data
                db.execute("INSERT INTO notes VALUES (?, ?)", values)
                flash("Saved")
                return redirect(url_for("notes"))
            rows = db.execute("SELECT text FROM notes WHERE name = ?", (current_user.id,))
            texts = [text for (text,) in rows]
        return page(f"Notes of {current_user.id}", form, texts)

    @app.route("/logout", methods=["GET", "POST"])
    @login_required  # type: ignore[untyped-decorator]
    def logout() -> ResponseReturnValue:
        form = Leave()
        if form.validate_on_submit():
            logout_user()
            return redirect(url_for("login"))
        return page("Leave?", form)

    return app
