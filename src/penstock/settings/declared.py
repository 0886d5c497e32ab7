"""All settings, declared once: the file, the environment, the flags and docs/settings.md are made from these fields.

A field `uri` of section `source` is `uri` under `[source]` in penstock.toml, `PENSTOCK_SOURCE_URI` in the environment
and `--source-uri` on the command line; flags win over the environment, the environment over the file. Units are in
the names: `_s` seconds, `_bytes` bytes.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from penstock.settings import checks
from penstock.settings.log import LogSettings, TopicSettings
from penstock.settings.section import ExistingFile, Section

FieldPath = Annotated[str, AfterValidator(checks.check_field_path)]

ReactionKind = Literal["insert", "update", "replace", "delete"]
"""What can happen to a document."""

ConflictPolicy = Literal["dead-letter", "text", "flat_object", "leave-out"]
"""What to do with a field that is an object in some documents and a plain value in others: no index accepts both."""


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


class CollectionSettings(Section):
    """One collection and its index."""

    namespace: Annotated[str, AfterValidator(checks.check_namespace)] = Field(
        ...,
        description="The collection, as database.collection. With `*`, every collection whose name matches: shop.*,"
        " shop.orders_*.",
    )
    index: str | None = Field(
        None,
        description="Alias to search. Default: `database.collection` in lower case. For a pattern it must contain"
        " `{collection}`, which is replaced by the name of each collection in lower case.",
    )
    include: tuple[FieldPath, ...] = Field((), description="Fields to index, as dotted paths. Default: all.")
    exclude: tuple[FieldPath, ...] = Field((), description="Fields to leave out, as dotted paths.")
    rename: dict[FieldPath, FieldPath] = Field(
        {}, description="Fields to index under another name: from the old dotted path to the new one."
    )
    function: Annotated[str | None, AfterValidator(checks.check_function)] = Field(
        None,
        description="Python function, as `module:function`. It returns the document, a changed one, or None to leave it"
        " out.",
    )
    mapping_file: ExistingFile | None = Field(
        None, description="JSON file with the index's `mappings` (and `settings`). Default: a mapping by penstock."
    )
    max_fields: int = Field(
        2000,
        ge=50,
        le=100_000,
        description="Maximum number of fields in the index (`index.mapping.total_fields.limit`).",
    )
    when_full: Literal["unsearchable", "dead-letter"] = Field(
        "unsearchable",
        description="What to do when a document would take the index above `max_fields`: store the new fields without"
        " making them searchable, or make the document a dead letter.",
    )
    when_dropped: Literal["dead-letter", "delete"] = Field(
        "dead-letter",
        description="What to do with a document that an ingest pipeline of the index drops: make it a dead letter, or"
        " delete from the index what an earlier state of it left there.",
    )
    conflicts: dict[FieldPath, ConflictPolicy] = Field(
        {},
        description="What to do with a field that is an object in some documents and a plain value in others, by its"
        " dotted path in the index, or `*` for all other fields: `dead-letter` (the default), `text`, `flat_object` or"
        " `leave-out`.",
    )
    not_compared: tuple[FieldPath, ...] = Field(
        (),
        description="Fields that are not compared by `verify`, `reindex` and `explain`, as dotted paths in the index,"
        " with `*` for any characters: what an ingest pipeline sets.",
    )
    shards: int = Field(1, ge=1, le=1024, description="Primary shards of the indexes that penstock creates.")
    replicas: int = Field(1, ge=0, le=20, description="Replicas of the indexes that penstock creates.")
    on_drop: Literal["keep", "empty"] = Field(
        "keep",
        description="What to do when the collection is dropped: keep the documents in the index until the collection is"
        " created again and reconciled, or empty the index.",
    )
    drop_grace_s: int = Field(
        0,
        ge=0,
        description='For `on_drop = "empty"`: how long to wait before the index is emptied. A collection that is'
        " created again within this time is reconciled instead.",
    )
    on_rename: Literal["drop", "follow"] = Field(
        "drop",
        description="What to do when the collection is renamed: treat it as dropped (see `on_drop`), or follow it: the"
        " index stays and is fed from the new name, unless another table declares that name.",
    )

    @property
    def alias(self) -> str:
        """The alias to search: `index`, or the namespace in lower case."""
        return self.index or self.namespace.lower()

    @property
    def outlives_a_drop(self) -> bool:
        """Whether the index keeps its documents, at least for a while, after the collection was dropped."""
        return self.on_drop == "keep" or self.drop_grace_s > 0

    @property
    def is_awaited(self) -> bool:
        """Whether an absent collection must keep its documents: it may return, or was renamed."""
        return self.outlives_a_drop or self.follows

    @property
    def follows(self) -> bool:
        """Whether a renamed collection is still the same collection."""
        return self.on_rename == "follow"

    @property
    def is_pattern(self) -> bool:
        """Whether this names all collections of a database that match, present and future."""
        return checks.PATTERN_SIGN in self.namespace

    @field_validator("index")
    @classmethod
    def _index_can_be_made(cls, index: str | None, others: ValidationInfo) -> str | None:
        return checks.check_index_of(others.data.get("namespace", ""), index)

    @field_validator("drop_grace_s")
    @classmethod
    def _grace_before_emptying(cls, grace_s: int, others: ValidationInfo) -> int:
        if grace_s and others.data.get("on_drop") == "keep":
            raise ValueError('has no effect while on_drop is "keep"; set on_drop to "empty"')
        return grace_s

    @field_validator("on_rename")
    @classmethod
    def _follows_one(cls, on_rename: str, others: ValidationInfo) -> str:
        if on_rename == "follow" and checks.PATTERN_SIGN in others.data.get("namespace", ""):
            raise ValueError(
                'must not be "follow" for a pattern, for which a new name is another collection; give the collection to'
                " follow a table of its own"
            )
        return on_rename

    @field_validator("exclude")
    @classmethod
    def _not_also_included(cls, exclude: tuple[str, ...], others: ValidationInfo) -> tuple[str, ...]:
        if both := sorted(set(exclude) & set(others.data.get("include", ()))):
            raise ValueError(f"names fields that include names too: {', '.join(both)}")
        return exclude

    @field_validator("rename")
    @classmethod
    def _no_two_to_one_name(cls, rename: dict[str, str]) -> dict[str, str]:
        new = list(rename.values())
        if twice := sorted({name for name in new if new.count(name) > 1}):
            raise ValueError(f"gives two fields the same name: {', '.join(twice)}")
        return rename

    @field_validator("conflicts")
    @classmethod
    def _conflicts_stay_apart(cls, conflicts: dict[str, ConflictPolicy]) -> dict[str, ConflictPolicy]:
        checks.check_conflicts(conflicts)
        return conflicts


class FoundCollection(CollectionSettings):
    """A collection that a pattern found; it may disappear at any time."""

    pattern: str

    @classmethod
    def by(cls, pattern: CollectionSettings, coll: str) -> "FoundCollection":
        """Return the matching collection of this name. Raises ValueError if no index can have its name."""
        db = pattern.namespace.partition(".")[0]
        index = pattern.index and pattern.index.replace(checks.COLLECTION_PLACE, coll.lower())
        checks.check_index_name(index or f"{db}.{coll}".lower())
        same = {**pattern.model_dump(), "mapping_file": None, "namespace": f"{db}.{coll}", "index": index}
        return cls(**same, pattern=pattern.namespace).model_copy(update={"mapping_file": pattern.mapping_file})


class ReactionSettings(Section):
    """A reaction: changes of some collections, given to a target."""

    name: Annotated[str, AfterValidator(checks.check_reaction_name)] = Field(
        ..., description="Name of the reaction, under which its position, its lease and its dead letters are kept."
    )
    collections: tuple[Annotated[str, AfterValidator(checks.check_reaction_collection)], ...] = Field(
        ..., description="The collections, as database.collection, all of one database. They need no index."
    )
    kinds: tuple[ReactionKind, ...] = Field(
        ("insert", "update", "replace", "delete"),
        description="The kinds of changes to react to: `insert`, `update`, `replace`, `delete`.",
    )
    where: dict[str, Any] | str | None = Field(
        None,
        description="Condition on the document, in a subset of MongoDB's query language: a table, or a text with"
        " extended JSON. Default: every document.",
    )
    target: Literal["webhook", "function", "eventbridge"] = Field(..., description="Who is given the events.")
    url: Annotated[str | None, AfterValidator(checks.check_webhook)] = Field(
        None, description="For `webhook`: the address to post each event to."
    )
    secret: SecretStr | None = Field(
        None,
        description="For `webhook`: the secret that requests are signed with. It can be given as"
        " `PENSTOCK_REACTION_<NAME>_SECRET` instead, with the name in upper case and `_` for `-`.",
    )
    secret_file: ExistingFile | None = Field(
        None, description="For `webhook`: file that holds the secret. It is read for each request."
    )
    function: Annotated[str | None, AfterValidator(checks.check_function)] = Field(
        None, description="For `function`: Python function, as `module:function`, that is called with each event."
    )
    bus: str | None = Field(None, description="For `eventbridge`: name or ARN of the event bus.")
    region: str | None = Field(None, description="For `eventbridge`: AWS region. Default: that of the AWS profile.")
    document: bool = Field(True, description="Whether events carry the document.")
    before: bool = Field(
        False,
        description="Whether events carry the document as it was before the change. MongoDB 6.0 or newer keeps it for"
        " collections with `changeStreamPreAndPostImages`.",
    )
    after_index: bool = Field(
        False,
        description="Whether an event waits until a search finds what its change left in the index. All collections"
        " must have a [[collections]] table.",
    )
    timeout_s: float = Field(
        10, gt=0, le=300, description="For `webhook`: time for an answer, after which the event is sent again."
    )
    tries: int = Field(
        3, ge=1, le=100, description="How often an event that the target refuses is offered before it is a dead letter."
    )
    in_flight: int = Field(
        4, ge=1, le=32, description="Requests or calls at once. The events of one document are never at once."
    )
    start: Literal["now"] | AwareDatetime = Field(
        "now",
        description="Where the first start begins: with the changes from then on, or of a time such as"
        " `2026-11-29T12:00:00Z` that the change log still holds. Later starts go on where the last one was.",
    )
    on_position_lost: Literal["stop", "now"] = Field(
        "stop",
        description="What to do when the change log no longer holds the position: stop the reaction with an error, or"
        " report it and go on with the changes from now on.",
    )

    @field_validator("collections")
    @classmethod
    def _collections_of_one_database(cls, collections: tuple[str, ...]) -> tuple[str, ...]:
        return checks.check_reaction_collections(collections)

    @field_validator("kinds")
    @classmethod
    def _some_kind(cls, kinds: tuple[ReactionKind, ...]) -> tuple[ReactionKind, ...]:
        if not kinds:
            raise ValueError("must name at least one of insert, update, replace, delete")
        return kinds

    @model_validator(mode="after")
    def _what_the_target_needs(self) -> Self:
        given = {name for name in checks.OF_TARGETS if getattr(self, name) is not None}
        checks.check_target(self.target, given)
        return self

    @property
    def db(self) -> str:
        """The database of its collections."""
        return self.collections[0].partition(".")[0]


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
