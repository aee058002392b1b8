"""The documentation's blocks run, and its tables have what the code has.

A block runs when its fence says so: `python run` as a script, `python test` as a test file,
`sh run` line by line without a shell, in a copy of the example's folder.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_winserve.fronts import front_names, get_front
from pytest_winserve.hosts import host_names
from pytest_winserve.load.criteria import _PLAIN
from pytest_winserve.load.engines import engine_names
from pytest_winserve.load.measures.outcomes import OUTCOMES
from pytest_winserve.servers import get_server, server_names
from pytest_winserve.settings import SETTINGS
from tests.kit.commands import clean_environment
from tests.kit.pages import DOCS, rows
from tests.kit.platforms import WINE, shows_resets

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(python run|python test|sh run)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#([^)]*))?\)")
PATH = re.compile(
    r"`((?:\.ci|benchmarks|docs|examples|lab|pytest_winserve|tests)/(?:(?!NAME)[\w./])*)`"
)
METRICS = {*_PLAIN, "p50", "p99.9", "connect.p95", "first_byte.p95"}


class Block(NamedTuple):
    where: str
    kind: str
    text: str


def blocks() -> list[Block]:
    return [
        Block(f"{path.name}-{number}", kind, text)
        for path in sorted(DOCS.glob("*.md"))
        for number, (kind, text) in enumerate(FENCE.findall(path.read_text(encoding="utf-8")))
    ]


def commands(block: Block, folder: Path) -> list[list[str]]:
    """What runs a block in `folder`."""
    file = folder / "test_block.py"
    file.write_text(block.text, encoding="utf-8")
    if block.kind == "python run":
        return [[sys.executable, str(file)]]
    if block.kind == "python test":
        return [[sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(file)]]
    shutil.copytree(ROOT / "examples" / "shop", folder, dirs_exist_ok=True)
    start = "from pytest_winserve.cli import main; main()"
    lines = [shlex.split(line) for line in block.text.splitlines()]
    assert all(words[0] == "winserve" for words in lines)
    return [[sys.executable, "-c", start, *words[1:]] for words in lines]


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.where)
def test_a_block_runs(block: Block, tmp_path: Path) -> None:
    if WINE and "reset=body" in block.text:
        pytest.skip(shows_resets.kwargs["reason"])
    environment = clean_environment() | {"SHOP_DATABASE": str(tmp_path / "shop.sqlite")}
    for command in commands(block, tmp_path):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_kind_of_block_is_found() -> None:
    assert {block.kind for block in blocks()} == {"python run", "python test", "sh run"}


def test_the_reference_has_each_setting_with_its_default() -> None:
    found = {row[1]: row for row in rows("reference.md") if len(row) == 5}
    keys = {setting.key for setting in SETTINGS}
    assert {key for key in found if key.startswith("winserve_")} == keys
    for setting in SETTINGS:
        option, _, variable, default, _ = found[setting.key]
        assert option == setting.usage
        assert variable == setting.variable
        value = setting.default
        shown = ",".join(value) if isinstance(value, tuple) else value
        assert default == ("none" if shown in (None, "") else str(shown))


def test_the_topologies_have_each_server_and_option_with_its_default() -> None:
    found = rows("topologies.md")
    described = [row[0] for row in found if len(row) == 3]
    assert sorted(described) == sorted(["server", "---", *server_names()])
    options = {(row[0], row[1], row[2].strip("`")) for row in found if len(row) == 5}
    for name in server_names():
        for option in get_server(name).options:
            assert (name, option.name, option.format(option.default)) in options
    front = {(row[0], row[1]) for row in found if len(row) == 4}
    for name in front_names():
        for option in get_front(name).options:
            assert (f"front.{option.name}", option.format(option.default)) in front


def test_hosts_and_engines_are_in_the_tables_of_their_pages() -> None:
    hosts = {re.split(r"[:\[]", row[0])[0] for row in rows("hosts.md") if len(row) == 4}
    assert {*host_names()} <= hosts
    assert {*engine_names()} <= {row[0] for row in rows("engines.md") if len(row) == 4}


def test_the_measures_have_each_outcome_and_metric() -> None:
    cells = {row[0] for row in rows("measures.md")}
    assert set(OUTCOMES) <= cells
    text = " ".join(cells).replace("`", " ").replace(",", " ").split()
    for metric in {*METRICS, "outcome(refused)", "status(502)"}:
        assert metric in text


def test_links_lead_somewhere() -> None:
    for path in [*DOCS.glob("*.md"), *ROOT.glob("*.md")]:
        for name, anchor in LINK.findall(path.read_text(encoding="utf-8")):
            target = path.parent / name
            assert target.exists(), f"{path.name}: {name}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
                assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_the_server_in_contributing_is_the_one_that_is_tested() -> None:
    example = ROOT / "examples" / "own_server" / "winserve_wsgiref.py"
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert f"```python\n{example.read_text('utf-8')}```\n" in text


@pytest.mark.parametrize(
    ("page", "example"),
    [("pytest_flask", "flask_suite"), ("pytest_django", "django_suite"), ("playwright", "browser")],
)
def test_the_examples_of_suites_are_shown_as_they_are(page: str, example: str) -> None:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    files = {
        path.read_text(encoding="utf-8")
        for path in (ROOT / "examples" / example).rglob("*")
        if path.suffix in (".py", ".toml") and path.is_file()
    }
    shown = re.findall(r"^```(?:python|toml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(shown) >= 2
    for block in shown:
        assert any(block in file for file in files), block


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])
def test_what_a_page_names_is_there(page: str) -> None:
    named = set(PATH.findall((ROOT / page).read_text("utf-8")))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
