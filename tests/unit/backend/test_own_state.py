"""What is found in an app and its process: keys within middleware, threads, logs."""

from __future__ import annotations

import functools
import logging
import logging.handlers
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from pytest_winserve.backend.noted import Noted
from pytest_winserve.backend.own_state import digest, flask_apps, keys_of, logs, own_threads


def shop(name: str = "shop") -> flask.Flask:
    app = flask.Flask(name)
    app.secret_key = f"the key of {name}"
    return app


class Server:
    """As Dash has it: the Flask object is in `server`."""

    def __init__(self, server: flask.Flask) -> None:
        self.server = server

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.server(environ, start_response)


def fixed(app: flask.Flask) -> flask.Flask:
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    return app


def wrapped(app: flask.Flask) -> Any:
    @functools.wraps(app.wsgi_app)
    def call(environ: Any, start_response: Any) -> Any:
        return app.wsgi_app(environ, start_response)

    return call


WAYS = {
    "itself": lambda app: app,
    "its method": lambda app: app.wsgi_app,
    "ProxyFix within": fixed,
    "ProxyFix around": ProxyFix,
    "a function": wrapped,
    "a partial": lambda app: functools.partial(app),
    "Dash": Server,
    "all of them": lambda app: ProxyFix(wrapped(fixed(app))),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_flask_object_is_found(way: str) -> None:
    app = shop()
    assert flask_apps(WAYS[way](app)) == [app]  # type: ignore[no-untyped-call]


def test_apps_that_are_mounted_each_have_their_key() -> None:
    app = shop("outer")
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/inner": shop("inner")})  # type: ignore[method-assign]
    assert dict(keys_of(app)) == {
        "SECRET_KEY of the Flask app 'outer'": "the key of outer",
        "SECRET_KEY of the Flask app 'inner'": "the key of inner",
    }


def test_what_else_signs_and_what_does_not() -> None:
    app = shop()
    app.config.update({
        "JWT_SECRET_KEY": b"bytes", "SECURITY_PASSWORD_SALT": "salt", "WTF_CSRF_SECRET_KEY": None,
        "SECRET_KEY_FALLBACKS": ["old"], "PREFERRED_URL_SCHEME": "https",
    })  # fmt: skip
    assert {name.partition(" of ")[0] for name, _ in keys_of(app)} == {
        "SECRET_KEY", "JWT_SECRET_KEY", "SECURITY_PASSWORD_SALT",
    }  # fmt: skip


def test_an_app_without_flask_has_no_key_that_is_known() -> None:
    assert list(keys_of(lambda environ, start_response: [])) == []


def test_of_a_key_a_salted_digest_is_told() -> None:
    assert digest("key", "salt") == digest(b"key", "salt")
    assert digest("key", "salt") != digest("key", "another")
    assert "key" not in digest("key", "salt")


@pytest.fixture
def handlers(tmp_path: Path) -> Iterator[list[logging.FileHandler]]:
    made = [
        logging.FileHandler(tmp_path / "plain.log", delay=True),
        logging.handlers.RotatingFileHandler(tmp_path / "turning.log", delay=True),
        logging.handlers.TimedRotatingFileHandler(tmp_path / "daily.log", delay=True),
    ]
    yield made
    for handler in made:
        handler.close()


def test_logs_that_turn(handlers: list[logging.FileHandler], tmp_path: Path) -> None:
    assert len(handlers) == 3
    mine = {Path(log.path).name: log.rotates for log in logs() if Path(log.path).parent == tmp_path}
    assert mine == {"plain.log": False, "turning.log": True, "daily.log": True}


def test_a_log_that_is_written_without_logging(tmp_path: Path) -> None:
    with (tmp_path / "own.log").open("a"):
        found = [log for log in logs() if log.path == str(tmp_path / "own.log")]
    assert [log.rotates for log in found] in ([False], [])


class Scheduler:
    """A scheduler, by its class."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def main_loop(self) -> None:
        self.over.wait()


def test_threads_of_the_app_and_of_its_server() -> None:
    noted = Noted(None, 0, "", "pytest_winserve.servers.waitress", None)
    scheduler = Scheduler()
    late = threading.Thread(target=scheduler.main_loop, name="late")
    pool = threading.Thread(target=scheduler.over.wait, name="pool")
    for thread in (late, pool):
        thread.start()
    try:
        found = {thread.name: thread for thread in own_threads(noted)}
        # What a pool of the standard library runs may be the server's.
        assert "pool" not in found
        assert found["late"].of == "Scheduler of tests"
        assert found["late"].schedules
    finally:
        scheduler.over.set()
        late.join()
        pool.join()
