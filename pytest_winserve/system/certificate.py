"""The certificate of a site that is served over TLS, made for it by trustme."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pytest_winserve.errors import MissingComponent
from pytest_winserve.system.trust import Trust

CHAIN_FILE, KEY_FILE = "tls.crt", "tls.key"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server shows and keeps, and that of who signed it; all as text (PEM)."""

    chain: str
    key: str = field(repr=False)
    ca: str

    @property
    def trust(self) -> Trust:
        """What its clients trust."""
        return Trust(self.ca)

    def write(self, folder: Path) -> None:
        """Write what a server reads: CHAIN_FILE, and KEY_FILE, which only its owner may read."""
        (folder / CHAIN_FILE).write_text(self.chain, "ascii")
        key = folder / KEY_FILE
        key.touch(mode=0o600)
        key.write_text(self.key, "ascii")


def certificate_of(names: Iterable[str]) -> Certificate:
    """One for these names and addresses, by an authority of its own that nobody else trusts.

    Raises MissingComponent without trustme."""
    try:
        import trustme
    except ImportError as error:
        raise MissingComponent(
            "trustme",
            f"it makes the certificate of a site that is served over TLS (front.tls): {error}",
            'python -m pip install "pytest-winserve[tls]"',
        ) from None
    authority = trustme.CA(organization_name="pytest-winserve")
    made = authority.issue_cert(*names)
    return Certificate(
        "".join(pem.bytes().decode("ascii") for pem in made.cert_chain_pems),
        made.private_key_pem.bytes().decode("ascii"),
        authority.cert_pem.bytes().decode("ascii"),
    )
