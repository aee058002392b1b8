"""This process's standard streams, which an app may close while it loads."""

from __future__ import annotations

import os


class StandardStreams:
    """Where the numbers 0, 1 and 2 lead: to nothing, and twice to the log."""

    def __init__(self) -> None:
        self._log = os.dup(2)
        os.dup2(self._log, 1)
        self._open_input()

    def reopen(self) -> None:
        """Open again those that the app has closed.

        Otherwise the next file that is opened gets the number, and with it what the server logs.
        When no file gets it, Python cannot write the log, and ends with exit status 120.
        """
        if not _is_open(0):
            self._open_input()
        for number in (1, 2):
            if not _is_open(number):
                os.dup2(self._log, number)

    def _open_input(self) -> None:
        nothing = os.open(os.devnull, os.O_RDONLY)
        if nothing:
            os.dup2(nothing, 0)
            os.close(nothing)
        else:  # the system gives the lowest number that is free
            os.set_inheritable(nothing, True)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
