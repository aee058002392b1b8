"""What the commands share: options, settings, the site, exit statuses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pytest_winserve.errors import MissingComponent, UsageError, WinserveError
from pytest_winserve.session.app_search import with_app
from pytest_winserve.session.load_arguments import journeys_of, login_of
from pytest_winserve.session.settings import Settings, resolve
from pytest_winserve.settings import SETTINGS, Setting

if TYPE_CHECKING:
    from pytest_winserve.lab.site import Site


FAILED, USAGE, MISSING = 1, 2, 3

Command = TypeVar("Command", bound=Callable[..., Any])


def options(*names: str) -> Callable[[Command], Command]:
    """The options of these settings, spelled without the plugin's prefix."""

    def decorate(command: Command) -> Command:
        for setting in reversed([each for each in SETTINGS if each.name in names]):
            shape: dict[str, Any] = {"is_flag": True}
            if not setting.flag:
                shape = {"metavar": setting.metavar, "multiple": setting.many != "no"}
            command = click.option(
                f"--{setting.word}", setting.name, help=setting.described, **shape
            )(command)
        return command

    return decorate


def plan_options(command: Command) -> Command:
    """The options of a load that are no settings."""
    for option in (
        click.option("--no-keepalive", is_flag=True, help="a connection for each request"),
        click.option("--rate", type=float, help="requests per second, whatever the answers do"),
        click.option("--count", type=click.IntRange(1), help="stop after so many requests"),
        click.option("--path", help="the path to load (default: the fast path, or the URL's)"),
    ):
        command = option(command)
    return command


def during_option(command: Command) -> Command:
    """The option of a load during which something happens to the site."""
    return click.option(
        "--during", multiple=True, metavar="'WHAT at S'",
        help="what happens S seconds after the load has begun: a command line, or for a TOPOLOGY "
        "'stop backend-0' or 'kill nginx'; what it cost in requests is told",
    )(command)  # fmt: skip


SERVING = (
    "app", "chdir", "env", "env_file", "python", "command", "start_timeout", "start", "fast",
    "header", "cookie", "auth", "host_header", "as_", "nginx", "host", "provision",
)  # fmt: skip
LOADING = (
    "load_from", "engine", "users", "duration", "method", "data", "json", "requests", "journey",
    "think",
    "warmup", "timeout", "stages", "require", "limited", "report",
)  # fmt: skip


def setting_named(name: str) -> Setting:
    """The setting of that name."""
    return next(each for each in SETTINGS if each.name == name)


def settings_of(given: Mapping[str, Any]) -> Settings:
    """The settings: these options, the environment, the defaults. Raises UsageError."""
    from pytest_winserve.lab.available import Surveys
    from pytest_winserve.session.display import Watch
    from pytest_winserve.session.site_keys import validate

    try:
        texts = {name: value or None for name, value in given.items()}
        settings = with_app(resolve(texts, lambda key: None))
    except UsageError as error:  # the options are called differently here
        raise UsageError(str(error).replace("--winserve-", "--")) from None
    validate(settings, Surveys(Watch()))
    if len(settings.host) > 1:
        raise UsageError(f"--host={','.join(settings.host)}: one host is needed here")
    return settings


@contextmanager
def served(topology: str, settings: Settings, port: int) -> Iterator[Site]:
    """A site with these settings."""
    from pytest_winserve.session.display import Watch
    from pytest_winserve.session.labs import lab_of

    # The command judges by the criteria itself.
    login = login_of(settings.as_)
    with lab_of(settings, settings.host[0], require=(), live=Watch()) as lab, lab.serve(
        topology, settings.app, command=settings.command, slow=settings.slow, fast=settings.fast,
        port=port, journeys=journeys_of(settings.journey), login=login,
    ) as site:  # fmt: skip
        yield site


@contextmanager
def patient(what: str) -> Iterator[Callable[[str], None]]:
    """Prints lines, and tells what goes on when the next one is long in coming."""
    from pytest_winserve.session.display import Watch
    from pytest_winserve.system.waits import told

    live = Watch()
    with ExitStack() as gap:

        def tell(text: str) -> None:
            gap.close()
            click.echo(text)
            gap.enter_context(told(live.waiting, what))

        gap.enter_context(told(live.waiting, what))
        yield tell


@contextmanager
def explained() -> Iterator[None]:
    """Turns the package's errors into a message and the right exit status."""
    try:
        yield
    except WinserveError as error:
        errors = list(_with_what_was_before(error))
        for each in errors:
            click.echo(f"winserve: {each}", err=True)
        statuses = {UsageError: USAGE, MissingComponent: MISSING}
        sys.exit(next((statuses[k] for k in type(errors[0]).__mro__ if k in statuses), FAILED))


def _with_what_was_before(error: BaseException | None) -> Iterator[WinserveError]:
    """An error of a stop, and the one that led to the stop, which comes first and would else be
    lost behind it."""
    if isinstance(error, WinserveError):
        if not error.__suppress_context__:
            yield from _with_what_was_before(error.__context__)
        yield error
