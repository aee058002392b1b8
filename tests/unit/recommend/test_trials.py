"""The file of trials: taken over when it is of the same thing and not at its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.recommend.trials import app_fingerprint, open_trials, place_of
from pytest_winserve.report.record import Record

KEY = {"app": "shop:app", "code of the app": "abc", "criteria": ["non_blocking"]}
TEST = Record("a test", "passed", "flask", "local", "shop:app", 4, round=0, trouble=())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "trials.json"


def interrupted(place: Path) -> None:
    with open_trials(place, KEY, fresh=False) as trials:
        trials.add(TEST)


def test_it_goes_on_where_it_was(place: Path) -> None:
    interrupted(place)
    with open_trials(place, KEY, fresh=False) as trials:
        assert trials.made("flask", 0)
        assert not trials.made("flask", 1)
        assert not trials.made("tornado", 0)
        assert trials.told.startswith("goes on with 1 trial of an earlier run")
        trials.finish()
    # One that came to its end is not continued.
    with open_trials(place, KEY, fresh=False) as trials:
        assert (trials.records, trials.told) == ([], "")


def test_another_app_or_setting_is_not_mixed_in(place: Path) -> None:
    interrupted(place)
    other = KEY | {"code of the app": "def", "users": 5}
    with open_trials(place, other, fresh=False) as trials:
        assert trials.records == []
        assert trials.told == (
            "the trials of an earlier run (1) are not used, they are of something else: "
            "code of the app was abc, is def; users was None, is 5"
        )


def test_fresh_begins_anew(place: Path) -> None:
    interrupted(place)
    with open_trials(place, KEY, fresh=True) as trials:
        assert (trials.records, trials.told) == ([], "")


@pytest.mark.parametrize("text", ["", "no JSON", "{}", "[]", '{"schema": "winserve.trials/1"}'])
def test_a_damaged_file_is_told_and_made_anew(place: Path, text: str) -> None:
    interrupted(place)
    place.write_text(text, "utf-8")
    with open_trials(place, KEY, fresh=False) as trials:
        assert trials.records == []
        assert "cannot be read" in trials.told
        trials.add(TEST)
    assert json.loads(place.read_text("utf-8"))["key"] == KEY


def test_two_at_a_time_are_refused(place: Path) -> None:
    with open_trials(place, KEY, fresh=False), pytest.raises(UsageError, match="is at work"):  # noqa: SIM117
        with open_trials(place, KEY, fresh=False):
            pass


def test_each_app_and_host_has_a_file_of_its_own() -> None:
    places = {place_of(app, host) for app in ("a:app", "b:app") for host in ("local", "wine")}
    assert len(places) == 4


def test_a_change_of_the_code_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "own_module_of_this_test.py"
    package = tmp_path / "own_package_of_this_test"
    inner = package / "inner" / "deep.py"
    inner.parent.mkdir(parents=True)
    for path in (module, package / "__init__.py", inner):
        path.write_text("app = 1\n", "utf-8")
    apps = (f"{module.stem}:app", f"{package.name}.views:create_app()")
    before = [app_fingerprint(app) for app in apps]
    assert before == [app_fingerprint(app) for app in apps]
    for path in (module, inner):
        path.write_text("app = 2\n", "utf-8")
    assert all(old != app_fingerprint(app) for old, app in zip(before, apps, strict=True))
    assert app_fingerprint("no_such_module_anywhere:app") == "unknown"
