"""The platforms whose wheels a machine takes."""

from __future__ import annotations

import platform
import sysconfig

import pytest
from packaging.tags import mac_platforms, platform_tags

from pytest_winserve.errors import UsageError
from pytest_winserve.shipping.platforms import wheel_platforms


def test_this_machine_takes_what_packaging_says_of_it() -> None:
    found = wheel_platforms(sysconfig.get_platform(), platform.libc_ver())
    # The plain name, as linux_x86_64, is first or last by the version of packaging.
    expected = [tag for tag in platform_tags() if not tag.startswith("linux_")]
    assert [tag for tag in found if not tag.startswith("linux_")] == expected


def test_the_older_names_of_a_glibc_follow_its_newer_ones() -> None:
    found = wheel_platforms("linux-x86_64", ("glibc", "2.18"))
    assert found[:3] == ["manylinux_2_18_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"]
    at = found.index("manylinux2010_x86_64")
    assert found[at - 1] == "manylinux_2_12_x86_64"
    assert found[-3:] == ["manylinux_2_5_x86_64", "manylinux1_x86_64", "linux_x86_64"]


def test_other_machines_than_pcs_have_no_wheels_for_a_glibc_before_2_17() -> None:
    assert wheel_platforms("linux-aarch64", ("glibc", "2.18")) == [
        "manylinux_2_18_aarch64",
        "manylinux_2_17_aarch64",
        "manylinux2014_aarch64",
        "linux_aarch64",
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linux-x86_64", ["musllinux_1_2", "musllinux_1_1", "musllinux_1_0", "linux"]),
        ("linux-aarch64", ["musllinux_1_2", "musllinux_1_1", "musllinux_1_0", "linux"]),
    ],
)
def test_a_linux_without_glibc_takes_wheels_for_musl(name: str, expected: list[str]) -> None:
    machine = name.removeprefix("linux-")
    assert wheel_platforms(name) == [f"{each}_{machine}" for each in expected]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("win-amd64", "win_amd64"), ("win-arm64", "win_arm64"), ("win32", "win32")],
)
def test_each_windows_has_one(name: str, expected: str) -> None:
    assert wheel_platforms(name) == [expected]


def test_a_mac_takes_wheels_for_older_ones() -> None:
    found = wheel_platforms("macosx-11.0-arm64")
    assert found == list(mac_platforms((11, 0), "arm64"))
    assert "macosx_11_0_universal2" in found


def test_one_that_is_not_known_is_refused() -> None:
    with pytest.raises(UsageError, match="which wheels fit aix-7 is not known here"):
        wheel_platforms("aix-7")
