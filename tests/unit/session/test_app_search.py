"""Which app is served when none is named, and the environment that it gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.backend import SAMPLE_APP
from pytest_winserve.errors import UsageError
from pytest_winserve.session.app_search import environment_of, found_app, with_app
from pytest_winserve.session.settings import resolve


@pytest.fixture(autouse=True)
def _no_flask_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLASK_APP", raising=False)


@pytest.mark.parametrize(
    ("files", "app", "how"),
    [
        (["app.py"], "app.py", "found in this folder"),
        (["app.py", "wsgi.py"], "wsgi.py", "found in this folder"),
        (["app.py", "wsgi.py", ".flaskenv"], "shop:make()", "by FLASK_APP in .flaskenv"),
        ([".env", "app.py"], "shop:make()", "by FLASK_APP in .env"),
    ],
)
def test_what_flask_s_own_command_would_find(
    tmp_path: Path, files: list[str], app: str, how: str
) -> None:
    for name in files:
        text = "OTHER=1\nFLASK_APP='shop:make()'\n" if name.startswith(".") else ""
        (tmp_path / name).write_text(text)
    assert found_app(tmp_path, {}) == (app, how)


def test_flask_app_of_the_environment_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wsgi.py").touch()
    monkeypatch.setenv("FLASK_APP", "outer")
    assert found_app(tmp_path, {}) == ("outer", "by FLASK_APP")
    assert found_app(tmp_path, {"FLASK_APP": "own:app"}) == ("own:app", "by FLASK_APP")


@pytest.mark.parametrize(
    ("given", "app"),
    [
        ("src/shop", "src/shop.py"),
        ("src/shop:web", "src/shop.py:web"),
        ("src/pack:make('a:b')", "src/pack/__init__.py:make('a:b')"),
        ("shop.py", "shop.py"),
        ("shop:web", "shop:web"),
    ],
)
def test_a_path_without_its_suffix_is_that_of_a_file_or_a_package(
    tmp_path: Path, given: str, app: str
) -> None:
    (tmp_path / "src" / "pack").mkdir(parents=True)
    (tmp_path / "src" / "shop.py").touch()
    (tmp_path / "src" / "pack" / "__init__.py").touch()
    assert found_app(tmp_path, {"FLASK_APP": given}) == (app, "by FLASK_APP")


def test_the_sample_app_is_served_where_there_is_none_and_that_is_said(tmp_path: Path) -> None:
    app, why = found_app(tmp_path, {})
    assert app == SAMPLE_APP
    assert why == (
        "the sample app of this package: there is no --app, no FLASK_APP, and neither wsgi.py nor "
        f"app.py in {tmp_path}"
    )
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "wsgi.py").touch()
    assert found_app(tmp_path, {})[1].endswith("; for project/wsgi.py, write --app project.wsgi")


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("shop/__init__.py", "def create_app():\n    ...\n", "shop"),
        ("run.py", "from shop import make\n\napp = make()\n", "run"),
        ("server.py", "import flask\nweb = flask.Flask(__name__)\n", "server"),
        ("main.py", "application: Flask = Flask('a')\n", "main"),
        ("config.py", "if app == 1:\n    application = None\nappendix = 3\n", None),
        ("test_shop.py", "app = Flask('a')\n", None),
        ("two-words.py", "app = Flask('a')\n", None),
    ],
)
def test_what_seems_to_be_an_app_is_named_but_not_served(
    tmp_path: Path, file: str, text: str, name: str | None
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / file).write_text(text)
    app, why = found_app(tmp_path, {})
    assert app == SAMPLE_APP
    assert why.endswith(f"; for {file}, write --app {name}" if name else f"in {tmp_path}")


def test_of_many_that_seem_to_be_apps_a_few_are_named(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"web{number}.py").write_text("app = Flask('a')\n")
    (tmp_path / "web5.py").mkdir()
    assert found_app(tmp_path, {})[1].count("write --app") == 3


def test_the_package_of_a_django_project_is_found(tmp_path: Path) -> None:
    for name in ("project", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "manage.py").touch()
    (tmp_path / "project" / "wsgi.py").touch()
    assert found_app(tmp_path, {}) == ("project.wsgi", "found beside manage.py")
    (tmp_path / "other" / "wsgi.py").touch()  # which one is not known
    app, why = found_app(tmp_path, {})
    assert app == SAMPLE_APP
    assert why.endswith(
        "; for other/wsgi.py, write --app other.wsgi; for project/wsgi.py, write --app project.wsgi"
    )
    (tmp_path / "wsgi.py").touch()
    assert found_app(tmp_path, {}) == ("wsgi.py", "found in this folder")


def test_settings_get_the_app_of_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "wsgi.py").touch()
    monkeypatch.chdir(tmp_path)
    settings = with_app(resolve({"chdir": "shop", "env": ["A=b;c"]}, lambda key: None))
    assert (settings.app, settings.why_app) == ("wsgi.py", "found in this folder")
    assert settings.environment == {"A": "b;c"}
    named = with_app(resolve({"app": "own:app"}, lambda key: None))
    assert (named.app, named.why_app, named.environment) == ("own:app", "", {})
    with pytest.raises(UsageError, match="--chdir=none: there is no such folder"):
        with_app(resolve({"chdir": "none"}, lambda key: None))


def test_files_of_variables_come_before_single_ones(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# of the shop\nexport A=1\nB='two words'\n\nC=${A}3\nEMPTY=\n")
    found = environment_of(["B=own", "D=a=b"], [str(file)])
    assert found == {"A": "1", "B": "own", "C": "13", "EMPTY": "", "D": "a=b"}


@pytest.mark.parametrize(
    ("text", "line", "word"), [("A=1\n\nB\n", 3, "B"), ("A=1\n'x\nB=2\n", 2, "'x")]
)
def test_a_bad_line_is_named_without_its_value(
    tmp_path: Path, text: str, line: int, word: str
) -> None:
    file = tmp_path / "env"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        environment_of([], [str(file)])
    assert str(caught.value) == f"--env-file {file}, line {line}: {word!r} is no NAME=VALUE"


@pytest.mark.parametrize("pair", ["A", "=1", "a b=secret", "1A=secret"])
def test_a_variable_that_is_none(pair: str) -> None:
    with pytest.raises(UsageError, match="NAME=VALUE is needed") as caught:
        environment_of([pair], [])
    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--env-file .*: No such file"):
        environment_of([], [str(tmp_path / "none")])
