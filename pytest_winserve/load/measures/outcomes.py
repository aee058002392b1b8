"""The outcomes of a request, and which of them are good."""

from __future__ import annotations

UNEXPECTED = "unexpected"
"""Outcome of a journey's request that was answered otherwise than its step expects."""
OUTCOMES = (
    "refused",
    "reset",
    "connect_timeout",
    "tls_failed",
    "tls_timeout",
    "timeout",
    "closed_early",
    "bad_response",
    "client_limit",
    UNEXPECTED,
)
"""Outcomes of a request that are not an HTTP status."""


NO_BACKEND = "-"
"""Key of `by_backend` for answers that name no backend, such as a front's own error page."""


def is_status(outcome: str) -> bool:
    """Whether an outcome is an HTTP status."""
    return outcome.isdigit()


def is_answer(outcome: str) -> bool:
    """Whether a request with this outcome was answered over HTTP."""
    return outcome.isdigit() or outcome == UNEXPECTED


def is_good(outcome: str) -> bool:
    """Whether a request was answered with 2xx or 3xx."""
    return outcome[0] in "23"


def is_redirect(outcome: str) -> bool:
    """Whether a request was answered with the way to another place."""
    return outcome in {"301", "302", "303", "307", "308"}
