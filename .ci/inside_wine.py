"""Runs the Windows Python of `winserve setup wine`: `inside_wine.py -m pytest tests/unit`.

What makes certificates does not load inside Wine 8, so they are made here, for the tests there.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pytest_winserve.hosts.wine.layout import default_layout, find_wine, windows_path


def main() -> int:
    layout = default_layout()
    with layout.held(alone=False), tempfile.TemporaryDirectory() as certificates:
        subprocess.run([sys.executable, "-m", "tests.kit.certificates", certificates], check=True)
        environment = {**os.environ, "TEST_CERTIFICATES": windows_path(Path(certificates))}
        command = [*layout.command(find_wine()), *sys.argv[1:]]
        # A Windows Python does not start under Wine with a file as standard output: a pipe it is.
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
