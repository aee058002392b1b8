"""What runs in the app's own Python is written for the oldest that it may be.

Which modules of Python and what of them is used is looked at by mypy, as CI runs it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pytest_winserve
from pytest_winserve.shipping.app_python import OLDEST

PACKAGE = Path(pytest_winserve.__file__).parent
ROOMS = ("backend", "fronts", "servers", "system", "webservers")
FILES = sorted([*PACKAGE.glob("*.py"), *(f for room in ROOMS for f in (PACKAGE / room).glob("*"))])


@pytest.mark.parametrize("file", [f.relative_to(PACKAGE).as_posix() for f in FILES if f.is_file()])
def test_its_syntax_is_that_of_the_oldest(file: str) -> None:
    ast.parse((PACKAGE / file).read_text("utf-8"), feature_version=OLDEST)
