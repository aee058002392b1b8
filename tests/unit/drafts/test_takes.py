"""Where a value stands in an answer, as what a journey's step takes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pytest_winserve.drafts.har_file import Answer
from pytest_winserve.drafts.takes import take_of
from pytest_winserve.load.journeys.takes import Take


@dataclass(frozen=True)
class Page:
    """An answer, as an engine shows it to a take."""

    text: str
    is_html: bool = True

    def header(self, name: str) -> str | None:
        return None


VALUE = "k3y.Of-the_user+1/2=="


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (f'<input name="csrf" value="{VALUE}">', 'name="csrf"[^>]*value="([^"]+)"'),
        (f"<input type='hidden' value='{VALUE}' name='csrf'>", "value='([^']+)'[^>]*name='csrf'"),
        (f'<input value="other" name="a">\n<input value="{VALUE}"\n  name="csrf">',
         'value="([^"]+)"[^>]*name="csrf"'),
        (f'<meta name="csrf-token" content="{VALUE}">',
         'name="csrf-token"[^>]*content="([^"]+)"'),
        # The field of that name, although the page has the value elsewhere before.
        (f'<meta name="x" content="{VALUE}"><input name="csrf" value="{VALUE}">',
         'name="csrf"[^>]*value="([^"]+)"'),
        # Two forms with the same one: either may be taken.
        (f'<input name="csrf" value="{VALUE}">' * 2, 'name="csrf"[^>]*value="([^"]+)"'),
        (f'<script>var csrf = "{VALUE}", b = "c";</script>', r'var\s+csrf\s+=\s+"([^"]+)"'),
        (f'<body data-csrf="{VALUE}">', r'body\s+data-csrf="([^"]+)"'),
        # As HTML writes it; what is taken is read as HTML.
        (f'<input name="csrf" value="{VALUE.replace("=", "&#61;")}">', None),
        ('<input name="csrf" value="another">', None),
        ("", None),
    ],
)  # fmt: skip
def test_patterns(body: str, where: str | None) -> None:
    assert take_of(VALUE, "csrf", Answer(200, {}, "text/html", body)) == where
    if where is not None:
        found = Take(where).find(Page(body))
        assert found == VALUE


def test_what_html_escapes() -> None:
    body = '<input name="next" value="/a?b=1&amp;c=2">'
    where = take_of("/a?b=1&c=2", "next", Answer(200, {}, "text/html", body))
    assert where is not None
    assert Take(where).find(Page(body)) == "/a?b=1&c=2"


@pytest.mark.parametrize(
    ("body", "value", "where"),
    [
        (f'{{"user": {{"token": "{VALUE}"}}}}', VALUE, "json:$.user.token"),
        (f'[{{"a b": "{VALUE}"}}]', VALUE, 'json:$[0]["a b"]'),
        (f'{{"x": "{VALUE}", "csrf": "{VALUE}"}}', VALUE, "json:$.csrf"),
        ('{"count": 7, "id": 7}', "7", "json:$.id"),
        ('{"count": 7}', "7", None),
        (f'{{"cut": "{VALUE}"', VALUE, None),
    ],
)
def test_json(body: str, value: str, where: str | None) -> None:
    assert take_of(value, "csrf", Answer(200, {}, "application/json", body)) == where
    if where is not None:
        assert Take(where).find(Page(body, is_html=False)) == value


def test_headers_and_links() -> None:
    answer = Answer(200, {"X-Token": VALUE, "ETag": VALUE}, "text/html", None)
    assert take_of(VALUE, "csrf", answer) == "header:X-Token"
    body = "<a href='/users/12/orders/7'>first</a> <a href='/users/12/orders/7/edit?x'>edit</a>"
    where = take_of("7", "id", Answer(200, {}, "text/html", body), "/users/12/orders/7/edit")
    assert where is not None
    assert Take(where).all_in(body) == ["7"]
    assert Take(where).all_in(body.replace("12", "13")) == ["7"]
