"""The options of a deployment: the context keys of the app, each read and checked in one place."""

import os
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

from penstock.settings import CollectionSettings, ReactionSettings
from penstock_cdk import checks
from penstock_cdk.collections import Collections, index_names, index_patterns, require_mapped, require_worked
from penstock_cdk.names import CPUS, MOST_FUNCTIONS, Cpu
from penstock_cdk.reaction_tables import read_table
from penstock_tools.aws.outlook import NEW_DOCUMENTS

if TYPE_CHECKING:
    from constructs import Node  # its library starts Node, which takes seconds that are not needed to list the options

EngineVersion = Literal["8.0.0", "5.0.0", "4.0.0"]
Door = Literal["mapping", "worker", "both"]
Profile = Literal["demo", "production"]
Egress = Literal["nat", "endpoints"]
Architecture = Literal["x86_64", "arm64"]
Api = Literal["key", "iam", "open"]
SyncFunctions = Literal["one", "each"]
KafkaLogin = Literal["SASL_SCRAM_512_AUTH", "SASL_SCRAM_256_AUTH", "BASIC_AUTH"]


class ConfigurationError(Exception):
    """A context key has a value that cannot be deployed; the message has every problem, one per line."""


def _key(read: checks.Read, about: str) -> dict[str, Any]:
    return {"read": read, "about": about}


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The options of one deployment. `about` of each field is its line in docs/aws.md."""

    engine_version: EngineVersion = field(
        default="5.0.0",
        metadata=_key(
            checks.engine_version,
            "Engine of the cluster: 5.0.0, 4.0.0 as in the AWS sample, or 8.0.0 for `door=worker` only.",
        ),
    )
    door: Door = field(
        default="mapping",
        metadata=_key(
            checks.one_of("mapping", "worker", "both"),
            "What keeps the index in step: the event source `mapping`, a `worker` on Fargate, or `both`.",
        ),
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
    collections: Collections = field(
        default=Collections(),
        metadata=_key(
            Collections.read,
            "Several collections with all their settings, instead of these three keys: `@penstock.toml`, `@FILE.json`.",
        ),
    )
    sync_functions: SyncFunctions = field(
        default="one",
        metadata=_key(checks.one_of("one", "each"), "`one` sync function for all collections, or one for `each`."),
    )
    reactions: bool = field(
        default=False,
        metadata=_key(
            checks.true_or_false, "Put new documents on an EventBridge bus; a rule starts a state machine for each."
        ),
    )
    reaction_secrets: tuple[tuple[str, str], ...] = field(
        default=(),
        metadata=_key(
            checks.secrets_by_name,
            "Existing secrets that webhooks are signed with, as `NAME=ARN,NAME=ARN`; others are created.",
        ),
    )
    architecture: Architecture = field(
        default="x86_64",
        metadata=_key(checks.one_of("x86_64", "arm64"), "Architecture of functions and task: `x86_64` or `arm64`."),
    )
    image: str = field(
        default="",
        metadata=_key(checks.image, "Image of the worker, instead of one that the deployment builds with Docker."),
    )
    worker_architecture: Architecture = field(
        default="arm64",
        metadata=_key(checks.one_of("arm64", "x86_64"), "Architecture of the worker: `arm64` or `x86_64`."),
    )
    worker_cpu: Cpu = field(
        default=512,
        metadata=_key(
            checks.one_number_of(*CPUS),
            "CPU units of a worker's task, with twice as many MB: 256, 512, 1024, 2048 or 4096.",
        ),
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

    vpc_id: str = field(
        default="",
        metadata=_key(
            checks.shaped("vpc-[0-9a-f]{8,17}", "vpc-0123456789abcdef0"), "Existing VPC, instead of a new one."
        ),
    )
    vpc_subnets: tuple[str, ...] = field(
        default=(),
        metadata=_key(
            checks.several("subnet-[0-9a-f]{8,17}", "subnet-0a,subnet-0b with their whole ids"),
            "Its private subnets, separated by commas.",
        ),
    )
    vpc_zones: tuple[str, ...] = field(
        default=(),
        metadata=_key(
            checks.several(r"[a-z]{2}(-[a-z]+)+-\d[a-z]", "eu-west-1a,eu-west-1b"), "The zones of these subnets."
        ),
    )
    cluster_arn: str = field(
        default="",
        metadata=_key(
            checks.shaped(r"arn:aws[\w-]*:rds:[\w-]+:\d{12}:cluster:[\w-]+", "arn:aws:rds:REGION:ACCOUNT:cluster:NAME"),
            "Existing DocumentDB cluster, instead of a new one.",
        ),
    )
    cluster_endpoint: str = field(
        default="",
        metadata=_key(checks.shaped(r"[\w.-]+(:27017)?", "host or host:27017"), "Its endpoint, on port 27017."),
    )
    cluster_group: str = field(
        default="", metadata=_key(checks.shaped("sg-[0-9a-f]{8,17}", "sg-0123456789abcdef0"), "Its security group.")
    )
    cluster_secret: str = field(
        default="",
        metadata=_key(
            checks.shaped(
                checks.SECRET_ARN,
                "a whole ARN, with the six characters at its end",
            ),
            "ARN of the secret with `username` and `password`.",
        ),
    )
    cluster_secret_key: str = field(
        default="", metadata=_key(checks.kms_key, "ARN of the key that encrypts this secret, if it is yours.")
    )
    kafka_cluster_arn: str = field(
        default="",
        metadata=_key(
            checks.shaped(
                r"arn:aws[\w-]*:kafka:[\w-]+:\d{12}:cluster/[\w-]+/[\w-]+",
                "arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/ID",
            ),
            "Existing Amazon MSK cluster that holds the `[[topics]]` of `collections`.",
        ),
    )
    kafka_bootstrap_servers: tuple[str, ...] = field(
        default=(),
        metadata=_key(
            checks.several(r"[\w.-]+:\d{1,5}", "b-1.example:9096,b-2.example:9096", least=1),
            "Brokers of another Kafka that holds them, separated by commas.",
        ),
    )
    kafka_secret: str = field(
        default="",
        metadata=_key(
            checks.shaped(checks.SECRET_ARN, "a whole ARN, with the six characters at its end"),
            "ARN of the secret with its `username` and `password`; without one Amazon MSK takes the function's role.",
        ),
    )
    kafka_secret_key: str = field(
        default="", metadata=_key(checks.kms_key, "ARN of the key that encrypts this secret, if it is yours.")
    )
    kafka_login: KafkaLogin = field(
        default="SASL_SCRAM_512_AUTH",
        metadata=_key(
            checks.one_of("SASL_SCRAM_512_AUTH", "SASL_SCRAM_256_AUTH", "BASIC_AUTH"),
            "How the secret is used: `SASL_SCRAM_512_AUTH`, `SASL_SCRAM_256_AUTH` or `BASIC_AUTH` (PLAIN).",
        ),
    )
    domain_arn: str = field(
        default="",
        metadata=_key(
            checks.shaped(
                r"arn:aws[\w-]*:es:[\w-]+:\d{12}:domain/[a-z][a-z0-9-]+", "arn:aws:es:REGION:ACCOUNT:domain/NAME"
            ),
            "Existing OpenSearch domain, instead of a new one.",
        ),
    )
    domain_endpoint: str = field(
        default="",
        metadata=_key(checks.shaped(r"[\w.-]+", "a host without https://"), "Its endpoint, without `https://`."),
    )
    domain_group: str = field(
        default="", metadata=_key(checks.shaped("sg-[0-9a-f]{8,17}", "sg-0123456789abcdef0"), "Its security group.")
    )
    domain_volume_gib: int = field(
        default=10,
        metadata=_key(
            checks.whole_number(1, 24_576), "Disk of one of its data nodes in GiB, for the alarm of free storage."
        ),
    )
    group_rules: bool = field(
        default=True,
        metadata=_key(
            checks.true_or_false,
            "Add the rules that are needed to existing security groups; `false` if they have them.",
        ),
    )
    cluster_key: str = field(
        default="", metadata=_key(checks.kms_key, "ARN of your key for the storage of a new cluster.")
    )
    domain_key: str = field(default="", metadata=_key(checks.kms_key, "ARN of your key for the disks of a new domain."))

    @property
    def is_production(self) -> bool:
        """Whether this is the profile that keeps data, costs more and survives the loss of a zone."""
        return self.profile == "production"

    @property
    def has_mappings(self) -> bool:
        """Whether event source mappings read the collections."""
        return self.door != "worker"

    @property
    def has_worker(self) -> bool:
        """Whether a worker follows the collections."""
        return self.door != "mapping"

    @property
    def has_kafka(self) -> bool:
        """Whether topics bring changes."""
        return bool(self.kafka_cluster_arn or self.kafka_bootstrap_servers)

    @property
    def puts_on_a_bus(self) -> bool:
        """Whether a reaction puts events on a bus of EventBridge."""
        return self.reactions or any(each.target == "eventbridge" for each in self.collections.reactions)

    @property
    def synced(self) -> Collections:
        """The collections. The single node of a demo has no room for a copy: the domain would be yellow."""
        if self.collections.tables:
            return self.collections if self.has_kafka else replace(self.collections, topics=())
        copies = {} if self.is_production else {"replicas": 0}
        table = CollectionSettings(namespace=f"{self.database}.{self.collection}", index=self.index, **copies)
        return Collections((table,), inline=True)

    @property
    def indexes(self) -> list[str]:
        """By which names the roles get their rights."""
        return index_patterns(index_names(self.synced.tables))

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
        problems += _incomplete(given)
        problems += _too_many(values)
        problems += _behind_another_door(given, values)
        problems += _undeployable_collections(values)
        problems += _undeployable_reactions(values)
        problems += _undeployable_topics(values)
        if values.get("open_api"):
            if "api" in given:
                problems.append("open_api is true and api is given too: an open API has no authorisation, give one.")
            values["api"] = "open"
        if problems:
            raise ConfigurationError("\n".join(problems))
        return cls(**values)


_FEWEST_ZONES = 2
_TOGETHER = (
    ("vpc_id", "vpc_subnets", "vpc_zones"),
    ("cluster_arn", "cluster_endpoint", "cluster_group", "cluster_secret"),
    ("domain_arn", "domain_endpoint", "domain_group"),
)
"""The keys that name an existing part: all of a row, or none."""

_WITHOUT = (
    ("egress", "vpc_id", "an existing VPC has its own way out"),
    ("collections", "database", "the tables name their database"),
    ("collections", "collection", "the tables name their collection"),
    ("collections", "index", "the tables name their index"),
    ("cluster_key", "cluster_arn", "the storage of an existing cluster keeps its key"),
    ("domain_key", "domain_arn", "the disks of an existing domain keep their key"),
    ("kafka_cluster_arn", "kafka_bootstrap_servers", "one Kafka holds all topics"),
    ("kafka_cluster_arn", "as_in_sample", "the mappings of topics are enabled at once"),
    ("kafka_bootstrap_servers", "as_in_sample", "the mappings of topics are enabled at once"),
)
_WITH = (
    ("cluster_arn", "vpc_id"),
    ("domain_arn", "vpc_id"),
    ("cluster_secret_key", "cluster_secret"),
    ("kafka_bootstrap_servers", "kafka_secret"),
    ("kafka_secret_key", "kafka_secret"),
    ("kafka_login", "kafka_secret"),
)


def _listed(given: dict[str, Any], name: str) -> list[str]:
    value = given.get(name, [])
    return value if isinstance(value, list) else str(value).split(",")


def _incomplete(given: dict[str, Any]) -> list[str]:
    """Return the problems of keys that belong together, or exclude each other."""
    problems = [
        f"{first} names an existing part: {', '.join(missing)} must be given too."
        for row in _TOGETHER
        if (first := next((name for name in row if name in given), None))
        and (missing := [name for name in row if name not in given])
    ]
    problems += [
        f"{name} and {other} exclude each other: {why}."
        for name, other, why in _WITHOUT
        if {name, other} <= given.keys()
    ]
    if len(_listed(given, "vpc_subnets")) != len(_listed(given, "vpc_zones")):
        problems.append("vpc_zones must have a zone for each of vpc_subnets, in their order.")
    elif (
        "vpc_zones" in given
        and not {"cluster_arn", "domain_arn"} <= given.keys()
        and len(set(_listed(given, "vpc_zones"))) < _FEWEST_ZONES
    ):
        problems.append("vpc_zones must name two zones or more, for the cluster and the domain that are made there.")
    problems += [f"{name} needs {other}." for name, other in _WITH if name in given and other not in given]
    return problems


def _too_many(values: dict[str, Any]) -> list[str]:
    """Return the problem of more sync functions than a stack has room for."""
    count = len(values["collections"].tables) if "collections" in values else 1
    if values.get("sync_functions") != "each" or count <= MOST_FUNCTIONS:
        return []
    problem = f"sync_functions is 'each' for {count} collections: a stack has room for {MOST_FUNCTIONS}"
    return [f"{problem}; let one function serve them all (sync_functions=one)."]


def _behind_another_door(given: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """Return the problems of keys that the chosen door does not have."""
    door = values.get("door", "mapping")
    problems = [
        f"{name} needs door=worker or door=both."
        for name in ("image", "worker_architecture", "worker_cpu")
        if name in given and door == "mapping"
    ]
    problems += [
        f"{name} and door=worker exclude each other: there is no mapping and no sync function."
        for name in ("as_in_sample", "sync_functions", "reactions")
        if name in given and door == "worker"
    ]
    if values.get("reactions") and values.get("as_in_sample"):
        problems.append("reactions and as_in_sample exclude each other: their mappings are enabled at once.")
    if values.get("engine_version") == "8.0.0" and door != "worker":
        problems.append(
            "engine_version 8.0.0 needs door=worker: Lambda's event source mapping does not read engine 8"
            " (`Engine version 8.0.1 is not supported`)."
        )
    return problems


def _undeployable_collections(values: dict[str, Any]) -> list[str]:
    """Return the problems of settings of collections which the chosen door does not have."""
    collections: Collections = values.get("collections", Collections())
    door = values.get("door", "mapping")
    problems = []
    for require, doors in ((require_mapped, ("mapping", "both")), (require_worked, ("worker", "both"))):
        try:
            if door in doors:
                require(collections)
        except ValueError as error:
            problems.append(f"collections: {str(error).rstrip('.')}.")
    return problems


def _undeployable_reactions(values: dict[str, Any]) -> list[str]:
    """Return the problems of the reactions of the settings file, which the chosen door or network does not have."""
    collections: Collections = values.get("collections", Collections())
    by_worker = values.get("door", "mapping") != "mapping"
    problems = []
    for each, table in zip(collections.reactions, collections.reaction_tables, strict=True):
        try:
            read_table(table, by_worker=by_worker, has_secret=each.target == "webhook")
            _reachable(each, values.get("egress", "nat"))
        except ValueError as error:
            problems.append(f"collections: reaction {each.name}: {error}.")
        if values.get("reactions") and f"{each.name}-".startswith(f"{NEW_DOCUMENTS}-"):
            problems.append(f"collections: reaction {each.name}: `reactions` makes one of this name; rename it.")
    if collections.reactions and values.get("as_in_sample"):
        problems.append(
            "collections: reactions and as_in_sample exclude each other: their mappings are enabled at once."
        )
    webhooks = [each.name for each in collections.reactions if each.target == "webhook"]
    problems += [
        f"reaction_secrets names {name}, which is no webhook among the reactions of `collections`."
        for name, _ in values.get("reaction_secrets", ())
        if name not in webhooks
    ]
    return problems


def _undeployable_topics(values: dict[str, Any]) -> list[str]:
    """Return the problems of topics without a Kafka, and of a Kafka without topics or without a mapping."""
    collections: Collections = values.get("collections", Collections())
    given = next((name for name in ("kafka_cluster_arn", "kafka_bootstrap_servers") if values.get(name)), "")
    has_topics = any(collections.topics_of(each.namespace) for each in collections.tables)
    if given and values.get("door") == "worker":
        return [f"{given} and door=worker exclude each other: there is no mapping and no sync function."]
    if given and not has_topics:
        return [f"{given} needs collections=@penstock.toml with a [[topics]] table for one of the collections."]
    if has_topics and not given and values.get("door") != "worker":
        problem = "collections: [[topics]] need kafka_cluster_arn or kafka_bootstrap_servers, which name their Kafka"
        return [f"{problem}; leave the tables out to read the change streams."]
    if values.get("kafka_cluster_arn") and values.get("kafka_login", "SASL_SCRAM_512_AUTH") != "SASL_SCRAM_512_AUTH":
        return ["kafka_login: Amazon MSK takes SASL_SCRAM_512_AUTH only."]
    return []


def _reachable(reaction: ReactionSettings, egress: Egress) -> None:
    """Raise ValueError for a target that the network of functions and tasks does not reach."""
    if egress == "endpoints" and reaction.target == "eventbridge":
        own, bus = os.environ.get("CDK_DEFAULT_REGION"), str(reaction.bus)
        region = reaction.region or (bus.split(":")[3] if bus.startswith("arn:") else None)
        if own and region and region != own:
            raise ValueError(
                f"bus: with egress=endpoints only buses of the deployment's own region, {own}, are reached; name one of"
                " them, or choose egress=nat"
            )
        return
    if not reaction.url:
        return
    url = urlsplit(reaction.url)
    if url.scheme != "https" or url.port not in (None, 443):
        raise ValueError(
            "url: the security group of functions and tasks opens nothing but 443; give the receiver an address"
            " with https:// on that port"
        )
    if egress == "endpoints":
        raise ValueError(
            "url: with egress=endpoints the private subnets have no way to a webhook; choose egress=nat, or let"
            ' EventBridge call it (target = "eventbridge" and an API destination)'
        )


def _likely_misspelt(given: dict[str, Any]) -> list[str]:
    """Return the problems for unknown keys that resemble ours; others may belong to the user's own ~/.cdk.json."""
    known = [key.name for key in fields(Configuration)]
    problems = []
    for name in sorted(set(given) - set(known)):
        if close := get_close_matches(name, known, n=1, cutoff=0.8):
            problems.append(f"{name} is not a context key of this app: {close[0]} is.")
    return problems
