"""What `winserve setup vagrant` gives a Windows guest, used as provision.ps1 uses it there."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

from pytest_winserve.hosts.vagrant.setup import ensure_guest
from pytest_winserve.hosts.wine.layout import dropped
from pytest_winserve.shipping.contents import lab_folder
from pytest_winserve.version import __version__
from tests.kit.components import needs

from .conftest import COMMAND_SECONDS, OwnWine

pytestmark = needs("wine")

RUN = re.compile(r'^ *& "\$target\\python\\python\.exe" -c "(.+)" (\w+)$', re.MULTILINE)


def test_the_guests_python_serves(own_wine: OwnWine, tmp_path: Path) -> None:
    guest, target = tmp_path / "guest", tmp_path / "target"
    told: list[str] = []
    ensure_guest(guest, told.append)
    archive = guest / "python.zip"
    made = archive.stat().st_mtime_ns
    ensure_guest(guest, told.append)
    assert [line.split()[0] for line in told] == ["make", "kept"]
    assert archive.stat().st_mtime_ns == made
    digest = (guest / "python.zip.sha256").read_text("utf-8").strip()
    assert digest == hashlib.sha256(archive.read_bytes()).hexdigest()

    with zipfile.ZipFile(archive) as packed:
        packed.extractall(target)
    script = (lab_folder() / "vagrant" / "provision.ps1").read_text("utf-8")
    ((code, word),) = RUN.findall(script)

    def run(*arguments: str) -> str:
        given = own_wine.layout.environment()
        del given["PYTHONPATH"]  # of the other Python
        left_out = dropped(os.environ)
        kept = {name: value for name, value in os.environ.items() if name not in left_out}
        done = subprocess.run(
            [shutil.which("wine") or "", str(target / "python" / "python.exe"), "-c", code,
             *arguments],
            capture_output=True, encoding="utf-8", errors="replace", stdin=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS, check=False, env=kept | given,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    found = run(word)
    first = rf"^ready +winserve +{re.escape(__version__)} on Python 3.11.9, Windows"
    assert re.search(first, found, re.MULTILINE), found
    for name in ("nginx", "flask", "tornado", "waitress"):
        assert re.search(rf"^ready +{name} ", found, re.MULTILINE), found
    assert "sent 20, answered 20" in run("load", "nginx2-tornado", "--users", "2", "--count", "20")
