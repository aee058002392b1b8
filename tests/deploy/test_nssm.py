"""nssm.exe where there is none, and what control.py says where there are no such services."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_winserve.deploy import shipped
from pytest_winserve.deploy.services.nssm import get_nssm
from pytest_winserve.errors import MissingComponent
from tests.kit.commands import clean_environment

SETTINGS = """
NAME, PYTHON, FRONT, BACKENDS = "shop", "python", None, [("127.0.0.1", 23999, ["-m", "waitress"])]
"""


def control_in(folder: Path) -> Path:
    """The control.py of a deployment in that folder."""
    (folder / "settings.py").write_text(SETTINGS, "utf-8")
    return shutil.copyfile(Path(shipped.__file__).with_name("control.py"), folder / "control.py")


def test_a_command_that_does_not_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("control", control_in(tmp_path))
    assert spec is not None
    assert spec.loader is not None
    control = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(control)
    assert control.run(sys.executable, "-c", "print('done'); raise SystemExit(3)") == (3, "done")
    monkeypatch.setattr(control, "COMMAND_SECONDS", 0.5)
    ended = control.run(sys.executable, "-c", "import time; time.sleep(600)")
    assert ended == (control.TOO_LONG, "it did not end in 0.5 s")


def test_no_nssm_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    (tmp_path / "site").mkdir()
    with pytest.raises(MissingComponent, match=r"(?s)not on the PATH.*--services files") as caught:
        get_nssm(tmp_path / "site")
    assert "put nssm.exe (https://nssm.cc)" in str(caught.value)
    assert not list((tmp_path / "site").iterdir())


@pytest.mark.parametrize("command", ["install", "start", "stop", "upgrade", "uninstall"])
def test_where_services_cannot_be_changed_nothing_is(command: str, tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("platform: there are services here")
    control_in(tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "control.py", command], cwd=tmp_path, env=clean_environment(),
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1, "these services are for Windows; nothing was changed\n",
    )  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["control.py", "settings.py"]
