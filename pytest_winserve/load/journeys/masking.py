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
_FIELD = re.compile(r"(<(?:input|meta)\b[^>]*?\b(?:value|content)=)(\"[^\"]+\"|'[^']+')", re.I)
_SCRIPT = re.compile(r"<(script|style)\b.*?</\1>", re.I | re.S)


def masked(text: str, secrets: Iterable[str]) -> str:
    """A text without these, in any way in which a page or a URL writes them, without the values of
    hidden fields, and without what looks like a token."""
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
    text = _FIELD.sub(rf'\1"{NOT_SHOWN}"', text)
    return _TOKEN.sub(NOT_SHOWN, text)


def beginning(body: str, secrets: Iterable[str]) -> str:
    """The beginning of a body, in one line."""
    text = _SCRIPT.sub("", body[:LOOKED_AT])
    shown = " ".join(masked(text, secrets).split())
    return f"{shown[:SHOWN]}..." if len(shown) > SHOWN else shown
