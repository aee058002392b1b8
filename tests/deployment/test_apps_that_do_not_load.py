"""Apps that never get as far as to answer: the message names the fault, and shows it once."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from pytest_winserve import Lab
from pytest_winserve.errors import AppError, StartError, WinserveError
from tests.kit.commands import run_pytest, winserve
from tests.kit.components import needs
from tests.kit.platforms import WINE, not_on_windows
from tests.kit.traces import Serve, Traces

pytestmark = pytest.mark.usefixtures("traces")

LOADING = {
    "no module": ("", "absent:app", AppError, "there is no module 'absent'", 0),
    "no module in a package": ("", "shop.absent:app", AppError, "there is no module 'shop", 0),
    "imports what is absent": (
        "import absent_library\n", "shop:app", StartError,
        "could not be loaded: ModuleNotFoundError: No module named 'absent_library'", 1,
    ),
    "imports an absent part of itself": (
        "import shop.models\n", "shop:app", StartError,
        "could not be loaded: ModuleNotFoundError: No module named 'shop.models'", 1,
    ),
    "syntax error": ("def app(:\n", "shop:app", StartError, "could not be loaded: SyntaxError", 0),
    "raises": ("1 / 0\n", "shop:app", StartError, "could not be loaded: ZeroDivisionError", 1),
    "no attribute": (
        "application = print\n", "shop:aplication", AppError,
        "shop has no 'aplication'; nearest: application", 0,
    ),
    "not callable": ("app = 5\n", "shop:app", AppError, "is not callable, but int", 0),
    "a class": ("class App: pass\n", "shop:App", AppError, "is a class; name an instance", 0),
    "exits": (
        "raise SystemExit(0)\n", "shop:app", StartError, "could not be loaded: SystemExit: 0", 1,
    ),
    "exits with a text": (
        "import sys\nsys.exit('no shop')\n", "shop:app", StartError,
        "could not be loaded: SystemExit: no shop", 1,
    ),
    "tells what it lacks": (
        "from pytest_winserve.errors import *\nraise MissingComponent('redis', 'gone', 'start')\n",
        "shop:app", StartError, "redis: gone\n  to get it: start", 0,
    ),
    "factory raises": (
        "def make():\n    raise OSError('no disk')\n", "shop:make()", StartError,
        "could not be loaded: OSError: no disk", 1,
    ),
    "factory needs an argument": (
        "def make(config):\n    return config\n", "shop:make()", AppError,
        "it is make(config): write its arguments, as in shop:make('text', key=1)", 0,
    ),
    "factory gives nothing": (
        "def make(): pass\n", "shop:make()", AppError,
        "make returned None; it has to return the app", 0,
    ),
    "factory gives no app": ("def make(): return 5\n", "shop:make", AppError, "but int", 0),
    "factory is called with too much": (
        "def make(): pass\n", "shop:make(1)", AppError, "too many positional arguments", 0,
    ),
    "factory of two arguments": (
        "def create_app(config, debug): pass\n", "shop:create_app", AppError,
        "'shop:create_app()': missing a required argument: 'config'", 0,
    ),
    "an ASGI app": (
        "class App:\n    async def __call__(self, scope, receive, send): pass\napp = App()\n",
        "shop:app", AppError,
        "winserve check command --command 'uvicorn shop:app --port {port}' --slow PATH", 0,
    ),
    "an ASGI app of one function": (
        "async def app(scope, receive, send): pass\n", "shop:app", AppError, "is an ASGI app", 0,
    ),
    "an older ASGI app": (
        "def app(scope, receive, send): pass\n", "shop:app", AppError, "is an ASGI app", 0,
    ),
    "a function of one argument": (
        "app = lambda environ: []\n", "shop:app", AppError,
        "it takes (environ), and not environ and start_response", 0,
    ),
    "an object that has an app": (
        "class Dash:\n    def server(self, environ, start_response): pass\napp = Dash()\n",
        "shop:app", AppError,
        "is not callable, but shop.Dash; it has one: shop:app.server", 0,
    ),
    "a blueprint": (
        "import flask\npart = flask.Blueprint('part', __name__)\n", "shop:part", AppError,
        "is not callable, but flask.", 0,
    ),
    "two Flask objects": (
        "import flask\none = flask.Flask('one')\ntwo = flask.Flask('two')\n", "shop.py", AppError,
        "shop.py has 2 apps; name one of them: shop.py:one or shop.py:two", 0,
    ),
    "no app in a module": (
        "def serve(): pass\n", "shop", AppError,
        "shop has none of app, application, no Flask object and none of create_app, make_app", 0,
    ),
    "an app that is made when its file is run": (
        "def make(): pass\nif __name__ == '__main__':\n    app = make()\n", "shop.py", AppError,
        "make it above that line, or write shop.py:make()", 0,
    ),
    "no file": ("", "shep.py", AppError, "there is no file 'shep.py' in", 0),
    "a dot for the colon": (
        "app = 5\n", "shop.app", AppError, "for app in the module shop, write shop:app", 0,
    ),
    "ends the process": (
        "import os\nos._exit(7)\n", "shop:app", StartError, "exited with status 7 while", 0,
    ),
    "no name": ("", "", AppError, "a module or a file is needed before the colon", 0),
    "a folder": ("", "shop/app", AppError, "is no Python file; write path/to/file.py", 0),
    "an expression": ("", "shop:make() or 1", AppError, "what can be named is module:attribute", 0),
    "half a call": ("", "shop:make(", AppError, "is neither a name nor a call", 0),
    "arguments that are no literals": (
        "", "shop:make(config)", AppError, "the arguments of a factory are literals", 0,
    ),
}  # fmt: skip

PATIENCE = 20 if WINE else 5  # its processes need seconds to start on a busy machine


def tells(
    serve: Serve, topology: str, folder: Path, source: str, app: str, kind: type[WinserveError],
    message: str, tracebacks: int,
) -> None:  # fmt: skip
    """Serving this source, a row of LOADING, fails with a message that names the fault."""
    (folder / "shop.py").write_text(source)
    with pytest.raises(kind) as caught:
        serve(topology, app)
    text = str(caught.value)
    assert type(caught.value) is kind
    assert text.count(message) == 1
    assert text.count("Traceback") == tracebacks
    # The app's fault is shown where it is, without the lab's frames before it.
    assert text.count('shop.py", line') >= tracebacks
    assert 'backend.py", line' not in text


@pytest.mark.parametrize("fault", LOADING)
def test_the_message_names_the_fault(tmp_path: Path, serve: Serve, fault: str) -> None:
    tells(serve, "flask", tmp_path, *LOADING[fault])


FORKING = [
    pytest.param(name, marks=not_on_windows("what forks does not run on Windows"))
    for name in ("gunicorn:workers=2", "gunicorn:threads=2", "uwsgi")
]


@pytest.mark.parametrize("topology", FORKING)
@pytest.mark.parametrize("fault", ["no module", "raises", "exits", "a class", "ends the process"])
def test_servers_that_fork_tell_it_the_same(
    tmp_path: Path, serve: Serve, topology: str, fault: str
) -> None:
    tells(serve, topology, tmp_path, *LOADING[fault])


# Their servers start the processes that load the app by themselves.
@needs("apache")
@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("topology", ["mod_wsgi", "mod_wsgi:processes=2", "cgi", "nginx2-cgi"])
@pytest.mark.parametrize(
    "fault",
    [
        "no module", "imports what is absent", "syntax error", "raises", "exits", "a class",
        "factory raises", "factory needs an argument", "an expression",
    ],
)  # fmt: skip
def test_servers_that_load_it_in_processes_of_their_own_tell_it_the_same(
    tmp_path: Path, serve: Serve, topology: str, fault: str
) -> None:
    tells(serve, topology, tmp_path, *LOADING[fault])


BROKEN = """
def connect():
    raise RuntimeError("no database here")
connect()
"""


def test_four_backends_show_one_traceback(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "shop.py").write_text(BROKEN)
    with pytest.raises(StartError) as caught:
        serve("nginx4", "shop:app")
    text = str(caught.value)
    assert text.count("Traceback") == text.count('raise RuntimeError("no database here")') == 1
    assert "line 3, in connect" in text


def test_the_command_line_shows_one_traceback(tmp_path: Path, traces: Traces) -> None:
    (tmp_path / "shop.py").write_text(BROKEN)
    done = winserve("up", "nginx4", "--app", "shop:app")
    assert done.status == 1
    assert re.match(
        r"winserve: backend \d: the app 'shop:app' could not be loaded: RuntimeError", done.err
    )
    assert (done.err + done.out).count("Traceback") == 1
    traces.gone()
    assert winserve("up", "flask", "--app", "absent:app").status == 2


def test_pytest_shows_one_traceback_for_several_tests(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(BROKEN)
    (tmp_path / "test_shop.py").write_text(
        "def test_one(winserve): ...\ndef test_two(winserve): ...\ndef test_three(): ...\n"
    )
    done = run_pytest("--winserve-app=shop:app")
    assert done.status == 1
    assert "1 passed, 2 errors" in done.out
    assert done.out.count("Traceback") == 1, done.out
    broken = r"backend \d: the app 'shop:app' could not"
    assert re.search(f"StartError: {broken} be loaded: RuntimeError", done.out)
    assert re.search(f"could not be started for an earlier test: {broken}", done.out)
    assert "pytest_winserve" not in done.out.partition("ERRORS")[2].partition("short test")[0]


def test_pytest_shows_the_lines_of_an_app_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text("def test_one(winserve): ...\n")
    done = run_pytest("--winserve-app=absent:app", "--winserve-topology=flask")
    assert done.status == 1
    assert "AppError: the app 'absent:app': there is no module 'absent'" in done.out


RAISES = "def app(environ, start_response):\n    raise LookupError('no such shop')\n"


@pytest.mark.parametrize("topology", ["flask", "tornado", "waitress", "nginx2", *FORKING])
def test_raising_on_the_first_request(tmp_path: Path, serve: Serve, topology: str) -> None:
    (tmp_path / "shop.py").write_text(RAISES)
    with pytest.raises(StartError) as caught:
        serve(topology, "shop:app")
    text = str(caught.value)
    assert text.startswith("the app raised on its first request, GET /")
    assert text.count("LookupError: no such shop") == 1


def test_a_view_that_raises_on_the_first_request(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "shop.py").write_text(
        "import flask\napp = flask.Flask('shop')\n"
        "@app.get('/')\ndef test():\n    return str(1 / 0)\n"
    )
    with pytest.raises(StartError) as caught:
        serve("flask", "shop:app")
    text = str(caught.value)
    assert text.startswith("the app answered 500 INTERNAL SERVER ERROR to its first request")
    assert text.count("ZeroDivisionError") == 1


def test_a_factory_named_without_its_call_is_called(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "shop.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Length', '0')])\n"
        "    return []\n"
        "def make():\n    return app\n"
    )
    with serve("flask", "shop:make") as site:
        assert site.app == "shop:make()"
        assert site.get("/").status_code == 200


def test_hanging_while_it_loads(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "shop.py").write_text(
        "import time\ndef wait_for_the_database():\n    time.sleep(600)\nwait_for_the_database()\n"
    )
    with pytest.raises(StartError) as caught:
        serve("nginx2", "shop:app", start_timeout=PATIENCE)
    text = str(caught.value)
    assert "was not ready in time: it still loads" in text
    assert "line 3 in wait_for_the_database" in text
    assert "line 4 in <module>" in text


def test_hanging_while_it_loads_in_a_python_that_is_slow_to_start(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import time; time.sleep({PATIENCE * 0.6})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "shop.py").write_text("import time\ntime.sleep(600)\n")
    with pytest.raises(StartError, match="was not ready in time: it still loads") as caught:
        serve("flask", "shop:app", start_timeout=PATIENCE)
    assert "line 2 in <module>" in str(caught.value)


def test_hanging_on_the_first_request(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "shop.py").write_text(
        "import time\ndef app(environ, start_response):\n    time.sleep(600)\n"
    )
    with pytest.raises(StartError, match=r"no answer to GET / .* in time: connected, but"):
        serve("flask", "shop:app", start_timeout=PATIENCE)


FIRST_COMES = """
import os, pathlib
def make():
    table = pathlib.Path(__file__).with_name('table')
    os.close(os.open(table, os.O_CREAT | os.O_EXCL))
    def app(environ, start_response):
        start_response('200 OK', [('Content-Length', '0')])
        return []
    return app
"""


def test_an_app_that_starts_once_only_is_told_from_one_that_does_not_start(
    serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(FIRST_COMES)
    with pytest.raises(StartError) as caught:
        serve("nginx3-waitress", "shop:make()")
    first, second, *_ = str(caught.value).splitlines()
    assert re.match(r"backend \d: the app 'shop:make\(\)' could not be loaded: FileExists", first)
    assert second.startswith("  2 other backends loaded the same app at the same time; ")
    assert "--start one-by-one start them in turn" in second


def test_what_an_app_lacks_is_said_with_how_to_get_it(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import absent_library\n")
    with pytest.raises(StartError) as caught:
        serve("nginx2-waitress", "shop:app")
    first, second, *_, last = str(caught.value).splitlines()
    assert first.endswith("be loaded: ModuleNotFoundError: No module named 'absent_library'")
    assert second.startswith("Traceback")
    assert last == (
        f"  a package that the app needs: {sys.executable} -m pip install PACKAGE, or name the "
        "app's own Python by --python"
    )


@pytest.mark.parametrize("source", ["import shop.models\n", "def app(:\n", "app = wsgi_app\n"])
def test_what_no_other_backend_is_the_reason_of_stands_alone(
    serve: Serve, tmp_path: Path, source: str
) -> None:
    (tmp_path / "shop.py").write_text(source)
    with pytest.raises(StartError) as caught:
        serve("nginx2-waitress", "shop:app")
    text = str(caught.value)
    assert re.match(r"backend \d: the app 'shop:app' could not be loaded: \w+Error: ", text)
    assert "other backend" not in text
    assert "a package that" not in text


ONE_AT_A_TIME = """
import os, pathlib, time
here = pathlib.Path(__file__).parent
busy, together, met = here / 'busy', here / 'together', here / 'met'
def make():
    try:
        os.close(os.open(busy, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        met.touch()
        raise
    while together.exists() and not met.exists():
        time.sleep(0.01)
    busy.unlink()
    def app(environ, start_response):
        start_response('200 OK', [('Content-Length', '0')])
        return []
    return app
"""


def test_an_app_that_cannot_be_loaded_twice_at_once_is_served_by_backends_started_in_turn(
    tmp_path: Path,
) -> None:
    (tmp_path / "shop.py").write_text(ONE_AT_A_TIME)
    together = tmp_path / "together"
    together.touch()
    done = winserve("load", "nginx3-waitress", "--app=shop:make()", "--count=6", "--users=1")
    assert done.status == 1
    assert "2 other backends loaded the same app at the same time" in done.err
    together.unlink()
    (tmp_path / "busy").unlink(missing_ok=True)
    again = winserve(
        "load", "nginx3-waitress", "--app=shop:make()", "--count=6", "--users=1",
        "--start=one-by-one",
    )  # fmt: skip
    assert again.status == 0, again.err
    assert "sent 6, answered 6" in again.out


def test_of_backends_started_in_turn_the_one_that_fails_is_named_and_no_other_blamed(
    tmp_path: Path, traces: Traces
) -> None:
    (tmp_path / "shop.py").write_text(FIRST_COMES)
    with pytest.raises(StartError) as caught:
        Lab(start="one-by-one").serve("nginx3-waitress", "shop:make()")
    assert str(caught.value).startswith("backend 1: the app 'shop:make()' could not be loaded")
    assert "other backends" not in str(caught.value)
    traces.gone()
