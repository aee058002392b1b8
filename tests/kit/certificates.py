"""Certificates for servers of tests: a good one, and each kind of a bad one.

`python -m tests.kit.certificates FOLDER` makes them. A Python that cannot make them itself, as that
inside Wine, takes those of the folder that the variable TEST_CERTIFICATES names.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pytest_winserve.system.trust import Trust

VARIABLE = "TEST_CERTIFICATES"
NAME = "127.0.0.1"
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Those of a folder. A server takes `KIND.crt` and `KIND.key`, where KIND is `good`, `expired`,
    `misnamed` (it is of another host) or `foreign` (by an authority that nobody knows)."""

    folder: Path

    @property
    def authority(self) -> Path:
        """Who signed all but the foreign one."""
        return self.folder / "authority.pem"

    @property
    def trusted(self) -> Trust:
        """Trust in that authority."""
        return Trust(self.authority.read_text("ascii"))

    @property
    def mistrusted(self) -> Trust:
        """Trust in another one alone."""
        return Trust((self.folder / "stranger.pem").read_text("ascii"))


def made(folder: Path) -> Certificates:
    """New ones, in a folder."""
    import trustme

    authority, stranger, unknown = trustme.CA(), trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    stranger.cert_pem.write_to_path(str(folder / "stranger.pem"))
    for kind, certificate in (
        ("good", authority.issue_cert(NAME)),
        ("expired", authority.issue_cert(NAME, not_after=LONG_AGO)),
        ("misnamed", authority.issue_cert("shop.example")),
        ("foreign", unknown.issue_cert(NAME)),
    ):
        for pem in certificate.cert_chain_pems:
            pem.write_to_path(str(folder / f"{kind}.crt"), append=True)
        certificate.private_key_pem.write_to_path(str(folder / f"{kind}.key"))
    return Certificates(folder)


def given() -> Certificates | None:
    """Those that somebody else has made for this process; None without."""
    folder = os.environ.get(VARIABLE)
    return None if folder is None else Certificates(Path(folder))


if __name__ == "__main__":
    made(Path(sys.argv[1]))
