"""Runs the Windows Python of `winserve setup wine` in a copy of its prefix, on one processor:
`inside_wine.py 0 -m pytest tests/unit`, the first number being the processor's.

Each call of a program under Wine goes to Wine's server and back. Where the two wake each other up
across processors, everything takes more than twice as long.

What makes certificates does not load inside Wine 8, so they are made here, for the tests there.

The exit status is that of the program, or 75 (EX_TEMPFAIL) when Wine's server has ended under it:
then what runs there hangs, and is ended. Wine 10 has been seen to do so in the middle of the tests,
by an assertion of its own ("sock_poll_event").
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from pytest_winserve.hosts.wine.layout import default_layout, find_wine, windows_path


def main(number: str, *arguments: str) -> int:
    layout, wine = default_layout(), find_wine()
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[int(number) % len(processors)]})
    with layout.held(alone=False), tempfile.TemporaryDirectory() as temp:
        prefix = Path(temp, "prefix")
        shutil.copytree(layout.prefix, prefix, symlinks=True)
        subprocess.run([sys.executable, "-m", "tests.kit.certificates", temp], check=True)
        environment = layout.full_environment(prefix)
        environment["TEST_CERTIFICATES"] = windows_path(Path(temp))
        # A Windows Python does not start under Wine with a file as standard output: a pipe it is.
        with subprocess.Popen(
            [wine, layout.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
        ) as process:
            assert process.stdout is not None
            lost = threading.Event()

            def watch() -> None:
                subprocess.run(["wineserver", "--wait"], env=environment, check=False)
                if process.poll() is None:
                    lost.set()
                    layout.end_users(prefix)

            watcher = threading.Thread(target=watch, daemon=True)
            for line in process.stdout:
                if watcher.ident is None:  # not begun: before the first line there may be no server
                    watcher.start()
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
        subprocess.run(["wineserver", "-k"], env=environment, check=False)
    return os.EX_TEMPFAIL if lost.is_set() else process.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
