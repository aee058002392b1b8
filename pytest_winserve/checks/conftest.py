"""What keeps the stock checks from being run, told once and before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.session.site_keys import check_slow
from pytest_winserve.session.wanted import SITE_KEY


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and SITE_KEY in item.stash:
            key = item.stash[SITE_KEY]
            try:
                check_slow(key.topology, key.slow)
            except UsageError as error:
                raise pytest.UsageError(str(error)) from None
