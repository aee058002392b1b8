"""A first journey file for an app, out of its routes: an example that runs, with what else can be
said as comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from pytest_winserve.drafts import takes, toml_text
from pytest_winserve.drafts.forms import Form, forms_in
from pytest_winserve.drafts.har_file import Answer
from pytest_winserve.drafts.secret_names import is_csrf, looks_made
from pytest_winserve.load.journeys.templates import NAME, escaped

MOST_STEPS = 10
LOGIN = re.compile(r"(log|sign)[-_]?(in|on)\b", re.IGNORECASE)
WITH_EFFECT = re.compile(
    r"(log|sign)[-_]?(out|off)|delete|remove|reset|drop|clear|purge|stop|shutdown|unsubscribe",
    re.IGNORECASE,
)
"""Routes that are better not asked unless somebody means it."""


@dataclass(frozen=True, slots=True)
class LoginPage:
    """A page with a form for a login."""

    path: str
    page: str
    form: Form


def login_path(routes: Sequence[Mapping[str, Any]]) -> str | None:
    """The path of the login, if a route looks like one that has a page with a form."""
    for each in routes:
        rule = str(each["rule"])
        if each["plain"] and LOGIN.search(rule) and {"GET", "POST"} <= _methods_of(routes, rule):
            return rule
    return None


def login_page(path: str, page: str) -> LoginPage | None:
    """The form of a page that asks for a password; None where there is none."""
    return next((LoginPage(path, page, f) for f in forms_in(page) if f.asks_password), None)


def example(app: str, routes: Sequence[Mapping[str, Any]], login: LoginPage | None) -> str | None:
    """The text of a file; None where no route can be asked without knowing more."""
    plain = dict.fromkeys(
        str(each["rule"]) for each in routes if each["plain"] and "GET" in each["methods"]
    )
    asked = [
        rule for rule in plain if not WITH_EFFECT.search(rule) and (not login or rule != login.path)
    ]
    if not asked:
        return None
    lines = [*_head(app), *_visitor(asked[:MOST_STEPS]), *_others(routes, asked[:MOST_STEPS])]
    if login is not None:
        lines += _login(login, asked[0])
    return "\n".join(lines) + "\n"


def _methods_of(routes: Sequence[Mapping[str, Any]], rule: str) -> set[str]:
    return {method for each in routes if each["rule"] == rule for method in each["methods"]}


def _head(app: str) -> Iterator[str]:
    yield toml_text.comment(f"What users of {app} do, step by step. Each user has its own cookies.")
    yield ""


def _visitor(paths: Sequence[str]) -> Iterator[str]:
    yield "[[journey]]"
    yield 'name = "visitor"'
    yield "# weight = 3                 how often, beside the other journeys of this file"
    yield '# data = "users.csv"         a row for each user; {name} is the value of its column'
    for number, path in enumerate(paths):
        yield ""
        yield "  [[journey.step]]"
        yield f"  get = {toml_text.text(escaped(path))}"
        if number == 0:
            yield '  # expect = { status = 200, text = "Welcome" }    else any 2xx or 3xx is good'
            yield "  # think = [1, 3]            seconds that the user waits after it"
            yield """  # take = { key = 'data-key="([^"]+)"' }    for steps after it: {key}"""


def _others(routes: Sequence[Mapping[str, Any]], asked: Sequence[str]) -> Iterator[str]:
    """The routes that need to be told more, as comments."""
    left = [
        (method, str(each["rule"]))
        for each in routes
        for method in each["methods"]
        if method != "GET" or each["rule"] not in asked
    ]
    if left:
        yield ""
        yield "# Routes that are not asked above:"
    for method, rule in dict.fromkeys(left):
        yield toml_text.comment(f"  {method} {rule}")
    if left:
        yield "# A step that sends a form, and one that sends JSON:"
        yield "#   [[journey.step]]"
        yield '#   post = "/orders"'
        yield '#   form = { amount = "1" }'
        yield "#   expect = { status = 302 }"
        yield "#   [[journey.step]]"
        yield '#   post = "/api/orders"'
        yield "#   json = { amount = 1 }"
        yield "#   take = { id = 'json:$.id' }      then: get = \"/api/orders/{id}\""


def _login(login: LoginPage, then: str) -> Iterator[str]:
    """The login as comments, since it needs accounts: what is behind `# ` is TOML."""
    form = login.form
    hidden = {each.name: each.value for each in form.fields if each.type == "hidden"}
    typed = [each.name for each in form.fields if each.type not in ("hidden", "checkbox", "file")]
    answer = Answer(200, {}, "text/html", login.page)
    taken = {
        name: takes.take_of(value, name, answer) or takes.guessed(name, header=False)
        for name, value in hidden.items()
        if is_csrf(name) or looks_made(value)
    }
    sent = {name: f"{{{_word(name)}}}" for name in typed}
    sent |= {
        name: f"{{{_word(name)}}}" if name in taken else escaped(value)
        for name, value in hidden.items()
    }
    take = {_word(name): where for name, where in taken.items()}
    action = urlsplit(urljoin(f"http://site{login.path}", form.action or login.path)).path
    columns = ",".join(map(_word, typed))
    yield ""
    yield f"# The login. users.csv is needed beside this file: {columns} in its first line, then a"
    yield "# line for each user. Then take the `# ` away before each line from here to the end."
    yield "# [[journey]]"
    yield '# name = "login"'
    yield '# data = "users.csv"'
    yield "#   [[journey.step]]"
    yield f"#   get = {toml_text.text(escaped(login.path))}"
    if take:
        yield f"#   take = {toml_text.value(take)}"
    yield "#   [[journey.step]]"
    yield f"#   post = {toml_text.text(escaped(action))}"
    yield f"#   form = {toml_text.value(sent)}"
    yield "#   expect = { status = 302 }"
    yield "#   [[journey.step]]"
    yield f"#   get = {toml_text.text(escaped(then))}"
    yield "#   expect = { status = 200 }"


def _word(name: str) -> str:
    word = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "value"
    return word if NAME.fullmatch(word) else f"_{word}"
