"""All settings, declared once: the file, the environment, the flags and docs/settings.md are made from these fields.

A field `uri` of section `source` is `uri` under `[source]` in penstock.toml, `PENSTOCK_SOURCE_URI` in the environment
and `--source-uri` on the command line; flags win over the environment, the environment over the file. Units are in
the names: `_s` seconds, `_bytes` bytes.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator

from penstock.settings import checks
from penstock.settings.collections import CollectionSettings
from penstock.settings.log import LogSettings, TopicSettings
from penstock.settings.reactions import ReactionSettings
from penstock.settings.section import ExistingFile, Section

CONSOLE_ADDRESS = "127.0.0.1:9401"
"""Where `penstock console` listens unless told otherwise."""


class SourceSettings(Section):
    """The DocumentDB cluster or MongoDB replica set to read from."""

    uri: SecretStr = Field(
        SecretStr("mongodb://127.0.0.1:27017/?replicaSet=rs0"),
        description="Connection string. It must name the replica set. Reads go to the primary, but see `stream_from`.",
    )
    username: str | None = Field(None, description="User name, if it is not in the connection string.")
    password: SecretStr | None = Field(None, description="Password, if it is not in the connection string.")
    password_file: ExistingFile | None = Field(
        None,
        description="File that holds the password. It is read at each login, so a rotated password is picked up.",
    )
    secret: str | None = Field(
        None,
        description="ARN or name of the AWS Secrets Manager secret with `username` and `password`. It is read again"
        " when a login is refused, so a rotated password is picked up.",
    )
    tls_ca_file: ExistingFile | None = Field(
        None,
        description="CA bundle (PEM) to check the server's certificate with. DocumentDB endpoints do not need it:"
        " Amazon's bundle is included.",
    )
    cursor_per: Literal["database", "collection"] = Field(
        "database",
        description="One change stream per database, or one per collection if the user may not watch the database.",
    )
    stream_from: Literal["primary", "secondaryPreferred"] = Field(
        "primary",
        description="Where change streams are read: `secondaryPreferred` takes a secondary where there is one (MongoDB,"
        " DocumentDB 5.0 and newer). Loads and all else that reads a state with its time stay on the primary.",
    )
    retention_s: int | None = Field(
        None,
        ge=60,
        description="How long the source keeps its change log. With it, `status` shows how much time is left before a"
        " position is lost.",
    )
    heartbeat: Annotated[str | None, AfterValidator(checks.check_heartbeat)] = Field(
        None,
        description="A collection for penstock alone, as `database.collection`, in a database that it follows. penstock"
        " rewrites one small document there regularly, so that the position of an idle stream does not age.",
    )
    heartbeat_s: float = Field(60, ge=1, description="Seconds between two heartbeat writes.")

    @field_validator("uri")
    @classmethod
    def _uri_is_one(cls, uri: SecretStr) -> SecretStr:
        checks.check_database_uri(uri.get_secret_value())
        return uri

    @field_validator("password", "password_file")
    @classmethod
    def _password_has_a_user(cls, password: SecretStr | Path | None, others: ValidationInfo) -> SecretStr | Path | None:
        uri, known = others.data.get("uri"), others.data
        if (
            password
            and uri
            and "username" in known
            and not (known["username"] or checks.user_of(uri.get_secret_value()))
        ):
            raise ValueError("has no effect without a user name: set [source] username, or name the user in the uri")
        return password

    @field_validator("password_file")
    @classmethod
    def _one_password(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        checks.check_one_password(file, others.data)
        return file

    @field_validator("secret")
    @classmethod
    def _one_login(cls, secret: str | None, others: ValidationInfo) -> str | None:
        given = [name for name in ("username", "password", "password_file") if others.data.get(name)]
        if secret and given:
            raise ValueError(f"must not be given together with {', '.join(given)}")
        return secret

    @property
    def user(self) -> str | None:
        """Who logs in: `username`, or the user that the connection string names."""
        return self.username or checks.user_of(self.uri.get_secret_value())


class SinkSettings(Section):
    """The OpenSearch cluster or domain to write to."""

    url: Annotated[str, AfterValidator(checks.check_address)] = Field(
        "http://127.0.0.1:9200", description="Address of the cluster: http(s)://host:port."
    )
    auth: Literal["none", "basic", "api-key", "sigv4"] = Field(
        "none",
        description="How to authenticate: not at all (or by a client certificate alone), with user and password, with"
        " an API key of OpenSearch 3.7 or newer, or with AWS Signature Version 4.",
    )
    username: str | None = Field(None, description="User name for `basic`.")
    password: SecretStr | None = Field(None, description="Password for `basic`.")
    password_file: ExistingFile | None = Field(
        None, description="File that holds the password. It is read again when the password is refused."
    )
    api_key: SecretStr | None = Field(
        None, description="API key for `api-key`: the token that OpenSearch returned when the key was created."
    )
    api_key_file: ExistingFile | None = Field(
        None, description="File that holds the API key. It is read again when the key is refused."
    )
    region: str | None = Field(None, description="AWS region for `sigv4`. Default: the region of the AWS profile.")
    service: Literal["es", "aoss"] = Field(
        "es", description="AWS service for `sigv4`: a domain (`es`) or serverless (`aoss`, experimental)."
    )
    tls_ca_file: ExistingFile | None = Field(
        None, description="CA bundle (PEM) to check the server's certificate with."
    )
    client_certificate: ExistingFile | None = Field(
        None, description="Client certificate (PEM) for a server that demands one. It may hold its key too."
    )
    client_key: ExistingFile | None = Field(
        None, description="Private key (PEM, not encrypted) of the client certificate, if it has a file of its own."
    )
    max_request_bytes: int = Field(
        5 * 1024 * 1024,
        ge=64 * 1024,
        le=100 * 1024 * 1024,
        description="Largest bulk request. Small AWS domains refuse more than 10 MiB.",
    )
    max_request_writes: int = Field(5000, ge=1, le=100_000, description="Maximum number of writes in a bulk request.")
    requests_in_flight: int = Field(3, ge=1, le=32, description="Concurrent bulk requests per pipeline.")
    gzip: bool = Field(False, description="Compress requests: less network traffic, more CPU.")
    timeout_s: float = Field(60, gt=0, description="Timeout of a request, after which it counts as failed.")

    @field_validator("username")
    @classmethod
    def _username_goes_with_basic(cls, username: str | None, others: ValidationInfo) -> str | None:
        auth = others.data.get("auth")
        if auth == "basic" and not username:
            raise ValueError('is needed for auth = "basic"')
        if auth == "none" and username:
            raise ValueError('has no effect while auth is "none"; set auth to "basic"')
        return username

    @field_validator("password_file")
    @classmethod
    def _one_password_for_basic(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        checks.check_one_password(file, others.data)
        if others.data.get("auth") == "basic" and not (file or others.data.get("password")):
            raise ValueError('or password is needed for auth = "basic"')
        return file

    @field_validator("api_key")
    @classmethod
    def _api_key_goes_with_its_auth(cls, key: SecretStr | None, others: ValidationInfo) -> SecretStr | None:
        if key and others.data.get("auth", "api-key") != "api-key":
            raise ValueError('has no effect while auth is another; set auth to "api-key"')
        if key and not checks.is_api_key(key.get_secret_value()):
            raise ValueError("is no API key: one word of printable ASCII characters")
        return key

    @field_validator("api_key_file")
    @classmethod
    def _one_api_key(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        known, wanted = others.data, others.data.get("auth") == "api-key"
        if file and known.get("api_key"):
            raise ValueError("must not be given together with api_key")
        if file and not wanted and "auth" in known:
            raise ValueError('has no effect while auth is another; set auth to "api-key"')
        if wanted and "api_key" in known and not (file or known["api_key"]):
            raise ValueError('or api_key is needed for auth = "api-key"')
        return file

    @field_validator("client_certificate")
    @classmethod
    def _certificate_needs_tls(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        if file and others.data.get("url", "https:").startswith("http:"):
            raise ValueError("has no effect without TLS; use https:// in url")
        return file

    @field_validator("client_key")
    @classmethod
    def _key_goes_with_a_certificate(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        checks.check_has_certificate(file, others.data)
        return file


class PipelineSettings(Section):
    """How changes are batched, and when a pipeline stops."""

    name: Annotated[str | None, AfterValidator(checks.check_deployment)] = Field(
        None,
        description="Name of this deployment. Each one that shares a cluster with another needs its own, when both read"
        " databases of the same name, or different collections of one database: positions and leases are kept under it."
        " A new name begins without a position, and loads again.",
    )
    batch_changes: int = Field(2000, ge=1, description="Maximum number of changes in a batch.")
    batch_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="Maximum size of a batch, as read.")
    checkpoint_every_s: float = Field(1.0, ge=0, description="How often the position is saved while changes flow.")
    dead_letter_limit: int = Field(
        1000,
        ge=0,
        description="The pipeline stops when more documents than this become dead letters within the window: the cause"
        " is then more than a single document.",
    )
    dead_letter_window_s: float = Field(600, gt=0, description="Length of the window for `dead_letter_limit`.")
    dead_letters_kept: int = Field(
        100_000,
        ge=1,
        description="How many dead letters to keep per generation of a collection (approximately). The next one stops"
        " the pipeline, because its document would be lost.",
    )
    lease_s: float = Field(
        15, ge=1, description="Another worker takes over when a lease was not renewed for this long."
    )
    load_rate: float | None = Field(
        None, gt=0, description="Maximum number of documents per second that a load reads. Default: no limit."
    )
    load_range: int = Field(
        20_000, ge=100, description="Documents in one range of a load. An interrupted load resumes at a range."
    )
    on_position_lost: Literal["reload", "stop"] = Field(
        "reload",
        description="What to do when the change log no longer holds the position, or an index was deleted or replaced."
        " `reload`: report it and load the affected collections again, while the stream goes on and the index can be"
        " searched. `stop`: exit with code 3, if a load must not start by itself; only a load makes up for the loss.",
    )
    parking_queue: Annotated[str | None, AfterValidator(checks.check_queue)] = Field(
        None,
        description="URL of the SQS queue where the sync function of an AWS deployment parks the keys of documents that"
        " it could not write in time. `penstock dead-letters replay --queue` reads it.",
    )


class ObserveSettings(Section):
    """Logs, metrics and health."""

    log_format: Literal["auto", "console", "json"] = Field(
        "auto",
        description="Log lines for people (console) or machines (json). `auto`: console on a terminal, else json.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level to log.")
    listen: Annotated[str | None, AfterValidator(checks.check_listen)] = Field(
        None, description="host:port to serve /metrics (Prometheus) and /healthz on. Default: not served."
    )
    unhealthy_lag_s: float = Field(300, gt=0, description="/healthz answers 503 when the lag is above this.")
    embedded_metrics: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="Write metrics to standard output once a minute, in CloudWatch's embedded format, under this name"
        " (dimension `Worker`). Default: not written.",
    )
    otlp_endpoint: Annotated[str | None, AfterValidator(checks.check_otlp_endpoint)] = Field(
        None,
        description="Address of an OpenTelemetry collector, as https://host:4318. `penstock run` and `apply` send it"
        " metrics, and spans of batches, by OTLP over HTTP (`/v1/metrics`, `/v1/traces`). Default: not sent."
        " Extra `otel`.",
    )
    otlp_headers_file: ExistingFile | None = Field(
        None,
        description="File with headers for the collector, one `Name: value` a line, such as a token. It is read again"
        " for each request.",
    )
    otlp_tls_ca_file: ExistingFile | None = Field(
        None, description="CA bundle (PEM) to check the collector's certificate with."
    )

    @field_validator("otlp_headers_file", "otlp_tls_ca_file")
    @classmethod
    def _goes_with_an_endpoint(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        if file and "otlp_endpoint" in others.data and not others.data["otlp_endpoint"]:
            raise ValueError("has no effect without otlp_endpoint")
        return file


class ConsoleSettings(Section):
    """The console: the pages where people look and act (`penstock console`)."""

    listen: Annotated[str | None, AfterValidator(checks.check_listen)] = Field(
        None,
        description="host:port to serve the console on. Default: 127.0.0.1:9401 for `penstock console`; `penstock run`"
        " and `apply` serve the console only if this is set.",
    )
    actions: bool = Field(
        False, description="Let operators act: replay, repair, reindex. Without it the console only shows."
    )
    token_file: ExistingFile | None = Field(
        None,
        description="File that holds the token of operators, who look and act. It is read again at each request, so a"
        " new token counts at once and ends the sessions of the old one. With a token, every page asks for it.",
    )
    viewer_token_file: ExistingFile | None = Field(
        None, description="File that holds the token of viewers, who only look. It is read again like `token_file`."
    )
    show_values: bool = Field(
        False, description="Show the values of documents' fields, and search in them. Without it only names are shown."
    )
    allowed_hosts: Annotated[str | None, AfterValidator(checks.check_hosts)] = Field(
        None,
        description="Host names by which people reach the console, separated by commas. Requests for other names than"
        " these and that of `listen` are refused.",
    )
    tls_certificate: ExistingFile | None = Field(
        None, description="Certificate (PEM) to serve HTTPS with. It may hold its key too."
    )
    tls_key: ExistingFile | None = Field(
        None, description="Private key (PEM, not encrypted) of the certificate, if it has a file of its own."
    )
    behind_proxy: bool = Field(
        False,
        description="A proxy stands in front, offers HTTPS, passes the Host header on and adds X-Forwarded-For. Nobody"
        " else may reach the console then.",
    )

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        checks.check_console(
            self.listen,
            tokens=bool(self.token_file or self.viewer_token_file),
            encrypted=bool(self.tls_certificate or self.behind_proxy),
            named=bool(self.allowed_hosts),
        )
        if self.actions and not self.token_file:
            raise ValueError("[console] actions = true needs a token_file, by which operators log in")
        if self.tls_key and not self.tls_certificate:
            raise ValueError("[console] tls_key has no effect without tls_certificate")
        return self

    @property
    def address(self) -> str:
        """Where `penstock console` listens."""
        return self.listen or CONSOLE_ADDRESS


class Settings(Section):
    """All settings of penstock."""

    source: SourceSettings = Field(default_factory=SourceSettings)
    sink: SinkSettings = Field(default_factory=SinkSettings)
    pipeline: PipelineSettings = Field(default_factory=PipelineSettings)
    observe: ObserveSettings = Field(default_factory=ObserveSettings)
    console: ConsoleSettings = Field(default_factory=ConsoleSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    collections: tuple[CollectionSettings, ...] = ()
    reactions: tuple[ReactionSettings, ...] = ()
    topics: tuple[TopicSettings, ...] = ()

    @property
    def aliases(self) -> list[str]:
        """The alias to search, for each collection."""
        return [each.alias for each in self.collections]

    @property
    def own_aliases(self) -> list[str]:
        """The aliases of a named deployment, next to which others may have collections of the same names; else none."""
        return self.aliases if self.pipeline.name else []

    @field_validator("collections")
    @classmethod
    def _collections_stay_apart(cls, collections: tuple[CollectionSettings, ...]) -> tuple[CollectionSettings, ...]:
        problems = checks.collisions((c.namespace, c.alias) for c in collections)
        problems += checks.unfollowable((c.namespace, c.follows) for c in collections)
        if problems:
            raise ValueError("\n".join(problems))
        return collections

    @field_validator("collections")
    @classmethod
    def _heartbeat_is_seen(
        cls, collections: tuple[CollectionSettings, ...], others: ValidationInfo
    ) -> tuple[CollectionSettings, ...]:
        source = others.data.get("source")
        if source and source.heartbeat and collections:
            checks.check_heartbeat_is_seen(source.heartbeat, source.cursor_per, [c.namespace for c in collections])
        return collections

    @field_validator("reactions")
    @classmethod
    def _reactions_stay_apart(
        cls, reactions: tuple[ReactionSettings, ...], others: ValidationInfo
    ) -> tuple[ReactionSettings, ...]:
        source = others.data.get("source")
        declared = {each.namespace for each in others.data.get("collections", ())}
        checks.check_have_index(declared, [(each.name, each.collections) for each in reactions if each.after_index])
        pipeline = others.data.get("pipeline")
        is_mapped = bool(pipeline and pipeline.parking_queue)  # each collection has a mapping of its own then
        cursor_per = source.cursor_per if source and not is_mapped else "database"
        checks.check_reactions([(each.name, each.collections) for each in reactions], cursor_per)
        return reactions

    @field_validator("topics")
    @classmethod
    def _topics_stay_apart(cls, topics: tuple[TopicSettings, ...]) -> tuple[TopicSettings, ...]:
        names = [each.topic for each in topics]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)}: two [[topics]] tables name this topic; leave one of them out")
        return topics

    def brought_by(self, namespace: str) -> Literal["", "mapped", "topics"]:
        """Who brings the changes of a collection if no worker does: an event source mapping, or topics."""
        if self.pipeline.parking_queue:
            return "mapped"  # of Kafka's topics too
        return "topics" if self.topics_of(namespace) else ""

    def has_topics(self, namespace: str) -> bool:
        """Whether `penstock apply` brings the changes of a collection, from somebody's topics or penstock's own."""
        return self.brought_by(namespace) == "topics" or self.has_own_topic(namespace)

    def has_own_topic(self, namespace: str) -> bool:
        """Whether the changes of a collection go through a topic of penstock's own."""
        return self.log.own_topics and not self.topics_of(namespace)

    @property
    def pipeline_per(self) -> Literal["database", "collection"]:
        """What the pipeline of a first generation is for: a consumer group feeds one index."""
        return "collection" if self.log.own_topics else self.source.cursor_per

    def with_cursor_per(self, what: Literal["database", "collection"]) -> Self:
        """Return the same settings, divided among cursors in this way."""
        return self.model_copy(update={"source": self.source.model_copy(update={"cursor_per": what})})

    def topics_of(self, namespace: str) -> list[TopicSettings]:
        """The topics that others fill with the changes of a collection, each by its own name."""
        return [named for each in self.topics if (named := each.standing_for(namespace))]
