"""The commands `winserve` and `pytest` in processes of their own: run to their end, or started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

COMMAND_SECONDS = 240.0
FLASK_COMMAND = (
    f"{subprocess.list2cmdline([sys.executable])} -m flask "
    "--app pytest_winserve.sample_app run --port {port}"
)
FOREIGN = (
    "allure_pytest", "flaky", "html", "metadata", "pytest-bdd", "pytest-retry", "repeat",
    "rerunfailures",
)  # fmt: skip
"""The plugins of others that the plugin is tried together with. A test that wants one has
`-p NAME`."""
INNER_OPTIONS = " ".join(f"-p no:{name}" for name in ("hypothesispytest", *FOREIGN))
"""Of every pytest inside of a test. Hypothesis is for this suite; its plugin takes longer to load
than all the rest of a small run."""
PYTEST_OPTIONS = ("-p", "no:cacheprovider", "-W", "error", "--rootdir", ".")
CI_VARIABLES = ("CI", "BUILD_NUMBER")
"""Where one is set, pytest prints each message a second time, uncut, in its summary."""

Start = Callable[..., "Started"]


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, and all that it wrote."""

    status: int
    out: str
    err: str


@dataclass(slots=True)
class Started:
    """A command that runs; its output goes to a file."""

    process: subprocess.Popen[bytes]
    output: Path

    def text(self) -> str:
        return self.output.read_text("utf-8", "replace")

    def wait_for(self, text: str, seconds: float = 60.0) -> None:
        """Return when it has written `text`."""
        self.until(lambda: text in self.text(), f"never wrote {text!r}", seconds)

    def until(self, true: Callable[[], bool], otherwise: str, seconds: float = 60.0) -> None:
        deadline = time.perf_counter() + seconds
        while not true():
            ended = self.process.poll() is not None
            if (ended and not true()) or time.perf_counter() > deadline:
                pytest.fail(f"{otherwise}; status {self.process.poll()}:\n{self.text()}")
            time.sleep(0.02)


def without_waits(text: str) -> str:
    """What was written, but for the lines that tell of waits: for another test's measurement, or
    for what takes long on a busy machine."""
    waits = (" waits for another measurement, ", " s up to now")
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not any(words in line for words in waits))


def command_line(tool: str, *arguments: str | Path) -> list[str]:
    """What the script `winserve` or `pytest` does, with this Python."""
    code = {
        "winserve": "from pytest_winserve.cli import main; main()",
        "pytest": "import sys, pytest; sys.exit(pytest.console_main())",
    }[tool]
    return [sys.executable, "-c", code, *map(str, arguments)]


def clean_environment() -> dict[str, str]:
    """This process's environment without what would change a run inside of a test."""
    dropped = ("WINSERVE_", "VIRTUAL_ENV", "PYTEST_", "COLUMNS", "COV_", "SHOP_")
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(dropped) and k not in CI_VARIABLES
    }
    return kept | {"PYTEST_ADDOPTS": INNER_OPTIONS}


def run(
    tool: str,
    *arguments: str | Path,
    cwd: Path | None = None,
    seconds: float = COMMAND_SECONDS,
    environment: Mapping[str, str] | None = None,
) -> Done:
    """Run `winserve` or `pytest` to its end, with no setting but those of `environment`."""
    done = subprocess.run(
        command_line(tool, *arguments),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        stdin=subprocess.DEVNULL,
        timeout=seconds,
        check=False,
        cwd=cwd,
        env=clean_environment() | dict(environment or {}),
    )
    return Done(done.returncode, done.stdout, done.stderr)


def winserve(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> Done:
    """Run the command `winserve` to its end."""
    return run("winserve", *arguments, cwd=cwd, environment=environment)


def run_pytest(*arguments: str | Path) -> Done:
    """Run pytest on the current folder to its end; warnings are errors in it."""
    return run("pytest", *PYTEST_OPTIONS, *arguments)


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """pytest's own, whose runs have the options of every pytest inside of a test."""
    monkeypatch.setenv("PYTEST_ADDOPTS", INNER_OPTIONS)
    for name in CI_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return pytester


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a tool in a process group of its own; it is killed at the test's end."""
    all_started: list[Started] = []

    def start(tool: str, *arguments: str | Path) -> Started:
        output = tmp_path / f"output-{len(all_started)}.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                command_line(tool, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=sys.platform != "win32",
                env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
            )
        all_started.append(Started(process, output))
        return all_started[-1]

    yield start
    for started in all_started:
        if started.process.poll() is None:
            started.process.kill()
        started.process.wait()
