"""The log: an Apache Kafka whose topics bring the changes, and what each topic holds."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from penstock.settings import checks
from penstock.settings.section import ExistingFile, Section

Form = Literal["change-events", "keys"]
Sasl = Literal["none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "MSK-IAM"]


class LogSettings(Section):
    """The Apache Kafka whose topics bring the changes, for `penstock capture` and `penstock apply`."""

    bootstrap_servers: Annotated[str, AfterValidator(checks.check_bootstrap_servers)] = Field(
        "127.0.0.1:9092", description="Brokers to begin with: host:port, several separated by commas."
    )
    group: Annotated[str, AfterValidator(checks.check_group)] = Field(
        "penstock",
        description="Start of the names of the consumer groups. Each index has a group, called GROUP.INDEX; a new"
        " name reads the topics from their start.",
    )
    tls: bool = Field(False, description="Whether to use TLS. `MSK-IAM` always does.")
    tls_ca_file: ExistingFile | None = Field(
        None, description="CA bundle (PEM) to check the brokers' certificates with. Default: the system's."
    )
    client_certificate: ExistingFile | None = Field(
        None, description="Client certificate (PEM) for brokers that demand one. It may hold its key too."
    )
    client_key: ExistingFile | None = Field(
        None, description="Private key (PEM, not encrypted) of the client certificate, if it has a file of its own."
    )
    sasl: Sasl = Field("none", description="How to log in. `MSK-IAM` takes the role of the process (Amazon MSK).")
    username: str | None = Field(None, description="User name for PLAIN and SCRAM.")
    password: SecretStr | None = Field(None, description="Password for PLAIN and SCRAM.")
    password_file: ExistingFile | None = Field(None, description="File that holds the password.")
    region: str | None = Field(None, description="AWS region for `MSK-IAM`. Default: the region of the AWS profile.")
    session_timeout_s: float = Field(
        45, ge=6, description="Another process takes over the partitions of one that was not heard of for this long."
    )
    group_protocol: Literal["classic", "consumer"] = Field(
        "classic",
        description="How processes share partitions. `consumer` (KIP-848) needs Apache Kafka 4: the brokers assign the"
        " partitions, and their `group.consumer.session.timeout.ms` counts, so set session_timeout_s to the same.",
    )
    own_topics: bool = Field(
        False,
        description="Whether the collections that no [[topics]] table names go through topics of penstock's own:"
        " `penstock capture` writes the changes into them, `penstock apply` brings them to the indexes.",
    )
    prefix: Annotated[str, AfterValidator(checks.check_group)] = Field(
        "penstock",
        description="Start of the names of penstock's own topics: PREFIX.DATABASE.COLLECTION, and PREFIX.DATABASE for"
        " the marks of the capture.",
    )
    topic_partitions: int = Field(
        12,
        ge=1,
        le=1000,
        description="Partitions of a topic that `penstock capture` creates: at most as many processes share an index.",
    )
    topic_replication: int = Field(
        3, ge=1, le=32767, description="How many brokers hold a topic that `penstock capture` creates."
    )
    topic_retention_s: float = Field(
        604_800,
        ge=60,
        description="How long a topic that `penstock capture` creates keeps its records (7 days): longer than the index"
        " may be away.",
    )

    @field_validator("tls_ca_file", "client_certificate")
    @classmethod
    def _file_needs_tls(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        if file and others.data.get("tls") is False:
            raise ValueError("has no effect without TLS; set tls to true")
        return file

    @field_validator("client_key")
    @classmethod
    def _key_goes_with_a_certificate(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        checks.check_has_certificate(file, others.data)
        return file

    @field_validator("username")
    @classmethod
    def _username_goes_with_a_login(cls, username: str | None, others: ValidationInfo) -> str | None:
        sasl = others.data.get("sasl", "")
        takes_one = sasl == "PLAIN" or sasl.startswith("SCRAM")
        if takes_one and not username:
            raise ValueError(f'is needed for sasl = "{sasl}"')
        if username and sasl and not takes_one:
            raise ValueError(f'has no effect while sasl is "{sasl}"; set sasl to PLAIN or SCRAM')
        return username

    @field_validator("password_file")
    @classmethod
    def _one_password(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        checks.check_one_password(file, others.data)
        if others.data.get("username") and "password" in others.data and not (file or others.data["password"]):
            raise ValueError("or password is needed for this username")
        return file


class TopicSettings(Section):
    """One topic, or several by a pattern, that somebody fills with the changes of a collection."""

    topic: Annotated[str, AfterValidator(checks.check_topic)] = Field(
        ..., description="Name of the topic, or a pattern with `*` at its end: `cdc.shop.*` for `shop.*`."
    )
    collection: Annotated[str, AfterValidator(checks.check_namespace)] = Field(
        ...,
        description="The collection whose changes it holds, as database.collection, which needs a [[collections]]"
        " table; for a pattern of topics one that ends with `*` too.",
    )
    form: Form = Field(
        ...,
        description="What its records are: `change-events` of the connector of MongoDB (mongo-kafka), with documents;"
        " or `keys`, whatever has the document's `_id` in its key, such as the records of Debezium: documents are read"
        " from the source then.",
    )

    @field_validator("collection")
    @classmethod
    def _both_are_patterns(cls, collection: str, others: ValidationInfo) -> str:
        topic = others.data.get("topic")
        if topic and topic.endswith("*") != collection.endswith("*"):
            raise ValueError("must end with * exactly if topic does: what the star stands for is the same in both")
        return collection

    def standing_for(self, namespace: str) -> Self | None:
        """Return this table for one collection, without stars; None where it is not about it."""
        if not self.collection.endswith("*"):
            return self if self.collection == namespace else None
        start = self.collection.removesuffix("*")
        if not namespace.startswith(start):
            return None
        topic = self.topic.removesuffix("*") + namespace.removeprefix(start)
        return self.model_copy(update={"topic": topic, "collection": namespace})
