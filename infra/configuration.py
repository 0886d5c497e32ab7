"""The options of a deployment: the context keys of the app, each read and checked in one place."""

from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, Self

from infra import context_checks as checks

if TYPE_CHECKING:
    from constructs import Node  # its library starts Node, which takes seconds that are not needed to list the options

EngineVersion = Literal["5.0.0", "4.0.0"]
Profile = Literal["demo", "production"]
Egress = Literal["nat", "endpoints"]
Architecture = Literal["x86_64", "arm64"]
Api = Literal["key", "iam", "open"]


class ConfigurationError(Exception):
    """A context key has a value that cannot be deployed; the message has every problem, one per line."""


def _key(read: checks.Read, about: str) -> dict[str, Any]:
    return {"read": read, "about": about}


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The options of one deployment. `about` of each field is its line in docs/aws.md."""

    engine_version: EngineVersion = field(
        default="5.0.0",
        metadata=_key(checks.engine_version, "Engine of the cluster: 5.0.0, or 4.0.0 as in the AWS sample."),
    )
    profile: Profile = field(
        default="demo",
        metadata=_key(checks.one_of("demo", "production"), "`demo` or `production`: see below."),
    )
    egress: Egress = field(
        default="nat",
        metadata=_key(
            checks.one_of("nat", "endpoints"),
            "How the private subnets reach AWS: through `nat` or interface `endpoints`.",
        ),
    )
    database: str = field(default="demo-database", metadata=_key(checks.database, "Database of the collection."))
    collection: str = field(default="demo-collection", metadata=_key(checks.collection, "Collection to index."))
    index: str = field(default="demo-index", metadata=_key(checks.index, "Alias of its index."))
    architecture: Architecture = field(
        default="x86_64",
        metadata=_key(checks.one_of("x86_64", "arm64"), "Architecture of functions and task: `x86_64` or `arm64`."),
    )
    batch_size: int = field(
        default=1000,
        metadata=_key(
            checks.whole_number(1, 10_000), "Maximum number of changes in a call of the sync function, 1 to 10000."
        ),
    )
    batch_window_s: int = field(
        default=1,
        metadata=_key(checks.whole_number(0, 300), "How long the mapping collects a batch, in seconds, 0 to 300."),
    )
    as_in_sample: bool = field(
        default=False,
        metadata=_key(
            checks.true_or_false, "As in the AWS sample: create the mapping disabled, to be enabled by hand."
        ),
    )
    api: Api = field(
        default="key",
        metadata=_key(checks.one_of("key", "iam"), "How calls of the API are authorised: `key` or `iam`."),
    )
    open_api: bool = field(
        default=False,
        metadata=_key(checks.true_or_false, "Let anybody call the API, as in the AWS sample; not together with `api`."),
    )
    service_linked_role: bool = field(
        default=False,
        metadata=_key(checks.true_or_false, "Create the service-linked role of OpenSearch Service, once per account."),
    )
    change_log_retention_hours: int = field(
        default=24,
        metadata=_key(checks.whole_number(1, 168), "How long the cluster keeps its change log, in hours, 1 to 168."),
    )
    schedule: str = field(
        default="", metadata=_key(checks.schedule, "Run a command regularly: `rate(1 day)` or `cron(0 3 * * ? *)`.")
    )
    scheduled_command: str = field(
        default="verify", metadata=_key(checks.command, "The `penstock` command that the schedule runs.")
    )
    alarm_email: str = field(default="", metadata=_key(checks.email, "E-mail address for alarms."))
    function_timeout_s: int = field(
        default=300,
        metadata=_key(
            checks.whole_number(30, 840), "Timeout of the sync function in seconds, 30 to 840, the mapping's limit."
        ),
    )
    function_memory_mb: int = field(
        default=512, metadata=_key(checks.whole_number(128, 10_240), "Memory of the sync function in MB, 128 to 10240.")
    )

    @property
    def is_production(self) -> bool:
        """Whether this is the profile that keeps data, costs more and survives the loss of a zone."""
        return self.profile == "production"

    @property
    def namespace(self) -> str:
        """`database.collection`."""
        return f"{self.database}.{self.collection}"

    @classmethod
    def from_context(cls, node: "Node") -> Self:
        """Read the keys of `-c key=value` and cdk.json; a missing or empty key has its default.

        Raises:
            ConfigurationError: with every problem at once.
        """
        given = {key: value for key, value in node.get_all_context().items() if value not in (None, "")}
        values: dict[str, Any] = {}
        problems = _likely_misspelt(given)
        for key in fields(cls):
            if key.name in given:
                try:
                    values[key.name] = key.metadata["read"](given[key.name])
                except ValueError as error:
                    problems.append(f"{key.name} is {given[key.name]!r}: {error}.")
        if values.get("open_api"):
            if "api" in given:
                problems.append("open_api is true and api is given too: an open API has no authorisation, give one.")
            values["api"] = "open"
        if problems:
            raise ConfigurationError("\n".join(problems))
        return cls(**values)


def _likely_misspelt(given: dict[str, Any]) -> list[str]:
    """Return the problems for unknown keys that resemble ours; others may belong to the user's own ~/.cdk.json."""
    known = [key.name for key in fields(Configuration)]
    problems = []
    for name in sorted(set(given) - set(known)):
        if close := get_close_matches(name, known, n=1, cutoff=0.8):
            problems.append(f"{name} is not a context key of this app: {close[0]} is.")
    return problems
