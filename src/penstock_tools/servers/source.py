"""The local source: a one-member replica set with change streams on this machine. Its documents are in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode

import pymongo

from penstock_tools.servers.certificate import Certificate, new_certificate
from penstock_tools.servers.child import Child
from penstock_tools.servers.java import program_of
from penstock_tools.servers.ports import require_free
from penstock_tools.servers.progress import Steps
from penstock_tools.servers.rehearsal import learned_options

MODES = ("mongodb-5.0", "mongodb-4.0", "mongodb-6.0", "documentdb-5.0", "documentdb-8.0")
UNENABLED = ("refuse", "silent")
"""What a DocumentDB does with a change stream that was not enabled: it refuses it, or never sends anything."""

_SOURCES = Path(__file__).parent / "java" / "source"
_MAIN = "penstock.source.SourceServer"
PASSWORD_VARIABLE = "PENSTOCK_SOURCE_PASSWORD"  # noqa: S105 (a name, not a password)
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
class LocalSourceSettings:
    """The options of the local source; the defaults give an open MongoDB 5.0."""

    port: int = 0
    mode: str = MODES[0]
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    tls_client_ca: Path | None = None
    """Whose clients' certificates it demands; then a `user` without a password is the subject of one."""
    aws_key: str | None = None
    """The AWS access key that may log in by MONGODB-AWS."""
    log_size: int | None = None
    log_retention_s: int | None = None
    unenabled_streams: str = UNENABLED[0]
    one_time_per_command: bool = False
    majority_lag_ms: int = 0
    secondary: bool = False
    """Whether there is a second member, on a port of its own, which clients of the replica set find."""

    def flags(self, certificate: Certificate | None = None) -> list[str | Path]:
        """Return the server's command line; the password is passed in the environment."""
        valued: dict[str, str | Path | None] = {
            "--port": str(self.port),
            "--mode": self.mode,
            "--user": self.user,
            "--tls-cert": certificate.certificate if certificate else None,
            "--tls-key": certificate.key if certificate else None,
            "--tls-client-ca": self.tls_client_ca,
            "--aws-key": self.aws_key,
            "--log-size": None if self.log_size is None else str(self.log_size),
            "--log-retention-s": None if self.log_retention_s is None else str(self.log_retention_s),
            "--unenabled-streams": self.unenabled_streams,
            "--majority-lag-ms": str(self.majority_lag_ms),
        }
        flags = [word for name, value in valued.items() if value is not None for word in (name, value)]
        switches = {"--one-time-per-command": self.one_time_per_command, "--secondary": self.secondary}
        return [*flags, *(name for name, is_on in switches.items() if is_on)]


@contextmanager
def local_source(
    folder: Path, settings: LocalSourceSettings | None = None, *, progress: Steps | None = None
) -> Iterator["LocalSource"]:
    """Run the local source, with its log in the folder, until the block ends."""
    server = LocalSource(folder, settings or LocalSourceSettings(), progress=progress or Steps())
    try:
        server.wait_ready()
        yield server
    finally:
        server.child.stop()


class LocalSource:
    """A server that is starting or has started; `uri` is known after `wait_ready`."""

    def __init__(self, folder: Path, settings: LocalSourceSettings, *, progress: Steps) -> None:
        require_free(settings.port, "The local source")
        program = program_of("local-source", _MAIN, _JVM, _SOURCES, progress)
        learned = learned_options(program, lambda _folder: LocalSourceSettings().flags(), _rehearse, progress)
        self._settings = settings
        self._certificate = new_certificate(folder / "certificates") if settings.tls else None
        self._progress = progress
        progress.step("Starting the local source")
        self.child = Child(
            "The local source",
            program.command(*settings.flags(self._certificate), options=learned),
            log=folder / "logs" / "source.log",
            env={PASSWORD_VARIABLE: settings.password} if settings.password else {},
        )

    def wait_ready(self) -> None:
        """Wait until the port is open. Raises LocalServerError with the server's last log lines."""
        self.child.wait_ready(_START_SECONDS)
        self._progress.step(f"The local source is ready after {self.child.seconds_to_ready:.1f} s: {self.shown_uri}")

    @property
    def uri(self) -> str:
        """The connection string, including the password if there is one."""
        return self._uri(self._settings.password or "")

    @property
    def authority(self) -> Path | None:
        """The file of the CA that signed its certificate; None without TLS."""
        return self._certificate.authority if self._certificate else None

    @property
    def shown_uri(self) -> str:
        """The connection string without the password."""
        return self._uri("PASSWORD")

    def _uri(self, password: str) -> str:
        user = self._settings.user
        login = f"{quote_plus(user)}:{quote_plus(password)}@" if user and password else ""
        options = {"replicaSet": "rs0"}
        if self._settings.mode.startswith("documentdb"):
            options["retryWrites"] = "false"
        if self._certificate:
            options |= {"tls": "true", "tlsCAFile": str(self._certificate.authority)}
        return f"mongodb://{login}127.0.0.1:{self.child.port}/?{urlencode(options)}"


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
