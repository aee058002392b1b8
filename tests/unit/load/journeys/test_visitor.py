"""A user on a journey: what it sends, and what it makes of answers."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pytest_winserve import Journey, Step
from pytest_winserve.load.journeys.compiled import Journeys
from pytest_winserve.load.journeys.steps import Upload
from pytest_winserve.load.journeys.visitor import Answer, Visitor

URL = "http://127.0.0.1:8000"
HTML = [(b"content-type", b"text/html; charset=utf-8")]


def visitor(*steps: Step, **more: Any) -> Visitor:
    made = Visitor(Journeys([Journey("one", steps, **more)], URL, "tag"), 0)
    made.set_out()
    return made


def answer(
    body: str | bytes = "", status: int = 200, fields: Sequence[tuple[bytes, bytes]] = ()
) -> Answer:
    text = body.encode() if isinstance(body, str) else body
    return Answer(status, [*HTML, *fields], text)


def sent(one: Visitor) -> tuple[str, Mapping[str, str], str]:
    """The first line, the headers and the body of what it sends."""
    head, _, body = one.request().partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        assert name not in headers
        headers[name] = value
    if body or "Content-Length" in headers:
        assert int(headers["Content-Length"]) == len(body)
    return first, headers, body.decode()


def test_a_login_as_it_is_sent() -> None:
    one = visitor(
        Step(get="/login", take={"csrf": 'value="([^"]+)"'}),
        Step(post="/login?u={user}", form={"user": "{user}", "a{b": "{csrf}=&{{csrf}}"}),
        data=[{"user": "ann & bö"}],
    )
    assert sent(one) == ("GET /login HTTP/1.1", {"Host": URL[7:], "X-Winserve": "tag"}, "")
    page = answer('<input value="a&amp;b">', fields=[(b"set-cookie", b"session=x; Path=/")])
    assert one.take_in(page) is None
    first, headers, body = sent(one)
    assert first == "POST /login?u=ann%20%26%20b%C3%B6 HTTP/1.1"
    assert headers == {
        "Host": URL[7:],
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Winserve": "tag",
        "Cookie": "session=x",
        "Referer": f"{URL}/login",
        "Content-Length": str(len(body)),
    }
    assert body == "user=ann+%26+b%C3%B6&a%7Bb=a%26b%3D%26%7Bcsrf%7D"
    assert one.take_in(answer(status=302)) is None
    assert one.arrived


def test_json_headers_and_a_place_in_an_answer() -> None:
    one = visitor(
        Step(post="/items", json={"owner": "{user}", "n": [1]}, take={"id": "json:$.items[0].id"}),
        Step(put="/items/{id}", body="{id}", headers={"X-U": "{user}"}, take={"t": "header:Link"}),
        Step(get="{t}"),
        data=[{"user": 'a"b'}],
    )  # fmt: skip
    assert sent(one)[2] == '{"owner": "a\\"b", "n": [1]}'
    assert one.take_in(Answer(201, [], b'{"items": [{"id": 7}]}')) is None
    first, headers, body = sent(one)
    assert (first, headers["X-U"], body) == ("PUT /items/7 HTTP/1.1", 'a"b', "7")
    assert one.take_in(Answer(200, [(b"link", f"{URL}/next?a=1#top".encode())], b"")) is None
    assert sent(one)[0] == "GET /next?a=1 HTTP/1.1"


def test_a_token_that_a_cookie_has_goes_back_in_a_header() -> None:
    one = visitor(
        Step(get="/shop/", take={"csrf": "cookie:XSRF-TOKEN"}),
        Step(
            post="/api", json={}, headers={"X-XSRF-TOKEN": "{csrf}"}, take={"csrf": "cookie:none"}
        ),
    )
    sent(one)
    set_cookie = [
        (b"set-cookie", b"XSRF-TOKEN=old; Path=/"),
        (b"set-cookie", b"XSRF-TOKEN=a%2Bb%3D; Path=/shop"),
    ]
    assert one.take_in(answer(fields=set_cookie)) is None
    assert sent(one)[1]["X-XSRF-TOKEN"] == "a+b="
    unmet = one.take_in(answer("the token a+b=, or a%2Bb%3D"))
    assert unmet is not None
    assert unmet.expected == "{csrf} to be found by cookie:none"
    assert unmet.text == "the token (not shown), or (not shown)"


def test_an_upload() -> None:
    one = visitor(Step(post="/p", form={"title": "cat"}, files={"f": Upload("c.png", b"PNG")}))
    _, headers, body = sent(one)
    edge = headers["Content-Type"].partition("boundary=")[2]
    assert body == (
        f'--{edge}\r\nContent-Disposition: form-data; name="title"\r\n\r\ncat\r\n'
        f'--{edge}\r\nContent-Disposition: form-data; name="f"; filename="c.png"\r\n'
        f"Content-Type: image/png\r\n\r\nPNG\r\n--{edge}--\r\n"
    )


@pytest.mark.parametrize(
    ("step", "got", "expected"),
    [
        (Step(get="/"), answer(status=404), "status 2xx or 3xx"),
        (Step(get="/", expect={"status": [201, 302]}), answer(), "status 201 or 302"),
        (Step(get="/", expect={"text": "Hello"}), answer("Bye"), "text 'Hello'"),
        (
            Step(get="/", expect={"header": {"Location": "/a"}}),
            answer(status=302, fields=[(b"location", b"/b")]),
            "header Location: '/a'",
        ),
        (Step(get="/", take={"id": "id=(.)"}), answer("none"), "{id} to be found by id=(.)"),
        (Step(get="/", take={"id": "json:$.id"}), answer("<p>"), "{id} to be found by json:$.id"),
        (
            Step(get="/", follow=True),
            answer(status=302, fields=[(b"location", b"https://127.0.0.1:8000/")]),
            "a redirect that stays on the site",
        ),
        (Step(get="/", follow=True), answer(status=302), "a redirect that stays on the site"),
    ],
)
def test_what_is_not_as_expected(step: Step, got: Answer, expected: str) -> None:
    one = visitor(step)
    one.request()
    unmet = one.take_in(got)
    assert unmet is not None
    assert unmet.expected == expected
    assert unmet.status == str(got.status)


def test_what_is_as_expected() -> None:
    steps = [
        Step(get="/", expect={"status": 404}),
        Step(get="/", expect={"text": "O'Brien & {user}"}),
        Step(get="/", expect={"text": "packed"}),
    ]
    one = visitor(*steps, data=[{"user": "sons"}])
    packed = gzip.compress(b"packed")
    for got in (
        answer(status=404),
        answer("<p>O&#39;Brien &amp; sons</p>"),
        answer(packed, fields=[(b"content-encoding", b"gzip")]),
    ):
        one.request()
        assert one.take_in(got) is None
    assert one.arrived


def test_an_endless_redirect_has_an_end() -> None:
    one = visitor(Step(post="/", form={"a": "b"}, follow=True))
    sent(one)
    for _ in range(10):
        assert one.take_in(answer(status=302, fields=[(b"location", b"again")])) is None
        assert sent(one)[0] == "GET /again HTTP/1.1"
    unmet = one.take_in(answer(status=302, fields=[(b"location", b"again")]))
    assert unmet is not None
    assert unmet.expected == "an end of the redirects after 10"


def test_a_redirect_that_keeps_the_method_sends_again() -> None:
    one = visitor(Step(post="/a", form={"a": "b"}, follow=True))
    sent(one)
    one.take_in(answer(status=308, fields=[(b"location", b"/a/")]))
    assert sent(one)[::2] == ("POST /a/ HTTP/1.1", "a=b")
    one.take_in(answer(status=303, fields=[(b"location", b"/done")]))
    assert sent(one)[::2] == ("GET /done HTTP/1.1", "")


def test_evidence_has_no_secret() -> None:
    one = visitor(
        Step(get="/", take={"csrf": 'csrf" value="([^"]+)"'}),
        Step(post="/", expect={"status": 302}),
        data=[{"user": "ann", "password": "p&ss w<rd", "pin": "42"}],
    )
    one.request()
    one.take_in(
        answer('<input name="csrf" value="tok-1">', fields=[(b"set-cookie", b"session=cook-1")])
    )
    one.request()
    page = (
        "Sorry ann, p&amp;ss w&lt;rd p%26ss+w%3Crd and pin 42 of 1423 cook-1 tok-1 "
        '<input name="csrf" value="tok-2"> <b>p&ss w<rd</b> eyJhbGciOiJIUzI1NiIsInR5cCI6 end'
    )
    unmet = one.take_in(answer(page))
    assert unmet is not None
    for hidden in ("ann", "p&", "p%26ss", "rd", "cook-1", "tok-1", "tok-2", "eyJ", " 42 "):
        assert hidden not in unmet.text
    assert unmet.text.startswith("Sorry (not shown), ")
    assert "of 1423" in unmet.text
    assert unmet.text.endswith(" end")


def test_evidence_has_no_secret_of_one_character_where_it_stands_alone() -> None:
    one = visitor(Step(get="/", take={"shelf": "shelf=(.)"}, expect={"text": "never"}))
    one.request()
    unmet = one.take_in(answer('<b>shelf=b</b> {"b": "ab"} /b?b=%62'))
    assert unmet is not None
    hidden = "(not shown)"
    assert unmet.text == f'<b>shelf={hidden}</b> {{"{hidden}": "ab"}} /{hidden}?{hidden}=%62'


def test_journeys_are_taken_by_weight_and_their_cookies_begin_anew() -> None:
    journeys = Journeys(
        [
            Journey("often", [Step(get="/", headers={"Cookie": "key=1"})], weight=3),
            Journey("seldom", [Step(get="/")]),
        ],
        URL,
        None,
    )
    one = Visitor(journeys, 0)
    chosen = []
    for _ in range(400):
        one.set_out()
        chosen.append(one.chosen)
        cookie = sent(one)[1].get("Cookie")
        assert cookie == (None if one.chosen else "key=1")
        one.take_in(answer(fields=[(b"set-cookie", b"a=1")]))
    assert 250 < chosen.count(0) < 350


def test_a_step_that_names_its_cookies_sends_no_others_and_braces_stay() -> None:
    one = visitor(
        Step(get="/"),
        Step(get="/a", headers={"Cookie": "own=1", "X": "{{x}}"}, expect={"text": "{{x}}"}),
    )
    one.request()
    one.take_in(answer(fields=[(b"set-cookie", b"a=1; Path=/")]))
    _, headers, _ = sent(one)
    assert (headers["Cookie"], headers["X"]) == ("own=1", "{x}")
    assert one.take_in(answer("<p>{x}</p>")) is None
