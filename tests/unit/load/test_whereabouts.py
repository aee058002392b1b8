"""What leads elsewhere than to where the client asked."""

from __future__ import annotations

import pytest

from pytest_winserve.load.results.answers import AnswerKind, Answers, Reference
from pytest_winserve.load.results.whereabouts import PROXY_FIX, Asked, Told, astray, attributes

PAGE = "GET /page"
BACKENDS = ("127.0.0.1:9001", "127.0.0.1:9002")


def told(
    location: str = "", *cookies: str, host: str = "127.0.0.1:8000", scheme: str = "http"
) -> tuple[str, ...]:
    return astray(
        {PAGE: Asked(scheme, host, "/page?a=/x")}, [Told(PAGE, location, cookies)], BACKENDS
    )


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (
            "http://127.0.0.1:9002/login",
            "a backend's own address, and the client asked http://127.",
        ),
        ("//localhost:9001/login", "a backend's own address"),
        ("https://127.0.0.1:8000/", "another scheme than the client's"),
        ("https://127.0.0.1/", "another scheme than the client's"),
        ("http://127.0.0.1/login", "another port than the client's"),
        ("http://localhost:5000/", "another port than the client's"),
    ],
)
def test_a_redirect_elsewhere(location: str, words: str) -> None:
    (found,) = told(location)
    assert found.startswith(f"GET /page redirects to {location}, {words}")
    assert PROXY_FIX in found


@pytest.mark.parametrize(
    "location",
    ["", "/login", "?page=2", "login", "http://127.0.0.1:8000/login", "http://localhost:8000/",
     "https://accounts.example/login", "http://127.0.0.1:none/", "mailto:a@b.example",
     "http://[::1/"],
)  # fmt: skip
def test_a_redirect_that_leads_where_it_should(location: str) -> None:
    assert told(location) == ()


def test_the_host_is_what_the_client_calls_it() -> None:
    assert told("http://shop.example/login", host="shop.example") == ()
    assert told("https://shop.example/", host="shop.example:443", scheme="https") == ()
    (words,) = told("http://shop.example/", host="shop.example", scheme="https")
    assert "X-Forwarded-Proto" in words


def test_a_backend_that_is_asked_itself_leads_to_itself() -> None:
    assert told("http://127.0.0.1:9001/login", host="127.0.0.1:9001") == ()


@pytest.mark.parametrize(
    ("cookie", "words"),
    [
        ("session; Domain=.shop.example; Path=/", "Domain=shop.example, and the client asked 127."),
        ("session; Secure; Path=/", "Secure, and the client asked by http"),
        ("session; Path=/shop", "Path=/shop, and the client asked /page"),
        ("session; path=/pa", "Path=/pa, and the client asked /page"),
    ],
)
def test_a_cookie_that_does_not_come_back(cookie: str, words: str) -> None:
    (found,) = told("", cookie)
    assert found.startswith(f"GET /page sets the cookie session with {words}")


@pytest.mark.parametrize("cookie", ["session", "a; HttpOnly; Path=/", "a; Path=/page", "a; Path="])
def test_a_cookie_that_comes_back(cookie: str) -> None:
    assert told("", cookie) == ()


def test_a_cookie_of_the_domain_above() -> None:
    assert told("", "a; Domain=example; Secure", host="shop.example", scheme="https") == ()


def test_each_kind_is_told_once() -> None:
    cookies = ("a; Secure", "b; Secure", "c; Path=/elsewhere")
    assert len(told("http://127.0.0.1:9001/", *cookies)) == 3


def test_no_value_of_a_cookie_is_kept() -> None:
    assert attributes("session=secret; Secure; Path=/") == "session; Secure; Path=/"
    assert attributes("session=secret") == "session"


def test_it_is_the_same_after_a_file_and_older_files_have_none() -> None:
    made = Answers(
        (AnswerKind(PAGE, "302", "/", 0, 3),),
        (Reference(PAGE, "302", set_cookies=("a; Secure",)),),
        ("words",),
    )
    data = made.to_dict()
    assert Answers.from_dict(data) == made
    del data["astray"], data["before"][0]["set_cookies"]
    assert Answers.from_dict(data).astray == ()
