"""Runs a command to its end."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from pytest_winserve.errors import StartError

COMMAND_SECONDS = 300.0


def run(
    command: Sequence[str], environment: dict[str, str], *,
    seconds: float = COMMAND_SECONDS, share: Sequence[int] = (),
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """What a command says. Raises StartError when it does not end in time."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            env=environment,
            pass_fds=share,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StartError(f"{command[0]} did not end within {seconds:g} s") from None
