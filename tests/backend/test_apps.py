"""How an app is found in a module or a file, in a Python of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import json, sys
from pytest_winserve.backend.apps import load_app
loaded = load_app(sys.argv[1])
print(json.dumps([loaded.name, getattr(loaded.app, "name", type(loaded.app).__name__)]))
"""
FLASK = "from flask import Flask\n"
WSGI = """
class App:
    name = "{}"
    def __call__(self, environ, start_response): return []
"""


def loaded(folder: Path, spec: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, spec], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("source", "spec", "name", "what"),
    [
        (f"{FLASK}app = Flask('a')\nother = Flask('b')\n", "shop.py", "shop.py:app", "a"),
        (f"{FLASK}application = Flask('a')\n", "shop", "shop:application", "a"),
        (f"{FLASK}web = Flask('a')\nsame = web\n", "shop", "shop:web", "a"),
        (f"{FLASK}def create_app(): return Flask('made')\n", "shop", "shop:create_app()", "made"),
        (f"{FLASK}def make_app(x=1): return Flask('made')\n", "shop", "shop:make_app()", "made"),
        (f"{FLASK}def build(): return Flask('made')\n", "shop:build", "shop:build()", "made"),
        (
            f"{FLASK}def make(a, *, b): return Flask(a + b)\n",
            "shop:make('x', b='y')", "shop:make('x', b='y')", "xy",
        ),
        (WSGI.format("own") + "application = App()\n", "shop.py", "shop.py:application", "own"),
        (WSGI.format("own") + "box = [App()]\nbox[0].inner = App()\nit = box[0]\n",
         "shop:it.inner", "shop:it.inner", "own"),
        ("def app(environ, start_response): return []\n", "shop:app", "shop:app", "function"),
    ],
)  # fmt: skip
def test_what_is_taken_of_a_module(
    tmp_path: Path, source: str, spec: str, name: str, what: str
) -> None:
    (tmp_path / "shop.py").write_text(source)
    assert loaded(tmp_path, spec) == [name, what]


def test_a_file_of_a_package_is_imported_as_a_part_of_it(tmp_path: Path) -> None:
    package = tmp_path / "src" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text("NAME = 'relative'\n")
    (package / "web.py").write_text(f"{FLASK}from .parts import NAME\napp = Flask(NAME)\n")
    assert loaded(tmp_path, "src/shop/web.py:app") == ["src/shop/web.py:app", "relative"]
    (package / "__init__.py").write_text(f"{FLASK}app = Flask('whole')\n")
    assert loaded(tmp_path, "src/shop/__init__.py") == ["src/shop/__init__.py:app", "whole"]


def test_a_file_need_not_be_called_as_a_module_is(tmp_path: Path) -> None:
    (tmp_path / "my-shop.py").write_text(f"{FLASK}app = Flask('dashed')\n")
    assert loaded(tmp_path, "my-shop.py") == ["my-shop.py:app", "dashed"]


def test_a_file_that_hides_a_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("app = 1\n")
    done = subprocess.run(
        [sys.executable, "-P", "-c", CODE, "json.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "another module is called 'json', too" in done.stderr
