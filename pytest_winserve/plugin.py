"""The pytest plugin: options, marker, fixtures and hooks. It registers and does nothing else;
what does the work is imported when a test asks for it.

Every run of pytest has it, so that each module it imports, and each name in it, costs all of them:
`benchmarks/plugin_cost.py` counts it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_winserve.settings import SETTINGS

if TYPE_CHECKING:
    from pytest_winserve.lab.site import Site
    from pytest_winserve.session.pytest_run import PytestRun
    from pytest_winserve.session.site_pool import SitePool

# Typed by annotations, which cost nothing: `StashKey[bool]()` is slow to make.
GIVEN_KEY: pytest.StashKey[bool] = pytest.StashKey()
"""Whether any setting was given, anywhere."""
GROUPED_KEY: pytest.StashKey[bool] = pytest.StashKey()
"""Whether the workers of xdist get the tests of a site together."""
RUN_KEY: pytest.StashKey[PytestRun] = pytest.StashKey()
"""What a run knows that uses the lab; no other has it."""
ITEM_KEY: pytest.StashKey[pytest.Item] = pytest.StashKey()
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
    config.stash[GROUPED_KEY] = not chosen and _given(config)
    return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    if not config.stash[GROUPED_KEY]:
        return None
    from pytest_winserve.session.scheduling import TopologyScheduling

    return TopologyScheduling(config, log)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    if _given(config):
        _run(config).configure()
    if _given(config) or getattr(config.option, "dist", "no") != "no":
        _run(config).collect_results()


def pytest_report_header(config: pytest.Config) -> list[str]:
    return _run(config).environment.header() if _given(config) else []


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    # Asked for little output, pytest leaves its header out; what reads `--co -q` wants test names.
    option = config.option
    quiet = option.verbose < 0 or option.no_header or option.collectonly
    if quiet or _given(config) or not any(map(_uses_lab, items)):
        return []
    return _run(config).environment.header()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "winserve_session" in metafunc.fixturenames:
        _run(metafunc.config).parametrize_session(metafunc)
    if "winserve" in metafunc.fixturenames:
        _run(metafunc.config).parametrize(metafunc)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    if argname != "winserve":
        return None
    from pytest_winserve.session.wanted import id_of_parameter

    return id_of_parameter(val)


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
        _run(config).begin(items)
    yield
    if uses:
        # The suite's own hook may have added markers.
        _run(config).settle(items)


@pytest.fixture(scope="session")
def _winserve_pool(request: pytest.FixtureRequest) -> Iterator[SitePool]:
    from pytest_winserve.session.serving import pool_of

    with pool_of(_run(request.config), request.session) as pool:
        yield pool


@pytest.fixture
def winserve(request: pytest.FixtureRequest, _winserve_pool: SitePool) -> Iterator[Site]:
    """A running `Site` for each topology and host of the run, shared by the tests that ask for it.

    The marker `winserve` chooses another topology, host, app, command, or other probe paths.
    """
    from pytest_winserve.session.serving import site_of_test

    with site_of_test(_run(request.config), _winserve_pool, request.node) as site:
        yield site


@pytest.fixture(scope="session")
def winserve_session(request: pytest.FixtureRequest, _winserve_pool: SitePool) -> Iterator[Site]:
    """The run's `Site`, by its settings: for fixtures of session scope, such as `base_url`.

    The marker `winserve` does not count for it. With several topologies or hosts, the tests that
    use it run once for each.
    """
    from pytest_winserve.session.serving import site_of_run

    config = request.config
    with site_of_run(_run(config), _winserve_pool, request, config.stash[ITEM_KEY]) as site:
        yield site


@pytest.fixture
def winserve_factory(
    request: pytest.FixtureRequest, _winserve_pool: SitePool
) -> Iterator[Callable[..., AbstractContextManager[Site]]]:
    """`factory(topology, app=, host=, command=, slow=, fast=, start_timeout=, journey=)` gives a
    site of the test's own, to be used as a context; one that is still up at the end of the test is
    stopped then."""
    from pytest_winserve.session.serving import sites_of_test

    with sites_of_test(_run(request.config), _winserve_pool, request.node) as factory:
        yield factory


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    item.config.stash[ITEM_KEY] = item
    try:
        return (yield)
    except BaseException:
        if RUN_KEY in item.config.stash:
            from pytest_winserve.session.reporting import keep_interrupted

            keep_interrupted(item.config.stash[RUN_KEY], item)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    outcome = "failed"
    try:
        result = yield
        outcome = "passed"
        return result
    except pytest.skip.Exception:
        outcome = "skipped"
        raise
    finally:
        if RUN_KEY in item.config.stash:
            from pytest_winserve.session.reporting import note_outcome

            note_outcome(item, outcome)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    # An error of the lab may also come from a test that uses `Lab` itself.
    if RUN_KEY not in item.config.stash and not _raised_by_the_lab(call):
        return (yield)
    from pytest_winserve.session.reporting import before_report, complete_report

    before_report(item, call.when)
    report = yield
    complete_report(_run(item.config), item, call, report)
    return report


def _given(config: pytest.Config) -> bool:
    """Whether any setting was given: a run that has none, and no test that uses the lab, needs to
    know no more."""
    if GIVEN_KEY not in config.stash:
        asked = _command_line(config)
        given = any(setting.found(asked, config.getini) is not None for setting in SETTINGS)
        config.stash[GIVEN_KEY] = given
    return config.stash[GIVEN_KEY]


def _command_line(config: pytest.Config) -> dict[str, Any]:
    return {setting.name: config.getoption(setting.key) for setting in SETTINGS}


def _run(config: pytest.Config) -> PytestRun:
    """What the run knows, found out when it is asked for."""
    if RUN_KEY not in config.stash:
        from pytest_winserve.session.pytest_run import PytestRun

        config.stash[RUN_KEY] = PytestRun(config, _command_line(config))
    return config.stash[RUN_KEY]


def _raised_by_the_lab(call: pytest.CallInfo[None]) -> bool:
    errors = sys.modules.get("pytest_winserve.errors")
    return (
        errors is not None
        and call.excinfo is not None
        and isinstance(call.excinfo.value, errors.WinserveError)
    )


def _uses_lab(item: pytest.Item) -> bool:
    """Whether a test uses any fixture of this plugin."""
    return not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
