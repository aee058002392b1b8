"""The beginning of an answer as evidence, without what may be a secret in it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from pytest_winserve.load.request_parts import NOT_SHOWN

SHOWN = 300
"""Characters of an answer that are kept as evidence."""
LOOKED_AT = 20_000
_SHORT = 4
# What is no word of a page: a token, a digest, a signed cookie.
_TOKEN = re.compile(r"(?=[\w.+/=-]*\d)(?=[\w.+/=-]*[A-Za-z])[\w.+=-]{20,}", re.ASCII)
_BEFORE = r"""\b(?:[^>"']|"[^"]*"|'[^']*')*?[\s"']"""
_FIELD = re.compile(
    rf"""(<(?:input{_BEFORE}value|meta{_BEFORE}content)\s*=\s*)("[^"]+"|'[^']+'|[^\s"'>]+)""", re.I
)
_TAG = re.compile(r"""<meta\b(?:[^>"']|"[^"]*"|'[^']*')*>""", re.I)
_NAMES = re.compile(r"""\b(?:name|property|http-equiv|itemprop)\s*=\s*["']?([^\s"'>]*)""", re.I)
# What these say is for everybody; what another meta says may be a token.
_FOR_ALL = re.compile(
    r"viewport|description|keywords|author|generator|robots|theme-color|color-scheme|referrer"
    r"|application-name|format-detection|content-type|content-language|x-ua-compatible"
    r"|(?:og|twitter|article):[\w:-]+",
    re.I,
)
_SCRIPT = re.compile(r"<(script|style)\b.*?</\1>", re.I | re.S)


def masked(text: str, secrets: Iterable[str]) -> str:
    """A text without these, in any way in which a page or a URL writes them, without the values of
    fields, without what a meta tag says but for those that are for all (a description), and without
    what looks like a token."""
    found = {
        way
        for secret in secrets
        if secret
        for way in (secret, html.escape(secret), quote(secret, safe=""), quote_plus(secret))
    }
    for secret in sorted(found, key=len, reverse=True):
        if len(secret) >= _SHORT:
            text = text.replace(secret, NOT_SHOWN)
        else:
            # Two letters are in every other word: it is the secret where it stands alone, and is
            # no tag (`<b>`).
            text = re.sub(rf"(?<![\w<])(?<!</){re.escape(secret)}(?!\w)", NOT_SHOWN, text)
    text = _FIELD.sub(_without_value, text)
    return _TOKEN.sub(NOT_SHOWN, text)


def _without_value(field: re.Match[str]) -> str:
    tag = _TAG.match(field.string, field.start())
    names = [] if tag is None else _NAMES.findall(tag[0])
    if names and all(map(_FOR_ALL.fullmatch, names)):
        return field[0]
    return f'{field[1]}"{NOT_SHOWN}"'


def beginning(body: str, secrets: Iterable[str]) -> str:
    """The beginning of a body, in one line."""
    text = _SCRIPT.sub("", body[:LOOKED_AT])
    shown = " ".join(masked(text, secrets).split())
    return f"{shown[:SHOWN]}..." if len(shown) > SHOWN else shown
