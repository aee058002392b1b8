"""What takes long is told."""

from __future__ import annotations

import threading

import pytest

from pytest_winserve.system import waits
from pytest_winserve.system.waits import told


def test_what_takes_long_is_told_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "PATIENCE", 0.0)
    texts: list[str] = []
    said = threading.Event()

    def tell(text: str) -> None:
        texts.append(text)
        said.set()

    with told(tell, "the site starts"):
        said.wait()
    assert texts[0] == "the site starts, 0 s up to now"
    assert texts[-1] == ""


def test_what_is_short_is_not_told() -> None:
    texts: list[str] = []
    with told(texts.append, "the site starts"):
        pass
    assert texts == []


def test_it_may_end_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "PATIENCE", 0.0)
    texts: list[str] = []
    with told(texts.append, "the load") as end:
        end()
        length = len(texts)
        end()
    assert len(texts) == length


def test_an_error_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "PATIENCE", 0.0)
    texts: list[str] = []
    with pytest.raises(LookupError), told(texts.append, "the site starts"):
        raise LookupError
    assert texts == [] or texts[-1] == ""
