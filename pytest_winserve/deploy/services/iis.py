"""A site of IIS, which starts the backends itself by its module HttpPlatformHandler."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from pytest_winserve.deploy.order import Order, refuse_percent

if TYPE_CHECKING:
    from pytest_winserve.servers import Production

LOG = r".\logs\backend.log"
ABOUT = """
  The folder of this file is the physical path of the site in IIS. README.txt says how it is set up.
  processesPerApplication: how many backends IIS starts, and spreads the requests over.
  startupTimeLimit: seconds that one may take until it listens.
  requestTimeout: hours:minutes:seconds that a request may take.
  After a change IIS starts the backends anew.
"""


class Iis:
    """See `Services`."""

    name = "iis"
    on_windows_only = True
    commands: Mapping[str, str] = {}
    after_a_change = "recycle the application pool of the site"
    gives_port = "%HTTP_PLATFORM_PORT%"
    rotates = ""

    def check(self, order: Order) -> None:
        refuse_percent(order, "IIS")

    def get(self, order: Order) -> None:
        return

    def texts(self, order: Order, productions: Sequence[Production]) -> Mapping[str, str]:
        return {"web.config": web_config(order, productions[0])}

    def next_steps(self, order: Order) -> Iterator[str]:
        yield f"in IIS, a site with the physical path {order.folder}: see README.txt there"


def web_config(order: Order, production: Production) -> str:
    """The attributes are those of Microsoft's "HttpPlatformHandler Configuration Reference"."""
    root = ElementTree.Element("configuration")
    root.append(ElementTree.Comment(ABOUT))
    server = ElementTree.SubElement(root, "system.webServer")
    handlers = ElementTree.SubElement(server, "handlers")
    ElementTree.SubElement(
        handlers, "add", name="httpPlatformHandler", path="*", verb="*",
        modules="httpPlatformHandler", resourceType="Unspecified",
    )  # fmt: skip
    words = [str(order.folder / "backend.py"), *production.arguments]
    ElementTree.SubElement(
        server, "httpPlatform",
        processPath=order.python.command,
        arguments=subprocess.list2cmdline(words),
        startupTimeLimit=str(math.ceil(order.start_timeout)),
        requestTimeout="00:02:00",
        stdoutLogEnabled="true",
        stdoutLogFile=LOG,
        processesPerApplication=str(order.topology.count),
    )  # fmt: skip
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


SERVICES = Iis()
