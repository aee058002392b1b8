"""The TLS handshake of a site, made once before a load: is its certificate to be trusted?"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from time import perf_counter

from pytest_winserve.errors import LoadError
from pytest_winserve.load.engine import Target, resolve, secured

MOST_SECONDS = 5.0
"""For all of it, from the connect on."""
NOT_ITS_NAME = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
SIGNED_BY_OTHERS = (2, 18, 19, 20, 21)
"""OpenSSL's codes of a certificate whose issuer is not known, or is itself."""


@contextlib.contextmanager
def connected(address: tuple[str, int], seconds: float) -> Iterator[socket.socket]:
    """A connection that is shut after these seconds, whatever comes over it meanwhile."""
    began = perf_counter()
    with socket.create_connection(address, timeout=seconds) as sock:

        def shut() -> None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(max(0.0, began + seconds - perf_counter()), shut)
        timer.daemon = True
        timer.start()
        try:
            yield sock
        finally:
            timer.cancel()


def shake_hands(target: Target) -> None:
    """Raise LoadError where the target's certificate is not to be trusted, or its handshake fails.

    One that does not let us connect is left to the load, which counts what becomes of it.
    """
    if not target.secure:
        return
    with contextlib.ExitStack() as held:
        try:
            sock = held.enter_context(connected(resolve(target), MOST_SECONDS))
        except OSError:
            return
        try:
            held.enter_context(secured(sock, target))
        except ssl.SSLCertVerificationError as error:
            raise LoadError(
                f"{target.url}: its certificate is not to be trusted: "
                f"{error.verify_message.rstrip('.')}; {_mend(error)}"
            ) from None
        except OSError as error:
            raise LoadError(f"{target.url}: the TLS handshake fails: {error}") from None


def _mend(error: ssl.SSLCertVerificationError) -> str:
    """What helps against a certificate that is not to be trusted."""
    unchecked = "--insecure takes it unchecked"
    if error.verify_code in NOT_ITS_NAME:
        return f"load it by a name that its certificate has, or {unchecked}"
    if error.verify_code in SIGNED_BY_OTHERS:
        return f"--ca FILE names the certificate of who signed it, {unchecked}"
    return f"renew it, or {unchecked}"
