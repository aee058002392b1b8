"""The lab's Vagrantfile, read by Vagrant itself, and what is said before a machine is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pytest_winserve.errors import MissingComponent, UsageError
from pytest_winserve.hosts import host_ready, open_host
from pytest_winserve.hosts.vagrant import box
from pytest_winserve.hosts.vagrant.setup import write_files
from pytest_winserve.shipping.wheels import requirements
from pytest_winserve.shipping.windows_python import windows_markers
from tests.kit.components import needs


def validate(folder: Path, **given: str) -> subprocess.CompletedProcess[str]:
    write_files(folder)
    (folder / "guest").mkdir()
    return subprocess.run(
        ["vagrant", "validate", "--ignore-provider"],
        cwd=folder, env={**os.environ, **given, "VAGRANT_HOME": str(folder / "home")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@needs("vagrant")
# That of VMware comes with a plugin that is not in Debian.
@pytest.mark.parametrize("provider", [name for name in box.PROVIDERS if "vmware" not in name])
def test_vagrant_takes_the_file_for_each_provider(tmp_path: Path, provider: str) -> None:
    done = validate(
        tmp_path, WINSERVE_PROVIDER=provider, WINSERVE_BOX="mine", WINSERVE_BOX_URL="/a/file.box",
        WINSERVE_BOX_SHA256="0" * 64, WINSERVE_ADDRESS="192.168.56.10", WINSERVE_MEMORY="2048",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@needs("vagrant")
def test_a_value_that_cannot_be(tmp_path: Path) -> None:
    done = validate(tmp_path, WINSERVE_MEMORY="lots")
    assert done.returncode != 0
    assert 'invalid value for Integer(): "lots"' in done.stdout + done.stderr


def test_no_vagrant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingComponent, match="no program `vagrant`"):
        host_ready("vagrant")


def test_no_python_for_vagrant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vagrant", None)
    with pytest.raises(MissingComponent, match=r"python-vagrant(.|\n)*pytest-winserve\[vagrant\]"):
        host_ready("vagrant")


@needs("vagrant")
def test_no_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vagrant").symlink_to(shutil.which("vagrant") or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingComponent, match=r"no provider is ready(.|\n)*to get it: VirtualBox"):
        host_ready("vagrant")


def test_what_each_provider_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program in ("virsh", "VBoxManage"):
        (tmp_path / program).symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert dict(box.lacking({"vagrant-vmware-desktop"})) == {
        "virtualbox": "",
        "hyperv": "no program vmms",
        "vmware_desktop": "no program vmrun",
        "libvirt": "vagrant plugin install vagrant-libvirt",
    }


def test_a_guest_is_not_given_what_only_the_lab_needs() -> None:
    given = {Requirement(each).name for each in requirements(windows_markers("3.11.9"))}
    assert {"flask", "tornado", "requests", "pytest-xdist"} <= given
    assert not {"python-vagrant", "testcontainers"} & given


def test_no_vagrantfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(MissingComponent, match=r"no Vagrantfile(.|\n)*winserve setup vagrant"):
        box.find_folder()
    # The user's own comes first, then the lab's.
    write_files(tmp_path / "cache" / "pytest-winserve" / "vagrant")
    assert box.find_folder() == box.lab_folder()
    (tmp_path / "Vagrantfile").write_text("", "utf-8")
    assert box.find_folder() == tmp_path


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("", "vagrant:default"),
        ("win", "vagrant:win"),
        ("//python=py", "vagrant:default//python=py"),
    ],
)
def test_the_machine_is_named(argument: str, name: str) -> None:
    assert open_host(f"vagrant:{argument}" if argument else "vagrant").name == name


def test_the_configuration_of_ssh_is_vagrants(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("", "utf-8")
    with pytest.raises(UsageError, match="configuration is Vagrant's"):
        open_host(f"vagrant:win//ssh_config={tmp_path / 'config'}")
