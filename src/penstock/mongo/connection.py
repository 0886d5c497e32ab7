"""The connection to a source: one client for all readers, replaced when the password has been rotated."""

import re
import ssl
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias

import structlog
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError, ServerSelectionTimeoutError
from pymongo.uri_parser import parse_uri

from penstock.errors import PenstockError, SettingsError, SourceUnavailable, Stopped
from penstock.model import BsonDocument, version_of
from penstock.mongo.codec import CODEC
from penstock.mongo.error_table import NO_AWS_CREDENTIALS, Fault, connection_advice, fault_of, in_words, unavailable
from penstock.mongo.mechanism import CERTIFICATE, certificate_problem, client_certificate, login_advice
from penstock.runtime.threads import SOURCE_MAY_ANSWER_S, Cutoff
from penstock.settings import SourceSettings

log = structlog.get_logger(__name__)

SourceClient: TypeAlias = MongoClient[BsonDocument]

RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
"""For what is read without being decoded."""

_DEFAULT_OPTIONS = {
    "appName": "penstock",
    "connectTimeoutMS": 5_000,
    "serverSelectionTimeoutMS": 5_000,
    "socketTimeoutMS": 120_000,
}
"""Options that the connection string may name otherwise. No answer for so long on a socket is a dead connection; a
stream that catches up from an old position may think for a while."""

_COMMAND_NOT_FOUND = 59
_FIRST_MONGODB = (4, 0)
_MONGOS = "isdbgrid"
"""What a mongos says of itself."""

_NOT_YET = "No servers found yet"
"""What the driver says when its time is over and no attempt has failed."""

_SLOW_S = 30.0
"""A slow network takes some round trips for a connection, TLS and a login."""

_OF_SECONDARIES = ("readpreference", "readpreferencetags", "maxstalenessseconds")
"""Options of a connection string that choose among secondaries; penstock reads from the primary, except streams."""


_BEFORE_IMAGES_SINCE = 6
"""The version of MongoDB."""


class SourceServer(NamedTuple):
    """What a source is. `version` as the server says it; `time` is its cluster time."""

    product: str
    version: str
    replica_set: str
    primary: str
    time: int


class Login(NamedTuple):
    """Who logs in; without a user nobody does."""

    user: str | None
    password: str | None


class Connection:
    """The way to one source, shared by its readers and threads.

    `login` reads the credentials, once more each time they were refused; by default from the settings.
    """

    def __init__(
        self,
        settings: SourceSettings,
        login: Callable[[], Login] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        """Some seconds after `stop`, whatever is under way ends as if the connection had been cut."""
        self._settings = settings
        self._cutoff = Cutoff(stop, self._cut, after_s=SOURCE_MAY_ANSWER_S) if stop else None
        self._read_login = login or partial(_login_of, settings)
        self._lock = threading.Lock()
        self._login = Login(None, None)
        self._clients: list[SourceClient] = []

    @property
    def client(self) -> SourceClient:
        """The client at present; ask again after each fault, it may be another one. The first use reads the login."""
        if not self._clients:
            with self._lock:
                if not self._clients:
                    self._log_in(self._read_login())
        return self._clients[-1]

    @property
    def streams_from_secondary(self) -> bool:
        """Whether change streams are to be read from a secondary, where there is one."""
        return self._settings.stream_from == "secondaryPreferred"

    @property
    def address(self) -> str:
        """The hosts and ports that the settings name."""
        return address(self._settings)

    def database(self, name: str) -> Database[BsonDocument]:
        """Answer a database whose documents are decoded by CODEC."""
        return self.client.get_database(name, codec_options=CODEC)

    def log_in_again(self, refused: SourceClient) -> None:
        """Replace a client whose login was refused, if the login has changed since and can be read."""
        with self._lock:
            try:
                login = self._read_login()
            except (SettingsError, SourceUnavailable) as error:  # away for a moment while it is replaced
                log.warning("the login cannot be read again at present", reason=str(error))
                return
            if refused is self._clients[-1] and login != self._login:
                self._log_in(login)
                self._clients.pop(0).close()  # who still uses it meets a fault that passes, and asks for the new one

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for client in self._clients:
                client.close()
        if self._cutoff:
            self._cutoff.close()

    def _cut(self) -> None:
        """End what is under way: as the driver itself does, by no public way, when it finds that a server is dead."""
        for client in list(self._clients):
            topology = client._topology
            for server in list(topology._servers.values()) if topology else ():
                server.pool.reset(interrupt_connections=True)

    def _log_in(self, login: Login) -> None:
        self._login = login
        self._clients.append(_client(self._settings, login))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(
    settings: SourceSettings, login: Callable[[], Login] | None = None, stop: threading.Event | None = None
) -> Connection:
    """Connect and make sure that the server at the address is one that can be read.

    Raises SettingsError for an address that is none, SourceUnavailable with the cause otherwise.
    """
    connection = Connection(settings, login, stop)
    try:
        _require_replica_set(_first_hello(connection.client), address(settings))
        _require_supported(connection.client, address(settings))
    except PyMongoError as error:
        connection.close()
        if stop and stop.is_set():
            raise Stopped("stopped before the source had answered") from error
        raise _unreachable(error, settings) from error
    except PenstockError:
        connection.close()
        raise
    return connection


def _require_replica_set(said: BsonDocument, where: str) -> None:
    if said.get("msg") == _MONGOS:
        raise SourceUnavailable(
            f"The server at {where} is a mongos, the router of a sharded cluster, which penstock does not follow.",
            "Name the servers of a replica set in [source] uri.",
        )
    if "setName" not in said:
        raise SourceUnavailable(
            f"The server at {where} is not a replica set, so it has no change streams.",
            "Start it with --replSet and run rs.initiate(), or name another server in [source] uri.",
        )


def _require_supported(client: SourceClient, where: str) -> None:
    version = str(client.admin.command("buildInfo").get("version", ""))
    number = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if number and number < _FIRST_MONGODB:
        raise SourceUnavailable(
            f"The version {version} of the server at {where} is too old.", "Use MongoDB 4.0, DocumentDB 4.0 or newer."
        )


def cluster_time(client: SourceClient) -> int:
    """Answer the primary's cluster time: at or after every write that it has acknowledged.

    Not for the version of what is read afterwards: a majority read may be older (`collections.committed_time`).
    """
    return time_of(client.admin.command("ping")) or time_of(hello(client))


def time_of(reply: BsonDocument) -> int:
    """The cluster time that a reply carries; 0 when it carries none."""
    time = reply.get("operationTime")
    return version_of(time.time, time.inc) if isinstance(time, Timestamp) else 0


def newest_time_of(reply: BsonDocument) -> int:
    """The newest cluster time that a member knows of, which may be the primary's; 0 where it does not say."""
    time = (reply.get("$clusterTime") or {}).get("clusterTime")
    return version_of(time.time, time.inc) if isinstance(time, Timestamp) else 0


def server(client: SourceClient) -> SourceServer:
    """Say what the source is. Raises PyMongoError."""
    said = hello(client)
    return SourceServer(
        product="DocumentDB" if _is_amazon(said) else "MongoDB",
        version=str(client.admin.command("buildInfo").get("version", "unknown")),
        replica_set=said.get("setName", ""),
        primary=said.get("primary") or said.get("me") or "",
        time=cluster_time(client),
    )


def no_before_images(found: SourceServer) -> str:
    """Return why a source keeps no documents of before a change; empty if it can."""
    major = found.version.partition(".")[0]
    if found.product == "MongoDB" and major.isdigit() and int(major) >= _BEFORE_IMAGES_SINCE:
        return ""
    return (
        f"before = true needs MongoDB {_BEFORE_IMAGES_SINCE}.0 or newer, and the source is {found.product}"
        f" {found.version}"
    )


def is_documentdb(client: SourceClient) -> bool:
    """Whether the source is Amazon DocumentDB. Raises PyMongoError."""
    return _is_amazon(hello(client))


def _is_amazon(said: BsonDocument) -> bool:
    name = said.get("me") or said.get("primary") or ""
    return ".docdb" in name or ("$clusterTime" not in said and "electionId" not in said and "lastWrite" not in said)


def address(settings: SourceSettings) -> str:
    """The hosts and ports that the settings name, without credentials."""
    uri = settings.uri.get_secret_value()
    hosts = uri.partition("://")[2].partition("/")[0].rpartition("@")[2]
    return hosts or "(no address)"


def _login_of(settings: SourceSettings) -> Login:
    """The login that the settings name; nobody without a password, unless a user is named apart."""
    password = _password_of(settings)
    return Login(settings.user if settings.username or password is not None else None, password)


def _password_of(settings: SourceSettings) -> str | None:
    """The password as it is now. Raises SettingsError when its file cannot be read."""
    path: Path | None = settings.password_file
    if path is None:
        return settings.password.get_secret_value() if settings.password else None
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise SettingsError(
            f"[source] password_file: {path} cannot be read ({error.strerror}); name a file this user may read."
        ) from error
    except UnicodeDecodeError:
        raise SettingsError(f"[source] password_file: {path} is not text in UTF-8; write the password so.") from None


def _client(settings: SourceSettings, login: Login) -> SourceClient:
    named = settings.uri.get_secret_value().partition("?")[2].lower()
    options: dict[str, Any] = {
        name: value for name, value in _DEFAULT_OPTIONS.items() if f"{name.lower()}=" not in named
    }
    options |= {"connect": False, "readPreference": "primary", "retryReads": False, "retryWrites": False}
    if login.user:
        options |= {"username": login.user, "password": login.password}
    if settings.tls_ca_file:
        options |= {"tls": True, "tlsCAFile": str(settings.tls_ca_file)}
    uri = _for_the_primary(settings.uri.get_secret_value())
    if problem := certificate_problem(uri):
        raise SettingsError(f"[source] uri: {problem}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            client: SourceClient = MongoClient(uri, **options)
    except (ConfigurationError, ValueError, OSError) as error:
        raise SettingsError(_unusable(settings, error)) from None  # the driver's words may hold a part of a password
    if ignored := _refused_options(uri):
        log.warning("the driver ignores options of the connection string: name or value is not valid", options=ignored)
    return client


def _for_the_primary(uri: str) -> str:
    """Leave out the options that choose among secondaries: the driver refuses them for the primary."""
    before, sign, options = uri.partition("?")
    given = re.split("[&;]", options)
    kept = [each for each in given if each.partition("=")[0].lower() not in _OF_SECONDARIES]
    if len(kept) == len(given):
        return uri
    ignored = sorted({each.partition("=")[0] for each in given if each not in kept})
    log.warning(
        "options of [source] uri are ignored: penstock reads from the primary; [source] stream_from is for streams",
        options=ignored,
    )
    return before + sign + "&".join(kept)


def _unusable(settings: SourceSettings, error: Exception) -> str:
    """Say that no client can be made; the driver's words may hold a part of the address, so only a safe one's."""
    if settings.tls_ca_file and not _is_ca_bundle(settings.tls_ca_file):
        return f"[source] tls_ca_file: {settings.tls_ca_file} cannot be used as a CA bundle; it must be in PEM form."
    for option in _FILES:
        if f"{option.lower()}=" in settings.uri.get_secret_value().lower() and isinstance(error, _OF_FILES):
            return (
                f"[source] uri: {option} names a file that cannot be used ({type(error).__name__}); it must exist and"
                " hold certificates, in PEM form."
            )
    uri = settings.uri.get_secret_value()
    if refused := _refused_options(uri):
        return f"[source] uri: the value of {', '.join(refused)} is not valid; correct the option or leave it out."
    try:
        parse_uri(uri, validate=False, warn=False)
    except (PyMongoError, ValueError):
        return (
            f"[source] uri: not a valid connection string ({type(error).__name__}). Expected"
            " mongodb://host:port/?replicaSet=name; percent-encode user name and password, or give them as"
            " username and password."
        )
    return f"[source] uri: {error}"


_FILES = (CERTIFICATE, "tlsCAFile", "tlsCRLFile")
_OF_FILES = (OSError, ConfigurationError)


def _is_ca_bundle(path: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:  # errors of TLS are such
        return False
    return True


def _refused_options(uri: str) -> list[str]:
    """The names of the options that the driver does not accept as they are; never a value."""
    refused = []
    for option in filter(None, re.split("[&;]", uri.partition("?")[2])):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                parse_uri(f"mongodb://localhost/?{option}", validate=True, warn=True)
            except (PyMongoError, ValueError, Warning):
                refused.append(option.partition("=")[0])
    return refused


def hello(client: SourceClient) -> BsonDocument:
    """Answer what the server says of itself and of its replica set."""
    try:
        return dict(client.admin.command("hello"))
    except OperationFailure as error:
        if error.code != _COMMAND_NOT_FOUND:
            raise
        return dict(client.admin.command("isMaster"))


def _first_hello(client: SourceClient) -> BsonDocument:
    """Say hello; a server that was reached, and is slow to answer, gets more time than one that cannot be reached."""
    patience = time.monotonic() + _SLOW_S
    while True:
        try:
            return hello(client)
        except ServerSelectionTimeoutError as error:
            if _NOT_YET not in str(error) or time.monotonic() > patience:
                raise


def _unreachable(error: PyMongoError, settings: SourceSettings) -> SettingsError | SourceUnavailable:
    where = f"at {address(settings)}"
    if NO_AWS_CREDENTIALS in str(error):
        return SourceUnavailable(
            f"The login at the source {where} finds no AWS credentials here.",
            "Give the process a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        )
    if "pymongo-auth-aws" in str(error):
        return SettingsError(
            "[source] uri: authMechanism=MONGODB-AWS needs the package pymongo-auth-aws; install it with: pip install"
            " 'penstock[aws]'"
        )
    if fault_of(error) is Fault.LOGIN:
        return SourceUnavailable(
            f"The source {where} refuses the login: {in_words(error)}.",
            login_advice(settings.uri.get_secret_value()),
        )
    if not isinstance(error, ServerSelectionTimeoutError):
        return unavailable(error, f"the connection {where}")
    text = in_words(error)
    certificate = client_certificate(settings.uri.get_secret_value())
    step = connection_advice(text, is_tls=_is_tls(settings), certificate=certificate)
    if "timed out" in text or _NOT_YET in text:
        step += " If the network is slow, raise connectTimeoutMS and serverSelectionTimeoutMS in [source] uri."
    return SourceUnavailable(f"No source answers {where}: {text}.", step)


def _is_tls(settings: SourceSettings) -> bool:
    uri = settings.uri.get_secret_value().lower()
    return bool(settings.tls_ca_file) or "tls=true" in uri or "ssl=true" in uri or uri.startswith("mongodb+srv:")
