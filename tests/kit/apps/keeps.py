"""Apps that have something for themselves in each process, and say nothing about it."""

from __future__ import annotations

import atexit
import logging.handlers
import secrets
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import flask

CONFIGURED = {"SECRET_KEY": "the same everywhere"}


def shop(name: str = "shop") -> flask.Flask:
    """An app whose first page has a session, and whose key is the same in every process."""
    app = flask.Flask(name)
    app.config.update(CONFIGURED)

    @app.get("/test")
    def test() -> str:
        return "ok"

    @app.get("/")
    def first() -> str:
        number: str = flask.session.setdefault("number", secrets.token_hex(4))
        return number

    return app


def new_key() -> Any:
    """A key that is made anew in each process, within middleware."""
    app = shop()
    app.secret_key = secrets.token_hex()

    def outermost(environ: Any, start_response: Any) -> Any:
        return app.wsgi_app(environ, start_response)

    return Wrapped(outermost)


class Wrapped:
    """Middleware, as many have it."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


def fresh_cookie() -> flask.Flask:
    """An app that sets a session's cookie anew with each answer, for everybody."""
    app = shop()
    app.config["SESSION_REFRESH_EACH_REQUEST"] = True

    @app.before_request
    def lasting() -> None:
        flask.session.permanent = True

    return app


def much() -> flask.Flask:
    """Threads, a child process, a socket, a database in memory and a log that turns."""
    app = shop()
    threading.Thread(target=threading.Event().wait, name="JobScheduler", daemon=True).start()
    threading.Thread(target=wait, name="poller", daemon=True).start()
    listening = socket.create_server(("127.0.0.1", 0))
    database = sqlite3.connect(":memory:", check_same_thread=False)
    log = logging.handlers.RotatingFileHandler(Path("shop.log"))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    atexit.register(end, child)
    app.extensions["kept"] = listening, database, log, child
    return app


def wait() -> None:
    threading.Event().wait()


def end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
