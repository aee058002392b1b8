"""`base_url` and `live_server` on the run's site, for a suite that asks for them.

They take the place of those of pytest-base-url, pytest-playwright, pytest-flask and pytest-django,
and have what users of these call. What the suite defines itself stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from pytest_winserve.backend.wrapped import is_flask
from pytest_winserve.errors import UsageError
from pytest_winserve.lab.site import Site
from pytest_winserve.session.suites_app import FIXTURE


class Url(str):
    """The URL of a live server: a text, as with pytest-django, that gives that of a path when it is
    called, as with pytest-flask."""

    __slots__ = ()

    def __call__(self, url: str = "") -> str:
        return f"{self}{url}"


class LiveServer:
    """What the fixture `live_server` gives. `site` is the `Site`, to be probed and loaded."""

    def __init__(self, site: Site, app: Callable[[], Any]) -> None:
        self.site = site
        self._app = app

    @property
    def url(self) -> Url:
        """`http://127.0.0.1:PORT`; `url("/path")` is that of a path."""
        return Url(self.site.url)

    @property
    def app(self) -> Any:
        """What the suite's fixture `app` gives: the app in the tests' process, not a served one."""
        return self._app()

    @property
    def host(self) -> str:
        return urlsplit(self.site.url).hostname or ""

    @property
    def port(self) -> int:
        port = urlsplit(self.site.url).port
        assert port is not None
        return port

    @property
    def thread(self) -> SimpleNamespace:
        """Where users of pytest-django look for host and port."""
        return SimpleNamespace(host=self.host, port=self.port)

    def start(self) -> None:
        """It is up already."""

    def stop(self) -> None:
        """Raises UsageError: other tests use it."""
        raise UsageError(
            "live_server.stop(): its site is shared by the tests of the run, and is stopped after "
            "them; a test that stops one makes its own by the fixture winserve_factory"
        )

    @property
    def _live_server_modified_settings(self) -> Any:
        # pytest-django enables it for each test: its own server runs in the tests' process.
        return SimpleNamespace(enable=lambda: None, disable=lambda: None)

    def __str__(self) -> str:
        return self.url

    def __add__(self, path: str) -> str:
        return f"{self.url}{path}"

    def __repr__(self) -> str:
        return f"<LiveServer {self.site.topology} listening at {self.url}>"


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    """Of the whole session, unless the ini key of pytest-flask says otherwise."""
    return _ini(config, "live_server_scope") or "session"


def _ini(config: pytest.Config, key: str) -> Any:
    """An ini key of another plugin; None where that is not installed."""
    try:
        return config.getini(key)
    except ValueError:
        return None


@pytest.fixture(scope=_scope)
def live_server(request: pytest.FixtureRequest, winserve_session: Site) -> Iterator[LiveServer]:
    """The run's site as the `live_server` of pytest-flask and pytest-django: `url`, `url("/path")`,
    `app`, `host`, `port`, `+`; and `site`."""
    with _live_server(request, winserve_session) as server:
        yield server


@pytest.fixture(scope=_scope)
def live_server_of_flask(
    request: pytest.FixtureRequest, winserve_session: Site, app: object
) -> Iterator[LiveServer]:
    """The run's site as the `live_server` of pytest-flask: it asks for `app`, too, by which
    pytest-flask knows the tests that get a request context."""
    with _live_server(request, winserve_session) as server:
        yield server


@contextmanager
def _live_server(request: pytest.FixtureRequest, site: Site) -> Iterator[LiveServer]:
    with ExitStack() as stack:
        named: list[Any] = []

        def app() -> Any:
            found = request.getfixturevalue(FIXTURE)
            if not any(each is found for each in named):
                named.append(found)
                stack.enter_context(_at_address(found, site.url))
            return found

        yield LiveServer(site, app)


@pytest.fixture(scope="session")
def base_url(winserve_session: Site) -> str:
    """The URL of the run's site, for pytest-base-url and pytest-playwright."""
    return winserve_session.url


@pytest.fixture(scope="session", autouse=True)
def _verify_url() -> None:
    """In place of that of pytest-base-url, which has every test ask for `base_url`: a site would be
    started for tests that need none."""


def _at_address(app: Any, url: str) -> Any:
    """While it lasts, `url_for(..., _external=True)` of a Flask app in this process leads to the
    site."""
    if not is_flask(app):
        return nullcontext()
    patch = pytest.MonkeyPatch()
    stack = ExitStack()
    stack.callback(patch.undo)
    parts = urlsplit(url)
    patch.setitem(app.config, "SERVER_NAME", parts.netloc)
    patch.setitem(app.config, "PREFERRED_URL_SCHEME", parts.scheme)
    return stack


def register(config: pytest.Config) -> None:
    """Give the suite the fixtures that it asks for, but for those that it has itself. UsageError
    when the URL is named elsewhere, too."""
    manager = config.pluginmanager
    given = getattr(config.option, "base_url", None) or _ini(config, "base_url")
    if given:
        raise UsageError(
            f"two sources for the fixture base_url: the URL {given} of --base-url or the ini key "
            "base_url, and winserve_live_server; leave one out (for this run: "
            "-o winserve_live_server=false)"
        )
    flask = manager.has_plugin("flask")
    given_fixtures = {
        "base_url": base_url,
        "live_server": live_server_of_flask if flask else live_server,
    }
    for name, fixture in given_fixtures.items():
        if not _suite_has(manager, name):
            manager.register(_plugin(name, fixture), f"winserve-{name}")
    if manager.has_plugin("base_url") and not getattr(config.option, "verify_base_url", False):
        manager.register(_plugin("_verify_url", _verify_url), "winserve-unverified")


def _plugin(name: str, fixture: object) -> ModuleType:
    """A pytest plugin with one fixture: of this module the suite is to get some only."""
    plugin = ModuleType(f"{__name__}.{name}")
    setattr(plugin, name, fixture)
    return plugin


def _suite_has(manager: pytest.PytestPluginManager, name: str) -> bool:
    """Whether a plugin of the suite's own has a fixture of that name: one that is not installed,
    such as a module in `pytest_plugins` or after `-p`. A conftest.py wins by itself."""
    installed = {_root(plugin) for plugin, _ in manager.list_plugin_distinfo()}
    return any(
        _root(plugin) not in installed
        for plugin in manager.get_plugins()
        if hasattr(plugin, name)
        and not str(manager.get_name(plugin)).endswith("conftest.py")
        and _is_fixture(getattr(plugin, name))
    )


def _root(plugin: object) -> str:
    """The topmost package of a plugin, which is a module or an object of a class."""
    module = getattr(plugin, "__name__", None) or type(plugin).__module__
    return str(module).partition(".")[0]


def _is_fixture(value: object) -> bool:
    return hasattr(value, "_fixture_function_marker") or hasattr(value, "_pytestfixturefunction")
