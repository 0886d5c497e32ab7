"""Serves the console in a thread, for as long as a block runs."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
import uvicorn

from penstock.console.app import console_app
from penstock.console.jobs.keeper import JobKeeper
from penstock.console.jobs.log_ins import LOG_INS
from penstock.errors import SettingsError
from penstock.runtime.client_certificate import problem_of
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.settings import ConsoleSettings, Settings
from penstock.settings.checks import host_of

log = structlog.get_logger(__name__)

_ENDS_WITHIN_S: Final = 3
_AGAIN_S: Final = 1.0


@dataclass(frozen=True)
class Served:
    """A console that runs: its address, and its thread."""

    address: str
    thread: threading.Thread


@contextmanager
def serving(settings: Settings, listen: str | None, intervals: Intervals = INTERVALS) -> Iterator[Served | None]:
    """Serve the console for as long as the block runs, and yield its address; do nothing without `listen`.

    Raises SettingsError.
    """
    if listen is None:
        yield None
        return
    stop = threading.Event()
    _require_certificate(settings.console)
    with (
        _listening(listen) as opened,
        JobKeeper(settings, intervals=intervals, runs=settings.console.actions) as jobs,
    ):
        app = console_app(settings, listen=listen, intervals=intervals, stop=stop, jobs=jobs)
        config = _config(app, settings.console)
        config.load()
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, name="penstock-console", daemon=True)
        thread.start()
        if config.ssl:
            its = (config.ssl, settings.console, intervals, stop)
            threading.Thread(target=_renew, args=its, name="penstock-certificate", daemon=True).start()
        address = _address(listen, opened.getsockname()[1], settings.console)
        log.info("serving the console", address=address, actions=settings.console.actions)
        try:
            yield Served(address, thread)
        finally:
            stop.set()
            server.should_exit = True
            thread.join(2 * _ENDS_WITHIN_S)
            for each in threading.enumerate():
                if each.name == LOG_INS:
                    each.join(_ENDS_WITHIN_S)


def _renew(context: ssl.SSLContext, settings: ConsoleSettings, intervals: Intervals, stop: threading.Event) -> None:
    """Give new connections the certificate that the files hold now, once both belong together."""
    certificate, key = settings.tls_certificate, settings.tls_key
    assert certificate is not None
    used, said, wait_s = _content(certificate, key), "", intervals.certificate_s
    while not stop.wait(wait_s):
        wait_s = intervals.certificate_s
        found = _content(certificate, key)
        if found is None or found == used:
            continue
        try:
            if problem := problem_of(certificate, key):
                if problem != said:
                    log.warning("the console keeps the certificate that it has", reason=problem)
                said = problem
                continue
            context.load_cert_chain(certificate, key)
        except (OSError, ValueError):  # replaced between two reads; the context may have lost the pair that it had
            used, wait_s = None, min(_AGAIN_S, wait_s)
            continue
        used, said = found, ""
        log.info("the console has a new certificate", file=str(certificate))


def _content(certificate: Path, key: Path | None) -> tuple[bytes, bytes] | None:
    """What the files hold; None while one of them cannot be read."""
    try:
        return certificate.read_bytes(), key.read_bytes() if key else b""
    except OSError:
        return None


def _config(app: object, settings: ConsoleSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_config=None,
        log_level="critical",  # what a page raises is in our own log, with secrets masked
        access_log=False,
        lifespan="off",
        ws="none",
        loop="asyncio",
        server_header=False,
        proxy_headers=False,  # the guard reads X-Forwarded-For itself, where a proxy is stated
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        timeout_graceful_shutdown=_ENDS_WITHIN_S,
        timeout_keep_alive=30,
    )


def _require_certificate(settings: ConsoleSettings) -> None:
    if settings.tls_certificate and (problem := problem_of(settings.tls_certificate, settings.tls_key)):
        raise SettingsError(f"the console cannot offer HTTPS ([console] tls_certificate): {problem}")


def _listening(listen: str) -> socket.socket:
    host, port = host_of(listen), int(listen.rpartition(":")[2])
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise SettingsError(
            f"cannot listen on {listen} ([console] listen): {error.strerror}; choose another port or address"
        ) from None
    opened.listen(128)
    return opened


def _address(listen: str, port: int, settings: ConsoleSettings) -> str:
    host = host_of(listen)
    shown = f"[{host}]" if ":" in host else host or "127.0.0.1"
    return f"{'https' if settings.tls_certificate else 'http'}://{shown}:{port}"
