"""What a second test is told of a site that could not be started for the first."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.errors import MissingComponent, UsageError, WinserveError
from pytest_winserve.session.settings import Settings, resolve
from pytest_winserve.session.site_keys import SiteKey
from pytest_winserve.session.site_pool import SitePool

KEY = SiteKey("nginx2", "local", "pytest_winserve.sample_app:app", None, "/sleep", "/test")


def settings(nginx: Path) -> Settings:
    return resolve({"nginx": str(nginx)}, lambda key: None)


def errors_of(pool: SitePool, key: SiteKey) -> tuple[WinserveError, WinserveError]:
    """What two tests get that ask for one site."""
    found = []
    for _ in range(2):
        with pytest.raises(WinserveError) as caught:
            pool.site(key)
        found.append(caught.value)
    first, second = found
    return first, second


def test_what_is_missing_is_told_in_short_and_known_in_full(tmp_path: Path) -> None:
    pool = SitePool(settings(tmp_path / "none"), [KEY, KEY])
    first, second = errors_of(pool, KEY)
    assert isinstance(first, MissingComponent)
    assert isinstance(second, MissingComponent)
    assert (second.component, second.reason, second.hint) == (
        first.component,
        first.reason,
        first.hint,
    )
    line = str(first).partition("\n")[0]
    assert str(second) == f"nginx2 could not be started for an earlier test: {line}"


def test_of_any_other_error_the_first_line_is_told(tmp_path: Path) -> None:
    key = SiteKey("flask", "local", "no.such:app", None, "/sleep", "none")
    first, second = errors_of(SitePool(settings(tmp_path), [key, key]), key)
    assert type(first) is type(second) is UsageError
    line = str(first).partition("\n")[0]
    assert str(second) == f"flask could not be started for an earlier test: {line}"
