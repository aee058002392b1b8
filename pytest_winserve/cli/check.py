"""`winserve check`."""

from __future__ import annotations

import sys
from typing import Any

import click

from pytest_winserve.cli.shared import LOADING, SERVING, explained, options, setting_named


@click.command()
@click.argument("topologies", nargs=-1, metavar="[TOPOLOGY]...")
@options(*SERVING, *LOADING, "slow", "hold")
def check(topologies: tuple[str, ...], **given: Any) -> None:
    """Run the stock checks against an app, in each TOPOLOGY (nginx4 unless given).

    They are ordinary tests, but what your project says to pytest has no part in them: of its ini
    file only the keys winserve_... and pythonpath count.
    """
    import pytest

    from pytest_winserve.cli.failures import Failures
    from pytest_winserve.cli.own_pytest import OwnEnvironment, arguments

    chosen: list[str] = []
    for name, value in {"topology": topologies, **given}.items():
        setting = setting_named(name)
        for text in value if isinstance(value, tuple) else (value,):
            if setting.flag:
                chosen += [setting.option] if text else []
            elif text is not None:
                chosen.append(f"{setting.option}={text}")
    failures = Failures()
    with explained(), OwnEnvironment() as environment:
        status = pytest.main(arguments(chosen), plugins=[environment, failures])
    sys.exit(failures.exit_status(status))
