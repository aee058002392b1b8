"""Servers are looked up without importing what they serve with."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import packages_distributions

from packaging.utils import canonicalize_name

from pytest_winserve.servers import made_for_development, packages, server_names


def test_looking_for_servers_does_not_import_what_they_serve_with() -> None:
    code = (
        "import sys\n"
        "from pytest_winserve.servers import get_server, server_names\n"
        "for name in server_names(): get_server(name).concurrency"
        "({o.name: o.default for o in get_server(name).options})\n"
        "print(*sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    needed = {canonicalize_name(name) for name in packages()}
    served_with = {
        module
        for module, owners in packages_distributions().items()
        if needed & {canonicalize_name(owner) for owner in owners}
    }
    served_with.add("werkzeug")  # what Flask's development server is
    assert {"flask", "waitress", "tornado"} <= served_with
    assert served_with & {*done.stdout.split()} == set()


def test_only_flasks_own_server_is_made_for_development() -> None:
    assert [name for name in server_names() if made_for_development(name)] == ["flask"]
