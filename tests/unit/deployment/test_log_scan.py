"""What is found in a log: real excerpts of what logging, servers and fronts write."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_winserve.deployment import log_scan
from pytest_winserve.deployment.log_scan import EXAMPLE, MOST_KINDS, LogScan, complaints_in
from pytest_winserve.fronts import get_front
from pytest_winserve.load.results.complaints import Complaint
from pytest_winserve.servers import get_server

PLAIN = """\
Traceback (most recent call last):
  File "/srv/shop.py", line 3, in page
    raise ValueError("no such order")
ValueError: no such order
"""


def found(text: str, writer: object = None) -> dict[str, int]:
    scan = LogScan("backend-0", writer)
    for line in text.splitlines():
        scan.line(line)
    return {one.kind: one.count for one in scan.complaints()}


def test_tracebacks_are_counted_by_the_type_of_their_exception() -> None:
    other = PLAIN.replace("ValueError", "sqlalchemy.exc.OperationalError")
    bare = PLAIN.replace("ValueError: no such order", "KeyboardInterrupt")
    assert found(PLAIN * 3 + "GET /test 200\n" + other + bare) == {
        "ValueError (traceback)": 3,
        "sqlalchemy.exc.OperationalError (traceback)": 1,
        "KeyboardInterrupt (traceback)": 1,
    }


def test_an_exception_and_its_cause_are_one_error() -> None:
    for words in log_scan.CHAINED:
        chain = PLAIN + f"\n{words}\n\n" + PLAIN.replace("ValueError", "RuntimeError")
        assert found(chain) == {"RuntimeError (traceback)": 1}


@pytest.mark.parametrize(
    "line",
    [
        "[2026-11-28 15:51:01,123] ERROR in app: Exception on /page [GET]",
        "ERROR:shop:Exception on /page [GET]",
        "ERROR:    Exception in ASGI application",
        "[2026-11-28 15:51:01 +0000] [4711] [ERROR] Error in WSGI Framework",
        "2026-11-28 15:51:01.123 | ERROR    | shop:page:3 - no such order",
        "[E 261128 15:51:01 web:1871] Uncaught exception GET /page",
        '{"time": "2026-11-28T15:51:01", "level": "error", "message": "no such order"}',
    ],
)
def test_a_line_of_level_error_counts_once_with_the_traceback_below_it(line: str) -> None:
    assert found(line) == {"ERROR line": 1}
    assert found(f"{line}\n{PLAIN}") == {"ValueError (traceback)": 1}
    assert found(f"{line}\nGET /test 200\n{PLAIN}") == {
        "ERROR line": 1,
        "ValueError (traceback)": 1,
    }


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("CRITICAL:shop:the disk is full", "CRITICAL line"),
        (
            "[2026-11-28 15:51:01 +0000] [4711] [CRITICAL] WORKER TIMEOUT (pid:4712)",
            "CRITICAL line",
        ),
        ("Fatal Python error: Segmentation fault", "FATAL line"),
    ],
)
def test_worse_levels(line: str, kind: str) -> None:
    assert found(line) == {kind: 1}


@pytest.mark.parametrize(
    "line",
    [
        "INFO:shop:found 0 ERROR lines",
        '127.0.0.1 - - [28/Nov/2026 15:51:01] "GET /ERROR HTTP/1.1" 200 -',
        '{"level": "info", "message": "ERRORS"}',
        "WARNING:shop:slow",
        '  File "/srv/shop.py", line 3, in page',
        "ValueError: told, not raised",
        "",
    ],
)
def test_what_is_no_complaint(line: str) -> None:
    assert found(line) == {}


def test_what_logging_itself_could_not_do_is_a_kind_of_its_own() -> None:
    text = (
        "--- Logging error ---\n"
        "Traceback (most recent call last):\n"
        '  File "/usr/lib/python3.11/logging/handlers.py", line 74, in emit\n'
        "    self.doRollover()\n"
        "PermissionError: [WinError 32] Sharing violation: 'app.log' -> 'app.log.1'\n"
        "Call stack:\n"
        '  File "/srv/shop.py", line 3, in page\n'
        '    app.logger.info("ERROR is only a word here")\n'
        "Message: 'an order'\n"
        "Arguments: ()\n"
    )
    assert found(text * 7 + PLAIN) == {
        "logging error: PermissionError (traceback)": 7,
        "ValueError (traceback)": 1,
    }


def test_other_threads_may_write_between_a_logging_error_and_its_traceback() -> None:
    text = f"--- Logging error ---\nTask queue depth is 1\nGET /test 200\n{PLAIN}{PLAIN}"
    assert found(text) == {
        "logging error: ValueError (traceback)": 1,
        "ValueError (traceback)": 1,
    }


def test_a_group_of_exceptions_is_told_with_each_of_its_members() -> None:
    text = (
        "  + Exception Group Traceback (most recent call last):\n"
        '  |   File "/srv/shop.py", line 3, in page\n'
        "  |     raise found\n"
        "  | ExceptionGroup: two things (1 sub-exception)\n"
        "  +-+---------------- 1 ----------------\n"
        "    | Traceback (most recent call last):\n"
        '    |   File "/srv/shop.py", line 2, in page\n'
        "    | ValueError: one\n"
        "    +------------------------------------\n"
    )
    assert found(text) == {"ExceptionGroup (traceback)": 1, "ValueError (traceback)": 1}


def test_what_apps_write_through_apache_is_found_behind_its_marks() -> None:
    mark = "[Sat Nov 28 15:51:01.123456 2026] [{}] [pid 1:tid 2] [client 127.0.0.1:5{}] {}"
    for module, mod in (("wsgi:error", ""), ("cgid:error", "AH01215: ")):
        lines = [mark.format(module, n, mod + line) for n, line in enumerate(PLAIN.splitlines())]
        server = get_server("mod_wsgi")
        assert found("\n".join(lines), server) == {"ValueError (traceback)": 1}
        assert found(mark.format(module, 0, f"{mod}only told"), server) == {}


def test_nginx_is_told_by_what_it_says_without_what_is_of_one_request() -> None:
    begin = "2026/11/28 15:51:01 [{}] 11#11: *{} {}"
    rest = ' while connecting to upstream, client: 127.0.0.1, server: , request: "GET / HTTP/1.1"'
    lines = [begin.format("error", n, f"no live upstreams{rest}") for n in range(5)]
    lines += [begin.format("error", 9, f"connect() failed (111: Connection refused){rest}")]
    lines += [begin.format("alert", 9, f"1024 worker_connections are not enough{rest}")]
    lines += [begin.format("warn", 9, f"upstream server temporarily disabled{rest}")]
    lines += [begin.format("warn", 9, f"an upstream response is buffered to a file{rest}")]
    lines += [begin.format("info", 9, "client 127.0.0.1 closed keepalive connection")]
    lines += [begin.format("crit", 9, f'open() "/srv/{n}" failed (24: Too many)') for n in (1, 2)]
    assert found("\n".join(lines), get_front("nginx")) == {
        "no live upstreams": 5,
        "connect() failed (111: Connection refused)": 1,
        "1024 worker_connections are not enough": 1,
        "upstream server temporarily disabled": 1,
        'open() "..." failed (24: Too many)': 2,
    }


def test_apache_is_told_without_addresses() -> None:
    begin = "[Sat Nov 28 15:51:01.123456 2026] [{}] [pid 1:tid 2] {}"
    refused = "(111)Connection refused: AH00957: http: attempt to connect to 127.0.0.1:{} failed"
    lines = [begin.format("proxy:error", refused.format(n)) for n in (8001, 8002)]
    lines += [begin.format("proxy:warn", "AH1: nothing"), begin.format("mpm_event:notice", "AH2")]
    kind = "(111)Connection refused: AH00957: http: attempt to connect to ADDRESS failed"
    assert found("\n".join(lines), get_front("apache")) == {kind: 2}


def test_a_full_queue_is_told_and_is_no_error() -> None:
    scan = LogScan("backend-0", get_server("waitress"))
    for depth in range(3):
        scan.line(f"Task queue depth is {depth}")
    (one,) = scan.complaints()
    assert (one.count, one.grave, one.example) == (3, False, "Task queue depth is 0")
    assert found("[uWSGI] *** uWSGI listen queue of socket x full !!! (101/100) ***",
                 get_server("uwsgi")) == {"its listen queue is full": 1}  # fmt: skip


def test_only_what_was_written_since_then_is_read(tmp_path: Path) -> None:
    log = tmp_path / "backend-0.log"
    log.write_text(PLAIN)
    since = log.stat().st_size
    assert complaints_in(log, since, "backend-0", None) == []
    log.write_text(PLAIN + PLAIN.replace("ValueError", "KeyError"))
    (one,) = complaints_in(log, since, "backend-0", None)
    assert one == Complaint("KeyError (traceback)", {"backend-0": 1}, "KeyError: no such order")
    # A log that was cut, or begun anew, is read from its beginning.
    log.write_text(PLAIN)
    assert [one.kind for one in complaints_in(log, since + 1, "x", None)] == [
        "ValueError (traceback)"
    ]
    assert complaints_in(tmp_path / "none", 0, "x", None) == []


def test_a_line_without_an_end_takes_no_memory(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.write(PLAIN.encode())
        for _ in range(20):
            file.write(b"\xff\x00ERROR x" * 100_000)
        file.write(b"\n" + PLAIN.encode())
    tracemalloc.start()
    try:
        complaints = complaints_in(log, 0, "backend-0", None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert {one.kind: one.count for one in complaints} == {
        "ValueError (traceback)": 2,
    }
    assert peak < 1_000_000


def test_what_is_too_much_to_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_scan, "MOST_READ", 10 * len(PLAIN))
    log = tmp_path / "log"
    log.write_bytes(PLAIN.encode() * 30)
    read, unread = complaints_in(log, 0, "backend-0", None)
    assert read.count == 10
    assert unread.example == f"{20 * len(PLAIN)} bytes of it were not looked at"
    assert not unread.grave


def test_kinds_and_examples_are_bounded() -> None:
    scan = LogScan("backend-0")
    for number in range(3 * MOST_KINDS):
        for line in PLAIN.replace("ValueError", f"Error{number}").splitlines():
            scan.line(f"{line}{'x' * 1000}")
    complaints = list(scan.complaints())
    assert len(complaints) == MOST_KINDS + 1
    assert sum(one.count for one in complaints) == 3 * MOST_KINDS
    assert all(len(one.example) <= EXAMPLE for one in complaints)


@given(st.lists(st.one_of(st.text(max_size=40), st.sampled_from(PLAIN.splitlines()))))
def test_no_text_breaks_it(lines: list[str]) -> None:
    for name in ("waitress", "mod_wsgi", "uwsgi", "fastcgi"):
        scan = LogScan("backend-0", get_server(name))
        for line in lines:
            scan.line(line)
        assert all(one.count > 0 for one in scan.complaints())
