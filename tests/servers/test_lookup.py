"""Servers are looked up without importing what they serve with."""

from __future__ import annotations

import subprocess
import sys


def test_looking_for_servers_does_not_import_what_they_serve_with() -> None:
    code = (
        "import sys\n"
        "from pytest_winserve.servers import get_server, server_names\n"
        "for name in server_names(): get_server(name).concurrency"
        "({o.name: o.default for o in get_server(name).options})\n"
        "served_with = {'flask', 'werkzeug', 'gunicorn', 'tornado', 'pyuwsgi', 'waitress',\n"
        "               'gevent', 'cheroot', 'granian', 'hypercorn', 'uvicorn', 'a2wsgi'}\n"
        "print(sorted(served_with & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
