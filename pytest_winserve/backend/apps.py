"""Loads the app that is served, and says what is wrong when it cannot be loaded."""

from __future__ import annotations

import difflib
import faulthandler
import importlib
import json
import os
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_winserve.errors import MissingComponent, StartError, UsageError, WinserveError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def app_of_worker(order: dict[str, Any]) -> WSGIApplication:
    """The instrumented app in a process that a server has started by itself; see
    `BackendJob.worker_code`, which makes the call."""
    from pytest_winserve.backend.counters import Counters
    from pytest_winserve.backend.instrument import Instrument
    from pytest_winserve.backend.state_teller import StateTeller

    os.chdir(order["folder"])
    try:
        app = load_app_in_time(order["app"], order["patience"])
    except (Exception, SystemExit) as error:
        # Of several processes, the first one's; and a server's own log is not the lab's to read.
        with suppress(FileExistsError), Path(order["failure"]).open("x", encoding="utf-8") as file:
            told = failure(order["app"], error) | {"trace": app_traceback(error)}
            file.write(json.dumps(told) + "\n")
        raise
    counters = Counters.attach(Path(order["counters"]))
    state = StateTeller(app, Path(order["counters"]), order["index"], order["salt"])
    return Instrument(app, order["nonce"], order["index"], counters, state.tell)


def load_app_in_time(spec: str, patience: float) -> WSGIApplication:
    """As `load_app`; an app that hangs while it loads leaves in the log where it does."""
    # By its number: a server may have put something of its own in the place of sys.stderr.
    faulthandler.dump_traceback_later(patience, file=2)
    try:
        return load_app(spec)
    finally:
        faulthandler.cancel_dump_traceback_later()


def load_app(spec: str) -> WSGIApplication:
    """The app that `module:attribute` or `module:factory()` names.

    Raises UsageError with what is wrong; an exception of the app's own import passes through.
    """
    module_name, colon, attribute = spec.partition(":")
    called = attribute.endswith("()")
    attribute = attribute.removesuffix("()")
    names = [*module_name.split("."), *attribute.split(".")]
    if not colon or not all(name.isidentifier() for name in names):
        raise UsageError(f"the app {spec!r} is neither module:attribute nor module:factory()")
    try:
        value: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            raise UsageError(
                f"the app {spec!r}: there is no module {error.name!r} in {os.getcwd()!r} "  # noqa: PTH109
                "or on Python's path"
            ) from None
        raise
    for name in attribute.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            close = difflib.get_close_matches(name, dir(value), n=3)
            hint = f"; nearest: {', '.join(close)}" if close else ""
            raise UsageError(
                f"the app {spec!r}: {module_name} has no {attribute!r}{hint}"
            ) from None
    if called:
        value = value()
    if not callable(value):
        raise UsageError(f"the app {spec!r} is not callable, but {type(value).__name__}")
    if isinstance(value, type):
        raise UsageError(f"the app {spec!r} is a class; name an instance of it")
    app: WSGIApplication = value
    return app


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
