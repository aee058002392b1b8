"""A deployment's services for real: installed, killed, upgraded and removed by its batch files."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import psutil
import pytest

from pytest_winserve.deploy import shipped
from pytest_winserve.deploy.services.nssm import get_nssm
from pytest_winserve.hosts.wine.layout import Layout, find_wine, windows_path
from pytest_winserve.load import Plan, Progress, Target, get_engine
from pytest_winserve.system.process_tree import kill
from tests.hosts.wine.conftest import COMMAND_SECONDS, OwnWine
from tests.kit.accounts import STEPS, journey
from tests.kit.apps import accounts
from tests.kit.components import needs
from tests.kit.order import begun_first
from tests.kit.ports import free_row
from tests.kit.processes import ended
from tests.kit.traces import answered
from tests.kit.waiting import eventually

pytestmark = needs("wine", "minutes")

IMPORT = """
import subprocess, sys
subprocess.run([sys.argv[1], "-c", "import flask, pytest_winserve"])
"""
USERS = 50
CONFIGURATION = "nginx.conf"
STOPS, REMOVALS = 5, 2
"""docs/deploy.md tells of 50 and 20, which take half an hour."""
NOT_INSTALLED, STOPPED = "not installed; does not answer", "stopped; does not answer"
RUNNING = "running; answers with 200"
APP = Path(accounts.__file__)
OF_THE_APP = (
    "flask", "wtforms", "werkzeug", "jinja2", "markupsafe", "click", "itsdangerous", "blinker",
    "waitress", "colorama",
)  # fmt: skip
"""The beginnings of the names of what it needs in its environment."""
DEPLOY = """
import os, sys
os.environ["PATH"] += ";" + sys.argv.pop(1)
os.chdir(sys.argv.pop(1))
from pytest_winserve.cli import main
main()
"""
BATCH = """
import subprocess, sys
done = subprocess.run(f'cmd /d /s /c ""{sys.argv[1]}""', stdin=subprocess.DEVNULL,
                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="C:\\\\")
sys.stdout.buffer.write(b"%d\\n" % done.returncode + done.stdout)
"""


class Windows:
    """Programs of the Windows that the test has for itself."""

    def __init__(self, own: OwnWine) -> None:
        self._own = own
        self._environment = own.layout.full_environment() | {"LC_ALL": "C.UTF-8"}
        self._words = [str(find_wine()), str(own.layout.executable)]
        self._keeper = self._first_program()

    def _first_program(self) -> subprocess.Popen[bytes]:
        """Wine's services get the environment of the first program: it does not know this package.
        What they keep open is not to be waited for."""
        keeper = subprocess.Popen(
            [*self._words, "-c", "print('up', flush=True); input()"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self._without_package(),
        )  # fmt: skip
        assert keeper.stdout is not None
        assert keeper.stdout.readline().strip() == b"up"
        return keeper

    def end(self) -> None:
        """End the first program."""
        # Not until the end of its output: services of a test that failed would keep that open.
        for stream in (self._keeper.stdin, self._keeper.stdout):
            assert stream is not None
            stream.close()
        self._keeper.wait(COMMAND_SECONDS)

    def reboot(self) -> None:
        """End all of Windows at once, as a power cut does, and start it again."""
        subprocess.run(["wineserver", "-k"], env=self._environment, check=True)
        eventually(lambda: not self._own.layout.servers(), seconds=60)
        self.end()
        self._keeper = self._first_program()

    def _without_package(self) -> dict[str, str]:
        return {k: v for k, v in self._environment.items() if k != "PYTHONPATH"}

    def python(self, *words: str, package: bool = False) -> str:
        return self._python(*words, package=package)[1]

    def _python(self, *words: str, package: bool = False) -> tuple[int, str]:
        done = subprocess.run(
            [*self._words, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=COMMAND_SECONDS, check=False,
            env=self._environment if package else self._without_package(),
        )  # fmt: skip
        return done.returncode, done.stdout.decode("cp437").replace("\r", "")

    def started(self, path: Path) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """A batch file that is under way."""
        process = subprocess.Popen(
            [*self._words, "-c", BATCH, windows_path(path)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self._without_package(),
        )  # fmt: skip
        return ended(process)

    def batch(self, path: Path) -> tuple[int, str]:
        exit_status, text = self._python("-c", BATCH, windows_path(path))
        assert exit_status == 0, f"what starts the batch file ended with {exit_status}: {text!r}"
        status, _, said = text.partition("\n")
        return int(status), said


class Site:
    """A deployed folder, and what runs of it."""

    def __init__(
        self, windows: Windows, own: OwnWine, folder: Path, backends: int, port: int
    ) -> None:
        self._windows, self._own, self.folder = windows, own, folder
        self.backends, self.port = backends, port
        self.url = f"http://127.0.0.1:{port}"

    def does(self, command: str) -> str:
        """What a batch file says that succeeds."""
        status, said = self._windows.batch(self.folder / f"{command}.cmd")
        assert status == 0, said
        return said

    def interrupted(self, command: str, when: Callable[[], object] = lambda: True) -> None:
        """Begin what a batch file does, and end it by force, not before `when`."""
        with self._windows.started(self.folder / f"{command}.cmd"):
            # The launcher of the app's environment, and the Python that it starts.
            eventually(lambda: len(self.control()) == 2 and when(), seconds=COMMAND_SECONDS)
            first, *others = self.control()
            first.kill()
            kill(others)  # unless they have ended by the first one's end

    def refuses(self, command: str) -> str:
        """What a batch file says that fails."""
        status, said = self._windows.batch(self.folder / f"{command}.cmd")
        assert status == 1, said
        return said

    def copy(self) -> Site:
        """The same in another folder."""
        folder = self.folder.with_name("site two")
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("logs"))
        return Site(self._windows, self._own, folder, self.backends, self.port)

    def wrapped_by(self, name: str) -> None:
        """Have other services than those that are installed."""
        source = Path(shipped.__file__).with_name("service_control") / f"{name}.py"
        shutil.copy(source, self.folder / "service_control")
        (self.folder / f"{name}.exe").write_bytes(b"MZ")
        settings = self.folder / "settings.py"
        text = settings.read_text("utf-8")
        settings.write_text(text.replace("SERVICES = 'nssm'", f"SERVICES = {name!r}"), "utf-8")

    def status(self) -> tuple[int, list[str]]:
        """The exit status of status.cmd, and what it says of each service."""
        status, said = self._windows.batch(self.folder / "status.cmd")
        return status, [line.partition(": ")[2].partition(" (")[0] for line in said.splitlines()]

    def all_are(self, what: str) -> None:
        """status.cmd says that of each service, and succeeds just when all run."""
        assert self.status() == (int(what != RUNNING), [what] * (self.backends + 1))

    def runs(self) -> bool:
        return self.status()[0] == 0

    def backend(self, number: int) -> list[psutil.Process]:
        """The launcher of the app's environment, and the Python that it starts."""
        return self._own.windows(self._listen(number))

    def _listen(self, number: int) -> str:
        return f"--listen=127.0.0.1:{self.port + number}"

    def control(self) -> list[psutil.Process]:
        """What a batch file runs."""
        return self._own.windows("control.py")

    def front(self) -> list[psutil.Process]:
        """nginx's master and its worker."""
        return self._own.windows(CONFIGURATION)

    def answers(self) -> bool:
        return all(answered(self.port + number) for number in range(self.backends + 1))

    def logged(self) -> int:
        """The requests in the front's access logs."""
        logs = (self.folder / "nginx" / "logs").glob("access-*.log")
        return sum(log.read_bytes().count(b"\n") for log in logs)

    def no_program(self) -> None:
        """No port is open, and no process of nginx or of a backend is left."""
        assert not any(answered(self.port + number) for number in range(self.backends + 1))
        assert not self._own.windows(CONFIGURATION, *map(self._listen, range(1, self.backends + 1)))

    def nothing_runs(self) -> None:
        """Nor one of NSSM: those end some seconds after their service has said that it stopped."""
        nssm = windows_path(self.folder / "nssm.exe")
        eventually(lambda: not self._own.windows(nssm), seconds=90)
        self.no_program()

    def files(self) -> list[Path]:
        """Those that do not come with a new day."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(path for path in files if path.parent != self.folder / "nginx" / "logs")


@pytest.fixture
def windows(own_wine: OwnWine) -> Iterator[Windows]:
    windows = Windows(own_wine)
    yield windows
    windows.end()


@pytest.fixture
def site(
    request: pytest.FixtureRequest,
    windows: Windows,
    wine: Layout,
    own_wine: OwnWine,
    tmp_path: Path,
) -> Site:
    """The app of the journeys, with an environment and an environment file of its own, deployed
    behind nginx, with as many backends as the test says."""
    app, programs = tmp_path / "Büro & Co", tmp_path / "programs"
    app.mkdir()
    programs.mkdir()
    get_nssm(programs)
    shutil.copy(APP, app / "shop.py")
    database = windows_path(app / "accounts.db")
    (app / "prod.env").write_text(f"SECRET_KEY=for all\nACCOUNTS_DB='{database}'\n", "utf-8")
    venv = app / "venv"
    windows.python("-m", "venv", "--without-pip", windows_path(venv))
    if not (wine.site / "flask_login").is_dir():
        pytest.skip("get it: winserve setup wine --with flask-login --with flask-wtf")
    for name in OF_THE_APP:
        # Of the user's, which has what is chosen there.
        for path in wine.site.glob(f"{name}*"):
            if path.is_dir():
                shutil.copytree(path, venv / "Lib" / "site-packages" / path.name)
    backends: int = request.param
    to, port = app / "site one", free_row(backends + 1)[0]
    said = windows.python(
        "-c", DEPLOY, windows_path(programs), windows_path(app), "deploy",
        f"nginx{backends}-waitress", "--app", "shop:create_app()", "--to", windows_path(to),
        "--name", "shop", "--port", str(port), "--env-file", "prod.env", "--python", "venv",
        package=True,
    )  # fmt: skip
    assert (to / "install.cmd").is_file(), said
    # The Python that runs it, as Wine's services do, cannot reach this package.
    of_the_app = windows_path(venv / "Scripts" / "python.exe")
    said = windows.python("-c", IMPORT, of_the_app)
    assert "No module named 'pytest_winserve'" in said, said
    return Site(windows, own_wine, to, backends, port)


class OverError(Exception):
    """What the load was for is done."""


def loaded_during(windows: Windows, path: Path, url: str) -> tuple[Progress, str]:
    """Run a batch file while users load the site, until it has ended; what they got, and what it
    said."""
    seen: list[Progress] = []
    with windows.started(path) as process:

        def follow(progress: Progress) -> None:
            seen.append(progress)
            if process.poll() is not None:
                raise OverError

        # With pauses: users without any keep the whole machine from what the batch file does.
        plan = Plan.make(
            users=USERS, duration=2 * COMMAND_SECONDS, path="/", timeout=30, think_time=0.5
        )
        with suppress(OverError):
            get_engine("builtin").run(plan, Target(url), follow)
        assert process.stdout is not None
        said = process.stdout.read().decode("cp437")
        assert process.returncode == 0, said
    return seen[-1], said


@begun_first
@pytest.mark.parametrize("site", [4], indirect=True)
def test_services_are_installed_killed_upgraded_and_removed(windows: Windows, site: Site) -> None:
    site.all_are(NOT_INSTALLED)
    # Half-way: a backend is started, and the front is not.
    site.interrupted("install", lambda: site.backend(1))
    assert site.status()[0] == 1
    for _ in range(2):
        assert "shop-front: running" in site.does("install")
    site.all_are(RUNNING)

    other = site.copy()
    for command in ("install", "uninstall"):
        assert "of another folder, and nothing was changed" in other.refuses(command)
    site.all_are(RUNNING)

    # Each user has its own account, whatever backend answers; and nginx has logged each request.
    before = site.logged()
    plan = Plan.make(users=USERS, count=USERS, timeout=30, journeys=[journey()])
    result = get_engine("builtin").run(plan, Target(site.url))
    assert result.unexpected == (), result.summary()
    (share,) = result.journeys
    assert (share.begun, share.complete, share.broken) == (USERS, USERS, {})
    assert (result.sent, result.errors) == (USERS * len(STEPS), 0)
    assert sum(result.outcomes.values()) == result.sent
    eventually(lambda: site.logged() - before == result.sent)

    killed = site.backend(1)
    killed[0].kill()
    kill(killed[1:])  # unless they have ended by the first one's end
    eventually(lambda: set(site.backend(1)) - set(killed) and answered(site.port + 1), seconds=60)
    # nginx's worker goes on serving when its master is killed; it must not.
    killed = site.front()
    killed[0].kill()
    eventually(lambda: not any(process.is_running() for process in killed), seconds=60)
    eventually(site.runs, seconds=60, otherwise=site.status)

    progress, said = loaded_during(windows, site.folder / "upgrade.cmd", site.url)
    assert said.count("restarted") == site.backends, said
    assert dict(progress.outcomes) == {"200": sum(progress.outcomes.values())}
    site.all_are(RUNNING)

    windows.reboot()
    # By itself: nobody starts anything.
    eventually(site.runs, seconds=120)
    for _ in range(2):
        site.does("stop")
    site.all_are(STOPPED)
    for _ in range(2):
        site.does("start")
    site.all_are(RUNNING)
    site.wrapped_by("winsw")
    said = site.refuses("install")
    assert "shop-backend-1 is there already, and not by shop-backend-1.exe" in said
    for _ in range(2):
        site.does("uninstall")
    site.all_are(NOT_INSTALLED)
    site.nothing_runs()
    # However often they were started, each has one log.
    logs = sorted(path.name for path in (site.folder / "logs").iterdir())
    backends = range(1, site.backends + 1)
    assert logs == [*(f"shop-backend-{n}.log" for n in backends), "shop-front.log"]


@begun_first
@pytest.mark.parametrize("site", [1], indirect=True)
def test_what_was_interrupted_is_run_again(site: Site) -> None:
    for command, then in (
        ("install", RUNNING), ("upgrade", RUNNING), ("stop", STOPPED), ("start", RUNNING),
        ("uninstall", NOT_INSTALLED),
    ):  # fmt: skip
        site.interrupted(command)
        site.does(command)
        site.all_are(then)
    site.nothing_runs()


@begun_first
@pytest.mark.parametrize("site", [1], indirect=True)
def test_what_is_stopped_or_removed_leaves_nothing(site: Site) -> None:
    site.does("install")
    for _ in range(STOPS):
        site.does("stop")
        site.no_program()
        site.does("start")
        assert site.answers()
    site.does("stop")
    files = site.files()
    for _ in range(REMOVALS):
        site.does("uninstall")
        site.nothing_runs()
        assert site.files() == files
        site.does("install")
        assert site.answers()
    site.does("uninstall")
    site.all_are(NOT_INSTALLED)
    site.nothing_runs()
    assert site.files() == files
