"""The one table of settings: where a value comes from, and what derives from the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.lab.available import Surveys
from pytest_winserve.session.settings import Settings, read, resolve
from pytest_winserve.session.site_keys import SiteKey, site_keys, validate
from pytest_winserve.settings import SETTINGS, Setting

# Per setting four texts, for the command line, the environment, the ini file and the marker.
TEXTS = {
    "topology": ("flask", "tornado", "waitress", "nginx2"),
    "host": ("local", "local", "local", "local"),
    "provision": ("true", "no", "on", ""),
    "load_from": ("host", "here", "host", ""),
    "app": ("a:app", "b:app", "c:app", "d:app"),
    "chdir": ("a", "b", "c", ""),
    "env": ("A=1", "A=2;3", "A=4", ""),
    "env_file": ("a", "b", "c", ""),
    "python": ("/a", "/b", "/c", ""),
    "command": ("a {port}", "b {port}", "c {port}", "d {port}"),
    "start_timeout": ("0.5", "60", "120", ""),
    "start": ("one-by-one", "together", "one-by-one", ""),
    "engine": ("builtin", "tsung", "locust", ""),
    "users": ("1", "2", "3", ""),
    "duration": ("0.5", "2", "3", ""),
    "method": ("PUT", "POST", "GET", ""),
    "data": ("a", "b", "c", ""),
    "json": ("1", "2", "3", ""),
    "requests": ("a.toml", "b.toml", "c.toml", ""),
    "journey": ("a.toml", "b.toml", "c.toml", "d.toml"),
    "as_": ("a.toml", "b.toml", "c.toml::n", ""),
    "think": ("0.5", "2", "3", ""),
    "warmup": ("0.5", "2", "3", ""),
    "timeout": ("0.5", "2", "3", ""),
    "stages": ("1:1", "2:2", "3:3", ""),
    "slow": ("/a", "/b", "/c", "/d"),
    "hold": ("0.2", "2", "3", ""),
    "fast": ("/a", "/b", "/c", "/d"),
    "header": ("A: 1; a", "A: 2", "A: 3", ""),
    "cookie": ("a=1", "a=2", "a=3", ""),
    "auth": ("a:b", "b:b", "c:b", ""),
    "host_header": ("a.example", "b.example", "c.example", ""),
    "ca": ("a.pem", "b.pem", "c.pem", ""),
    "insecure": ("true", "no", "on", ""),
    "require": ("p50 < 1s", "p50 < 2s", "p50 < 3s", ""),
    "limited": ("allow", "fail", "allow", ""),
    "report": ("a", "b", "c", ""),
    "live_server": ("true", "no", "on", ""),
    "nginx": ("system", "wheel", "/a/path", ""),
}
IN_MARKER = ("topology", "host", "app", "command", "slow", "fast")

Ini = Callable[[str], Any]


def nothing(key: str) -> None:
    return None


def of(setting: Setting, settings: Settings) -> Any:
    return getattr(settings, setting.name)


def test_every_setting_is_covered_here() -> None:
    assert list(TEXTS) == [setting.name for setting in SETTINGS]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_precedence(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    line, variable, ini, marker = TEXTS[setting.name]

    def from_ini(key: str) -> object:
        assert key.startswith("winserve_")
        if key != setting.key:
            return None
        return [ini] if setting.many in ("lines", "whole lines") else ini

    def resolved(given: object, source: Ini) -> Settings:
        return resolve({setting.name: given}, source)

    def value(text: str) -> Any:
        return read(setting, text, "here")

    untouched = resolve({}, nothing)
    assert of(setting, untouched) == setting.default
    assert untouched.given == frozenset()

    assert of(setting, resolved(None, from_ini)) == value(ini)
    monkeypatch.setenv(setting.variable, variable)
    assert of(setting, resolved(None, from_ini)) == value(variable)
    given = resolved([line] if setting.many != "no" else line, from_ini)
    assert of(setting, given) == value(line)
    assert given.given == {setting.name}

    if setting.name in IN_MARKER:
        key = site_keys(given, {"topology": "flask"} | {setting.name: marker}, Surveys())[0]
        assert getattr(key, setting.name) == marker


def test_not_given_is_not_false(monkeypatch: pytest.MonkeyPatch) -> None:
    # What pytest hands over for options and ini keys that nobody gave, in all its versions.
    for absent in (None, list[str]()):
        given = resolve(dict.fromkeys(TEXTS, absent), dict.fromkeys(TEXTS, absent).get)
        assert given == resolve({}, nothing)
    # A value that equals the default was given all the same.
    assert resolve({"users": "500"}, nothing).given == {"users"}
    monkeypatch.setenv("WINSERVE_USERS", "0")
    with pytest.raises(UsageError, match="WINSERVE_USERS: users=0"):
        resolve({}, nothing)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_value_is_refused_wherever_it_comes_from(
    setting: Setting, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=f"{setting.option}: "):
        resolve({setting.name: text}, nothing)
    with pytest.raises(UsageError, match=f"ini key {setting.key}: "):
        resolve({}, lambda key: text if key == setting.key else None)
    monkeypatch.setenv(setting.variable, text)
    with pytest.raises(UsageError, match=f"{setting.variable}: "):
        resolve({}, nothing)


def test_commas_separate_topologies_and_hosts() -> None:
    settings = resolve({"topology": ["flask, tornado", "nginx4,"], "host": "local,local"}, nothing)
    assert settings.topology == ("flask", "tornado", "nginx4")
    assert settings.host == ("local", "local")


def test_semicolons_and_lines_separate_criteria_and_commas_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WINSERVE_REQUIRE", "error_rate < 1%; p95 < 500ms\n\n  rate > 10/s;")
    expected = ("error_rate < 1%", "p95 < 500ms", "rate > 10/s")
    assert resolve({}, nothing).require == expected
    assert resolve({"require": ["error_rate < 1%", "p95 < 500ms; rate > 10/s"]}, nothing).require
    assert resolve({"require": list(expected)}, nothing).require == expected
    assert resolve({"require": ["a, b"]}, nothing).require == ("a, b",)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("users", "0", "--winserve-users: users=0: a whole number of at least 1 is needed"),
        ("users", "-5", "users=-5"),
        ("users", "1.5", "users=1.5"),
        ("users", "many", "users=many"),
        ("duration", "0", "--winserve-duration: duration=0: a number of seconds greater than 0"),
        ("duration", "-1", "duration=-1"),
        ("duration", "inf", "duration=inf"),
        ("duration", "nan", "duration=nan"),
        ("duration", "long", "duration=long"),
        ("start_timeout", "0", "--winserve-start-timeout: start_timeout=0: a number of seconds"),
        ("start_timeout", "inf", "start_timeout=inf"),
        ("start_timeout", "soon", "start_timeout=soon"),
        ("start", "one", "--winserve-start: start=one: together or one-by-one is needed"),
        ("topology", ",", "--winserve-topology: T[,T...] is empty"),
    ],
)
def test_values_that_cannot_be(name: str, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve({name: text}, nothing)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"topology": "flask,tornad"}, "unknown server 'tornad'"),
        ({"topology": "command"}, "needs a command line"),
        ({"topology": "command", "command": "serve"}, "has no {port}"),
        ({"host": "remote"}, "unknown host 'remote'"),
        ({"engine": "jmeter"}, "unknown engine 'jmeter'; known: builtin, locust, tsung"),
        ({"engine": "buildin"}, "nearest: builtin"),
        ({"require": "eror_rate < 1%"}, "did you mean error_rate"),
        ({"slow": "sleep"}, "path='sleep'"),
        ({"fast": "/a b"}, "path='/a b'"),
    ],
)
def test_validate_names_what_cannot_be(given: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        validate(resolve(given, nothing), Surveys())
    assert said in str(caught.value)


def test_a_site_that_is_named_twice_is_one_site() -> None:
    settings = resolve({"topology": "flask, flask:threaded=yes,nginx4-flask"}, nothing)
    keys = site_keys(settings, {}, Surveys())
    assert [key.topology for key in keys] == ["flask", "nginx4"]


def test_a_marker_may_name_several_topologies() -> None:
    settings = resolve({"topology": "nginx4"}, nothing)
    surveys = Surveys()
    assert site_keys(settings, {"topology": ["flask", "tornado"]}, surveys) == site_keys(
        settings, {"topology": "flask,tornado"}, surveys
    )
    assert site_keys(settings, {"topology": "flask", "app": "shop:app"}, surveys) == [
        SiteKey("flask", "local", "shop:app", None, None, None)
    ]


@pytest.mark.parametrize("given", [90, 0.5, "90"])
def test_a_marker_may_give_a_site_more_time_to_come_up(given: object) -> None:
    settings = resolve({"topology": "flask", "start_timeout": "60"}, nothing)
    (patient,) = site_keys(settings, {"start_timeout": given}, Surveys())
    (usual,) = site_keys(settings, {}, Surveys())
    assert (patient.start_timeout, usual.start_timeout) == (float(str(given)), None)
    # It is no other site.
    assert patient == usual


@pytest.mark.parametrize("given", [0, -1, float("nan"), "soon", True, [30]])
def test_a_time_to_come_up_that_cannot_be(given: object) -> None:
    settings = resolve({"topology": "flask"}, nothing)
    with pytest.raises(UsageError, match="a number of seconds greater than 0 is needed"):
        site_keys(settings, {"start_timeout": given}, Surveys())


def test_names_derive_from_the_setting() -> None:
    setting = SETTINGS[0]
    assert (setting.option, setting.key, setting.variable) == (
        "--winserve-topology", "winserve_topology", "WINSERVE_TOPOLOGY",
    )  # fmt: skip
    assert setting.described.endswith("(default: nginx4)")
    assert "default" not in next(each for each in SETTINGS if each.name == "report").described
