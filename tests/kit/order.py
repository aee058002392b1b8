"""What takes minutes is begun first, each by a worker of its own: `@begun_first`.

With `--dist=worksteal` each of n workers has one n-th of the tests to begin with, in their order,
and takes from others what they have not begun. A test of minutes in the middle of a share would
begin late, and the others would wait for its worker at the end.
"""

from __future__ import annotations

import os

import pytest

begun_first = pytest.mark.begun_first


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "begun_first: takes minutes; see tests/kit/order.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put each at the begin of a share. It is the last of these hooks, so that those tests are left
    which are to run."""
    long = [item for item in items if item.get_closest_marker("begun_first")]
    ordered = [item for item in items if item not in long]
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    begins = [len(items) * (n % workers) // workers + n // workers for n in range(len(long))]
    for place, item in sorted(zip(begins, long, strict=True), key=lambda each: each[0]):
        ordered.insert(place, item)
    items[:] = ordered
