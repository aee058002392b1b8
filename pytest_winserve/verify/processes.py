"""What `--during` can do to a site of the lab: end one of its processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_winserve.errors import UsageError
from pytest_winserve.topology import Topology
from pytest_winserve.verify.during import Planned

WORDS = ("stop", "kill")
LOCAL = "local"


def check_ends(plans: Sequence[Planned], topology: Topology, host: str) -> None:
    """Raise UsageError for what cannot be done to the processes of a topology."""
    names = [f"backend-{number}" for number in range(topology.count)]
    if topology.front is not None:
        names.append(topology.front)
    for plan in plans:
        word, _, name = plan.what.partition(" ")
        if word not in WORDS or name.strip() not in names:
            raise UsageError(
                f"--during={plan.what!r}: {' or '.join(WORDS)} with one of "
                f"{', '.join(names)} is needed, as in: --during 'kill {names[0]} at 2s'; any "
                "command line, such as that of an upgrade, goes with the URL of a site that runs"
            )
        if host != LOCAL:
            raise UsageError(
                f"--during={plan.what!r} on the host {host}: processes are ended on this machine "
                "only; load the URL of a site there, with a command line"
            )


@dataclass(frozen=True, slots=True)
class Ends:
    """Ends one of these processes, by the name."""

    pids: Mapping[str, int]

    def __call__(self, what: str) -> str:
        import psutil

        word, _, name = what.partition(" ")
        process = psutil.Process(self.pids[name.strip()])
        if word == "stop":
            process.terminate()
        else:
            process.kill()
        return f"pid {process.pid}"
