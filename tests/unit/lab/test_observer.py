"""What is shown where there is no terminal: few lines, each in time."""

from __future__ import annotations

import pytest

from pytest_winserve.lab import observer
from pytest_winserve.lab.observer import Lines


def lines_of(*steps: tuple[str, str]) -> list[str]:
    written: list[str] = []
    lines = Lines(written.append)
    for kind, text in steps:
        getattr(lines, kind)(text)
    return written


def test_a_wait_is_told_at_once_and_not_again_and_again() -> None:
    assert lines_of(("waiting", "for a, 0 s"), ("waiting", "for a, 1 s")) == ["for a, 0 s"]


@pytest.mark.parametrize("end", [("waiting", ""), ("progress", ""), ("progress", "goes on")])
def test_the_next_wait_is_told_at_once_too(end: tuple[str, str]) -> None:
    assert lines_of(("waiting", "a"), end, ("waiting", "b")) == ["a", "b"]


def test_what_goes_on_is_not_told_at_once() -> None:
    assert lines_of(("progress", "1 s"), ("progress", "2 s")) == []


def test_after_a_minute_both_are_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer, "EVERY", 0.0)
    assert lines_of(("waiting", "0 s"), ("waiting", "60 s")) == ["0 s", "60 s"]
    assert lines_of(("progress", "0 s"), ("progress", "60 s")) == ["60 s"]
