"""Loads the app that is served, and says what is wrong when it cannot be loaded."""

from __future__ import annotations

import difflib
import faulthandler
import importlib
import inspect
import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pytest_winserve.backend.app_names import AppName, parse_app
from pytest_winserve.backend.not_run import made_there
from pytest_winserve.backend.wrapped import is_flask
from pytest_winserve.errors import AppError, MissingComponent, StartError, WinserveError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

NAMES = ("app", "application")
FACTORIES = ("create_app", "make_app")
"""Where Flask's own command looks for an app, in this order; between them stands the only Flask
object of the module (flask.cli.find_best_app)."""
WRAPPED = ("server", "wsgi_app", "wsgi", "app")
"""Where objects that are no WSGI app have one: Dash, extensions of Flask."""


@dataclass(frozen=True, slots=True)
class LoadedApp:
    """An app, and its whole name: of `app.py` it may be `app.py:create_app()`."""

    app: WSGIApplication
    name: str


def app_of_worker(order: dict[str, Any]) -> WSGIApplication:
    """The instrumented app in a process that a server has started by itself; see
    `BackendJob.worker_code`, which makes the call."""
    from pytest_winserve.backend.counters import Counters
    from pytest_winserve.backend.instrument import Instrument
    from pytest_winserve.backend.state_teller import StateTeller

    os.chdir(order["folder"])
    try:
        app = load_app_in_time(order["app"], order["patience"]).app
    except (Exception, SystemExit) as error:
        # Of several processes, the first one's; and a server's own log is not the lab's to read.
        with suppress(FileExistsError), Path(order["failure"]).open("x", encoding="utf-8") as file:
            told = failure(order["app"], error) | {"trace": app_traceback(error)}
            file.write(json.dumps(told) + "\n")
        raise
    counters = Counters.attach(Path(order["counters"]))
    state = StateTeller(app, Path(order["counters"]), order["index"], order["salt"])
    return Instrument(app, order["nonce"], order["index"], counters, state.tell)


def load_app_in_time(spec: str, patience: float) -> LoadedApp:
    """As `load_app`; an app that hangs while it loads leaves in the log where it does."""
    # By its number: a server may have put something of its own in the place of sys.stderr.
    faulthandler.dump_traceback_later(patience, file=2)
    try:
        return load_app(spec)
    finally:
        faulthandler.cancel_dump_traceback_later()


def load_app(spec: str) -> LoadedApp:
    """The app of that name; see `AppName`. What has no attribute in its name is looked through as
    Flask's own command does.

    Raises AppError with what is wrong and what to write instead; an exception of the app's own
    code passes through.
    """
    name = parse_app(spec)
    module = _module_of_file(name) if name.is_file else _module(name)
    if not name.attribute:
        return _only_app(name, module)
    value: Any = module
    for part in name.attribute.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            raise AppError(
                f"the app {spec!r}: {name.source} has no {name.attribute!r}"
                + _nearest(part, dir(value))
            ) from None
    if name.arguments is not None:
        return _loaded(_called(name, value), spec)
    if _is_factory(value, name.attribute):
        return _made_by(value, spec, name.source, name.attribute)
    return _loaded(value, spec)


def _loaded(value: Any, text: str) -> LoadedApp:
    return LoadedApp(_judged(value, text), text)


def _made_by(factory: Any, text: str, source: str, attribute: str) -> LoadedApp:
    """What a factory makes that is named, by `text`, without its call."""
    name = AppName(f"{text}()", source, attribute, ((), {}))
    return _loaded(_called(name, factory), name.text)


def _module(name: AppName) -> ModuleType:
    try:
        return importlib.import_module(name.source)
    except ModuleNotFoundError as error:
        if error.name is None or not (name.source + ".").startswith(error.name + "."):
            raise  # another one, that the app itself imports
        here = os.getcwd()  # noqa: PTH109
        package, _, last = name.source.rpartition(".")
        if package and not name.attribute and error.name == name.source:
            hint = f"; for {last} in the module {package}, write {package}:{last}"
        else:
            hint = _nearest(error.name, [path.stem for path in modules_in(Path(here))])
        raise AppError(
            f"the app {name.text!r}: there is no module {error.name!r} in {here!r} or on Python's "
            f"path{hint}"
        ) from None


def modules_in(folder: Path) -> Iterator[Path]:
    """The files of the modules in a folder, and the folders of the packages in it."""
    with suppress(OSError):
        yield from folder.glob("*.py")
        yield from (path.parent for path in folder.glob("*/__init__.py"))


def _module_of_file(name: AppName) -> ModuleType:
    """The module of a file: by its place in a package if it is in one, as Flask's command does."""
    file = Path(name.source).absolute()
    if not file.is_file():
        near = _nearest(file.name, [path.name for path in file.parent.glob("*.py")])
        raise AppError(
            f"the app {name.text!r}: there is no file {file.name!r} in {str(file.parent)!r}{near}"
        )
    folder, full_name = module_of(file)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    module = importlib.import_module(full_name)
    loaded = getattr(module, "__file__", None)
    if loaded is None or not os.path.samefile(loaded, file):  # noqa: PTH121
        raise AppError(
            f"the app {name.text!r}: another module is called {module.__name__!r}, too "
            f"({loaded or 'a part of Python'}), and was imported before: give the file another name"
        )
    return module


def module_of(file: Path) -> tuple[Path, str]:
    """The folder from which a file is imported, and the name of its module there."""
    folder, parts = file.parent, [] if file.stem == "__init__" else [file.stem]
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts)


def _only_app(name: AppName, module: ModuleType) -> LoadedApp:
    """The app of a module that is named alone."""
    for each in NAMES:
        value = getattr(module, each, None)
        if value is not None and not isinstance(value, ModuleType):
            return _loaded(value, f"{name.text}:{each}")
    flasks = [each for each, value in vars(module).items() if is_flask(value)]
    if len({id(getattr(module, each)) for each in flasks}) > 1:
        options = " or ".join(f"{name.text}:{each}" for each in flasks)
        raise AppError(
            f"the app {name.text!r}: {name.source} has {len(flasks)} apps; name one of them: "
            f"{options}"
        )
    if flasks:
        return _loaded(getattr(module, flasks[0]), f"{name.text}:{flasks[0]}")
    for each in FACTORIES:
        value = getattr(module, each, None)
        if inspect.isfunction(value):
            return _made_by(value, f"{name.text}:{each}", name.source, each)
    raise AppError(
        f"the app {name.text!r}: {name.source} has none of {', '.join(NAMES)}, no Flask object and "
        f"none of {', '.join(FACTORIES)}; "
        + (
            _made_when_run(name, module)
            or f"name what is the app, as in {name.text}:shop{_other_candidates(name, module)}"
        )
    )


def _made_when_run(name: AppName, module: ModuleType) -> str:
    """What to do about an app that is made only when its file is run."""
    found = made_there(Path(getattr(module, "__file__", None) or ""), NAMES)
    if found is None:
        return ""
    what, value = found
    maker = getattr(module, value.removesuffix("()"), None)
    mend = f", or write {name.text}:{value}" if inspect.isfunction(maker) else ""
    return (
        f'{what} is made under `if __name__ == "__main__"`, which is not run where a server '
        f"imports the file: make it above that line{mend}"
    )


def _other_candidates(name: AppName, module: ModuleType) -> str:
    """Instances in a module that look like WSGI apps, of other frameworks than Flask."""
    found = [
        each
        for each, value in vars(module).items()
        if callable(value)
        and not isinstance(value, type)
        and not inspect.isroutine(value)
        and type(value).__module__.partition(".")[0] not in ("typing", "builtins", "functools")
        and not why_not_wsgi(value)
    ]
    return f" (or {' or '.join(f'{name.text}:{each}' for each in found[:3])})" if found else ""


def _is_factory(value: object, attribute: str) -> bool:
    """Whether a function makes an app, and is not one: it can be called without arguments, or it is
    called as factories are."""
    if not inspect.isfunction(value):
        return False
    if _binds(value):
        return True
    last = attribute.rpartition(".")[2]
    return last in FACTORIES or last.startswith(("create_", "make_", "build_"))


def _binds(function: Any, *given: Any, **named: Any) -> bool:
    try:
        inspect.signature(function).bind(*given, **named)
    except TypeError:
        return False
    except ValueError:  # a function of C has no signature
        return True
    return True


def _called(name: AppName, factory: Any) -> Any:
    """What a factory makes. Raises AppError when it cannot be called like that."""
    assert name.arguments is not None
    given, named = name.arguments
    if not callable(factory):
        kind = type(factory).__name__
        raise AppError(f"the app {name.text!r}: {name.attribute} is no function, but {kind}")
    try:
        inspect.signature(factory).bind(*given, **named)
    except TypeError as error:
        wants = inspect.signature(factory)
        raise AppError(
            f"the app {name.text!r}: {error}; it is {name.attribute}{wants}: write its arguments, "
            f"as in {name.source}:{name.attribute}('text', key=1)"
        ) from None
    except ValueError:
        pass
    made = factory(*given, **named)
    if made is None:
        raise AppError(f"the app {name.text!r}: {name.attribute} returned None; it has to return "
                         "the app")  # fmt: skip
    return made


def _judged(value: Any, text: str) -> WSGIApplication:
    """The value, if it is a WSGI app. Raises AppError with what it is and what to write."""
    if isinstance(value, type):
        raise AppError(f"the app {text!r} is a class; name an instance of it")
    why = why_not_wsgi(value, text)
    if why:
        raise AppError(f"the app {text!r} {why}{_wrapped(value, text)}")
    app: WSGIApplication = value
    return app


def why_not_wsgi(value: Any, text: str = "shop:app") -> str:
    """What keeps a value from being a WSGI app, to be read after its name; empty when it is one."""
    if not callable(value):
        return f"is not callable, but {_kind(value)}"
    call = value if inspect.isroutine(value) else type(value).__call__
    if inspect.iscoroutinefunction(call) or _takes(value, 3):
        return (
            f"is an ASGI app ({_kind(value)}), which no WSGI server can run; its own server can be "
            "measured by `command`, as in: winserve check command --command "
            f"'uvicorn {text} --port {{port}}' --slow PATH"
        )
    try:
        inspect.signature(value).bind({}, None)
    except TypeError:
        wants = inspect.signature(value)
        return f"is no WSGI app: it takes {wants}, and not environ and start_response"
    except ValueError:
        pass
    return ""


def _takes(value: Any, count: int) -> bool:
    """Whether it takes so many arguments, and no fewer."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return False
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    wanted = [each for each in parameters if each.kind in plain and each.default is each.empty]
    return len(wanted) == count and [each.name for each in wanted][-2:] == ["receive", "send"]


def _wrapped(value: Any, text: str) -> str:
    """Where an object that is no app has one, such as Dash's `server`."""
    for each in WRAPPED:
        inner = getattr(value, each, None)
        if inner is not None and not isinstance(inner, ModuleType) and not why_not_wsgi(inner):
            return f"; it has one: {text}.{each}" if "(" not in text else f"; its .{each} is one"
    return ""


def _kind(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=3)
    return f"; nearest: {', '.join(close)}" if close else ""


def failure(app: str, error: BaseException) -> dict[str, str]:
    """What the lab is told of an error that kept the app from being served."""
    if isinstance(error, MissingComponent):
        # What the lab itself needs it has asked for before.
        return {"error": str(error), "kind": StartError.__name__}
    if isinstance(error, WinserveError):
        return {"error": str(error), "kind": type(error).__name__}
    last = traceback.format_exception_only(error)[-1].strip()
    return {
        "error": f"the app {app!r} could not be loaded: {last}",
        "kind": StartError.__name__,
    }


def app_traceback(error: BaseException) -> str:
    """The traceback of the app's own code, without the frames that led to it; empty when none of
    it ran."""
    if isinstance(error, WinserveError):
        return ""
    trace = traceback.TracebackException.from_exception(error)
    files = [frame.filename for frame in trace.stack]
    first = len(files) - files[::-1].index(__file__) if __file__ in files else 0
    machinery = (importlib.__file__, "<frozen importlib")
    while first < len(files) and files[first].startswith(machinery):
        first += 1
    del trace.stack[:first]
    if not trace.stack and not isinstance(error, SyntaxError):
        return ""  # such as a call that its factory does not take
    return "".join(trace.format())
