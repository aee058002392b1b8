"""What the error log of a front says about its start."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.fronts.nginx import FRONT

PREFIX = "2026/11/28 15:40:14 [crit] 1228#1184: "
NOTICE = '2026/11/28 15:40:14 [notice] 1228#1184: using the "select" event method\n'


@pytest.mark.parametrize(
    "line",
    [
        "bind() to 127.0.0.1:8080 failed (98: Address already in use)",
        "bind() to 127.0.0.1:8080 failed (10013: An attempt was made to access a socket)",
        r'CreateProcess("C:\nginx\nginx.exe") failed (1359: Internal error)',
    ],
)
def test_a_second_try_may_mend_it(tmp_path: Path, line: str) -> None:
    FRONT.error_log(tmp_path).parent.mkdir()
    FRONT.error_log(tmp_path).write_text(f"{NOTICE}{PREFIX}{line}\n")
    assert FRONT.port_taken(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        'CreateProcess("C:\\nginx\\nginx.exe") failed (2: The system cannot find the file)',
        "1024 worker_connections are not enough",
    ],
)
def test_it_does_not_mend_what_stays_wrong(tmp_path: Path, line: str) -> None:
    FRONT.error_log(tmp_path).parent.mkdir()
    FRONT.error_log(tmp_path).write_text(f"{NOTICE}{PREFIX}{line}\n")
    assert not FRONT.port_taken(tmp_path)
    assert not FRONT.port_taken(tmp_path / "nothing")
