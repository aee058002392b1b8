"""`winserve check`."""

from __future__ import annotations

import sys
from typing import Any

import click

from pytest_winserve.cli.shared import LOADING, MISSING, SERVING, USAGE, options, setting_named


@click.command()
@click.argument("topologies", nargs=-1, metavar="[TOPOLOGY]...")
@options(*SERVING, *LOADING, "slow")
def check(topologies: tuple[str, ...], **given: Any) -> None:
    """Run the stock checks against an app, in each TOPOLOGY (nginx4 unless given).

    The same as `pytest --pyargs pytest_winserve.checks --winserve-topology=...`.
    """
    import pytest

    from pytest_winserve.cli.failures import Failures

    arguments = ["--pyargs", "pytest_winserve.checks", "-p", "no:cacheprovider"]
    # This command has imported the package that pytest would like to rewrite.
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    for name, value in {"topology": topologies, **given}.items():
        setting = setting_named(name)
        for text in value if isinstance(value, tuple) else (value,):
            if setting.flag:
                arguments += [setting.option] if text else []
            elif text is not None:
                arguments.append(f"{setting.option}={text}")
    failures = Failures()
    status = pytest.main(arguments, plugins=[failures])
    if status == pytest.ExitCode.USAGE_ERROR and failures.kind != "missing":
        sys.exit(USAGE)
    sys.exit({"usage": USAGE, "missing": MISSING}.get(failures.kind, int(status)))
