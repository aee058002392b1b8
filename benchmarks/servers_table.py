"""Writes the tables of docs/servers.md: what every server declares against what is measured.

    python benchmarks/servers_table.py local wine     # runs the checks on these hosts
    python benchmarks/servers_table.py local=out      # takes the report that is in the folder out

Status 1 when a check failed; the table is written all the same, and shows what.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from pytest_winserve.report import declared
from pytest_winserve.report.markdown import table_lines
from pytest_winserve.report.record import RunRecord
from pytest_winserve.report.store import read_run, write_text

PAGE = Path(__file__).parent.parent / "docs" / "servers.md"
LOAD = ("--users=20", "--duration=1")


def check(host: str, folder: Path) -> int:
    """Run the stock checks on every server and setting of a host; the exit status."""
    command = [sys.executable, "-c", "from pytest_winserve.cli import main; main()"]
    command += ["check", "servers", f"--host={host}", *LOAD, f"--report={folder}"]
    return subprocess.run(command, check=False).returncode


def section(run: RunRecord, host: str) -> list[str]:
    """The part of the page for a host."""
    machine = run.environment["machines"].get(host, run.environment)
    versions = machine["versions"].items()
    # Where a program lies on the machine is nobody's business.
    told = [f"{name} {re.sub(r' [(].*[)]', '', text)}" for name, text in sorted(versions)]
    system = re.sub(r"^(Linux-\d+\.\d+)\S*", r"\1", machine["os"])
    where = f"{system}, Python {machine['python']}, {machine['cores']} cores"
    lines = [f"{run.created[:10]}, {where}.", "", f"Versions: {', '.join(told)}.", ""]
    for table in declared.tables(run):
        lines += [*table_lines(table.header, table.rows), ""]
    lacking = declared.left_out(run)
    if lacking is not None:
        lines += [*table_lines(lacking.header, lacking.rows, texts=len(lacking.header)), ""]
    return lines


def put(page: str, host: str, lines: list[str]) -> str:
    """The page with this section in the place of the one before."""
    begin, end = (f"<!-- servers of {host}: {what} -->" for what in ("begin", "end"))
    if begin not in page or end not in page:
        raise SystemExit(f"{PAGE}: there is no place for the host {host!r}: {begin}")
    head, rest = page.split(begin)
    return "\n".join([f"{head}{begin}", *lines, f"{end}{rest.split(end)[1]}"])


def main(arguments: list[str]) -> int:
    worst = 0
    for argument in arguments or ["local"]:
        host, given, place = argument.partition("=")
        with tempfile.TemporaryDirectory() as own:
            folder = Path(place if given else own)
            if not given:
                worst = max(worst, check(host, folder))
            lines = section(read_run(folder / "results.json"), host)
        write_text(PAGE, put(PAGE.read_text("utf-8"), host, lines))
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
