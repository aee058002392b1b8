"""What pip calls the platforms of a machine, whose wheels a Python there takes."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.tags import mac_platforms

from pytest_winserve.errors import UsageError

OLDEST_GLIBC = 17
"""Of glibc 2, for every kind of machine (PEP 599)."""
OLDEST_GLIBC_OF = {"x86_64": 5, "i686": 5}
"""Of glibc 2, where there were Python wheels before that."""
NAMED = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""Other names of some versions of glibc 2 (PEP 600)."""
NEWEST_MUSL = 2
"""Of musl 1, which Python does not tell everywhere; wheels are made for 1.1 and 1.2."""


def wheel_platforms(platform: str, libc: tuple[str, str] = ("", "")) -> list[str]:
    """The platforms whose wheels a Python takes, best first.

    `platform` is what its `sysconfig.get_platform()` says, such as linux-x86_64 or win-amd64;
    `libc` what its `platform.libc_ver()` says, such as ("glibc", "2.36"). UsageError for a
    platform that is not known.
    """
    system, _, rest = platform.partition("-")
    if system == "linux" and libc[0] == "glibc":
        return [*_glibc(int(libc[1].split(".")[1]), rest), f"linux_{rest}"]
    if system == "linux":
        musl = [f"musllinux_1_{minor}_{rest}" for minor in range(NEWEST_MUSL, -1, -1)]
        return [*musl, f"linux_{rest}"]
    if system in {"win", "win32"}:
        return [platform.replace("-", "_")]
    if system == "macosx":
        version, _, machine = rest.partition("-")
        major, minor = map(int, version.split("."))
        return list(mac_platforms((major, minor), machine))
    raise UsageError(f"which wheels fit {platform} is not known here")


def _glibc(newest: int, machine: str) -> Iterator[str]:
    """The platforms of a Linux with glibc 2.`newest` (PEP 600), best first."""
    for minor in range(newest, OLDEST_GLIBC_OF.get(machine, OLDEST_GLIBC) - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
        if minor in NAMED:
            yield f"{NAMED[minor]}_{machine}"
