"""Loads over TLS by the built-in engine, against a real nginx and servers that break handshakes."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pytest_winserve.errors import LoadError
from pytest_winserve.load.engine import Target
from pytest_winserve.load.engines.builtin import BuiltinEngine
from pytest_winserve.load.engines.builtin.closed_model import ClosedRun
from pytest_winserve.load.engines.builtin.secure import SecureAsyncioLoop, Tls, secure_kind
from pytest_winserve.load.engines.locust import LocustEngine
from pytest_winserve.load.engines.tsung import TsungEngine
from pytest_winserve.load.handshake import shake_hands
from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.result import Result
from pytest_winserve.system.ports import claim_port
from pytest_winserve.system.trust import Trust
from pytest_winserve.webservers.nginx import of_the_system, of_the_wheel
from tests.kit.certificates import Certificates, given, made
from tests.kit.commands import winserve
from tests.kit.components import needs
from tests.kit.platforms import WINE

# On Windows a master that is ended leaves its worker.
PROCESSES = "master_process off;" if sys.platform == "win32" else "worker_processes 1;"
CONF = """daemon off; {processes} pid nginx.pid; error_log error.log;
events {{ }}
http {{ access_log off; server {{ listen 127.0.0.1:{port} ssl;
ssl_protocols {protocol};
ssl_certificate tls.crt; ssl_certificate_key tls.key; return 200 "hello"; }} }}
"""

BOTH = [(True, "TLSv1.3"), (False, "TLSv1.2")]


@contextlib.contextmanager
def nginx(
    folder: Path, certificates: Certificates, protocol: str = "TLSv1.2", kind: str = "good"
) -> Iterator[str]:
    program = of_the_system() or of_the_wheel()
    assert program is not None
    claim = claim_port()
    conf = CONF.format(port=claim.number, processes=PROCESSES, protocol=protocol)
    (folder / "nginx.conf").write_text(conf, "utf-8")
    for end in ("crt", "key"):
        shutil.copy(certificates.folder / f"{kind}.{end}", folder / f"tls.{end}")
    command = [str(program), "-p", f"{folder}/", "-c", "nginx.conf", "-e", "error.log"]
    process = subprocess.Popen(command)
    try:
        while not (folder / "nginx.pid").exists():
            assert process.poll() is None, (folder / "error.log").read_text("utf-8")
        yield f"https://127.0.0.1:{claim.number}"
    finally:
        process.terminate()
        process.wait()
        claim.release()


def load(url: str, trust: Trust, *, keepalive: bool = True, count: int = 10) -> Result:
    plan = Plan.make(users=5, count=count, path="/", keepalive=keepalive, timeout=5)
    return BuiltinEngine(workers=1).run(plan, Target(url, trust=trust))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if WINE and given() is None:
        pytest.skip("platform: Wine 8 lacks a DLL that what makes the certificates needs")
    return given() or made(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize(("keepalive", "protocol"), BOTH)
def test_a_load_over_tls_has_the_handshake_as_a_time_of_its_own(
    tmp_path: Path, certificates: Certificates, keepalive: bool, protocol: str
) -> None:
    with nginx(tmp_path, certificates, protocol) as url:
        result = load(url, certificates.trusted, keepalive=keepalive, count=200)
    assert result.outcomes == {"200": 200}
    assert result.tls is not None
    assert result.tls.count == result.connect.count == (5 if keepalive else 200)
    assert result.metric("tls.p95")[1] == result.tls.count
    assert "\ntls: mean " in result.summary()
    assert Result.from_dict(result.to_dict()) == result


@needs("tsung")
def test_tsung_over_tls(tmp_path: Path, certificates: Certificates) -> None:
    plan = Plan.make(users=4, count=40, path="/", timeout=5)
    engine = TsungEngine()
    with nginx(tmp_path, certificates) as url:
        result = engine.run(plan, Target(url, trust=certificates.trusted))
        with pytest.raises(LoadError, match="its certificate is not to be trusted"):
            engine.run(plan, Target(url, trust=certificates.mistrusted))
    assert result.outcomes == {"200": 40}
    assert result.unmeasured == {"first_byte", "connect", "tls"}
    assert result.metric("tls.p95") == (None, 0)
    assert "\ntls: not measured" in result.summary()
    assert Result.from_dict(result.to_dict()) == result


@needs("locust")
@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
def test_locust_over_tls(tmp_path: Path, certificates: Certificates, protocol: str) -> None:
    plan = Plan.make(users=4, count=40, path="/", timeout=5)
    closing = Plan.make(users=4, count=40, path="/", timeout=5, keepalive=False)
    engine = LocustEngine(workers=1)
    with nginx(tmp_path, certificates, protocol) as url:
        kept = engine.run(plan, Target(url, trust=certificates.trusted))
        closed = engine.run(closing, Target(url, trust=Trust(insecure=True)))
        bad = engine.run(plan, Target(url, trust=certificates.mistrusted))
    for result, connects in ((kept, 4), (closed, 40)):
        assert result.outcomes == {"200": 40}
        assert result.tls is not None
        assert result.tls.count == result.connect.count == connects
    assert bad.outcomes == {"tls_failed": 40}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        hangs = engine.run(Plan.make(users=2, count=2, path="/", timeout=0.3), Target(url))
    assert hangs.outcomes == {"tls_timeout": 2}


@pytest.mark.parametrize(("keepalive", "protocol"), BOTH)
def test_the_loop_of_other_systems(
    tmp_path: Path, certificates: Certificates, keepalive: bool, protocol: str
) -> None:
    with nginx(tmp_path, certificates, protocol) as url:
        good = by_asyncio(url, certificates.trusted, keepalive=keepalive)
        bad = by_asyncio(url, certificates.mistrusted, keepalive=keepalive)
    assert good["outcomes"] == {"200": 40}
    handshakes = [Histogram.from_dict(second["tls"]).count for second in good["timeline"]]
    assert sum(handshakes) == (5 if keepalive else 40)
    assert bad["outcomes"] == {"tls_failed": 40}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        hangs = by_asyncio(url, certificates.trusted, count=5, timeout=0.2)
    assert hangs["outcomes"] == {"tls_timeout": 5}


def by_asyncio(url: str, trust: Trust, **more: Any) -> dict[str, Any]:
    """What a worker with asyncio's loop counts, on whatever system this is."""
    plan = Plan.make(**{"users": 5, "count": 40, "path": "/", "timeout": 5, **more})
    host = urlsplit(url).netloc
    address = Target(url).address()
    job = {"address": address, "host": host, "nonce": None, "tag": None, "index": 0, "of": 1}
    loop = SecureAsyncioLoop(Tls(trust.context(), address[0]))
    run = ClosedRun(plan, job, loop)
    run.new_conn = secure_kind(run.new_conn)
    run.phase(counted=True)
    for user in run.users:
        if user.conn is not None:
            user.conn.transport.abort()
    for _ in range(3):  # what is closed needs a turn for it
        loop._loop.call_soon(loop.stop)
        loop._loop.run_forever()
    loop._loop.close()
    return run.tally.snapshot(timeline_from=0, final=True)


@needs("minutes")
def test_the_command_takes_the_file_of_the_authority(
    tmp_path: Path, certificates: Certificates
) -> None:
    with nginx(tmp_path, certificates) as url:
        load = ("load", f"{url}/", "--users", "2", "--count", "20")
        refused = winserve(*load)
        assert refused.status == 1
        assert "; --ca FILE names the certificate of who signed it" in refused.err
        for trust in (("--ca", str(certificates.authority)), ("--insecure",)):
            done = winserve(*load, *trust)
            assert done.status == 0, done.err
            assert "sent 20, answered 20, errors 0" in done.out


@needs("minutes")
def test_bad_certificates_are_named_before_a_load_and_counted_in_it(
    tmp_path: Path, certificates: Certificates
) -> None:
    bad = {
        "expired": "certificate has expired; renew it, or --insecure",
        "misnamed": "IP address mismatch, .*; load it by a name that",
        "foreign": "unable to get local issuer certificate; --ca FILE",
    }
    for kind, why in bad.items():
        folder = tmp_path / kind
        folder.mkdir()
        with nginx(folder, certificates, kind=kind) as url:
            with pytest.raises(LoadError, match=f"its certificate is not to be trusted: {why}"):
                shake_hands(Target(url, trust=certificates.trusted))
            assert load(url, certificates.trusted).outcomes == {"tls_failed": 10}
            shake_hands(Target(url, trust=Trust(insecure=True)))
            assert load(url, Trust(insecure=True)).outcomes == {"200": 10}


def test_a_broken_handshake_is_an_outcome_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def break_off() -> None:
            while not over.is_set():
                with listener.accept()[0] as client, contextlib.suppress(OSError):
                    client.recv(100)
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=break_off, daemon=True)
        thread.start()
        address = listener.getsockname()
        url = f"https://127.0.0.1:{address[1]}"
        with pytest.raises(LoadError, match="the TLS handshake fails: "):
            shake_hands(Target(url))
        plan = Plan.make(users=2, count=10, path="/")
        result = BuiltinEngine(workers=1).run(plan, Target(url))
        assert result.outcomes == {"tls_failed": 10}
        over.set()
        socket.create_connection(address).close()
        thread.join()


def test_a_handshake_that_hangs_ends_with_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        plan = Plan.make(users=2, count=2, path="/", timeout=0.2)
        result = BuiltinEngine(workers=1).run(plan, Target(url))
    assert result.outcomes == {"tls_timeout": 2}
