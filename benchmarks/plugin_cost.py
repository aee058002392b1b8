"""What the plugin adds to a pytest run that does not use it.

    python benchmarks/plugin_cost.py [PAIRS]
    python benchmarks/plugin_cost.py --instructions [--package FOLDER]

The same one-test suite with the plugin and with `-p no:winserve`, in turn. Counted is the processor
time of the whole pytest process (user and system), since the wall clock of a shared machine says
more about its neighbours. POSIX only.

On a busy machine the processor time of single runs differs by ten times what is asked for. With
`--instructions` the instructions in user mode are counted, by valgrind's callgrind
(`apt-get install valgrind`): the same run has the same number, to a few thousand. `--package` is a
folder with the package of another version of this one, to be measured instead.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common import interleave, machine, row, say

assert sys.platform != "win32", "Windows does not count the processor time of children"

GOAL_MS = 10
WITHOUT = ("-p", "no:winserve")


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite of one test, which has nothing to do with the plugin."""

    folder: Path
    package: str | None = None

    def run(self, *more: str, under: Sequence[str] = ()) -> str:
        """What the whole run printed on standard error."""
        command = [
            *under, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *more,
            str(self.folder),
        ]  # fmt: skip
        environment = os.environ | {
            "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"),
            "PYTHONHASHSEED": "0",
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if self.package is not None:
            environment["PYTHONPATH"] = self.package
        done = subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            cwd=self.folder, env=environment,
        )  # fmt: skip
        return done.stderr

    def seconds(self, *more: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.run(*more)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def instructions(self, *more: str) -> int:
        counter = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
        said = self.run(*more, under=counter)
        found = re.search(r"Collected : (\d+)", said)
        if found is None:
            raise SystemExit(f"callgrind counted nothing; it says:\n{said}")
        return int(found[1])


@contextmanager
def suite(package: str | None) -> Iterator[Suite]:
    with tempfile.TemporaryDirectory() as name:
        found = Suite(Path(name), package)
        (found.folder / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        found.run()  # makes the bytecode
        yield found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", nargs="?", type=int, default=40)
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--package")
    given = parser.parse_args()
    say(machine())
    with suite(given.package) as one:
        if given.instructions:
            plugin, without = one.instructions(), one.instructions(*WITHOUT)
            share = (plugin - without) / without
            for name, count in ("the plugin", plugin), ("-p no:winserve", without):
                say(f"with {name}: {count / 1e6:.1f} million instructions")
            say(f"difference: {(plugin - without) / 1e6:.1f} million, {share:.2%}")
            return
        found = interleave(one.seconds, lambda: one.seconds(*WITHOUT), given.pairs)
    say(row("with the plugin", found.a, "ms", 1000))
    say(row("with -p no:winserve", found.b, "ms", 1000))
    say(row("difference", found.differences, f"ms (goal: at most {GOAL_MS})", 1000))


if __name__ == "__main__":
    main()
