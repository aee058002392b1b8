"""Whose certificates a client of an https:// URL takes."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from pytest_winserve.system.ports import Address


@dataclass(frozen=True, slots=True)
class Trust:
    """Certificates signed by those in `ca` (PEM) alone, else by those that the system trusts; any
    at all if `insecure`."""

    ca: str = ""
    insecure: bool = False

    def context(self) -> ssl.SSLContext:
        """What connects by it. ssl.SSLError when `ca` has no certificate."""
        context = ssl.create_default_context(cadata=self.ca or None)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        return context


def site_url(address: Address, trust: Trust | None) -> str:
    """`http://HOST:PORT`, or `https://HOST:PORT` where there is something to trust."""
    return "{}://{}:{}".format("http" if trust is None else "https", *address)


SYSTEM = Trust()
"""Those that the system trusts."""
