"""All settings, declared once: the file, the environment, the flags and docs/settings.md are made from these fields.

A field `uri` of section `source` is `uri` under `[source]` in penstock.toml, `PENSTOCK_SOURCE_URI` in the environment
and `--source-uri` on the command line; flags win over the environment, the environment over the file. Units are in
the names: `_s` seconds, `_bytes` bytes.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from penstock.settings import checks

ExistingFile = Annotated[Path, AfterValidator(checks.existing_file)]
FieldPath = Annotated[str, AfterValidator(checks.check_field_path)]

ConflictPolicy = Literal["dead-letter", "text", "flat_object", "leave-out"]
"""What becomes of a field that holds a document here and a plain value there, which no index takes as it is."""


class Section(BaseModel):
    """Unknown names are refused, values are read once and never changed."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True, defer_build=True
    )


class SourceSettings(Section):
    """The DocumentDB cluster or MongoDB replica set that is read."""

    uri: SecretStr = Field(
        SecretStr("mongodb://127.0.0.1:27017/?replicaSet=rs0"),
        description="Connection string. Name the replica set; reads always go to the primary.",
    )
    username: str | None = Field(None, description="User name, when it is not in the connection string.")
    password: SecretStr | None = Field(None, description="Password, when it is not in the connection string.")
    password_file: ExistingFile | None = Field(
        None,
        description="File that holds the password; read again at each login, so a rotated one is picked up.",
    )
    secret: str | None = Field(
        None,
        description="ARN or name of the AWS Secrets Manager secret with `username` and `password`; read again when"
        " a login is refused, so a rotated password is picked up.",
    )
    tls_ca_file: ExistingFile | None = Field(
        None,
        description="CA bundle in PEM form that signed the server's certificate; for a DocumentDB endpoint penstock has"
        " Amazon's own.",
    )
    cursor_per: Literal["database", "collection"] = Field(
        "database",
        description="One change stream cursor per database, or one per collection where rights are narrower.",
    )
    retention_s: int | None = Field(
        None,
        ge=60,
        description="How long the source keeps its change log; `status` then says when a position will be lost.",
    )
    heartbeat: Annotated[str | None, AfterValidator(checks.check_heartbeat)] = Field(
        None,
        description="A collection of penstock's own, `database.collection`, in a database that is followed: one small"
        " document in it is written anew from time to time, so that the position of an idle stream does not age.",
    )
    heartbeat_s: float = Field(60, ge=1, description="How often the heartbeat is written.")

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
            raise ValueError("is of no use without a user name: set [source] username, or name the user in the uri")
        return password

    @field_validator("password_file")
    @classmethod
    def _one_password(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        if file and others.data.get("password"):
            raise ValueError("must not be given together with password")
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
    """The OpenSearch cluster or domain that is written."""

    url: Annotated[str, AfterValidator(checks.check_address)] = Field(
        "http://127.0.0.1:9200", description="Address of the cluster: http(s)://host:port."
    )
    auth: Literal["none", "basic", "sigv4"] = Field(
        "none",
        description="How requests are authorised: not at all, user and password, or AWS Signature Version 4.",
    )
    username: str | None = Field(None, description="User name for `basic`.")
    password: SecretStr | None = Field(None, description="Password for `basic`.")
    password_file: ExistingFile | None = Field(
        None, description="File that holds the password; read again when refused."
    )
    region: str | None = Field(None, description="AWS region for `sigv4`; by default the one of the AWS profile.")
    service: Literal["es", "aoss"] = Field(
        "es", description="AWS service for `sigv4`: a domain (`es`), or serverless (`aoss`, experimental)."
    )
    tls_ca_file: ExistingFile | None = Field(
        None, description="CA bundle in PEM form that signed the server's certificate."
    )
    max_request_bytes: int = Field(
        5 * 1024 * 1024,
        ge=64 * 1024,
        le=100 * 1024 * 1024,
        description="Largest bulk request; small AWS domains refuse above 10 MiB.",
    )
    max_request_writes: int = Field(5000, ge=1, le=100_000, description="Most writes in one bulk request.")
    requests_in_flight: int = Field(3, ge=1, le=32, description="Bulk requests under way at once, per pipeline.")
    gzip: bool = Field(False, description="Compress requests: less network, more CPU.")
    timeout_s: float = Field(60, gt=0, description="How long one request may take before it counts as lost.")

    @field_validator("username")
    @classmethod
    def _username_goes_with_basic(cls, username: str | None, others: ValidationInfo) -> str | None:
        auth = others.data.get("auth")
        if auth == "basic" and not username:
            raise ValueError('is needed for auth = "basic"')
        if auth == "none" and username:
            raise ValueError('is of no use while auth is "none"; set auth to "basic"')
        return username

    @field_validator("password_file")
    @classmethod
    def _one_password_for_basic(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        password = others.data.get("password")
        if file and password:
            raise ValueError("must not be given together with password")
        if others.data.get("auth") == "basic" and not (file or password):
            raise ValueError('or password is needed for auth = "basic"')
        return file


class PipelineSettings(Section):
    """How changes are gathered and when the pipeline gives up."""

    batch_changes: int = Field(2000, ge=1, description="A batch ends at this many changes.")
    batch_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="A batch ends at this size, as read.")
    checkpoint_every_s: float = Field(1.0, ge=0, description="How often the position is saved while changes flow.")
    dead_letter_limit: int = Field(
        1000,
        ge=0,
        description="More dead letters than this within the window stop the pipeline: a systemic fault.",
    )
    dead_letter_window_s: float = Field(600, gt=0, description="The window of the dead letter limit.")
    dead_letters_kept: int = Field(
        100_000,
        ge=1,
        description="About so many dead letters of one generation of a collection are kept; the next one stops the"
        " pipeline, since without it the document would be forgotten.",
    )
    lease_s: float = Field(15, ge=1, description="A worker that did not renew its lease for so long is replaced.")
    load_rate: float | None = Field(
        None, gt=0, description="Most documents a second that a load reads; none: no limit."
    )
    load_range: int = Field(20_000, ge=100, description="Documents in one range of the load, the unit of its progress.")
    on_position_lost: Literal["reload", "stop"] = Field(
        "reload",
        description="When the change log no longer holds the position, or an index was deleted or replaced: say so and"
        " load what is affected anew, beside the stream and while the index serves; or stop with exit code 3, where a"
        " load must not begin by itself. `reload`, since nothing else can make up for the loss.",
    )
    parking_queue: Annotated[str | None, AfterValidator(checks.check_queue)] = Field(
        None,
        description="URL of the SQS queue where the sync function of an AWS deployment parks the keys of what it could"
        " not write in time; `penstock dead-letters replay --queue` reads it.",
    )


class ObserveSettings(Section):
    """What can be seen from outside."""

    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="Log lines for people or for machines; auto: by terminal."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    listen: Annotated[str | None, AfterValidator(checks.check_listen)] = Field(
        None, description="host:port for /metrics (Prometheus) and /healthz; none: not served."
    )
    unhealthy_lag_s: float = Field(300, gt=0, description="A lag above this makes /healthz answer 503.")


class CollectionSettings(Section):
    """One collection and the index it is served by."""

    namespace: Annotated[str, AfterValidator(checks.check_namespace)] = Field(
        ...,
        description="The collection: database.collection; or with `*` those whose names match: shop.*, shop.orders_*.",
    )
    index: str | None = Field(
        None,
        description="Alias that people search; by default `database.collection` in lower case. For a pattern it holds"
        " `{collection}`, the name of each one in lower case.",
    )
    include: tuple[FieldPath, ...] = Field((), description="Fields to index, as dotted paths; none given: all.")
    exclude: tuple[FieldPath, ...] = Field((), description="Fields to leave out, as dotted paths.")
    rename: dict[FieldPath, FieldPath] = Field(
        {}, description="Fields to index under another name: old dotted path to new dotted path."
    )
    function: Annotated[str | None, AfterValidator(checks.check_function)] = Field(
        None,
        description="Python function `module:function`: returns the document, a changed one, or None to leave it out.",
    )
    mapping_file: ExistingFile | None = Field(
        None, description="JSON file with the index's `mappings` (and `settings`); by default penstock's own."
    )
    max_fields: int = Field(
        2000,
        ge=50,
        le=100_000,
        description="Most fields that its index may have (`index.mapping.total_fields.limit`).",
    )
    when_full: Literal["unsearchable", "dead-letter"] = Field(
        "unsearchable",
        description="When a document would bring the index above `max_fields`: keep new fields in the documents without"
        " making them searchable, or refuse the document.",
    )
    conflicts: dict[FieldPath, ConflictPolicy] = Field(
        {},
        description="What becomes of a field that is a document here and a plain value there, by its dotted path in the"
        " index, or `*` for all others: `dead-letter` (unless said otherwise), `text`, `flat_object`, `leave-out`.",
    )
    shards: int = Field(1, ge=1, le=1024, description="Primary shards of an index that penstock creates.")
    replicas: int = Field(1, ge=0, le=20, description="Replicas of an index that penstock creates.")
    on_drop: Literal["keep", "empty"] = Field(
        "keep",
        description="When it is dropped: keep the index's documents until it reappears and is reconciled, or empty it.",
    )
    drop_grace_s: int = Field(
        0,
        ge=0,
        description='For `on_drop = "empty"`: how long it may stay away before its index is emptied; when it is back'
        " by then, it is reconciled instead.",
    )
    on_rename: Literal["drop", "follow"] = Field(
        "drop",
        description="When it is renamed: as if it were dropped, by `on_drop`; or follow it: its index stays and is fed"
        " from the new name, unless another table names that.",
    )

    @property
    def alias(self) -> str:
        """The alias that people search: `index`, or the namespace in lower case."""
        return self.index or self.namespace.lower()

    @property
    def outlives_a_drop(self) -> bool:
        """Whether the index's documents stay, for a while at least, when the collection is gone."""
        return self.on_drop == "keep" or self.drop_grace_s > 0

    @property
    def is_awaited(self) -> bool:
        """Whether nothing may be deleted because it is not there: it will be back, or goes by another name by now."""
        return self.outlives_a_drop or self.follows

    @property
    def follows(self) -> bool:
        """Whether it is still the same collection when it is renamed."""
        return self.on_rename == "follow"

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for all collections of its database that match, now and later."""
        return checks.PATTERN_SIGN in self.namespace

    @field_validator("index")
    @classmethod
    def _index_can_be_made(cls, index: str | None, others: ValidationInfo) -> str | None:
        return checks.check_index_of(others.data.get("namespace", ""), index)

    @field_validator("drop_grace_s")
    @classmethod
    def _grace_before_emptying(cls, grace_s: int, others: ValidationInfo) -> int:
        if grace_s and others.data.get("on_drop") == "keep":
            raise ValueError('is of no use while on_drop is "keep"; set on_drop to "empty"')
        return grace_s

    @field_validator("on_rename")
    @classmethod
    def _follows_one(cls, on_rename: str, others: ValidationInfo) -> str:
        if on_rename == "follow" and checks.PATTERN_SIGN in others.data.get("namespace", ""):
            raise ValueError(
                'must not be "follow" for a pattern: a new name is another collection to it; name the collection that'
                " is followed in a table of its own"
            )
        return on_rename

    @field_validator("exclude")
    @classmethod
    def _not_also_included(cls, exclude: tuple[str, ...], others: ValidationInfo) -> tuple[str, ...]:
        if both := sorted(set(exclude) & set(others.data.get("include", ()))):
            raise ValueError(f"names what include names too: {', '.join(both)}")
        return exclude

    @field_validator("rename")
    @classmethod
    def _no_two_to_one_name(cls, rename: dict[str, str]) -> dict[str, str]:
        new = list(rename.values())
        if twice := sorted({name for name in new if new.count(name) > 1}):
            raise ValueError(f"gives two fields one name: {', '.join(twice)}")
        return rename

    @field_validator("conflicts")
    @classmethod
    def _conflicts_stay_apart(cls, conflicts: dict[str, ConflictPolicy]) -> dict[str, ConflictPolicy]:
        checks.check_conflicts(conflicts)
        return conflicts


class FoundCollection(CollectionSettings):
    """A collection that was found by a pattern; it may be gone again at any time."""

    pattern: str

    @classmethod
    def by(cls, pattern: CollectionSettings, coll: str) -> "FoundCollection":
        """The collection of this name, which matches. Raises ValueError when no index can have its name."""
        db = pattern.namespace.partition(".")[0]
        index = pattern.index and pattern.index.replace(checks.COLLECTION_PLACE, coll.lower())
        checks.check_index_name(index or f"{db}.{coll}".lower())
        same = {**pattern.model_dump(), "mapping_file": None, "namespace": f"{db}.{coll}", "index": index}
        return cls(**same, pattern=pattern.namespace).model_copy(update={"mapping_file": pattern.mapping_file})


class Settings(Section):
    """Everything `penstock` can be told."""

    source: SourceSettings = Field(default_factory=SourceSettings)
    sink: SinkSettings = Field(default_factory=SinkSettings)
    pipeline: PipelineSettings = Field(default_factory=PipelineSettings)
    observe: ObserveSettings = Field(default_factory=ObserveSettings)
    collections: tuple[CollectionSettings, ...] = ()

    @property
    def aliases(self) -> list[str]:
        """What people search, collection by collection."""
        return [each.alias for each in self.collections]

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
