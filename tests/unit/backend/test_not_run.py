"""What an app's file does only when it is run, told where that may be what the app misses."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.backend.not_run import not_run

APP = "from flask import Flask\napp = Flask(__name__)\n\n"
MAIN = "if __name__ == '__main__':\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("    with app.app_context():\n        create_all()\n    app.run()\n", "4 to 7"),
        ("    app.register_blueprint(pages)\n    app.run()\n", "4 to 6"),
        ("    port = int(os.environ.get('PORT', 5000))\n    app.run(port=port)\n", ""),
        ("    from waitress import serve\n    print('up')\n    serve(app)\n", ""),
        ("    app.run(\n", ""),
    ],
    ids=["tables", "a blueprint", "a port", "a server", "no Python"],
)
def test_what_is_not_run(text: str, lines: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_text(APP + MAIN + text, "utf-8")
    assert not_run(file) == (f"lines {lines} of shop.py" if lines else "")


@pytest.mark.parametrize(
    "text",
    ["", "if '__main__' == __name__:\n    create()\n", "if debug:\n    create()  # __main__\n"],
)
def test_only_that_block_counts(text: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_text(text, "utf-8")
    assert not_run(file) == ("lines 1 to 2 of shop.py" if "==" in text else "")
    assert not_run(tmp_path / "none.py") == ""
