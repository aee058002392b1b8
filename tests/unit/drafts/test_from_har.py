"""Journeys out of recordings: what is taken, what is kept secret, what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pytest_winserve.cli import cli
from pytest_winserve.load.journeys.journey import Journey
from pytest_winserve.load.journeys.journey_file import read_journeys
from pytest_winserve.load.journeys.steps import Step

TOKEN, TOKEN_2, KEY = (
    "IjQ3YzE2.Zz9xNQ.a8Qk2_x",
    "IjQ3YzE2.Zz9xTw.b7Rm4-y",
    "sk_live_9f8e7d6c5b4a3210",
)
PASSWORD = "pa55-word&more"  # noqa: S105 - of a test
LOGIN = f"""<html><form method="post">
<input type="hidden" name="csrf_token" value="{TOKEN}">
<input name="email"><input type="password" name="password"></form></html>"""
HOME = f"""<html><body><form action="/orders" method="post">
<input value="{TOKEN_2}" type="hidden" name="csrf_token">
<input name="amount"></form></body></html>"""


class Recording:
    """A HAR file that is made entry by entry."""

    def __init__(self, **shape: Any) -> None:
        self.entries: list[dict[str, Any]] = []
        self._shape = shape
        self._second = 0.0

    def add(
        self,
        request: str,
        status: int = 200,
        body: str | None = "",
        *,
        type: str = "text/html; charset=utf-8",
        sent: tuple[str, str] | None = None,
        headers: dict[str, str] | None = None,
        answer: dict[str, str] | None = None,
        after: float = 2.0,
        **more: Any,
    ) -> Recording:
        method, url = request.split(" ")
        self._second += after
        minute, second = divmod(self._second, 60)
        content: dict[str, Any] = {"size": -1 if body is None else len(body), "mimeType": type}
        if body is not None:
            content["text"] = body
        made: dict[str, Any] = {
            "method": method,
            "url": url if "://" in url else f"http://shop.example{url}",
            "headers": pairs(headers),
        }
        if sent is not None:
            made["postData"] = {"mimeType": sent[0], "text": sent[1]}
        self.entries.append(
            {
                "startedDateTime": f"2026-11-28T23:{int(minute):02}:{second:06.3f}+01:00",
                "time": 250,
                "request": made,
                "response": {"status": status, "headers": pairs(answer), "content": content},
            }
            | self._shape
            | more
        )
        return self

    def form(self, request: str, fields: str, status: int = 302, **more: Any) -> Recording:
        sent = ("application/x-www-form-urlencoded", fields)
        return self.add(request, status, sent=sent, **more)

    def json(self, request: str, value: object, **more: Any) -> Recording:
        return self.add(request, sent=("application/json", json.dumps(value)), **more)

    def write(self, folder: Path) -> Path:
        file = folder / "shop.har"
        file.write_text(json.dumps({"log": {"version": "1.2", "entries": self.entries}}))
        return file


def pairs(headers: dict[str, str] | None) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in (headers or {}).items()]


def told(recording: Recording, folder: Path, *options: str, status: int = 0) -> str:
    """What the command prints; the file is `shop.toml`."""
    line = ["journey", "from-har", str(recording.write(folder)), "--to", str(folder / "shop.toml")]
    done = CliRunner().invoke(cli, [*line, *options])
    assert done.exit_code == status, done.output
    return done.output


def made(recording: Recording, folder: Path, *options: str) -> Journey:
    """The journey of a recording, as it is read back."""
    told(recording, folder, *options)
    rows = folder / "users.csv"
    if rows.exists():
        columns = rows.read_text().strip().split(",")
        rows.write_text(f"{','.join(columns)}\n{','.join(f'my-{name}' for name in columns)}\n")
    (journey,) = read_journeys(folder / "shop.toml")
    return journey


def steps(journey: Journey) -> list[Step]:
    return list(journey.steps)


def logged_in(**shape: Any) -> Recording:
    """A login by a form with a token, another token on the page behind it, an order."""
    fields = f"csrf_token={TOKEN}&email=ann%40shop.example&password=pa55-word%26more"
    return (
        Recording(**shape)
        .add("GET /login", body=LOGIN, answer={"Set-Cookie": f"session={KEY}; HttpOnly"})
        .form("POST /login", fields, headers={"Cookie": f"session={KEY}"},
              answer={"location": "/"})
        .add("GET /", body=HOME, after=0.25)
        .form("POST /orders", f"csrf_token={TOKEN_2}&amount=2", answer={"Location": "/orders/17"})
        .add("GET /orders/17", body='<a href="/orders/17/edit">', after=0.25)
        .add("GET /orders/17/edit", body="17")
    )  # fmt: skip


@pytest.mark.parametrize(
    "shape",
    [
        {"_resourceType": "document", "_initiator": {"type": "other"}, "cache": {}},  # Chromium
        {"cache": {}, "_securityState": "insecure", "connection": "80"},  # Firefox
        {"pageref": "page@1", "_frameref": "frame@1", "serverIPAddress": "127.0.0.1"},  # Playwright
    ],
)
def test_a_login_with_tokens(tmp_path: Path, shape: dict[str, Any]) -> None:
    journey = made(logged_in(**shape), tmp_path)
    page, login, home, order, seen, edit = steps(journey)
    assert page.takes["csrf_token"].where == 'name="csrf_token"[^>]*value="([^"]+)"'
    assert page.takes["csrf_token"].all_in(LOGIN) == [TOKEN]
    assert login.form == {"csrf_token": "{csrf_token}", "email": "{email}",
                          "password": "{password}"}  # fmt: skip
    assert (login.expected.status, login.expected.header) == ((302,), {})
    # The token of the next page has the same name: that of the page before is used no more.
    assert home.takes["csrf_token"].all_in(HOME) == [TOKEN_2]
    assert order.form == {"csrf_token": "{csrf_token}", "amount": "2"}
    assert order.expected.header == {"Location": "/orders"}
    # What the order made has another number each time.
    assert (seen.path, seen.label) == ("{location}", "GET /orders/*")
    assert order.takes["location"].where == "header:Location"
    assert seen.takes["orders_id"].all_in('<a href="/orders/17/edit">') == ["17"]
    assert edit.path == "/orders/{orders_id}/edit"
    assert journey.table is not None
    assert journey.table.columns == ("email", "password")
    assert [step.think for step in journey.steps] == [1.8, None, 1.8, None, 1.8, None]
    text = (tmp_path / "shop.toml").read_text()
    for secret in (TOKEN, TOKEN_2, KEY, PASSWORD, "ann", "session"):
        assert secret not in text


def test_what_the_command_says(tmp_path: Path) -> None:
    recording = logged_in().add("GET /app.css", type="text/css").add("GET /x", status=0)
    text = told(recording, tmp_path)
    file, rows = tmp_path / "shop.toml", tmp_path / "users.csv"
    assert text == (
        f"{file}: 6 steps; left out: static files (1), requests without an answer (1)\n"
        "taken from answers: csrf_token (GET /login), csrf_token (GET /), location (POST /orders), "
        "orders_id (GET /orders/17)\n"
        f"write one row per user into {rows}: email,password\n"
        f"then try it: winserve journey check {file}\n"
    )
    again = told(recording, tmp_path, status=2)
    assert f"{tmp_path / 'shop.toml'} is there already: name another file by --to" in again
    (tmp_path / "shop.toml").unlink()
    (tmp_path / "users.csv").write_text("email,password\na,b\n")
    assert "users.csv is there already and stays as it is: it needs the columns email,password" in (
        told(recording, tmp_path)
    )
    assert (tmp_path / "users.csv").read_text() == "email,password\na,b\n"


def test_no_think_times_static_files_and_a_name(tmp_path: Path) -> None:
    recording = Recording().add("GET /").add("GET /app.css", type="text/css")
    journey = made(recording, tmp_path, "--think=none", "--static", "--name", 'the "shop"')
    assert [(step.label, step.think) for step in journey.steps] == [
        ("GET /", None), ("GET /app.css", None),
    ]  # fmt: skip
    assert journey.name == 'the "shop"'
    assert journey.table is None
    assert not (tmp_path / "users.csv").exists()


def test_json_its_tokens_and_its_keys(tmp_path: Path) -> None:
    recording = (
        Recording()
        .json("POST /api/login", {"user": "ann", "password": "x", "stay": True},
              body=json.dumps({"data": [{"access_token": KEY}]}), type="application/json")
        .json("POST /api/carts", {"of": "{me}", "note": None},
              body=json.dumps({"cart": {"id": 9, "count": 9}}), type="application/json",
              headers={"Authorization": f"Bearer {KEY}", "X-Api-Key": "my-own-api-key"})
        .json("PUT /api/carts/9", {"id": 9, "items": [1.5, "a"]}, type="application/json",
              headers={"X-Requested-With": "XMLHttpRequest", "Accept": "application/json",
                       "User-Agent": "Mozilla", "Sec-Fetch-Mode": "cors", "if-none-match": "1"})
    )  # fmt: skip
    login, cart, change = steps(made(recording, tmp_path, "--think=none"))
    assert login.json == {"user": "{user}", "password": "{password}", "stay": True}
    assert login.takes["access_token"].where == "json:$.data[0].access_token"
    assert cart.headers == {
        "Authorization": "Bearer {access_token}",
        "X-Api-Key": "{x_api_key}",
        "Content-Type": "application/json",
    }
    assert cart.body == '{"of": "{{me}}", "note": null}'
    assert cart.takes["carts_id"].where == "json:$.cart.id"
    assert change.path == "/api/carts/{carts_id}"
    assert change.body == '{"id": {carts_id}, "items": [1.5, "a"]}'
    assert change.headers["X-Requested-With"] == "XMLHttpRequest"
    assert not {"User-Agent", "Sec-Fetch-Mode", "if-none-match"} & change.headers.keys()
    assert KEY not in (tmp_path / "shop.toml").read_text()
    assert "my-own-api-key" not in (tmp_path / "shop.toml").read_text()


def test_secrets_in_other_places(tmp_path: Path) -> None:
    recording = (
        Recording()
        .add(f"GET http://me:secret@shop.example/feed?api_key={KEY}&page=2",
             headers={"Authorization": "Basic YW5uOnBhNTU="})
        .add("POST /rpc", sent=("text/xml", f"<c><password>{PASSWORD[:9]}</password>é</c>"))
        .form("POST /twice", f"tag=a&tag=b+c&note=see+{KEY}", status=200)
    )  # fmt: skip
    feed, rpc, twice = steps(made(recording, tmp_path, "--think=none"))
    assert feed.path == "/feed?api_key={api_key}&page=2"
    assert feed.headers == {"Authorization": "Basic {authorization}"}
    assert rpc.body == "<c><password>{password}</password>é</c>"
    assert rpc.headers == {}
    # A field that is there twice is no table; what was seen to be a secret is none of its text.
    assert twice.body == "tag=a&tag=b+c&note=see+{api_key}"
    assert twice.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    text = (tmp_path / "shop.toml").read_text()
    for secret in (KEY, PASSWORD[:9], "YW5uOnBhNTU=", "secret"):
        assert secret not in text


def test_a_recording_without_bodies_says_so(tmp_path: Path) -> None:
    recording = logged_in()
    for each in recording.entries:
        del each["response"]["content"]["text"]
        each["response"]["content"]["size"] = 1000
    text = told(recording, tmp_path)
    assert (
        "note: the recording has no body of GET /login, GET /, so where csrf_token is could not be "
        "seen: the usual place of it is written."
    ) in text
    assert "take Firefox, or Playwright with record_har_content='embed'" in text
    assert "note: 17 in GET /orders/17/edit was made during the recording" in text
    (tmp_path / "shop.toml").unlink()
    page, _, home, *_ = steps(made(recording, tmp_path))
    assert page.takes["csrf_token"].all_in(LOGIN) == [TOKEN]
    assert "csrf_token" in home.takes
    assert TOKEN not in (tmp_path / "shop.toml").read_text()


def test_a_key_that_came_with_an_answer_without_a_body(tmp_path: Path) -> None:
    recording = (
        Recording()
        .add("GET /api/me", body=None, type="application/json")
        .add("GET /api/items", headers={"Authorization": f"Bearer {KEY}"})
    )
    text = told(recording, tmp_path)
    assert "note: the recording has no body of GET /api/me: if authorization came with one" in text
    assert "write one row per user into" in text
    assert KEY not in (tmp_path / "shop.toml").read_text()


def test_a_token_that_only_a_cookie_has(tmp_path: Path) -> None:
    recording = (
        Recording()
        .add("GET /", body="<html>", answer={"Set-Cookie": "csrftoken=aB3dE5fG7hJ9kL1m; Path=/"})
        .json("POST /api", {"a": 1}, headers={"X-CSRFToken": "aB3dE5fG7hJ9kL1m"})
    )
    page, sent = steps(made(recording, tmp_path))
    assert {name: take.where for name, take in page.takes.items()} == {
        "x_csrftoken": "cookie:csrftoken"
    }
    assert sent.headers["X-CSRFToken"] == "{x_csrftoken}"
    assert "aB3dE5fG7hJ9kL1m" not in (tmp_path / "shop.toml").read_text()


def test_a_token_of_a_cookie_that_was_there_before(tmp_path: Path) -> None:
    headers = {"X-CSRFToken": "aB3dE5fG7hJ9kL1m", "Cookie": "csrftoken=aB3dE5fG7hJ9kL1m"}
    recording = Recording().add("GET /", body="<html>").json("POST /api", {}, headers=headers)
    text = told(recording, tmp_path)
    assert "note: X-CSRFToken of POST /api is what the cookie csrftoken has, and no answer" in text
    assert "aB3dE5fG7hJ9kL1m" not in (tmp_path / "shop.toml").read_text()


def test_a_recording_that_began_behind_the_login(tmp_path: Path) -> None:
    recording = Recording().add("GET /", headers={"Cookie": f"session={KEY}; theme=dark"})
    text = told(recording, tmp_path)
    assert "note: the cookie session was there when the recording began" in text
    assert "record anew in a private window, from before the login" in text


def test_several_hosts(tmp_path: Path) -> None:
    recording = (
        Recording()
        .add("GET http://shop.example:5000/", body="<html>")
        .add("GET https://api.example/items", type="application/json", body="[]")
        .add("GET https://cdn.example/app.js", type="text/javascript")
        .add("GET http://shop.example:5000/b")
    )
    text = told(recording, tmp_path, status=2)
    assert (
        "shop.har has requests to 2 hosts, and a journey goes to one: shop.example:5000 (2), "
        "api.example (1); name it by --only, such as --only shop.example:5000"
    ) in text
    text = told(recording, tmp_path, "--only=cdn.example", status=2)
    assert "--only cdn.example: shop.har has no request to it; its hosts are shop" in text
    assert not (tmp_path / "shop.toml").exists()
    journey = made(recording, tmp_path, "--only=http://shop.example:5000/")
    assert [step.label for step in journey.steps] == ["GET /", "GET /b"]


def test_what_is_no_step(tmp_path: Path) -> None:
    recording = (
        Recording()
        .add("OPTIONS /api", 204)
        .add("GET ws://shop.example/live", 101)
        .add("GET /live", 101)
        .add("GET /.well-known/appspecific/com.chrome.devtools.json", 404)
        .add("GET /favicon.ico", 404)
        .add("GET http://shop.example/", 301, answer={"Location": "https://shop.example/"})
        .add("GET https://shop.example/", 304)
        .add("GET https://shop.example/gone", 404)
    )
    journey = made(recording, tmp_path, "--think=none")
    assert [(step.label, step.expected.status) for step in journey.steps] == [
        ("GET /", (200,)), ("GET /gone", (404,)),
    ]  # fmt: skip
    only_static = Recording().add("GET /app.css", type="text/css")
    (tmp_path / "shop.toml").unlink()
    assert "nothing that a journey could send: it has static files (1); --static takes" in told(
        only_static, tmp_path, status=2
    )


def test_an_upload(tmp_path: Path) -> None:
    parts = (
        '--X\r\nContent-Disposition: form-data; name="title"\r\n\r\nMy cat\r\n--X\r\nContent-'
        'Disposition: form-data; name="photo"; filename="C:\\fakepath\\cat.png"\r\n\r\n\r\n--X--'
    )
    recording = Recording().add("POST /u", sent=("multipart/form-data; boundary=X", parts))
    assert "note: put cat.png beside the file of the journey" in told(recording, tmp_path)
    (tmp_path / "shop.toml").unlink()
    (tmp_path / "cat.png").write_bytes(b"cat")
    (step,) = steps(made(recording, tmp_path))
    assert step.form == {"title": "My cat"}
    assert step.uploads["photo"].name == "cat.png"


def test_values_that_look_alike_stay_as_they_are(tmp_path: Path) -> None:
    recording = (
        Recording()
        .form("POST /login", "username=admin&password=test", answer={"Location": "/admin"})
        .add("GET /admin/users/admin?q=test&order=price-1-to-20")
        .form("POST /admin/save", "kind=test&slug=my-new-article-2026-for-all", status=200)
    )
    _, page, save = steps(made(recording, tmp_path))
    assert page.path == "/admin/users/{username}?q=test&order=price-1-to-20"
    assert save.form == {"kind": "test", "slug": "my-new-article-2026-for-all"}


@pytest.mark.parametrize("password", ["password", "password1", "admin", "x"])
def test_a_password_that_is_a_word_like_others(tmp_path: Path, password: str) -> None:
    fields = f"username=admin&password={password}&password1={password}&next=%2Fpassword"
    recording = Recording().form("POST /password", fields, answer={"Location": "/admin"})
    (login,) = steps(made(recording, tmp_path))
    assert login.path == "/password"
    assert login.form is not None
    assert login.form["next"] == "/password"
    assert login.form["password"] == login.form["password1"]
    assert login.form["password"] in ("{password}", "{username}")


def test_a_token_in_a_path_is_not_said(tmp_path: Path) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl"  # noqa: S105 - of a test
    recording = (
        Recording()
        .add(f"GET /reset/{token}", body=f'<input name="csrf_token" value="{TOKEN}">')
        .form(f"POST /reset/{token}", f"csrf_token={TOKEN}&password=new-pa55word")
    )
    text = told(recording, tmp_path) + (tmp_path / "shop.toml").read_text()
    assert "csrf_token (GET /reset/*)" in text
    assert 'get = "/reset/{reset_id}"' in text
    assert token not in text
    assert "new-pa55word" not in text
