"""A site of which a process ends by itself does not pass the stock checks."""

from __future__ import annotations

import re
from pathlib import Path

from tests.kit.commands import winserve
from tests.kit.components import needs

pytestmark = needs("minutes")

# Of two processes one, which answers its first 200 requests: the other checks send it some 30.
DIES = """
import os

served = []


def app(environ, start_response):
    served.append(None)
    if len(served) > 200:
        try:
            os.close(os.open(__file__ + ".died", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            os._exit(3)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""


def test_a_backend_that_dies_under_load(tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text(DIES)
    load = ("--users", "10", "--duration", "3")
    done = winserve("check", "nginx2-waitress", "--app", "dies:app", "--fast", "/", *load,
                    cwd=tmp_path)  # fmt: skip
    assert done.status == 1, done.out + done.err
    # The load itself: the other one went on, and all that was sent is accounted for.
    assert "1 failed, 4 passed in " in done.out.splitlines()[-1], done.out
    assert re.search(r"died unasked:\nbackend-\d .*exited with status 3", done.out, re.M), done.out
