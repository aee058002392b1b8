"""What the plugin adds to a pytest run that does not use it.

usage: python benchmarks/plugin_cost.py [PAIRS]

The same one-test suite with the plugin and with `-p no:winserve`, in turn. Counted is the processor
time of the whole pytest process (user and system), since the wall clock of a shared machine says
more about its neighbours. POSIX only.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from common import interleave, machine, row, say

assert sys.platform != "win32", "Windows does not count the processor time of children"

GOAL_MS = 10


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "test_nothing.py").write_text("def test_nothing():\n    pass\n")

        environment = os.environ | {"PYTHONPYCACHEPREFIX": str(Path(name, "bytecode"))}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def run(*more: str) -> float:
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *more, name]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=name,
                           env=environment)  # fmt: skip
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        run()  # makes the bytecode
        found = interleave(lambda: run(), lambda: run("-p", "no:winserve"), pairs)
    say(machine())
    say(row("with the plugin", found.a, "ms", 1000))
    say(row("with -p no:winserve", found.b, "ms", 1000))
    say(row("difference", found.differences, f"ms (goal: at most {GOAL_MS})", 1000))


if __name__ == "__main__":
    main()
