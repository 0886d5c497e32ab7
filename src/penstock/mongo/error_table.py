"""What each error of a source means for a reader.

The servers give no error labels on change streams, and they reuse codes: DocumentDB answers 136 both for a position
that has aged out and for a stream that was never enabled. Where a code has several meanings, the text decides.
"""

from enum import Enum
from pathlib import Path
from typing import NamedTuple

from pymongo.errors import AutoReconnect, ConfigurationError, ConnectionFailure, OperationFailure, PyMongoError

from penstock.errors import SourceUnavailable


class Fault(Enum):
    """What a reader does about an error."""

    TRANSIENT = "wait and go on from the last position"
    LOST = "the change log no longer holds the position, or cannot read it"
    TOO_LARGE = "an event is above 16 MB: read keys only and look the documents up"
    LOGIN = "the credentials are refused: read the password file again, it may have been rotated"
    NOT_ALLOWED = "the user lacks a right"
    NOT_ENABLED = "change streams are off for the collection"
    NOT_REPLICATED = "the server is not a replica set: it has no change streams"
    REFUSED = "refused for good, for another reason"


class MajorityBehind(PyMongoError):
    """What a majority of the source's members has is still older than what must be read; it helps to ask again."""


class Rule(NamedTuple):
    """One line of the table. `text`, in lower case, must be in the message; lines are tried from the top."""

    code: int
    fault: Fault
    name: str
    text: str = ""


_TOKEN_CODES = (
    *(40646, 40647, 40648, 40649),  # empty, too long, or of the wrong type
    *(50788, 50793, 50794, 50795, 50796),  # 50795: a token of MongoDB 6.0 or newer on an older server
    *range(50810, 50833),  # the token's text is no sorted key
    *(50854, 50855, 50870, 50872, 51055, 51056, 51057),  # 50854: a token of MongoDB 4.0 on a newer server
    *(6189500, 6189501, 6189503, 6189504, 7182501),  # of MongoDB 6.0 and newer
)
"""What MongoDB 4.0 to 8.0 raise while they parse a resume token (mongo/db/pipeline/resume_token.cpp)."""

TABLE: tuple[Rule, ...] = (
    Rule(6, Fault.TRANSIENT, "HostUnreachable"),
    Rule(7, Fault.TRANSIENT, "HostNotFound"),
    Rule(9, Fault.LOST, "FailedToParse: a token that is malformed or of another server", "resume token"),
    Rule(13, Fault.NOT_ALLOWED, "Unauthorized"),
    Rule(15, Fault.LOST, "Overflow: a malformed token", "past end of buffer"),
    Rule(18, Fault.LOGIN, "AuthenticationFailed"),
    Rule(43, Fault.TRANSIENT, "CursorNotFound"),
    Rule(50, Fault.TRANSIENT, "MaxTimeMSExpired"),
    Rule(63, Fault.TRANSIENT, "StaleShardVersion"),
    Rule(89, Fault.TRANSIENT, "NetworkTimeout"),
    Rule(91, Fault.TRANSIENT, "ShutdownInProgress"),
    Rule(133, Fault.TRANSIENT, "FailedToSatisfyReadPreference"),
    Rule(134, Fault.TRANSIENT, "ReadConcernMajorityNotAvailableYet"),
    Rule(136, Fault.NOT_ENABLED, "DocumentDB: change streams are off", "modifychangestreams"),
    Rule(136, Fault.LOST, "CappedPositionLost, in several wordings"),
    Rule(143, Fault.TRANSIENT, "CursorInUse: still, by a request whose connection was cut"),
    Rule(150, Fault.TRANSIENT, "StaleEpoch"),
    Rule(175, Fault.TRANSIENT, "QueryPlanKilled: the collection was dropped under the query"),
    Rule(189, Fault.TRANSIENT, "PrimarySteppedDown"),
    Rule(202, Fault.TRANSIENT, "NetworkInterfaceExceededTimeLimit"),
    Rule(234, Fault.TRANSIENT, "RetryChangeStream"),
    Rule(237, Fault.TRANSIENT, "CursorKilled"),
    Rule(260, Fault.LOST, "InvalidResumeToken: of another collection, or of a dropped one"),
    Rule(262, Fault.TRANSIENT, "ExceededTimeLimit"),
    Rule(280, Fault.LOST, "ChangeStreamFatalError: the token cannot be found"),
    Rule(286, Fault.LOST, "ChangeStreamHistoryLost"),
    Rule(9001, Fault.TRANSIENT, "SocketException"),
    Rule(10058, Fault.TRANSIENT, "LegacyNotPrimary"),
    Rule(10107, Fault.TRANSIENT, "NotWritablePrimary"),
    Rule(10334, Fault.TOO_LARGE, "BSONObjectTooLarge"),
    Rule(11600, Fault.TRANSIENT, "InterruptedAtShutdown"),
    Rule(11601, Fault.TRANSIENT, "Interrupted"),
    Rule(11602, Fault.TRANSIENT, "InterruptedDueToReplStateChange"),
    Rule(13388, Fault.TRANSIENT, "StaleConfig"),
    Rule(13435, Fault.TRANSIENT, "NotPrimaryNoSecondaryOk"),
    Rule(13436, Fault.TRANSIENT, "NotPrimaryOrSecondary"),
    Rule(17287, Fault.TRANSIENT, "DocumentDB: bad query specified, seen at failover"),
    Rule(40573, Fault.NOT_REPLICATED, "change streams only on replica sets"),
    Rule(40576, Fault.LOST, "the time is before the log"),
    Rule(40585, Fault.LOST, "the token was not found"),
    Rule(40615, Fault.LOST, "the token's collection is unknown"),
    *(Rule(code, Fault.LOST, "a malformed token, or one of another version of the server") for code in _TOKEN_CODES),
)

NO_AWS_CREDENTIALS = "credentials could not be obtained"
"""The words of a login by an AWS role where there is none at the moment."""

_TEXTS: tuple[tuple[str, Fault], ...] = (
    ("bsonobjecttoolarge", Fault.TOO_LARGE),
    ("only supported on replica sets", Fault.NOT_REPLICATED),
    (NO_AWS_CREDENTIALS, Fault.LOGIN),
    ("cappedpositionlost", Fault.LOST),
    ("resume token", Fault.LOST),
)
"""What decides where a code is unknown or missing."""


_AFTER_CLOSE = "after close"
"""The driver's words for a client that was closed because the login was rotated; there is a new one."""


def fault_of(error: PyMongoError) -> Fault:
    """Say what the error means."""
    if not isinstance(error, OperationFailure):
        is_passing = isinstance(error, ConnectionFailure | AutoReconnect | MajorityBehind)
        return Fault.TRANSIENT if is_passing or _AFTER_CLOSE in str(error) else Fault.REFUSED
    text = _message(error).lower()
    for rule in TABLE:
        if rule.code == error.code and rule.text in text:
            return rule.fault
    return next((fault for part, fault in _TEXTS if part in text), Fault.REFUSED)


_NEXT_STEPS = {
    Fault.LOGIN: "Check [source] username and password, and authSource in the connection string.",
    Fault.NOT_ALLOWED: "Give the user the role `read` (find and changeStream) on the database.",
    Fault.NOT_REPLICATED: "Change streams need a replica set: start the server with --replSet and run rs.initiate().",
    Fault.TRANSIENT: "Check that the servers are up and that this machine can reach them.",
    Fault.TOO_LARGE: "Find the document above 16 MB and make it smaller.",
    Fault.REFUSED: "Change what the server's message names.",
    Fault.LOST: "Load the affected collections again.",
}


_CERTIFICATE = "name the file with the client's certificate and key as tlsCertificateKeyFile in [source] uri."

_CONNECTION_STEPS: tuple[tuple[str, str], ...] = (
    ("certificate has expired", "Renew the server's certificate, or correct the clock of this machine."),
    ("mismatch", "Use a name in [source] uri that the server's certificate is for."),
    ("not valid for", "Use a name in [source] uri that the server's certificate is for."),
    (
        "certificate_verify_failed",
        "Check [source] tls_ca_file: it must contain the CA that signed the server's certificate.",
    ),
    ("wrong_version_number", "The server has no TLS: leave tls and [source] tls_ca_file out."),
    (
        "replica set",
        "Check replicaSet in [source] uri: it must be that of the server. A mongos has none, and cannot be followed.",
    ),
    ("name or service not known", "Correct the name of the host in [source] uri."),
)
"""What to do where no server could be chosen, by a text in the driver's words; tried from the top."""

_CUT = ("connection closed", "connection reset", "eof occurred")
_ASKS_FOR_CERTIFICATE = ("certificate_required", "certificate required", "handshake_failure", "alert bad certificate")
_REFUSES_CERTIFICATE = ("alert unknown ca", "alert certificate unknown", "alert certificate expired")


def connection_advice(text: str, *, is_tls: bool, certificate: Path | None = None) -> str:
    """What to do when no server answers, by the driver's words; `certificate` is the client's."""
    lowered = text.lower()
    if certificate and any(words in lowered for words in (*_ASKS_FOR_CERTIFICATE, *_REFUSES_CERTIFICATE)):
        return (
            f"The server does not take the client's certificate in {certificate}: use one, still valid, of an authority"
            " that the server trusts for clients."
        )
    if any(words in lowered for words in _ASKS_FOR_CERTIFICATE):
        return f"The server requires a client certificate: {_CERTIFICATE}"
    if step := next((step for words, step in _CONNECTION_STEPS if words in lowered), ""):
        return step
    if any(words in lowered for words in _CUT) and not is_tls:
        return (
            "If the server requires TLS, add tls=true to [source] uri, or name its CA in [source] tls_ca_file; else"
            " check that the server is up."
        )
    if any(words in lowered for words in _CUT) and not certificate:
        return f"Check that the server is up; if it requires a client certificate, {_CERTIFICATE}"
    return "Check [source] uri, and that the server is up and this machine can reach it."


def unavailable(error: PyMongoError, what: str) -> SourceUnavailable:
    """Make the error that ends a reader of `what`, with the cause in the server's words and the next step."""
    fault = fault_of(error)
    if fault is Fault.NOT_ENABLED:
        step = _enable(what)
    elif fault is Fault.NOT_ALLOWED and "requires authentication" in in_words(error):
        step = "Set [source] username and password (or password_file): the server requires a login."
    elif isinstance(error, MajorityBehind):
        step = "Try again in a moment; if it stays so, check that a majority of the source's members is up."
    elif isinstance(error, ConfigurationError) and "wire version" in str(error):
        step = "Install a pymongo version that supports this server; 4.13.2 is the last one for DocumentDB 4.0."
    else:
        step = _NEXT_STEPS[fault]
    return SourceUnavailable(f"The source refuses {what}: {in_words(error)}.", step)


def in_words(error: PyMongoError) -> str:
    """The server's or driver's message on one line, with the code, without the driver's inner state."""
    text = _message(error).split(", Timeout:")[0].split(" (configured timeouts")[0]
    code = f" (code {error.code})" if isinstance(error, OperationFailure) and error.code is not None else ""
    return " ".join(text.split()).rstrip(".")[:500] + code


def _message(error: PyMongoError) -> str:
    """The server's own message; the driver's adds the whole reply, which may hold parts of documents."""
    details = error.details if isinstance(error, OperationFailure) else None
    return str((details or {}).get("errmsg") or str(error).split(", full error:")[0])


def _enable(what: str) -> str:
    db, _, coll = what.rpartition(" ")[2].partition(".")
    command = f'{{modifyChangeStreams: 1, database: "{db}", collection: "{coll}", enable: true}}'
    return f"DocumentDB has change streams off by default; turn them on with db.adminCommand({command})."
