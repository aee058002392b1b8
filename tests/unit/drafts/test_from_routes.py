"""A first journey file, out of routes and a login's page."""

from __future__ import annotations

from pathlib import Path

from pytest_winserve.drafts.forms import forms_in
from pytest_winserve.drafts.from_routes import example, login_page, login_path
from pytest_winserve.load.journeys.journey_file import journeys_of

TOKEN = "IjQ3YzE2.Zz9xNQ.a8Qk2_x"  # noqa: S105 - of a test
PAGE = f"""<form action="/search"><input name="q"></form>
<form method="POST" action=""><input type=hidden name=csrf-token value="{TOKEN}">
<input type="hidden" name="next" value="/{{a}}"><input name="user"><input type="password" name="pw">
<input type="checkbox" name="stay"><input type="submit" name="go" value="Go"></form>"""


def route(rule: str, *methods: str) -> dict[str, object]:
    return {"rule": rule, "methods": list(methods or ("GET",)), "plain": "<" not in rule}


ROUTES = [
    route("/"),
    route("/items/<int:n>"),
    route("/items", "GET", "POST"),
    route("/account/sign-in", "GET", "POST"),
    route("/logout"),
    *(route(f"/page/{n}") for n in range(20)),
]


def test_an_example_and_its_comments_are_journeys(tmp_path: Path) -> None:
    path = login_path(ROUTES)
    assert path == "/account/sign-in"
    login = login_page(path, PAGE)
    assert login is not None
    text = example("shop:app", ROUTES, login)
    assert text is not None
    (visitor,) = journeys_of(text, "new.toml", tmp_path)
    assert [step.path for step in visitor.steps][:3] == ["/", "/items", "/page/0"]
    assert len(visitor.steps) == 10
    for left in ("GET /items/<int:n>", "POST /items", "GET /logout", "GET /page/19"):
        assert f"#   {left}\n" in text
    assert TOKEN not in text

    (tmp_path / "users.csv").write_text("user,pw\nann,x\n")
    head, line, last = text.partition("# [[journey]]")
    behind = "\n".join(each.removeprefix("# ") for each in (line + last).splitlines())
    both = journeys_of(head + behind, "new.toml", tmp_path)
    assert [journey.name for journey in both] == ["visitor", "login"]
    page, sent, home = both[1].steps
    assert page.takes["csrf_token"].all_in(PAGE) == [TOKEN]
    assert (sent.path, sent.form) == (
        "/account/sign-in",
        {"user": "{user}", "pw": "{pw}", "csrf-token": "{csrf_token}", "next": "/{{a}}"},
    )
    assert home.path == "/"


def test_apps_without_a_login_or_a_page(tmp_path: Path) -> None:
    assert login_path([route("/login", "POST"), route("/blogging", "GET", "POST")]) is None
    assert login_page("/login", "<form><input name='q'></form>") is None
    text = example("api:app", [route("/health")], None)
    assert text is not None
    assert "login" not in text
    assert len(journeys_of(text, "new.toml", tmp_path)) == 1
    assert (
        example("api:app", [route("/x/<y>"), route("/logout"), route("/z", "POST")], None) is None
    )


def test_forms() -> None:
    form = forms_in(
        """<form action=/u enctype="multipart/form-data" method=post><textarea name=t>
a &amp; b
c</textarea><select name=s><option value=1><option value=2 selected></select>
<input type=radio name=r value=x><input type=radio name=r value=y checked><input type=file name=f>
<button name=b>Go</button></form><input name=outside>"""
    )[0]
    assert (form.action, form.method, form.multipart) == ("/u", "post", True)
    assert [(each.name, each.type, each.value) for each in form.fields] == [
        ("t", "textarea", "a & b\nc"),
        ("s", "select", "2"),
        ("r", "radio", "y"),
        ("f", "file", ""),
    ]
