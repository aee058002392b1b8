"""What of a recording is a secret, or a token, by its name or its looks."""

from __future__ import annotations

import re

PASSWORD = re.compile(
    r"(^|_)pass(code|phrase|wd|word|_|$)|password|passwd|pwd|secret|(^|[^a-z])(pin|otp|totp|cvv|cvc|iban|ssn)($|[^a-z])|card_?num"
)
"""What a user types and nobody else may know: never taken from an answer."""
KEY = re.compile(
    r"auth(?!or(s|_|$|ed|ity))|credential|api_?key|access_?key|token|session|signature|jwt|captcha|nonce"
)
CSRF = re.compile(r"csrf|xsrf|authenticity_?token|requestverificationtoken")
LOGIN_NAME = re.compile(r"user|login|e_?mail|account|identifier|name|uid")
HEADER_KEY = re.compile(r"auth|key|secret|token|session|credential|signature|password")

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_RUN = re.compile(r"[A-Za-z0-9+/=_.~-]+")
SHORTEST_RANDOM = 16
SHORTEST_SECRET = 32
SHORTEST_KEY = 8


def plain(name: str) -> str:
    """A name in small letters, with `_` for what separates its words."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def is_password(name: str) -> bool:
    return PASSWORD.search(plain(name)) is not None


def is_csrf(name: str) -> bool:
    return CSRF.search(plain(name)) is not None


def is_key(name: str) -> bool:
    """Whether a field of that name holds a key or a token."""
    return is_csrf(name) or KEY.search(plain(name)) is not None


def is_login_name(name: str) -> bool:
    return LOGIN_NAME.search(plain(name)) is not None


def is_secret_header(name: str) -> bool:
    return HEADER_KEY.search(plain(name)) is not None or is_csrf(name)


def is_uuid(value: str) -> bool:
    return _UUID.fullmatch(value) is not None


def looks_made(value: str) -> bool:
    """Whether a value looks as if a program had made it: an id, a token."""
    if is_uuid(value):
        return True
    if len(value) < SHORTEST_RANDOM or not _RUN.fullmatch(value):
        return False
    digits = sum(c.isdigit() for c in value)
    letters = sum(c.isalpha() for c in value)
    words = re.split(r"[-_./]", value)
    # A slug has words of letters; of what is random no part is a word.
    if digits and letters and sum(w.isalpha() and w.islower() for w in words) > len(words) / 2:
        return False
    return (digits >= 2 and letters >= 2) or digits == len(value)


def may_be_a_key(value: str) -> bool:
    """Whether a value that is called a key can be one, and not just a word."""
    return len(value) >= SHORTEST_KEY and any(c.isdigit() for c in value) and " " not in value


def looks_secret(value: str) -> bool:
    """Whether a value looks like a key or a signed token, wherever it stands."""
    if is_uuid(value) or re.fullmatch(r"[0-9a-f]{8,40}|[0-9]+", value):  # an id, a digest
        return False
    return len(value) >= SHORTEST_SECRET and looks_made(value)
