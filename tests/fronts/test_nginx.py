"""nginx that is not there, is something else, refuses its configuration, or does not come up."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.errors import MissingComponent, StartError
from tests.kit.commands import run_pytest, winserve
from tests.kit.platforms import not_on_windows
from tests.kit.programs import script
from tests.kit.traces import Serve, Traces

pytestmark = pytest.mark.usefixtures("traces")

posix = not_on_windows("on Windows a script cannot stand in for a program")


def test_a_path_without_nginx(tmp_path: Path, traces: Traces) -> None:
    done = winserve("up", "nginx2", "--nginx", tmp_path / "absent")
    assert done.status == 3
    assert "winserve: nginx: there is no file" in done.err
    assert "to get it: " in done.err
    traces.nothing_started()


def test_in_pytest_only_the_tests_that_need_it_fail(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(
        "import pytest\n"
        "def test_needs_it(winserve): ...\n"
        "@pytest.mark.winserve(topology='flask')\n"
        "def test_does_not(winserve): ...\n"
    )
    done = run_pytest("--winserve-nginx=/no/such/nginx")
    assert done.status == 1
    assert "1 passed, 1 error" in done.out
    assert "MissingComponent: nginx: there is no file '/no/such/nginx'" in done.out
    assert "Traceback" not in done.out


def test_check_tells_missing_from_failed() -> None:
    done = winserve("check", "nginx1", "--nginx", "/no/such/nginx")
    assert done.status == 3
    assert "there is no file '/no/such/nginx'" in done.out


def test_no_nginx_on_the_system(
    serve: Serve, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    real = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda self: self.stem != "nginx" and real(self))
    with pytest.raises(MissingComponent, match="not on the PATH") as caught:
        serve("nginx1", nginx="system")
    assert caught.value.hint == 'python -m pip install "pytest-winserve[nginx]"'
    traces.nothing_started()


NOT_NGINX = {
    "says nothing": ("exit 0", "is not a working nginx; it says: exit status 0"),
    "fails": ("echo no licence >&2; exit 4", "is not a working nginx; it says: no licence"),
    "another program": ("echo Apache/2.4", "is not a working nginx; it says: Apache/2.4"),
    "garbage": (r"printf '\377\376\001'", "is not a working nginx; it says: "),
}


@posix
@pytest.mark.parametrize(("text", "message"), NOT_NGINX.values(), ids=list(NOT_NGINX))
def test_programs_that_are_not_nginx(
    tmp_path: Path, serve: Serve, traces: Traces, text: str, message: str
) -> None:
    with pytest.raises(MissingComponent) as caught:
        serve("nginx1", nginx=str(script(tmp_path / "nginx", text)))
    assert message in str(caught.value)
    traces.nothing_started()


@posix
def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "nginx").write_text("nginx")
    done = winserve("up", "nginx1", "--nginx", tmp_path / "nginx")
    assert done.status == 3
    assert "nginx does not run: [Errno 13] Permission denied" in done.err


@posix
def test_refusing_its_configuration(tmp_path: Path, nginx: Path) -> None:
    wrapper = script(tmp_path / "nginx", f"exec '{nginx}' \"$@\" -g 'bad_directive on;'")
    done = winserve("up", "nginx2", "--nginx", wrapper)
    assert done.status == 1
    assert 'nginx: [emerg] unknown directive "bad_directive" in command line' in done.err
    assert "exited with status 1 while starting" in done.err


@posix
def test_ending_at_once_without_a_word(tmp_path: Path, nginx: Path, serve: Serve) -> None:
    wrapper = script(tmp_path / "nginx", f"[ \"$1\" = -v ] && exec '{nginx}' -v; exit 0")
    with pytest.raises(StartError, match=r"nginx \(pid \d+\) exited with status 0 while starting"):
        serve("nginx1", nginx=str(wrapper))


@posix
def test_never_listening(tmp_path: Path, nginx: Path, serve: Serve) -> None:
    wrapper = script(tmp_path / "nginx", f"[ \"$1\" = -v ] && exec '{nginx}' -v; exec sleep 600")
    with pytest.raises(StartError, match="nginx did not listen in time"):
        serve("nginx1", nginx=str(wrapper), start_timeout=5)


@posix
def test_gone_between_the_look_and_the_start(tmp_path: Path, nginx: Path, serve: Serve) -> None:
    wrapper = script(tmp_path / "nginx", f"rm '{tmp_path}/nginx'; exec '{nginx}' -v")
    with pytest.raises(StartError, match=r"nginx: cannot start .*No such file") as caught:
        serve("nginx1", nginx=str(wrapper))
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@posix
def test_ignoring_the_request_to_stop(tmp_path: Path, nginx: Path, serve: Serve) -> None:
    from pytest_winserve.errors import StopError

    wrapper = script(
        tmp_path / "nginx",
        f"[ \"$1\" = -v ] && exec '{nginx}' -v\n"
        f"trap '' TERM\n'{nginx}' \"$@\" &\nwait\nwait\nexec sleep 600",
    )
    site = serve("nginx1", nginx=str(wrapper))
    with pytest.raises(StopError, match=r"nginx \(pid \d+\) ignored the request to stop for 5 s"):
        site.close()
