"""A Chromium that is driven by its pipe, and its network log as the HAR that it exports."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECONDS = 60.0


def found() -> str | None:
    """The program, None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class RefusedError(Exception):
    """The browser does not do that."""


class Browser:
    """One page of a Chromium. Whatever is awaited has a deadline."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands, self._events = commands, events
        self._read = b""
        self._number = 0
        self._session = ""
        self.log: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Network", "Runtime", "DOM"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What a command of the browser's answers."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RefusedError(f"{method}: {answer['error']}")
                found: dict[str, Any] = answer["result"]
                return found
            self.log.append(answer)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._read:
            left = deadline - time.monotonic()
            assert left > 0, "the browser does not answer"
            if select.select([self._events], [], [], left)[0]:
                more = os.read(self._events, 1 << 20)
                assert more, "the browser has ended"
                self._read += more
        message, _, self._read = self._read.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def run(self, script: str) -> Any:
        """The value of a script in the page; a promise is awaited."""
        answer = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def fetch(self, script: str) -> Any:
        """The value of a script that sends requests, which it awaits."""
        value = self.run(script)
        self._keep_bodies()
        return value

    def open(self, url: str) -> None:
        self._goes(lambda: self.ask("Page.navigate", url=url))

    def click(self, selector: str) -> None:
        """Click what leads to another page."""
        self._goes(lambda: self.run(f"document.querySelector({selector!r}).click()"))

    def fill(self, selector: str, text: str) -> None:
        self.run(f"document.querySelector({selector!r}).value = {json.dumps(text)}")

    def choose(self, selector: str, file: Path) -> None:
        """Choose a file in a form."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def _goes(self, act: Any) -> None:
        """Do what leads to another page, and wait until that is loaded, with its body kept."""
        seen = len(self.log)
        act()
        deadline = time.monotonic() + SECONDS
        while not any(each.get("method") == "Page.loadEventFired" for each in self.log[seen:]):
            self.log.append(self._next(deadline))
        self._keep_bodies()

    def _keep_bodies(self) -> None:
        """Ask for the bodies of this page, as the developer tools do while it is there."""
        kept = {each["of"] for each in self.log if "of" in each}
        for each in list(self.log):
            request = each.get("params", {}).get("requestId")
            sent = each.get("params", {}).get("request", {})
            if sent.get("hasPostData") and "postData" not in sent:
                try:
                    sent |= self.ask("Network.getRequestPostData", requestId=request)
                except RefusedError:
                    sent["postData"] = ""
            if each.get("method") == "Network.loadingFinished" and request not in kept:
                try:
                    body = self.ask("Network.getResponseBody", requestId=request)
                except RefusedError:  # of a page that was left: it is dropped
                    continue
                self.log.append({"of": request, "body": body})

    def har(self) -> dict[str, Any]:
        """The network log as HAR, as Chromium's developer tools write it."""
        self._keep_bodies()
        return {
            "log": {
                "version": "1.2",
                "creator": {"name": "WebInspector", "version": "537.36"},
                "pages": [],
                "entries": list(_entries(self.log)),
            }
        }


def _entries(log: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    begun: dict[str, dict[str, Any]] = {}
    bodies = {each["of"]: each["body"] for each in log if "of" in each}
    for each in log:
        name, event = each.get("method", ""), each.get("params", {})
        request = event.get("requestId")
        if name == "Network.requestWillBeSent":
            # Each hop of a redirect has an entry of its own.
            if "redirectResponse" in event and request in begun:
                yield _entry(begun.pop(request), event["redirectResponse"], event, None)
            begun[request] = event
        elif name == "Network.responseReceived" and request in begun:
            begun[request]["response"] = event["response"]
        elif name == "Network.loadingFinished" and "response" in begun.get(request, {}):
            first = begun.pop(request)
            yield _entry(first, first["response"], event, bodies.get(request))


def _entry(
    first: Mapping[str, Any],
    response: Mapping[str, Any],
    last: Mapping[str, Any],
    body: Mapping[str, Any] | None,
) -> dict[str, Any]:
    request = first["request"]
    headers = dict(request["headers"])
    made: dict[str, Any] = {
        "method": request["method"],
        "url": request["url"],
        "httpVersion": "http/1.1",
        "headers": _pairs(headers),
        "queryString": [],
        "cookies": [],
        "headersSize": -1,
        "bodySize": 0,
    }
    if request.get("hasPostData"):
        made["postData"] = {
            "mimeType": headers.get("Content-Type", ""),
            "text": request.get("postData", ""),
        }
    content: dict[str, Any] = {"size": 0, "mimeType": response.get("mimeType") or "x-unknown"}
    if body is not None:
        content |= {"size": len(body["body"]), "text": body["body"]}
        if body["base64Encoded"]:
            content["encoding"] = "base64"
    return {
        "_resourceType": first.get("type", "").lower(),
        "startedDateTime": datetime.fromtimestamp(first["wallTime"], UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        "time": (last["timestamp"] - first["timestamp"]) * 1000,
        "request": made,
        "response": {
            "status": response["status"],
            "statusText": response["statusText"],
            "httpVersion": "http/1.1",
            "headers": _pairs(response["headers"]),
            "cookies": [],
            "content": content,
            "redirectURL": response["headers"].get("Location", ""),
            "headersSize": -1,
            "bodySize": -1,
        },
        "cache": {},
        "timings": {},
    }


def _pairs(headers: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers.items()]


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser with a new profile in that folder; it is ended at the end."""
    program = found()
    assert program is not None
    assert sys.platform != "win32"
    their_commands, commands = os.pipe()
    events, their_events = os.pipe()
    # It reads from descriptor 3 and writes to 4.
    line = f'exec "$@" 3</dev/fd/{their_commands} 4>/dev/fd/{their_events}'
    options = (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}", "--no-first-run",
        "--disable-background-networking", "--disable-component-update",
    )  # fmt: skip
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            ["sh", "-c", line, "chromium", program, *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(their_commands, their_events),
        )
    os.close(their_commands)
    os.close(their_events)
    try:
        yield Browser(commands, events)
    finally:
        os.close(commands)  # it ends when nobody commands it
        os.close(events)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
