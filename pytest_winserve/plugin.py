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
    from pytest_winserve.session.attempts import Attempt
    from pytest_winserve.session.environment import RunEnvironment
    from pytest_winserve.session.recorder import Recorder
    from pytest_winserve.session.site_keys import SiteKey
    from pytest_winserve.session.site_pool import SitePool
    from pytest_winserve.session.wanted import Wanted

GIVEN_KEY = pytest.StashKey[Settings]()
SETTINGS_KEY = pytest.StashKey[Settings]()
SURVEYS_KEY = pytest.StashKey["Surveys"]()
ENVIRONMENT_KEY = pytest.StashKey["RunEnvironment"]()
WANTED_KEY = pytest.StashKey["Wanted"]()
ATTEMPTS_KEY = pytest.StashKey[list["Attempt"]]()
NOT_STARTED_KEY = pytest.StashKey["SiteKey"]()
RELEASED_KEY = pytest.StashKey[bool]()
GROUPED_KEY = pytest.StashKey[bool]()
TOLD_KEY = pytest.StashKey[list[BaseException]]()
ITEM_KEY = pytest.StashKey[pytest.Item]()
"""The test that runs: a fixture of the session's does not know it."""

STOCK_CHECKS = "test_site.py"
"""The file of the stock checks, one of which is not there where an app has one process."""

FIXTURES = {"winserve", "winserve_factory", "winserve_session"}
"""Those that need a lab."""

MARKER = (
    "winserve(topology=, host=, app=, command=, slow=, fast=, start_timeout=, journey=): what the "
    "fixture `winserve` serves for this test; a value here overrides the command line"
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
        kind = "linelist" if setting.many in ("lines", "whole lines") else "string"
        parser.addini(setting.key, setting.described, type=kind, default=None)  # type: ignore[arg-type]


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, Any]:
    # Before xdist makes `-n 2` mean --dist=load: afterwards that could be the user's own choice.
    option = config.option
    chosen = getattr(option, "dist", "no") != "no" or getattr(option, "distload", False)
    config.stash[GROUPED_KEY] = not chosen and bool(_given(config).given)
    return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    if not config.stash[GROUPED_KEY]:
        return None
    from pytest_winserve.session.scheduling import TopologyScheduling

    return TopologyScheduling(config, log)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    settings = _given(config)
    if settings.given:
        from pytest_winserve.session.site_keys import validate

        try:
            validate(_settings(config), _surveys(config))
        except WinserveError as error:
            raise pytest.UsageError(str(error)) from error
    if settings.live_server:
        from pytest_winserve.session import live_server

        try:
            live_server.register(config)
        except WinserveError as error:
            raise pytest.UsageError(str(error)) from None
    if settings.given or getattr(config.option, "dist", "no") != "no":
        _collect_results(config)


def pytest_report_header(config: pytest.Config) -> list[str]:
    return _header(config) if _given(config).given else []


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    # Asked for little output, pytest leaves its header out; what reads `--co -q` wants test names.
    option = config.option
    quiet = option.verbose < 0 or option.no_header or option.collectonly
    if quiet or _given(config).given or not any(map(_uses_lab, items)):
        return []
    return _header(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "winserve_session" in metafunc.fixturenames:
        _once_for_each_site_of_the_run(metafunc)
    if "winserve" not in metafunc.fixturenames:
        return
    from pytest_winserve.session.wanted import parametrized_by_the_suite

    try:
        if parametrized_by_the_suite(metafunc):
            return
        keys, ids = _wanted(metafunc.config).generated(metafunc)
    except WinserveError as error:
        raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid}: {error}") from None
    metafunc.parametrize("winserve", keys, indirect=True, ids=ids)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    if argname != "winserve":
        return None
    from pytest_winserve.session.wanted import id_of_parameter

    return id_of_parameter(val)


def _once_for_each_site_of_the_run(metafunc: pytest.Metafunc) -> None:
    try:
        keys, ids = _wanted(metafunc.config).of_the_run()
    except WinserveError as error:
        raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid}: {error}") from None
    # With one site a test keeps its name: fixtures of the suite may have it use the site unseen.
    if len(keys) > 1:
        metafunc.parametrize("winserve_session", keys, indirect=True, ids=ids, scope="session")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if collector.nodeid.endswith(STOCK_CHECKS) and report.passed:
        from pytest_winserve.session.wanted import has_its_processes

        report.result = [item for item in report.result if has_its_processes(item)]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    uses = any(map(_uses_lab, items))
    if uses:
        _collect_results(config)
        _settle(config, items)
        from pytest_winserve.session.wanted import in_order

        in_order(items, grouped=hasattr(config.option, "dist"))
    yield
    if uses:
        # The suite's own hook may have added markers.
        _settle(config, items)


def _settle(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Find out what each test wants, and leave out what nobody does."""
    try:
        unwanted = _wanted(config).settle(items)
    except WinserveError as error:
        raise pytest.UsageError(str(error)) from None
    if unwanted:
        config.hook.pytest_deselected(items=unwanted)
        left_out = set(unwanted)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def _winserve_pool(request: pytest.FixtureRequest) -> Iterator[SitePool]:
    from pytest_winserve.session.display import live_of
    from pytest_winserve.session.site_pool import SitePool
    from pytest_winserve.session.wanted import SITE_KEY

    items = request.session.items
    wanted = [item.stash[SITE_KEY] for item in items if SITE_KEY in item.stash]
    pool = SitePool(_settings(request.config), wanted, live_of(request.config))
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
    from pytest_winserve.session.wanted import SITE_KEY, named_otherwise

    item = request.node
    expected = item.stash.get(SITE_KEY, None)
    key = _wanted(request.config).key(item) if expected is None else expected
    if expected is None or item.stash.get(RELEASED_KEY, False):
        _winserve_pool.expect(key)
    try:
        try:
            site, events = _winserve_pool.site(key)
        except WinserveError:
            item.stash[NOT_STARTED_KEY] = key
            raise
        recorder = _follow(item, site)
        recorder.events += [*named_otherwise(item, key), *events]
        yield site
        recorder.events += [f"died during this test: {death}" for death in site.deaths()]
    finally:
        _over(item)
        # One that nobody expected may be wanted again, and is kept until the end.
        if expected is not None:
            item.stash[RELEASED_KEY] = True
            _winserve_pool.release(key)


@pytest.fixture(scope="session")
def winserve_session(request: pytest.FixtureRequest, _winserve_pool: SitePool) -> Iterator[Site]:
    """The run's `Site`, by its settings: for fixtures of session scope, such as `base_url`.

    The marker `winserve` does not count for it. With several topologies or hosts, the tests that
    use it run once for each.
    """
    from dataclasses import replace

    from pytest_winserve.session.run_site import RunSite, not_by_marker
    from pytest_winserve.session.suites_app import app_of_run

    config = request.config
    wanted = _wanted(config)
    asked: SiteKey = getattr(request, "param", None) or wanted.run_key()
    key = replace(asked, app=app_of_run(_settings(config), request, asked.topology))
    item = config.stash[ITEM_KEY]
    _winserve_pool.expect(key)
    try:
        try:
            site, events = _winserve_pool.site(key)
        except WinserveError:
            item.stash[NOT_STARTED_KEY] = key
            raise
        run_site = RunSite(
            site,
            lambda test: _follow(test, site),
            _over,
            lambda test: not_by_marker(test, wanted, asked, key),
        )
        run_site.begin(item, events)
        config.pluginmanager.register(run_site, f"winserve-{id(run_site)}")
        yield site
        config.pluginmanager.unregister(run_site)
    finally:
        _winserve_pool.release(key)


@pytest.fixture
def winserve_factory(
    request: pytest.FixtureRequest, _winserve_pool: SitePool
) -> Iterator[Callable[..., AbstractContextManager[Site]]]:
    """`factory(topology, app=, host=, command=, slow=, fast=, start_timeout=, journey=)` gives a
    site of the test's own, to be used as a context; one that is still up at the end of the test is
    stopped then."""
    from contextlib import ExitStack

    from pytest_winserve.session.wanted import marker_arguments

    wanted = _wanted(request.config)
    with ExitStack() as stack:

        def factory(topology: str, **choices: Any) -> AbstractContextManager[Site]:
            keys = wanted.keys(request.node, **marker_arguments(topology=topology, **choices))
            if len(keys) != 1:
                raise pytest.UsageError(f"winserve_factory serves one topology, not {len(keys)}")
            site = _winserve_pool.start(keys[0])
            _follow(request.node, site)
            return stack.enter_context(site)

        yield factory
        _over(request.node)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    item.config.stash[ITEM_KEY] = item
    try:
        return (yield)
    except BaseException:
        # Ctrl-C: there will be no report of this test. What it has measured is not lost.
        results: Any = item.config.pluginmanager.get_plugin("winserve-results")
        attempts = item.stash.get(ATTEMPTS_KEY, [])
        if results is not None and attempts:
            from pytest_winserve.session.attempts import interrupted
            from pytest_winserve.session.wanted import id_of

            results.take(interrupted(attempts, id_of(item)))
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    # A plugin that runs a test again may make no report of it.
    outcome = "failed"
    try:
        result = yield
        outcome = "passed"
        return result
    except pytest.skip.Exception:
        outcome = "skipped"
        raise
    finally:
        if ATTEMPTS_KEY in item.stash:
            item.stash[ATTEMPTS_KEY][-1].outcome = outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    if call.when != "teardown" and item.stash.get(ATTEMPTS_KEY, []):
        from pytest_winserve.session.properties import tell_others

        tell_others(item, item.stash[ATTEMPTS_KEY][-1].recorders)
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, WinserveError):
        kinds = {MissingComponent: "missing", UsageError: "usage"}
        kind = next((kinds[each] for each in call.excinfo.type.__mro__ if each in kinds), "failed")
        report.winserve_kind = kind  # type: ignore[attr-defined]
        if report.when != "call":
            told_before = item.config.stash.setdefault(TOLD_KEY, [])
            again = any(each is call.excinfo.value for each in told_before)
            report.longrepr = _told(call.excinfo, again=again)
            told_before.append(call.excinfo.value)
        else:
            _in_one_line(report.longrepr, call.excinfo)
        if NOT_STARTED_KEY in item.stash:
            report.winserve = _not_started(item, call.excinfo.value)  # type: ignore[attr-defined]
    if not item.stash.get(ATTEMPTS_KEY, []):
        return report
    from pytest_winserve.session.attempts import records_of
    from pytest_winserve.session.wanted import id_of

    attempts = item.stash[ATTEMPTS_KEY]
    if report.when == "call":
        from pytest_winserve.session.properties import add_charts

        add_charts(item.config, report, attempts[-1].recorders)
    if report.failed:
        for recorder in attempts[-1].recorders:
            for name, text in recorder.logs().items():
                if text.strip():
                    report.sections.append((f"winserve {recorder.site.topology}: {name}", text))
    if report.when == "call" or report.failed:
        attempts[-1].outcome = report.outcome if report.when == "call" else "error"
    if report.when == "teardown" or report.failed:
        not_started = getattr(report, "winserve", {})
        records = not_started | records_of(attempts, id_of(item))
        report.winserve = records  # type: ignore[attr-defined]
    if report.when == "teardown":
        del item.stash[ATTEMPTS_KEY]
    return report


def _not_started(item: pytest.Item, error: WinserveError) -> dict[str, dict[str, Any]]:
    """The record of a test whose site did not come up; of several for one site, the first's."""
    from pytest_winserve.session.site_keys import FAILED_BEFORE
    from pytest_winserve.session.wanted import id_of

    key: SiteKey = item.stash[NOT_STARTED_KEY]
    del item.stash[NOT_STARTED_KEY]
    reason = str(error).partition("\n")[0]
    if FAILED_BEFORE in reason:
        return {}
    nodeid = id_of(item)
    return {f"{nodeid}: {reason}": key.not_started(nodeid, reason).to_dict()}


def _over(item: pytest.Item) -> None:
    """The attempt at a test that runs is over."""
    for attempt in item.stash.get(ATTEMPTS_KEY, []):
        attempt.over = True


def _given(config: pytest.Config) -> Settings:
    """What was given, resolved once: all that a run needs that does not use the lab. Raises
    pytest.UsageError."""
    if GIVEN_KEY not in config.stash:
        given = {setting.name: config.getoption(setting.key) for setting in SETTINGS}
        try:
            config.stash[GIVEN_KEY] = resolve(given, config.getini)
        except WinserveError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[GIVEN_KEY]


def _settings(config: pytest.Config) -> Settings:
    """The run's settings with the app, which is looked for once. Raises pytest.UsageError."""
    from pytest_winserve.session.app_search import with_app

    if SETTINGS_KEY not in config.stash:
        try:
            config.stash[SETTINGS_KEY] = with_app(_given(config))
        except WinserveError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[SETTINGS_KEY]


def _surveys(config: pytest.Config) -> Surveys:
    """What the run has found out about its hosts."""
    from pytest_winserve.lab.available import Surveys
    from pytest_winserve.session.display import live_of

    return config.stash.setdefault(SURVEYS_KEY, Surveys(live_of(config)))


def _wanted(config: pytest.Config) -> Wanted:
    """What says which sites the tests want."""
    from pytest_winserve.session.wanted import Wanted

    if WANTED_KEY not in config.stash:
        config.stash[WANTED_KEY] = Wanted(_settings(config), _surveys(config))
    return config.stash[WANTED_KEY]


def _collect_results(config: pytest.Config) -> None:
    """Have the results of the run gathered here, unless this is a worker of xdist."""
    if hasattr(config, "workerinput") or config.pluginmanager.has_plugin("winserve-results"):
        return
    from pytest_winserve.session.gathering import GatheredResults
    from pytest_winserve.session.results import not_tried

    environment = _environment(config)
    results = GatheredResults(environment, lambda: not_tried(environment, _surveys(config)))
    config.pluginmanager.register(results, "winserve-results")


def _told(error: pytest.ExceptionInfo[BaseException], *, again: bool) -> Any:
    """An error of the lab: its text says all, how it got there helps nobody. The summary at the
    end of the run has its first line only; on CI pytest would print it there whole again. So has
    each further test that a fixture of the session's fails."""
    told: Any = error.getrepr(style="value", chain=False)
    lines = told.reprtraceback.reprentries[-1].lines
    lines[0] = f"{error.type.__name__}: {lines[0]}"
    if again:
        del lines[1:]
    if told.reprcrash is not None:
        told.reprcrash.message = lines[0]
    return told


def _in_one_line(shown: Any, error: pytest.ExceptionInfo[BaseException]) -> None:
    """Have the short summary and --tb=line begin with what is wrong, and not with a module's name:
    they have one line."""
    crash = getattr(shown, "reprcrash", None)
    if crash is not None:
        first = str(error.value).partition("\n")[0]
        crash.message = f"{error.type.__name__}: {first}"


def _uses_lab(item: pytest.Item) -> bool:
    """Whether a test uses any fixture of this plugin."""
    return not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


def _environment(config: pytest.Config) -> RunEnvironment:
    """The settings and versions of the run, shown above its tests and written with its results."""
    from pytest_winserve.session.environment import RunEnvironment

    if ENVIRONMENT_KEY not in config.stash:
        config.stash[ENVIRONMENT_KEY] = RunEnvironment(_settings(config))
    return config.stash[ENVIRONMENT_KEY]


def _header(config: pytest.Config) -> list[str]:
    return _environment(config).header()


def _follow(item: pytest.Item, site: Site) -> Recorder:
    from pytest_winserve.session.attempts import current
    from pytest_winserve.session.display import live_of
    from pytest_winserve.session.recorder import attach

    # A test that got its site by `getfixturevalue` is the first to be known of.
    _collect_results(item.config)
    recorder = attach(site, live_of(item.config))
    current(item.stash.setdefault(ATTEMPTS_KEY, [])).recorders.append(recorder)
    return recorder
