"""waitress, the pure-Python production server of the Pylons project."""

from __future__ import annotations

from pytest_winserve.options import Option, Options
from pytest_winserve.servers import Concurrency, Job, Package, Place, Production, Running
from pytest_winserve.system.ports import ADDRESS

_QUEUE = "Task queue depth is "
BACKLOG = 1024  # waitress.adjustments.Adjustments.backlog
FORWARDED = {f"x-forwarded-{what}" for what in ("for", "proto", "host")}
"""What the fronts say of the client."""
OWN_CONNECTIONS = 2  # its listener and its trigger count as well: waitress.server.readable


class WaitressServer:
    """An asyncore loop in front of a fixed pool of threads."""

    name = "waitress"
    summary = "waitress"
    development = False
    packages = (Package("waitress", "1.4.4"),)
    options = (
        Option("threads", 4, "threads that run the app", minimum=1, maximum=1000),
        Option(
            "connection_limit", 100, "connections beyond which none is accepted", 3, maximum=100_000
        ),
        Option(
            "trusted_proxy", True, "believe X-Forwarded-* of a front; false: waitress drops them"
        ),
    )

    def unsupported(self, platform: str, options: Options) -> str | None:
        threads, limit = int(options["threads"]), int(options["connection_limit"])
        if limit < threads + OWN_CONNECTIONS:
            return (
                f"connection_limit={limit} lets {limit - OWN_CONNECTIONS} clients in, so "
                f"{threads} threads cannot all be used; give connection_limit="
                f"{threads + OWN_CONNECTIONS} or more"
            )
        return None

    def complaint(self, line: str) -> tuple[str, bool] | None:
        return ("Task queue depth: more requests than threads", False) if _QUEUE in line else None

    def concurrency(self, options: Options) -> Concurrency:
        return int(options["threads"])

    def production(self, place: Place) -> Production:
        trust = [
            f"--trusted-proxy={place.front}",
            f"--trusted-proxy-headers={' '.join(sorted(FORWARDED))}",
        ]
        return Production(
            (
                "-m", "waitress",
                f"--listen={place.listen}",
                f"--threads={place.options['threads']}",
                f"--connection-limit={place.options['connection_limit']}",
                "--clear-untrusted-proxy-headers",
                *(trust if place.front and place.options["trusted_proxy"] else ()),
                place.app,
            )
        )  # fmt: skip

    def start(self, job: Job) -> Running:
        from typing import Any

        from waitress.server import create_server

        job.bind(BACKLOG)
        app, sock = job.app(), job.listener()
        connections: dict[int, Any] = {}
        trust: dict[str, Any] = {}
        if job.behind_front and job.options["trusted_proxy"]:
            trust = {"trusted_proxy": ADDRESS, "trusted_proxy_headers": FORWARDED}
        server: Any = create_server(
            app,
            map=connections,
            sockets=[sock],
            threads=int(job.options["threads"]),
            connection_limit=int(job.options["connection_limit"]),
            clear_untrusted_proxy_headers=True,
            **trust,
        )

        def stop() -> None:
            # The loop ends when nothing is left in its map; only its own thread may empty it.
            server.trigger.pull_trigger(lambda: server.asyncore.close_all(connections))

        return Running(server.run, stop)


SERVER = WaitressServer()
