"""Journeys in a file: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve import Journey, Step
from pytest_winserve.errors import UsageError
from pytest_winserve.load.journeys.journey import labels_of
from pytest_winserve.load.journeys.journey_file import read_journeys

ORDER = """\
[[journey]]
name = "order"
weight = 3
data = "users.csv"

  [[journey.step]]
  get = "/login"
  take = { csrf = 'name="csrf_token"[^>]*value="([^"]+)"' }

  [[journey.step]]
  post = "/login"
  form = { username = "{user}", password = "{password}", csrf_token = "{csrf}" }
  expect = { status = 302, header = { Location = "/orders" } }

  [[journey.step]]
  name = "my orders"
  get = "/orders"
  expect = { text = "Your orders, {user}" }
  think = [0.5, 1]
"""
USERS = "user,password\nann,secret-a\nben,secret-b\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "users.csv").write_text(USERS)
    return tmp_path


def test_the_file_is_what_python_says(folder: Path) -> None:
    file = folder / "order.toml"
    file.write_text(ORDER)
    in_python = Journey(
        "order",
        [
            Step(get="/login", take={"csrf": 'name="csrf_token"[^>]*value="([^"]+)"'}),
            Step(
                post="/login",
                form={"username": "{user}", "password": "{password}", "csrf_token": "{csrf}"},
                expect={"status": 302, "header": {"Location": "/orders"}},
            ),
            Step(
                get="/orders",
                name="my orders",
                expect={"text": "Your orders, {user}"},
                think=(0.5, 1),
            ),
        ],
        weight=3,
        data=folder / "users.csv",
    )
    assert read_journeys(file) == (in_python,)
    assert labels_of([in_python]) == ("GET /login", "POST /login", "my orders")
    assert Journey.from_dict(in_python.to_dict()) == in_python
    assert in_python.values_of(3) == {"user": "ben", "password": "secret-b"}


def test_every_body(folder: Path) -> None:
    (folder / "cat.png").write_bytes(b"\x89PNG")
    file = folder / "api.toml"
    file.write_text(
        """
        [[journey]]
        name = "api"
        rows = "random"
        data = "users.csv"
        [[journey.step]]
        post = "/api/items"
        json = { owner = "{user}", tags = ["a"] }
        take = { id = "json:$.items[0].id" }
        headers = { X-Key = "k" }
        [[journey.step]]
        put = "/api/items/{id}"
        body = '{"a": {"b": 1}, "literal": "{{id}}"}'
        take = { next = "header:Location" }
        [[journey.step]]
        get = "{next}"
        follow = true
        [[journey.step]]
        post = "/photo"
        form = { title = "cat", size = 3 }
        files = { photo = "cat.png" }
        [[journey.step]]
        delete = "/api/items/{id}"
        expect = { status = [204, 404] }
        """
    )
    (journey,) = read_journeys(str(file))
    photo = journey.steps[3]
    assert photo.form == {"title": "cat", "size": "3"}
    assert photo.uploads["photo"].content == b"\x89PNG"
    assert journey.steps[4].expected.status == (204, 404)
    assert Journey.from_dict(journey.to_dict()) == journey


def step(text: str) -> str:
    return f'[[journey]]\nname = "one"\n[[journey.step]]\n{text}\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = [", "order.toml is not TOML"),
        ("", r"order.toml: there is no \[\[journey\]\] in it, such as"),
        ("[[jorney]]\nname = 'a'", "line 1: there is no key 'jorney'; did you mean journey?"),
        (ORDER.replace("weight", "wieght"), "line 3: there is no key 'wieght'; did you mean weigh"),
        (ORDER.replace("expect = { s", "expct = { s"), "line 13: there is no key 'expct'; did you"),
        (
            ORDER.replace("status = 302", "staus = 302"),
            "line 10: expect: there is no key 'staus'; did you mean status?",
        ),
        (
            ORDER.replace("name = \"order\"\n", ""),
            r"line 1: this \[\[journey\]\] has no name, such as name = 'order'",
        ),
        (
            ORDER.replace('"{csrf}"', '"{csfr}"'),
            r"line 10: step 2: there is no value {csfr}: .*no such column.*; did you mean csrf\?",
        ),
        (
            ORDER.replace('get = "/login"', 'get = "/login?t={csrf}"'),
            r"line 6: step 1: the value \{csrf\} is used before it is taken, in step 1",
        ),
        (
            ORDER.replace('data = "users.csv"\n', ""),
            r"line 9: step 2: there is no value \{user\}: no .*, and the journey has no data",
        ),
        (
            ORDER.replace('([^"]+)', '([^"+)'),
            "line 6: take: csrf: the pattern .* does not compile: unterminated character set at",
        ),
        (
            step("get = '/'\ntake = { a = 'no group' }"),
            "line 3: take: a: the pattern 'no group' has no group: put what is to be taken in",
        ),
        (
            step("get = '/'\ntake = { a = 'json:items' }"),
            "take: a: 'json:items': a place in JSON is needed, such as",
        ),
        (
            step("get = '/'\ntake = { a = 'cookie:a b' }"),
            "take: a: 'cookie:a b': 'cookie:' and a name, such as 'cookie:csrftoken'",
        ),
        (
            step("get = 'http://elsewhere/'"),
            "line 3: 'http://elsewhere/' names a host: a journey .* a path only, such as '/'",
        ),
        (step("get = 'login'"), "line 3: path='login': a path starts with '/'"),
        (step("get = '/a b'"), "line 3: path='/a b': a path starts with '/' and has no spaces"),
        (step("get = '/'\npost = '/'"), "line 3: a step has one of get, .*: get and post are both"),
        (step("name = 'nothing'"), "line 3: a step has one of get, .*: none of them is there"),
        (step("get = '/'\nform = { a = 'b' }"), "get with form: a GET sends nothing; post = "),
        (step("post = '/'\nform = { a = 'b' }\njson = {}"), "form and json in one step: one"),
        (step("post = '/'\nform = { a = true }"), "form: a: a text is needed, in quotes"),
        (step("post = '/'\nfiles = { a = 'no.png' }"), "files: .*no.png cannot be read"),
        (step("get = '/'\nthink = [3, 1]"), r"think=\[3, 1\]: \[from, to\] is needed"),
        (step("get = '/'\nexpect = { status = '302' }"), "status='302': a number from 100 to 599"),
        (step("get = '/'\nheaders = { Connection = 'close' }"), "header 'Connection' cannot be"),
        (
            step("get = '/{env:WINSERVE_NOT_THERE}'"),
            "step 1: there is no environment variable WINSERVE_NOT_THERE: set it where this",
        ),
        (ORDER + ORDER.replace("get", "get"), "line 21: two journeys are called 'order': name"),
        (ORDER.replace("users.csv", "none.csv"), "line 1: data: .*none.csv cannot be read"),
        (ORDER.replace("weight = 3", 'rows = "once"'), "rows='once': one of 'in turn', 'random', "),
        (
            "[[journey]]\nname = 'a'\nrows = 'unique'\n[[journey.step]]\nget = '/'",
            "line 1: rows='unique' without data: name the CSV file by data",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(folder: Path, text: str, told: str) -> None:
    file = folder / "order.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=told) as raised:
        read_journeys(file)
    assert str(raised.value).startswith(str(folder))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "there is no row in it; the first line names the columns"),
        ("user,password\n", "there is no row in it"),
        ("user,user\na,b\n", "line 1: the column user is there twice"),
        ("user,password\na,secret\nb\n", "line 3: 1 values, but there are 2 columns"),
    ],
)
def test_data_that_cannot_be_dealt(folder: Path, text: str, told: str) -> None:
    (folder / "users.csv").write_text(text)
    (folder / "order.toml").write_text(ORDER)
    with pytest.raises(UsageError, match=told) as raised:
        read_journeys(folder / "order.toml")
    assert "secret" not in str(raised.value)


def test_too_few_rows_for_unique_ones(folder: Path) -> None:
    journey = Journey("a", [Step(get="/{user}")], data=folder / "users.csv", rows="unique")
    journey.check_users(2)
    with pytest.raises(UsageError, match=r"users.csv has 2 rows for 3 users: take fewer users, or"):
        journey.check_users(3)


def test_rows_by_chance_are_the_same_in_every_process() -> None:
    rows = [{"n": str(n)} for n in range(100)]
    dealt = [
        Journey("a", [Step(get="/{n}")], data=rows, rows="random").values_of(user)["n"]
        for user in range(50)
    ]
    again = Journey("a", [Step(get="/{n}")], data=rows, rows="random")
    assert dealt == [again.values_of(user)["n"] for user in range(50)]
    assert len(set(dealt)) > 10


def test_a_variable_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "hidden")
    journey = Journey("a", [Step(post="/login", form={"password": "{env:SHOP_PASSWORD}"})])
    assert journey.values_of(0) == {"env:SHOP_PASSWORD": "hidden"}
    monkeypatch.delenv("SHOP_PASSWORD")
    assert Journey.from_dict(journey.to_dict()) == journey
    assert "hidden" not in repr(journey) + str(journey.without_secrets().to_dict())


def test_what_is_shown_of_a_journey_has_no_secret(folder: Path) -> None:
    journey = Journey(
        "a",
        [
            Step(post="/", form={"password": "12345"}, headers={"Authorization": "Basic 12345"}),
            Step(post="/", json={"user": {"api_key": "12345"}}),
            Step(post="/", form={"password": "{password}"}),
        ],
        data=folder / "users.csv",
    )
    shown = journey.without_secrets()
    assert "12345" not in str(shown.to_dict())
    assert "secret-" not in str(shown.to_dict())
    assert "12345" not in repr(journey)
    assert shown.steps[2].form == {"password": "{password}"}
    assert Journey.from_dict(shown.to_dict()) == shown


def test_a_value_that_is_all_of_a_path_is_one() -> None:
    Journey("a", [Step(get="{place}")], data=[{"place": "/a"}, {"place": "/b?c=1"}])
    with pytest.raises(UsageError, match=r"what it is in row 2 is none: .* get = '/\{place\}'"):
        Journey("a", [Step(get="{place}")], data=[{"place": "/a"}, {"place": "b"}])


@pytest.mark.parametrize(
    "step",
    [
        Step(post="/", json={}),
        Step(post="/", json=0),
        Step(post="/", form={}),
        Step(post="/", body=""),
        Step(get="/", think=0),
        Step(get="/", think=(0, 0), follow=True),
    ],
)
def test_what_is_empty_is_not_lost_on_the_way(step: Step) -> None:
    assert Step.from_dict(step.to_dict()) == step
