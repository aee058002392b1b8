"""Weighted requests in a file: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.load.plan import Request
from pytest_winserve.load.request_file import read_requests


def test_every_key(tmp_path: Path) -> None:
    (tmp_path / "order.bin").write_bytes(b"\x00order")
    file = tmp_path / "mix.toml"
    file.write_text(
        """
        [[request]]
        path = "/"
        weight = 8
        [[request]]
        path = "/orders"
        headers = { content-type = "application/vnd.shop+json", X-Key = "k" }
        json = { amount = 1 }
        [[request]]
        path = "/upload"
        method = "PUT"
        file = "order.bin"
        [[request]]
        path = "/note"
        body = "hello"
        """
    )
    own = {"content-type": "application/vnd.shop+json", "X-Key": "k"}
    assert read_requests(str(file)) == (
        Request("/", weight=8),
        Request("/orders", "POST", own, b'{"amount": 1}'),
        Request("/upload", "PUT", body=b"\x00order"),
        Request("/note", "POST", body=b"hello"),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"there is no \[\[request\]\] in it"),
        ("request = 3", r"there is no \[\[request\]\] in it"),
        ("[[request]\npath='/'", r"is not TOML: .*line 1"),
        ("[[requests]]\npath='/'", "line 1: there is no key 'requests'; did you mean request"),
        (
            "[[request]]\npath='/'\n[[request]]\npath='/b'\nwieght=2",
            "line 5: there is no key 'wieght'; did you mean weight",
        ),
        ("[[request]]\npath='/'\nzzz=2", "line 3: there is no key 'zzz'; known are path, method"),
        ("\n[[request]]\nweight=2", r"line 2: this \[\[request\]\] has no path"),
        ("[[request]]\npath='a'", "line 1: path='a': a path starts with '/'"),
        ("[[request]]\npath='/'\nweight='a'", "line 1: weight='a': a number > 0"),
        ("[[request]]\npath='/'\nbody='a'\njson=1", "line 1: body and json in one"),
        ("[[request]]\npath='/'\nbody=1", "line 1: body is a text"),
        ("[[request]]\npath='/'\nfile='none'", "line 1: file: .*none cannot be read"),
        ("[[request]]\npath='/'\njson=2020-01-01", "line 1: json: .*write it as a text"),
        ("[[request]]\npath='/'\nheaders=1", "line 1: headers=1: a mapping"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mix.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        read_requests(str(file))
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"requests: .* cannot be read"):
        read_requests(str(tmp_path / "none.toml"))
