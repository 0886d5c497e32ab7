"""The settings of the log as the configuration of a client."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from penstock.errors import ReadAgain, SettingsError, SourceUnavailable, Stopped
from penstock.runtime.extras import lacking
from penstock.settings import LogSettings

log = structlog.get_logger(__name__)

_ANSWER_S = 30.0
_LOOK_S = 1.0
_SAID_EVERY_S = 30.0

_NOT_ALLOWED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the right to read the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the right to take part in the consumer group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "a right on the cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "the right to write with the transactional id",
}
_TOO_OLD = frozenset({KafkaError._UNSUPPORTED_FEATURE, KafkaError.UNSUPPORTED_VERSION})
_PASSING = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
    }
)
_LOGIN = frozenset({KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._AUTHENTICATION})


class Troubles:
    """What the client last reported, for messages; a trouble that goes on is logged now and then."""

    def __init__(self, settings: LogSettings) -> None:
        self.last = ""
        self._settings = settings
        self._said_at: float | None = None

    def __call__(self, error: KafkaError) -> None:
        """Note an error of which the client says that it tries again by itself."""
        self.last = in_words(error)
        now = time.monotonic()
        if self._said_at is None or now - self._said_at > _SAID_EVERY_S:
            self._said_at = now
            log.warning("kafka", brokers=self._settings.bootstrap_servers, problem=self.last)


def configuration(settings: LogSettings, troubles: Callable[[KafkaError], None]) -> dict[str, Any]:
    """Return what every client is configured with. Raises SettingsError."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "penstock",
        "error_cb": troubles,
        "log_level": 2,  # the rest comes through error_cb
        "enable.metrics.push": False,
    }
    with_tls = settings.tls or settings.sasl == "MSK-IAM"
    has_login = settings.sasl != "none"
    config["security.protocol"] = ("SASL_" if has_login else "") + ("SSL" if with_tls else "PLAINTEXT")
    files = {
        "ssl.ca.location": settings.tls_ca_file,
        "ssl.certificate.location": settings.client_certificate,
        "ssl.key.location": settings.client_key or settings.client_certificate,
    }
    config |= {name: str(file) for name, file in files.items() if file}
    if settings.sasl == "MSK-IAM":
        config |= {"sasl.mechanisms": "OAUTHBEARER", "oauth_cb": _msk_token(settings.region)}
    elif has_login:
        config |= {
            "sasl.mechanisms": settings.sasl,
            "sasl.username": settings.username,
            "sasl.password": _password(settings),
        }
    return config


def looking(settings: LogSettings, troubles: Callable[[KafkaError], None], group: str) -> dict[str, Any]:
    """Return what a consumer is configured with that looks and takes no part in a group, though it must name one.

    An offset that is not there is an error; the end of a partition comes as one too.
    """
    return {
        **configuration(settings, troubles),
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "allow.auto.create.topics": False,
    }


def require_brokers(settings: LogSettings, stop: threading.Event) -> None:
    """Raise SourceUnavailable when no broker answers within half a minute, Stopped, SettingsError."""
    troubles = Troubles(settings)
    admin, until = AdminClient(configuration(settings, troubles)), time.monotonic() + _ANSWER_S
    while not stop.is_set():
        try:
            admin.list_topics(timeout=_LOOK_S)
        except KafkaException as error:
            if time.monotonic() > until:
                raise unavailable(error.args[0], settings, troubles.last) from error
        else:
            return
    raise Stopped("stopped before a broker answered")


def unavailable(error: KafkaError, settings: LogSettings, trouble: str = "") -> SourceUnavailable:
    """Return the error for what does not pass by itself."""
    where = f"The log at {settings.bootstrap_servers}"
    if error.code() in _TOO_OLD:
        return SourceUnavailable(f"{where}: {in_words(error)}.", 'Set [log] group_protocol to "classic".')
    if error.code() in _NOT_ALLOWED:
        return SourceUnavailable(f"{where}: {in_words(error)}.", f"Give the user {_NOT_ALLOWED[error.code()]}.")
    if error.code() in _LOGIN:
        return SourceUnavailable(f"{where} refused the login: {in_words(error)}.", "Correct [log] sasl and its login.")
    return SourceUnavailable(
        f"{where} cannot be used: {trouble or in_words(error)}.", "Check [log] bootstrap_servers, tls and sasl."
    )


def ended_by(error: KafkaError, settings: LogSettings, trouble: str = "") -> ReadAgain | SourceUnavailable:
    """Return the error for what ends a piece of work: to be begun again, where the brokers may only be away."""
    if error.code() in _PASSING or error.retriable():
        where = f"The log at {settings.bootstrap_servers}"
        return ReadAgain(f"{where} does not answer: {trouble or in_words(error)}.")
    return unavailable(error, settings, trouble)


def may_pass(error: KafkaError) -> bool:
    """Whether it may pass by itself: it is neither a right that is missing nor a login that was refused."""
    return error.code() not in _LOGIN and error.code() not in _NOT_ALLOWED


def in_words(error: KafkaError) -> str:
    """Return what an error says, with its name."""
    return f"{error.str()} ({error.name()})"


def _password(settings: LogSettings) -> str:
    if settings.password:
        return settings.password.get_secret_value()
    assert isinstance(settings.password_file, Path)  # the settings ask for one of the two
    return settings.password_file.read_text(encoding="utf-8").strip()


def _msk_token(region: str | None) -> Callable[[str], tuple[str, float]]:
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415 (only for Amazon MSK)
    except ModuleNotFoundError as error:
        raise lacking(error, '[log] sasl = "MSK-IAM"', extra="kafka-aws") from None
    import botocore.session  # noqa: PLC0415

    where = region or botocore.session.Session().get_config_variable("region")
    if not where:
        raise SettingsError('[log] sasl = "MSK-IAM" needs a region: set [log] region, or one of the AWS profile')

    def token(_config: str) -> tuple[str, float]:
        made, expires_ms = MSKAuthTokenProvider.generate_auth_token(where)
        return made, expires_ms / 1000

    return token
