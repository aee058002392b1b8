"""The errors of the package, one class per thing that a caller can do about it.

What a user sees of them is their text: it says what is wrong and what would be right.
"""

from __future__ import annotations


class WinserveError(Exception):
    """Base of every error that this package raises on purpose."""


class UsageError(WinserveError, ValueError):
    """What was asked for cannot be: a wrong name, option or plan. Nothing was started."""


class AppError(UsageError):
    """The app cannot be served under this name, or asked by this path, whatever the topology is."""


class MissingComponent(WinserveError):  # noqa: N818 - it says what is the case
    """Something that the lab needs is not installed.

    `component` is its name, `reason` what is wrong, `hint` the one line that gets it.
    """

    def __init__(self, component: str, reason: str, hint: str) -> None:
        super().__init__(f"{component}: {reason}\n  to get it: {hint}")
        self.component = component
        self.reason = reason
        self.hint = hint


class StartError(WinserveError):
    """A site could not be brought up; what was started has been stopped again."""


class StartTimeout(StartError):  # noqa: N818 - it says what is the case
    """A site did not come up in the time that it has; nothing of it died."""


class StopError(WinserveError):
    """Something did not stop as it should; the text lists every step that went wrong."""


class HostLost(WinserveError):  # noqa: N818 - it says what is the case
    """The machine that a site runs on is out of reach; what became of the site is not known."""


class ProbeError(WinserveError):
    """A probe could not measure: the paths do not behave as a probe needs."""


class LoadError(WinserveError):
    """A load could not be run to its end; nothing is known about the server."""


class CriterionFailed(WinserveError, AssertionError):  # noqa: N818 - it says what is the case
    """A criterion does not hold, or what it is about was not measured."""
