"""The app of the suite's own fixture `app`, as the processes of a site can have it: by its name.

A site runs in other processes. What a module has they import themselves; an object that a fixture
has made is in the tests' process only, and is refused with what to write instead.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_winserve.backend import SAMPLE_APP
from pytest_winserve.backend.apps import why_not_wsgi
from pytest_winserve.errors import AppError
from pytest_winserve.session.settings import Settings
from pytest_winserve.topology import Topology

FIXTURE = "app"
MAKERS = ("create_", "make_", "build_")
"""How the names of functions begin that make an app."""


def app_of_run(settings: Settings, request: pytest.FixtureRequest, topology: str) -> str:
    """The name of the app for a site of the whole run: the one that is named, else that of the
    suite's fixture `app`, else what was found. Raises AppError."""
    if "app" in settings.given or Topology.parse(topology).server == "command":
        return settings.app
    name = app_of_fixture(request)
    if name is None and settings.live_server and settings.app == SAMPLE_APP:
        raise AppError(
            "winserve_live_server = true, but there is no app to serve: no winserve_app, no "
            f"fixture `{FIXTURE}`, and none was found; name it in the ini file:\n"
            f"    winserve_app = {_of_django() or 'shop:create_app()'}"
        )
    return name or settings.app


def app_of_fixture(request: pytest.FixtureRequest) -> str | None:
    """The name of what the suite's fixture `app` gives; None where there is no such fixture.
    Raises AppError when it gives no app, or one that no other process can have."""
    try:
        app = request.getfixturevalue(FIXTURE)
    except pytest.FixtureLookupError as error:
        if error.argname != FIXTURE:
            raise
        return None
    except pytest.fail.Exception as error:
        if "ScopeMismatch" not in str(error):
            raise
        raise AppError(
            f"the fixture `{FIXTURE}` is made anew more often than once in a run, but a site of "
            'the whole run serves one app: write @pytest.fixture(scope="session") on it, or name '
            "the app in the ini file:\n    winserve_app = shop:create_app()"
        ) from None
    fixture = request._get_active_fixturedef(FIXTURE).func
    why = why_not_wsgi(app)
    if why:
        raise AppError(
            f"the fixture `{FIXTURE}` ({_place(fixture)}) gives no app: what it gives {why}; "
            "have it return the app, or name the app in the ini file:\n"
            "    winserve_app = shop:create_app()"
        )
    name = import_path(app)
    if name is None:
        raise AppError(_what_to_write(app, fixture))
    return name


def import_path(app: object) -> str | None:
    """`module:attribute` of an object that a module has; None for any other object. The module
    that the app says it is of is looked into first, and those of the tests last."""
    own = getattr(app, "import_name", "")

    def rank(name: str) -> tuple[bool, bool, str]:
        of_tests = name.rpartition(".")[2].startswith(("test_", "conftest"))
        return of_tests, name != own, name

    modules = {name: each for name, each in sys.modules.items() if isinstance(each, ModuleType)}
    modules.pop("__main__", None)
    for name in sorted(modules, key=rank):
        for attribute, value in list(vars(modules[name]).items()):
            if value is app:
                return f"{_source(name, modules[name])}:{attribute}"
    return None


def _source(name: str, module: ModuleType) -> str:
    """A module by its name where Python finds it by that, else by its file."""
    file = getattr(module, "__file__", None)
    if file is None or PathFinder.find_spec(name.partition(".")[0]) is not None:
        return name
    return Path(file).as_posix()


def _what_to_write(app: object, fixture: Callable[..., Any]) -> str:
    """Why an app cannot be served, with the lines of a factory that makes the same."""
    why = (
        f"the fixture `{FIXTURE}` ({_place(fixture)}) gives an app that exists in the tests' "
        "process only: no module has it, and the site runs in processes of its own."
    )
    lines = [why]
    tree = _tree(fixture)
    call = None if tree is None else _call_of_factory(app, fixture, tree)
    if call is not None:
        lines += ["Name what makes it in the ini file:", f"    winserve_app = {call}"]
        lines.append("Where the fixture does more than that, and the served app needs it:")
    lines += ["Write a function that makes it, such as this in serve.py, next to the ini file,"]
    lines += ["    " + line for line in _factory(fixture, tree)]
    lines += ["and name it in the ini file:", "    winserve_app = serve:create_served_app()"]
    taken = list(inspect.signature(fixture).parameters)
    if taken:
        lines.append(f"What the fixture takes ({', '.join(taken)}) such a function has to make.")
    return "\n".join(lines)


def _factory(fixture: Callable[..., Any], tree: ast.FunctionDef | None) -> list[str]:
    """A function with what a fixture does up to the app that it gives."""
    if tree is None:
        return ["def create_served_app():", "    ...", "    return app"]
    body: list[ast.stmt] = []
    for statement in tree.body:
        given = next((n for n in ast.walk(statement) if isinstance(n, ast.Yield)), None)
        if given is not None:
            body.append(ast.Return(value=given.value))
            break
        body.append(statement)
    text = "\n".join(ast.unparse(ast.fix_missing_locations(each)) for each in body)
    names = {node.id for each in body for node in ast.walk(each) if isinstance(node, ast.Name)}
    return [
        *_imports(fixture, names),
        "def create_served_app():",
        *textwrap.indent(text, "    ").splitlines(),
    ]


def _imports(fixture: Callable[..., Any], names: set[str]) -> Iterator[str]:
    """The lines that import what a fixture uses of other modules."""
    known = inspect.unwrap(fixture).__globals__
    for name in sorted(names.intersection(known)):
        value = known[name]
        module = getattr(value, "__module__", fixture.__module__)
        if isinstance(value, ModuleType):
            full = value.__name__
            yield f"import {full}" if full == name else f"import {full} as {name}"
        elif module != fixture.__module__ and getattr(value, "__name__", None) == name:
            yield f"from {module} import {name}"


def _call_of_factory(app: object, fixture: Callable[..., Any], tree: ast.FunctionDef) -> str | None:
    """The call in a fixture that makes the app, as `shop:create_app('test')`, if it is one of a
    module's function, with literals."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func).rpartition(".")[2]
        if not name.startswith(MAKERS):
            continue
        function = next(_functions(name, app, fixture), None)
        if function is None:
            continue
        given = [*call.args, *(each.value for each in call.keywords)]
        try:
            for value in given:
                ast.literal_eval(value)
        except ValueError:
            continue
        arguments = ast.unparse(call).partition("(")[2]
        return f"{function.__module__}:{name}({arguments}"
    return None


def _functions(name: str, app: object, fixture: Callable[..., Any]) -> Iterator[Any]:
    """What a name in a fixture may mean, if it is the function of a module that is no test's."""
    own = sys.modules.get(getattr(app, "import_name", ""))
    for value in (inspect.unwrap(fixture).__globals__.get(name), getattr(own, name, None)):
        if inspect.isfunction(value) and value.__module__ != fixture.__module__:
            yield value


def _tree(fixture: Callable[..., Any]) -> ast.FunctionDef | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(fixture))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    return tree if isinstance(tree, ast.FunctionDef) else None


def _place(fixture: Callable[..., Any]) -> str:
    code = inspect.unwrap(fixture).__code__
    file = Path(code.co_filename)
    here = Path.cwd()
    shown = file.relative_to(here) if file.is_relative_to(here) else file
    return f"{shown.as_posix()}, line {code.co_firstlineno}"


def _of_django() -> str | None:
    """The app of the Django project that the suite has set up."""
    conf = sys.modules.get("django.conf")
    settings = getattr(conf, "settings", None)
    if not getattr(settings, "configured", False):
        return None
    module, _, attribute = (getattr(settings, "WSGI_APPLICATION", None) or "").rpartition(".")
    return f"{module}:{attribute}" if module else None
