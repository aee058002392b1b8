"""Whose certificates the settings trust."""

from __future__ import annotations

import ssl
from pathlib import Path

from pytest_winserve.errors import UsageError
from pytest_winserve.session.settings import Settings
from pytest_winserve.system.trust import Trust

NO_PEM = (
    "it has no certificate as text (PEM), between lines of BEGIN CERTIFICATE and END CERTIFICATE; "
    "`openssl x509 -inform der -in FILE -out FILE.pem` makes one of a binary file"
)


def trust_of(settings: Settings) -> Trust:
    """Whose certificates a load of an https:// URL takes, by the settings. Raises UsageError."""
    if settings.ca is None:
        return Trust(insecure=settings.insecure)
    name = f"ca={settings.ca}"
    if settings.insecure:
        raise UsageError(f"{name} with insecure: one checks and one does not; leave one out")
    try:
        trust = Trust(Path(settings.ca).read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}: name a file of certificates") from None
    except UnicodeDecodeError:
        raise UsageError(f"{name}: {NO_PEM}") from None
    if "-----BEGIN CERTIFICATE-----" not in trust.ca:
        raise UsageError(f"{name}: {NO_PEM}")
    try:
        trust.context()
    except ssl.SSLError as error:
        raise UsageError(f"{name}: a certificate in it cannot be read: {error.reason}") from None
    return trust
