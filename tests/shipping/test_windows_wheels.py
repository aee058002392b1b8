"""What an app requires, as wheels for Windows; got without any index."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.errors import StartError
from pytest_winserve.shipping.platforms import wheel_platforms
from pytest_winserve.shipping.wheels import wheels_for
from pytest_winserve.shipping.windows_python import PLATFORM, windows_markers
from pytest_winserve.shipping.windows_wheels import WindowsWheels
from tests.kit.components import needs
from tests.kit.packages import source_package

pytestmark = needs("minutes")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip finds something."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def gathered(folder: Path, *requirements: str) -> tuple[WindowsWheels, list[str]]:
    told: list[str] = []
    into = folder / "wheels"
    into.mkdir()
    options = wheels_for("3.11", wheel_platforms(PLATFORM))
    wheels = WindowsWheels(into, windows_markers("3.11.9"), options, None, told.append)
    wheels.gather(requirements)
    return wheels, told


def names(wheels: WindowsWheels) -> list[str]:
    return sorted(Path(file).name for file in wheels.files())


def test_what_has_only_its_source_is_built_here_with_what_it_requires(
    tmp_path: Path, packages: Path
) -> None:
    source_package(
        packages,
        "shop",
        requires=("tools[more]; sys_platform == 'win32'", "other; os_name != 'nt'"),
    )
    source_package(packages, "tools", requires=("colours; extra == 'more'",))
    source_package(packages, "colours")
    wheels, told = gathered(tmp_path, "shop>=1", "absent; sys_platform != 'win32'")
    wheels.check()
    assert names(wheels) == [
        f"{name}-1.0-py3-none-any.whl" for name in ("colours", "shop", "tools")
    ]
    assert told[0].strip() == "shop>=1 has only its source, built here"
    assert len(told) == 3


def test_all_that_cannot_be_had_is_told_at_once(tmp_path: Path, packages: Path) -> None:
    source_package(packages, "fast", tag="cp311-cp311-linux_x86_64")
    source_package(packages, "pure", requires=("deep>=2",))
    (packages / "deep-1.0-py3-none-any.whl").write_bytes(b"")
    (packages / "loop-1.0-cp311-cp311-manylinux2014_x86_64.whl").write_bytes(b"PK")
    broken = source_package(packages, "broken")
    broken.write_bytes(b"no archive")
    wheels, _ = gathered(tmp_path, "fast", "pure", "broken", "absent==3")
    with pytest.raises(StartError) as caught:
        wheels.check()
    first, *lines, advice = str(caught.value).splitlines()
    assert first == "not everything that the app requires can be had for Windows:"
    assert [line.split(":")[0].strip() for line in lines] == [
        "absent==3", "broken", "deep>=2 (for pure)", "fast",
    ]  # fmt: skip
    said = {line.split(":")[0].strip().split()[0]: line for line in lines}
    assert "there is no such package, or no such version" in said["absent==3"]
    assert "its source cannot be built here" in said["broken"]
    assert "only its source, which needs a compiler there" in said["fast"]
    assert advice.endswith('broken; sys_platform != "win32"')


def test_two_who_want_other_versions(tmp_path: Path, packages: Path) -> None:
    source_package(packages, "shop", requires=("tools<1",))
    source_package(packages, "tools")
    wheels, _ = gathered(tmp_path, "shop", "tools>=1")
    with pytest.raises(StartError) as caught:
        wheels.check()
    assert "(for the app, shop): no version of it is what all of these want" in str(caught.value)
