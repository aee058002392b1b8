"""How each server serves an app by itself, without the lab, with the options that the lab's has.

Where a server has no command of its own, it is the few lines of its documentation.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping

_PATH = "import sys; sys.path.insert(0, ''); from {module} import {name} as app; "

_LINES = {
    "flask": "from werkzeug.serving import run_simple; "
    "run_simple('127.0.0.1', {port}, app, threaded=True)",
    "tornado": "import asyncio, tornado.wsgi, tornado.httpserver\n"
    "async def main():\n"
    "    server = tornado.httpserver.HTTPServer(tornado.wsgi.WSGIContainer(app))\n"
    "    server.listen({port}, '127.0.0.1')\n"
    "    await asyncio.Event().wait()\n"
    "asyncio.run(main())",
    "gevent": "from gevent.pywsgi import WSGIServer; "
    "WSGIServer(('127.0.0.1', {port}), app).serve_forever()",
    "uvicorn": "import uvicorn, a2wsgi; "
    "uvicorn.run(a2wsgi.WSGIMiddleware(app), port={port})",
    "uwsgi": "import pyuwsgi; pyuwsgi.run('--master', '--die-on-term', '--single-interpreter', "
    "'--need-app', '--http-socket=127.0.0.1:{port}', '--module={module}:{name}', "
    "'--add-header=Connection: close')",
}  # fmt: skip
_FIRST = {
    "gevent": "from gevent import monkey; monkey.patch_all(); ",
}
_MODULES = {
    "waitress": "waitress --listen=127.0.0.1:{port} {module}:{name}",
    "gunicorn": "gunicorn --bind=127.0.0.1:{port} {module}:{name}",
    "cheroot": "cheroot --bind=127.0.0.1:{port} {module}:{name}",
    "granian": "granian --interface=wsgi --host=127.0.0.1 --port={port} {module}:{name}",
    "hypercorn": "hypercorn --bind=127.0.0.1:{port} wsgi:{module}:{name}",
}


def own_commands(app: str) -> Mapping[str, str]:
    """By server: its own command line for the app `module:name` of the current folder, with
    {port}."""
    module, _, name = app.partition(":")

    def filled(text: str) -> str:
        return text.replace("{module}", module).replace("{name}", name)

    python = _quoted(sys.executable)
    commands = {
        server: f"{python} -c {_quoted(filled(_FIRST.get(server, '') + _PATH + lines))}"
        for server, lines in _LINES.items()
    }
    return commands | {s: f"{python} -m {filled(words)}" for s, words in _MODULES.items()}


def _quoted(text: str) -> str:
    """One word of a command line, as the lab takes it apart on this system."""
    return subprocess.list2cmdline([text]) if sys.platform == "win32" else shlex.quote(text)
