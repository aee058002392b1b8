"""Whose certificates a load of an https:// URL takes, by the settings."""

from __future__ import annotations

from pathlib import Path

import certifi
import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.session.settings import resolve
from pytest_winserve.session.trusted import trust_of
from pytest_winserve.system.trust import SYSTEM, Trust

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----\n"


def given(**settings: object) -> Trust:
    return trust_of(resolve(settings, lambda key: None))


def test_those_of_the_system_those_of_a_file_or_any(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    text = Path(certifi.where()).read_text("utf-8")
    authority = text[text.index(BEGIN) : text.index(END) + len(END)]
    file.write_text(authority, "ascii")
    assert given() == SYSTEM
    assert given(ca=str(file)) == Trust(authority)
    assert given(insecure=True) == Trust(insecure=True)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it has no certificate as text"),
        (b"\x30\x82\xff", "it has no certificate as text .*`openssl x509 -inform der"),
        (
            b"-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n",
            "a certificate in it cannot be read",
        ),
    ],
)
def test_a_file_without_a_certificate(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=f"^ca=.*ca.pem: {why}"):
        given(ca=str(file))


def test_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ca=none.pem: No such file .*: name a file of cert"):
        given(ca="none.pem")
    with pytest.raises(UsageError, match=r"ca=ca.pem with insecure: .*; leave one out"):
        given(ca="ca.pem", insecure=True)
