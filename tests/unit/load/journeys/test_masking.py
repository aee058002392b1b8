"""What is shown of an answer: no secret, and all else."""

from __future__ import annotations

import pytest

from pytest_winserve.load.journeys.masking import beginning, masked

HIDDEN = "(not shown)"


@pytest.mark.parametrize(
    "tag",
    [
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<meta content='A shop for shoes' name='description'/>",
        '<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=utf-8">',
        '<meta property="og:title" content="Shoes > all">',
        "<meta name=twitter:card content=summary>",
    ],
)
def test_what_a_page_tells_everybody_is_shown(tag: str) -> None:
    assert masked(tag, ["s3cret"]) == tag


@pytest.mark.parametrize(
    "tag",
    [
        '<meta name="csrf-token" content="abc">',
        "<meta content='abc' name='csrf'>",
        '<meta name="csrf-token" content=abc>',
        '<meta name="csrf-token" content = "abc">',
        '<meta content="abc">',
        '<meta data-for="viewport" content="abc">',
        "<meta content='abc' name='csrf' title='name=viewport'>",
        '<meta name="viewport" property="csrf" content="abc">',
        '<meta name="a>b" content="abc">',
        '<meta name="csrf" content="abc"',
        '<input type="hidden" name="description" value="abc">',
        "<input type=hidden name=viewport value=abc>",
        '<input title="a>b" value="abc">',
        '<input content="x" data-value="y" value="abc">',
    ],
)
def test_what_may_be_a_token_is_not(tag: str) -> None:
    assert "abc" not in masked(tag, [])
    assert HIDDEN in masked(tag, [])


def test_a_secret_is_not_shown_where_a_page_tells_it_everybody() -> None:
    page = '<meta name="description" content="Orders of ann@example.test"><p>Hello'
    shown = '<meta name="description" content="Orders of (not shown)"><p>Hello'
    assert beginning(page, ["ann@example.test"]) == shown
    image = '<meta property="og:image" content="/i?key=a1b2c3d4e5f6a7b8c9d0e1f2">'
    assert "a1b2c3d4" not in masked(image, [])
