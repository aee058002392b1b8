"""Runs of the real tsung and of its real report, for the tests of what reads them.

`python -m tests.kit.tsung` records the logs in `tests/kit/tsung_logs` again.
"""

from __future__ import annotations

import contextlib
import html
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from tests.kit.ports import free_port

LOGS = Path(__file__).parent / "tsung_logs"
STATS_SCRIPTS = ("/usr/lib/*/tsung/bin/tsung_stats.pl", "/usr/lib/tsung/bin/tsung_stats.pl")

Tables = dict[str, tuple[str, ...]]
"""Cells by row name, over all tables of a report."""

_LOOP = """
    <session name="loop" probability="40" type="ts_http">
      <for var="i" from="1" to="{loops}" incr="1">
        <request><http url="/ok" method="GET" version="1.1"/></request>
        <thinktime value="1"/>
      </for>
    </session>
    <session name="bad" probability="30" type="ts_http">
      <for var="i" from="1" to="{bads}" incr="1">
        <transaction name="bad">
          <request><http url="/bad" method="GET" version="1.0"/></request>
          <request><http url="/close" method="GET" version="1.1"/></request>
        </transaction>
        <thinktime value="2"/>
      </for>
    </session>
    <session name="dead" probability="30" type="ts_http">
      <request><http url="http://127.0.0.1:{dead}/" method="GET" version="1.1"/></request>
    </session>
"""

CONFIG = (
    """<?xml version="1.0"?>
<!DOCTYPE tsung SYSTEM "tsung-1.0.dtd">
<tsung loglevel="notice" version="1.0" backend="{backend}">
  <clients><client host="localhost" use_controller_vm="true" maxusers="500"/></clients>
  <servers><server host="127.0.0.1" port="{port}" type="tcp"/></servers>
  <load>
    <user session="loop" start_time="1" unit="millisecond"/>
    <user session="loop" start_time="300" unit="millisecond"/>
    <user session="bad" start_time="1" unit="millisecond"/>
    <user session="dead" start_time="500" unit="millisecond"/>
    <user session="dead" start_time="11000" unit="millisecond"/>
    <user session="dead" start_time="11500" unit="millisecond"/>
  </load>
  <sessions>"""
    + _LOOP
    + """  </sessions>
</tsung>
"""
)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/close":
            self.close_connection = True
            return
        body = b"hello" * 50
        self.send_response(503 if self.path == "/bad" else 200)
        self.send_header("Content-Length", str(len(body)))
        if self.path == "/bad":
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """The port of a server with /ok (200), /bad (503) and /close (no answer)."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def epmd() -> Iterator[int]:
    """The port of a port mapper of our own, so that nobody else's is touched or left behind."""
    port = free_port()
    program = shutil.which("epmd")
    assert program
    with subprocess.Popen([program, "-port", str(port), "-address", "127.0.0.1"]) as process:
        try:
            yield port
        finally:
            process.kill()


def run_tsung(
    backend: str, folder: Path, *, loops: int = 22, bads: int = 9, kill_after: int = 0
) -> Path:
    """Run tsung to its end, or kill its VM after so many windows; the path of its log.

    The load takes about as many seconds as `loops`.
    """
    with serving() as port, epmd() as mapper, socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))  # taken, but nobody listens
        config = folder / "tsung.xml"
        config.write_text(
            CONFIG.format(
                backend=backend, port=port, loops=loops, bads=bads, dead=dead.getsockname()[1]
            )
        )
        program = shutil.which("tsung")
        assert program
        arguments = ["-f", str(config), "-l", str(folder), "-n", "-i", f"t{os.getpid()}{backend}"]
        with (
            (folder / "output").open("wb") as output,
            subprocess.Popen(
                [program, *arguments, "start"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "ERL_EPMD_PORT": str(mapper), "HOME": str(folder)},
            ) as process,
        ):
            while kill_after and process.poll() is None:
                found = list(folder.glob("*/tsung.log"))
                if found and found[0].read_text().count("size_sent") >= kill_after:
                    for child in psutil.Process(process.pid).children(recursive=True):
                        with contextlib.suppress(psutil.NoSuchProcess):
                            child.send_signal(signal.SIGKILL)
                    break
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.1)
            assert process.wait(timeout=90) == 0 or kill_after, (folder / "output").read_text()
    (log,) = folder.glob("*/tsung.log")
    return log


def run_report(log: Path, folder: Path) -> Tables:
    """The cells of the report that tsung's own script makes of a log in text form."""
    script = next(path for pattern in STATS_SCRIPTS for path in Path("/").glob(pattern[1:]))
    perl = shutil.which("perl")
    assert perl
    subprocess.run(
        [perl, str(script), "--noplot", "--stats", str(log)],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=60,
    )
    return report_tables((folder / "report.html").read_text())


def report_tables(page: str) -> Tables:
    """The cells of a report's page."""
    tables: Tables = {}
    for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL):
        cells = [
            html.unescape(cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)
        ]
        if cells:
            assert cells[0] not in tables
            tables[cells[0]] = tuple(cells[1:])
    return tables


def json_as_text(log: Path) -> str:
    """A JSON log in the text form, as tsung would have written it."""
    text = log.read_text()
    if not text.endswith("]}]}\n"):
        text = text[: text.rindex("}") + 1] + "]}]}"
    lines = []
    for element in json.loads(text, parse_float=str, parse_int=str)["stats"][1:]:
        lines.append(f"# stats: dump at {element['timestamp']}")
        for sample in element["samples"]:
            name = sample.pop("name").removeprefix("http_")
            if "hostname" in sample:
                name = f'{{{name},"{sample.pop("hostname")}"}}'
            lines.append(f"stats: {name} {' '.join(sample.values())}")
    return "\n".join([*lines, ""])


def record(names: Sequence[str]) -> None:
    """Record the named logs, with what the real script makes of them."""
    for name in names:
        backend, _, kind = name.partition("-")
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            log = run_tsung(backend, folder, kill_after=2 if kind == "killed" else 0)
            suffix = "json" if backend == "json" else "log"
            (LOGS / f"{name}.{suffix}").write_text(log.read_text())
            as_text = folder / "as_text.log"
            as_text.write_text(log.read_text() if backend == "text" else json_as_text(log))
            tables = run_report(as_text, folder)
            (LOGS / f"{name}.report").write_text(json.dumps(tables, indent=1) + "\n")


if __name__ == "__main__":
    record(sys.argv[1:] or ("text", "json", "text-killed", "json-killed"))
