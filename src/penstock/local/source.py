"""The local source: a one-member replica set with change streams, on this machine. It keeps its documents in memory."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pymongo

from penstock.local.child import Child, seconds_since
from penstock.local.jars import jar_paths, pinned
from penstock.local.java import Program, compiled
from penstock.local.ports import require_free
from penstock.local.progress import Progress
from penstock.local.rehearsal import learned_options

_SOURCES = Path(__file__).parent / "java" / "source"
_MAIN = "penstock.source.SourceServer"
_PASSWORD_VARIABLE = "PENSTOCK_SOURCE_PASSWORD"  # noqa: S105 (a name, not a password)
_START_SECONDS = 60
_JVM = (
    "-Xlog:all=error",
    "-Xmx2g",
    "-XX:+UseSerialGC",
    "--enable-native-access=ALL-UNNAMED",
    "-Dfile.encoding=UTF-8",
    "-Dio.netty.noUnsafe=true",
    "-Dslf4j.internal.verbosity=ERROR",
)


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """What the local source can be told; the defaults give an open MongoDB 5.0."""

    port: int = 0
    mode: str = "mongodb-5.0"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    log_size: int | None = None
    one_time_per_command: bool = False

    def flags(self) -> list[str | Path]:
        """Answer the server's command line; the password travels in the environment."""
        valued = {
            "--port": str(self.port),
            "--mode": self.mode,
            "--user": self.user,
            "--tls-cert": self.tls_certificate,
            "--tls-key": self.tls_key,
            "--log-size": None if self.log_size is None else str(self.log_size),
        }
        flags = [word for name, value in valued.items() if value is not None for word in (name, value)]
        return flags + (["--one-time-per-command"] if self.one_time_per_command else [])

    def uri(self, port: int) -> str:
        """Answer the connection string, which holds the password when there is one."""
        login = f"{quote_plus(self.user)}:{quote_plus(self.password or '')}@" if self.user else ""
        tls = "&tls=true" if self.tls_certificate else ""
        tls += f"&tlsCAFile={quote_plus(str(self.tls_ca))}" if self.tls_certificate and self.tls_ca else ""
        return f"mongodb://{login}127.0.0.1:{port}/?replicaSet=rs0{tls}"


@dataclass(frozen=True)
class LocalSource:
    """A running source: its connection string, its process and its log."""

    uri: str = field(repr=False)
    child: Child


@contextmanager
def local_source(
    folder: Path, settings: SourceSettings | None = None, *, progress: Progress | None = None
) -> Iterator[LocalSource]:
    """Run the local source, its log under the folder; port 0 takes a free one. Stopped on leaving."""
    settings = settings or SourceSettings()
    say = progress or Progress()
    require_free(settings.port, "The local source")
    program = _program(say)
    learned = learned_options(program, lambda _folder: SourceSettings().flags(), _rehearse, say)
    say.step("Starting the local source")
    start = time.monotonic()
    child = Child(
        "The local source",
        program.command(*settings.flags(), options=learned),
        log=folder / "logs" / "source.log",
        env={_PASSWORD_VARIABLE: settings.password} if settings.password else {},
    )
    try:
        port = child.wait_ready(_START_SECONDS)
        say.step(f"The local source is ready on port {port} after {seconds_since(start)}")
        yield LocalSource(settings.uri(port), child)
    finally:
        child.stop()


def _program(progress: Progress) -> Program:
    jars = jar_paths(pinned("source"), progress)
    classes = compiled(_SOURCES, jars, progress)
    return Program("local-source", _MAIN, _JVM, (classes, *jars))


def _rehearse(port: int) -> None:
    """Do once what every user of the source does: write, read, and watch."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient("127.0.0.1", port, directConnection=True)
    with client:
        collection = client["rehearsal"]["rehearsal"]
        with collection.watch(full_document="updateLookup", max_await_time_ms=100) as stream:
            for number in range(200):
                collection.insert_one({"_id": number})
                collection.update_one({"_id": number}, {"$set": {"n": number}})
            while stream.try_next():
                pass
        list(collection.find().sort("_id"))
