"""The pytest plugin: options, marker, fixtures and hooks. It registers and does nothing else;
what does the work is imported when a test asks for it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_winserve.errors import MissingComponent, UsageError, WinserveError
from pytest_winserve.session.settings import SETTINGS, Settings, resolve

if TYPE_CHECKING:
    from pytest_winserve.lab.available import Surveys
    from pytest_winserve.lab.site import Site
    from pytest_winserve.session.environment import RunEnvironment
    from pytest_winserve.session.recorder import Recorder
    from pytest_winserve.session.site_keys import SiteKey
    from pytest_winserve.session.site_pool import SitePool

SETTINGS_KEY = pytest.StashKey[Settings]()
SURVEYS_KEY = pytest.StashKey["Surveys"]()
ENVIRONMENT_KEY = pytest.StashKey["RunEnvironment"]()
RECORDERS_KEY = pytest.StashKey[list["Recorder"]]()
OUTCOME_KEY = pytest.StashKey[str]()
GROUPED_KEY = pytest.StashKey[bool]()

MARKER = (
    "winserve(topology=, host=, app=, command=, slow=, fast=, start_timeout=): what the fixture"
    " `winserve` serves for this test; a value here overrides the command line"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("winserve", "serving a WSGI app in different topologies")
    for setting in SETTINGS:
        text = setting.described.replace("%", "%%")
        shape: dict[str, Any] = {"action": "store_true", "default": None}
        if not setting.flag:
            shape = {
                "metavar": setting.metavar,
                "action": "store" if setting.many == "no" else "append",
            }
        group.addoption(setting.option, dest=setting.key, help=text, **shape)
        kind = "linelist" if setting.many == "lines" else "string"
        parser.addini(setting.key, setting.described, type=kind, default=None)  # type: ignore[arg-type]


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, Any]:
    # Before xdist makes `-n 2` mean --dist=load: afterwards that could be the user's own choice.
    option = config.option
    chosen = getattr(option, "dist", "no") != "no" or getattr(option, "distload", False)
    config.stash[GROUPED_KEY] = not chosen and bool(_settings(config).given)
    return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    if not config.stash[GROUPED_KEY]:
        return None
    from pytest_winserve.session.scheduling import TopologyScheduling

    return TopologyScheduling(config, log)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    settings = _settings(config)
    if settings.given:
        from pytest_winserve.session.site_keys import validate

        try:
            validate(settings, _surveys(config))
        except WinserveError as error:
            raise pytest.UsageError(str(error)) from error
    if settings.given or getattr(config.option, "dist", "no") != "no":
        _collect_results(config)


def pytest_report_header(config: pytest.Config) -> list[str]:
    return _header(config) if _settings(config).given else []


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    # Asked for little output, pytest leaves its header out; what reads `--co -q` wants test names.
    quiet = config.option.verbose < 0 or config.option.collectonly
    if quiet or _settings(config).given or not any(map(_uses_lab, items)):
        return []
    return _header(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "winserve" not in metafunc.fixturenames:
        return
    from pytest_winserve.session.site_keys import site_keys

    settings = _settings(metafunc.config)
    try:
        keys = site_keys(settings, _marker(metafunc.definition), _surveys(metafunc.config))
    except WinserveError as error:
        raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid}: {error}") from None
    hosts = {key.host for key in keys}
    ids = [key.topology if len(hosts) == 1 else f"{key.host}-{key.topology}" for key in keys]
    metafunc.parametrize("winserve", keys, indirect=True, ids=ids)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if any(map(_uses_lab, items)):
        _collect_results(config)
    places = [place for place, item in enumerate(items) if _wants_site(item)]
    for place in places:
        items[place].add_marker(pytest.mark.xdist_group(_key_of(items[place]).group()))
    # The tests of one site run one after another, as with a session fixture, so that few sites
    # are up at a time. Other tests keep their places.
    rank = {key: n for n, key in enumerate(dict.fromkeys(_key_of(items[p]) for p in places))}
    ordered = sorted((items[place] for place in places), key=lambda item: rank[_key_of(item)])
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


@pytest.fixture(scope="session")
def _winserve_pool(request: pytest.FixtureRequest) -> Iterator[SitePool]:
    from pytest_winserve.session.site_pool import SitePool

    wanted = map(_key_of, filter(_wants_site, request.session.items))
    pool = SitePool(_settings(request.config), wanted)
    request.config.pluginmanager.register(EndedByInterrupt(pool), "winserve-interrupt")
    yield pool
    request.config.pluginmanager.unregister(name="winserve-interrupt")
    pool.close()


class EndedByInterrupt:
    """A pytest plugin that ends the sites of an interrupted run, before fixtures close them with
    patience."""

    def __init__(self, pool: SitePool) -> None:
        self._pool = pool

    def pytest_keyboard_interrupt(self) -> None:
        self._pool.abandon()


@pytest.fixture
def winserve(request: pytest.FixtureRequest, _winserve_pool: SitePool) -> Iterator[Site]:
    """A running `Site` for each topology and host of the run, shared by the tests that ask for it.

    The marker `winserve` chooses another topology, host, app, command, or other probe paths.
    """
    key: SiteKey = request.param
    try:
        site, events = _winserve_pool.site(key)
        recorder = _follow(request, site)
        recorder.events += events
        yield site
        recorder.events += [f"died during this test: {death}" for death in site.deaths()]
    finally:
        _winserve_pool.release(key)


@pytest.fixture
def winserve_factory(
    request: pytest.FixtureRequest, _winserve_pool: SitePool
) -> Iterator[Callable[..., AbstractContextManager[Site]]]:
    """`factory(topology, app=, host=, command=, slow=, fast=, start_timeout=)` gives a site of the
    test's own, to be used as a context; one that is still up at the end of the test is stopped
    then."""
    from contextlib import ExitStack

    from pytest_winserve.session.site_keys import site_keys

    settings = _settings(request.config)
    with ExitStack() as stack:

        def factory(topology: str, **choices: Any) -> AbstractContextManager[Site]:
            marker = _marker(request.node) | _marker_arguments(topology=topology, **choices)
            keys = site_keys(settings, marker, _surveys(request.config))
            if len(keys) != 1:
                raise pytest.UsageError(f"winserve_factory serves one topology, not {len(keys)}")
            site = _winserve_pool.start(keys[0])
            _follow(request, site)
            return stack.enter_context(site)

        yield factory


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, WinserveError):
        kinds = {MissingComponent: "missing", UsageError: "usage"}
        report.winserve_kind = kinds.get(call.excinfo.type, "failed")  # type: ignore[attr-defined]
        if report.when != "call":
            report.longrepr = _told(call.excinfo)
        if report.when == "setup" and _wants_site(item) and RECORDERS_KEY not in item.stash:
            report.winserve = _not_started(item, call.excinfo.value)  # type: ignore[attr-defined]
    recorders = item.stash.get(RECORDERS_KEY, [])
    if not recorders:
        return report
    if report.failed:
        for recorder in recorders:
            for name, text in recorder.logs().items():
                if text.strip():
                    report.sections.append((f"winserve {recorder.site.topology}: {name}", text))
    if report.when == "call":
        item.stash[OUTCOME_KEY] = report.outcome
    if report.when == "teardown":
        outcome = "error" if report.failed else item.stash.get(OUTCOME_KEY, "error")
        report.winserve = [  # type: ignore[attr-defined]
            recorder.record(item.nodeid, outcome).to_dict() for recorder in recorders
        ]
    return report


def _not_started(item: pytest.Item, error: WinserveError) -> list[dict[str, Any]]:
    """The record of a test whose site did not come up; of several for one site, the first's."""
    from pytest_winserve.session.site_keys import FAILED_BEFORE

    reason = str(error).partition("\n")[0]
    if FAILED_BEFORE in reason:
        return []
    return [_key_of(item).not_started(item.nodeid, reason).to_dict()]


def _settings(config: pytest.Config) -> Settings:
    """The run's settings, resolved once. Raises pytest.UsageError."""
    if SETTINGS_KEY not in config.stash:
        given = {setting.name: config.getoption(setting.key) for setting in SETTINGS}
        try:
            config.stash[SETTINGS_KEY] = resolve(given, config.getini)
        except WinserveError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[SETTINGS_KEY]


def _surveys(config: pytest.Config) -> Surveys:
    """What the run has found out about its hosts."""
    from pytest_winserve.lab.available import Surveys

    return config.stash.setdefault(SURVEYS_KEY, Surveys())


def _collect_results(config: pytest.Config) -> None:
    """Have the results of the run gathered here, unless this is a worker of xdist."""
    if hasattr(config, "workerinput") or config.pluginmanager.has_plugin("winserve-results"):
        return
    from pytest_winserve.session.gathering import GatheredResults
    from pytest_winserve.session.results import not_tried

    environment = _environment(config)
    results = GatheredResults(environment, lambda: not_tried(environment, _surveys(config)))
    config.pluginmanager.register(results, "winserve-results")


def _told(error: pytest.ExceptionInfo[BaseException]) -> Any:
    """An error of the lab: its text says all, how it got there helps nobody. The summary at the
    end of the run has its first line only; on CI pytest would print it there whole again."""
    told: Any = error.getrepr(style="value", chain=False)
    lines = told.reprtraceback.reprentries[-1].lines
    lines[0] = f"{error.type.__name__}: {lines[0]}"
    if told.reprcrash is not None:
        told.reprcrash.message = lines[0]
    return told


def _uses_lab(item: pytest.Item) -> bool:
    """Whether a test uses any fixture of this plugin."""
    return not {"winserve", "winserve_factory"}.isdisjoint(getattr(item, "fixturenames", ()))


def _environment(config: pytest.Config) -> RunEnvironment:
    """The settings and versions of the run, shown above its tests and written with its results."""
    from pytest_winserve.session.environment import RunEnvironment

    if ENVIRONMENT_KEY not in config.stash:
        config.stash[ENVIRONMENT_KEY] = RunEnvironment(_settings(config))
    return config.stash[ENVIRONMENT_KEY]


def _header(config: pytest.Config) -> list[str]:
    return _environment(config).header()


def _wants_site(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    return callspec is not None and "winserve" in callspec.params


def _key_of(item: pytest.Item) -> SiteKey:
    key: SiteKey = item.callspec.params["winserve"]  # type: ignore[attr-defined]
    return key


def _marker(node: pytest.Item) -> dict[str, Any]:
    """The arguments of the marker `winserve`; of several, the closest to the test wins."""
    found: dict[str, Any] = {}
    for marker in node.iter_markers("winserve"):
        try:
            arguments = _marker_arguments(*marker.args, **marker.kwargs)
        except TypeError as error:
            reason = str(error).removeprefix("_marker_arguments() ")
            raise UsageError(
                f"@pytest.mark.winserve {reason}; "
                "it takes topology=, host=, app=, command=, slow=, fast=, start_timeout="
            ) from None
        found = arguments | found
    return found


def _marker_arguments(
    *,
    topology: str | list[str] | tuple[str, ...] | None = None,
    host: str | list[str] | tuple[str, ...] | None = None,
    app: str | None = None,
    command: str | None = None,
    slow: str | None = None,
    fast: str | None = None,
    start_timeout: float | None = None,
) -> dict[str, Any]:
    """What was given; calling this function is what checks a marker."""
    return {name: value for name, value in locals().items() if value is not None}


def _follow(request: pytest.FixtureRequest, site: Site) -> Recorder:
    from pytest_winserve.session.display import live_of
    from pytest_winserve.session.recorder import attach

    recorder = attach(site, live_of(request.config))
    request.node.stash.setdefault(RECORDERS_KEY, []).append(recorder)
    return recorder
