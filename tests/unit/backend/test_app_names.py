"""What an app may be called. How it is loaded stands in tests/backend/test_apps.py."""

from __future__ import annotations

import pytest

from pytest_winserve.backend.app_names import AppName, parse_app


@pytest.mark.parametrize(
    ("text", "source", "attribute", "arguments", "is_file"),
    [
        ("shop:app", "shop", "app", None, False),
        ("shop", "shop", "", None, False),
        ("a.b:app.wsgi_app", "a.b", "app.wsgi_app", None, False),
        ("shop:create_app()", "shop", "create_app", ((), {}), False),
        ("shop:make('x', key=1)", "shop", "make", (("x",), {"key": 1}), False),
        ('shop:make({"a": [1, None]})', "shop", "make", (({"a": [1, None]},), {}), False),
        ("shop:make(-1, debug=True)", "shop", "make", ((-1,), {"debug": True}), False),
        ("app.py", "app.py", "", None, True),
        ("src/my-app.py:app", "src/my-app.py", "app", None, True),
        (r"C:\src\app.py:make('a:b')", r"C:\src\app.py", "make", (("a:b",), {}), True),
        ("/srv/a b/app.py", "/srv/a b/app.py", "", None, True),
    ],
)
def test_a_name_is_taken_apart(
    text: str, source: str, attribute: str, arguments: object, is_file: bool
) -> None:
    name = parse_app(text)
    assert name == AppName(text, source, attribute, arguments)  # type: ignore[arg-type]
    assert name.is_file is is_file
