"""A user's cookies are those that http.cookiejar keeps and sends."""

from __future__ import annotations

import urllib.request
from email.message import Message
from http.cookiejar import CookieJar
from typing import Any, cast

import pytest

from pytest_winserve.load.journeys.cookies import CookieRules, Jar

HEADERS = [
    "session=abc; Path=/; HttpOnly",
    "session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/",
    "a=1",
    "b=2; Path=/shop",
    "b=3; Path=/shop/",
    "c=4; Path=/sho",
    "d=5; Max-Age=3600",
    "d=5; Max-Age=0",
    "e=6; Expires=Wed, 01 Jan 2098 00:00:00 GMT",
    "e=6; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    "f=7; Secure",
    "g=8; Domain=shop.example",
    "g=9; Domain=.shop.example; Path=/",
    "h=10; Domain=other.example",
    "h=11; Domain=example",
    'i="with space; and more"; Path=/',
    "j=a=b==; SameSite=Lax",
    "k=",
]
PATHS = ["/", "/shop", "/shop/", "/shop/orders?page=/x", "/shopping", "/a/b/c"]


class Response:
    def __init__(self, header: str) -> None:
        self._headers = Message()
        self._headers["Set-Cookie"] = header

    def info(self) -> Message:
        return self._headers


@pytest.mark.parametrize("site", ["http://shop.example", "https://shop.example:8443"])
@pytest.mark.parametrize("asked", PATHS)
def test_as_http_cookiejar(site: str, asked: str) -> None:
    reference, jar = CookieJar(), Jar(CookieRules(site))
    for header in HEADERS:
        request = urllib.request.Request(site + asked)
        reference.extract_cookies(cast(Any, Response(header)), request)
        jar.set(header, asked)
        for path in PATHS:
            request = urllib.request.Request(site + path)
            reference.add_cookie_header(request)
            wanted = request.get_header("Cookie") or ""
            assert sorted(jar.header(path).split("; ")) == sorted(wanted.split("; ")), header


def test_an_address_keeps_its_cookies() -> None:
    jar = Jar(CookieRules("http://127.0.0.1:8080"))
    jar.set("session=abc; Path=/", "/login")
    jar.set("x=1; Domain=localhost", "/login")
    assert jar.header("/orders") == "session=abc"
    jar.set("session=def; Path=/", "/login")
    assert jar.header("/orders") == "session=def"


def test_what_is_known_has_an_end() -> None:
    jar = Jar(CookieRules("http://shop.example"))
    for number in range(1500):
        jar.set(f"c{number}=1; Path=/", "/")
    assert jar.header("/").count("=") == 1500


def test_the_value_of_one() -> None:
    jar = Jar(CookieRules("http://shop.example"))
    assert jar.value("csrf") is None
    jar.set("csrf=a%3Db; Path=/", "/")
    assert jar.value("csrf") == "a=b"
    jar.set("csrf=; Path=/; Max-Age=0", "/")
    assert jar.value("csrf") is None
