"""The reference deployment, connected on one machine as the stack connects it on AWS.

client -> gateway -> writer, reader, config
source (DocumentDB mode, TLS, a login) -> mapping -> sync -> signature proxy -> OpenSearch
mapping of a Kafka topic -> sync, where wanted
mapping -> react, one for each reaction -> a webhook, or a bus whose rule starts a state machine
secrets, the queue of parked keys, bus, state machine and topic: moto's server
"""

import json
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from penstock.lambdas import environment
from penstock.lambdas import permissions as rights
from penstock.lambdas.environment import (
    APPLICATION,
    HANDLERS,
    OPERATIONS_VARIABLES,
    REACT,
    REACT_VARIABLES,
    REACTION_SECRET,
    VARIABLES,
    WORKER_VARIABLES,
    FunctionName,
    function_name,
)
from penstock.operations.init import toml_value
from penstock.settings.checks import secret_variable
from penstock.settings.table import SETTINGS_VARIABLE
from penstock_tools.aws.domain.signature_proxy import SignatureProxy
from penstock_tools.aws.gateway.gateway import Gateway
from penstock_tools.aws.mapping.api import mapping_api
from penstock_tools.aws.mapping.behaviour import Behaviour
from penstock_tools.aws.mapping.mappings import Mappings
from penstock_tools.aws.mapping.reader import Cluster
from penstock_tools.aws.mapping.record import Account
from penstock_tools.aws.moto_server import MotoServer, moto_server
from penstock_tools.aws.outlook import NEW_DOCUMENTS, LocalOutlook
from penstock_tools.aws.runtime.folder import runtime_folder
from penstock_tools.aws.runtime.function import LambdaFunction
from penstock_tools.aws.runtime.functions import Functions
from penstock_tools.aws.webhook import webhook_receiver
from penstock_tools.bundle import build_local
from penstock_tools.servers.cache import cache_folder
from penstock_tools.servers.certificate import Certificate, new_certificate
from penstock_tools.servers.errors import LocalServerError
from penstock_tools.servers.opensearch import DEFAULT_HEAP
from penstock_tools.servers.platform import Platform
from penstock_tools.servers.progress import Steps
from penstock_tools.servers.source import LocalSourceSettings

REGION: Final = "us-east-1"
USER: Final = "penstock"

_OPERATIONS: Final = "operations"
_WORKER: Final = "worker"
_ROUTES: Final[dict[tuple[str, str], FunctionName]] = {
    ("POST", "/demo-data"): "writer",
    ("GET", "/demo-data"): "reader",
    ("POST", "/config"): "config",
}
_API_TIMEOUT_S: Final = 30.0
_MEMORY_MB: Final = 512

WEBHOOK: Final = "webhook"
"""The reaction that calls a webhook."""


@dataclass(frozen=True, kw_only=True)
class DeploymentSettings:
    """The options of a deployment; the defaults are those of the stack. Ports: 0 takes a free one.

    With `kafka` there is one collection more, whose changes a topic brings.

    From the second of the `collections` on, their names and those of their indexes end with a number. The webhook is at
    `webhook_url`, or in this process.

    `extra_code` are files put next to the functions' own code, `sync_handler` is what the mapping calls. Without
    `keep_compiled` a function starts as slowly as on Lambda.
    """

    database: str = "demo-database"
    collection: str = "demo-collection"
    index: str = "demo-index"
    collections: int = 1
    kafka: bool = False
    reactions: bool = False
    webhook_url: str = ""
    webhook_timeout_s: float = 10.0
    reaction_timeout_s: float = 300.0
    batch_size: int = 1000
    batch_window_s: int = 1
    function_timeout_s: float = 300.0
    sink_timeout_s: float = 20.0
    as_in_sample: bool = False
    open_api: bool = False
    behaviour: Behaviour = field(default_factory=Behaviour)
    unenabled_streams: str = "refuse"
    extra_code: tuple[Path, ...] = ()
    sync_handler: str = HANDLERS["sync"]
    keep_compiled: bool = True
    gateway_port: int = 0
    lambda_port: int = 0
    heap: str = DEFAULT_HEAP

    @property
    def namespace(self) -> str:
        """The full name of the first collection, which the API serves."""
        return f"{self.database}.{self.collection}"

    @property
    def topics(self) -> dict[str, str]:
        """The topic of each collection that has one, by the collection's full name."""
        return {f"{self.namespace}-by-topic": f"cdc.{self.namespace}-by-topic"} if self.kafka else {}

    @property
    def indexed(self) -> dict[str, str]:
        """The index of each collection, by stream or by topic."""
        return {**self.indexes, **dict.fromkeys(self.topics, f"{self.index}-by-topic")}

    @property
    def indexes(self) -> dict[str, str]:
        """The index of each collection whose change stream a mapping reads, by the collection's full name."""
        ends = ["", *(f"-{number}" for number in range(2, self.collections + 1))]
        return {f"{self.namespace}{end}": f"{self.index}{end}" for end in ends}


class Deployment:
    """A context manager that starts everything and stops it on leaving; only `folder` remains."""

    platform: Platform
    aws: MotoServer
    domain: SignatureProxy
    functions: Functions
    mappings: Mappings
    gateway: Gateway
    secret_arn: str
    queue_url: str
    lambda_url: str
    webhook_secret_arn: str
    outlook: LocalOutlook | None = None
    webhook_url: str = ""

    def __init__(
        self, folder: Path, settings: DeploymentSettings | None = None, *, progress: Steps | None = None
    ) -> None:
        """Keep logs, certificates and `operations.env` in the folder."""
        self.folder = folder.absolute()
        self.settings = settings or DeploymentSettings()
        self.progress = progress or Steps()
        self.account = Account(region=REGION)
        self.api_key = None if self.settings.open_api else secrets.token_urlsafe(24)
        self.cluster_arn = f"arn:aws:rds:{REGION}:{self.account.id}:cluster:{APPLICATION}"
        self.mapping_id: str | None = None
        self.mapping_ids: dict[tuple[str, str], str] = {}
        self._password = secrets.token_urlsafe(24)
        self.webhook_secret = secrets.token_urlsafe(24)
        self.reactions: Sequence[str] = (NEW_DOCUMENTS, WEBHOOK) if self.settings.reactions else ()
        roles = (*HANDLERS, *map(_react, self.reactions), _OPERATIONS, _WORKER)
        self._keys = {role: (f"LOCAL{role.upper()}", secrets.token_urlsafe(24)) for role in roles}
        self._stack = ExitStack()

    def __enter__(self) -> "Deployment":
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self._start_servers(stack)
            self._start_targets(stack)
            self._start_functions(stack)
            self._start_mappings(stack)
            self.gateway = stack.enter_context(self._gateway())
            self._write_environment()
            if not self.settings.as_in_sample:
                self._create_mappings()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _create_mappings(self) -> None:
        self.progress.step("Enabling the change streams")
        for function in ("sync", *map(_react, self.reactions)):
            for namespace in self.settings.indexes:
                made = self.create_mapping(
                    namespace, function=function, enabled_at=self.enable_change_stream(namespace)
                )
                self.mapping_ids[namespace, function] = made
        for namespace in self.settings.topics:
            self.enable_change_stream(namespace)  # as the producer of the topic needs
        self.mapping_id = self.mapping_ids[self.settings.namespace, "sync"]

    def enable_change_stream(self, namespace: str = "") -> int:
        """What the stack's custom resource does before a mapping is made; returns when, in Unix seconds."""
        db, _, coll = (namespace or self.settings.namespace).partition(".")
        properties = {"Database": db, "Collection": coll}
        event = {"RequestType": "Create", "ResourceProperties": properties}
        answer = self.functions.invoke(function_name("config"), json.dumps(event).encode())
        if answer.function_error:
            raise LocalServerError(
                f"The config function could not enable the change stream; see {self.log_of('config')}:"
                f" {answer.payload[:500].decode(errors='replace')}"
            )
        return int(json.loads(answer.payload)["Data"]["EnabledAt"])

    def create_mapping(
        self, namespace: str = "", *, function: str = "sync", enabled_at: int | None = None, **more: Any
    ) -> str:
        """Make a mapping as the stack does, from a time on or (as in the sample) disabled; returns its id."""
        settings = self.settings
        db, _, coll = (namespace or settings.namespace).partition(".")
        start: dict[str, Any] = {"StartingPosition": "LATEST", "Enabled": False}
        if enabled_at is not None:
            start = {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": enabled_at}
        made = self.mappings.create(
            {
                "EventSourceArn": self.cluster_arn,
                "FunctionName": function_name(function),
                "BatchSize": settings.batch_size,
                "MaximumBatchingWindowInSeconds": settings.batch_window_s,
                "SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": self.secret_arn}],
                "DocumentDBEventSourceConfig": {
                    "DatabaseName": db,
                    "CollectionName": coll,
                    "FullDocument": "UpdateLookup",
                },
                **start,
                **more,
            }
        )
        return str(made["UUID"])

    def log_of(self, name: str) -> Path:
        """The log of a function."""
        return self.folder / "logs" / f"{name}.log"

    def operations(self) -> dict[str, str]:
        """Return the environment for a `penstock` command, as the stack's task has it."""
        variables = self._variables(_OPERATIONS, OPERATIONS_VARIABLES)
        tables = [*map(self._table, self.reactions), *self._topic_tables()]
        if self.reactions:
            variables[secret_variable(WEBHOOK)] = self.webhook_secret
        return {**variables, **self._settings_file(_OPERATIONS, tables)} if tables else variables

    def worker(self) -> dict[str, str]:
        """Return the environment of a worker beside the mapping or in its place, as the stack's tasks have it."""
        return self._variables(_WORKER, WORKER_VARIABLES)

    def _start_servers(self, stack: ExitStack) -> None:
        source = LocalSourceSettings(
            mode="documentdb-5.0",
            user=USER,
            password=self._password,
            tls=True,
            unenabled_streams=self.settings.unenabled_streams,
        )
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-")))
        self.platform = stack.enter_context(
            Platform(
                data,
                source=source,
                heap=self.settings.heap,
                kafka_port=0 if self.settings.kafka else None,
                progress=self.progress,
            )
        )
        self.progress.step("Starting Secrets Manager, SQS and the domain's endpoint")
        self.aws = stack.enter_context(moto_server(self.folder / "logs"))
        login = {"username": USER, "password": self._password}
        self.secret_arn = self.aws.create_secret(f"{APPLICATION}-documentdb", json.dumps(login))
        self.queue_url = self.aws.create_queue(f"{APPLICATION}-parked")
        self._certificate = new_certificate(self.folder / "domain-certificate")
        self.domain = stack.enter_context(self._domain(self._certificate))

    def _start_targets(self, stack: ExitStack) -> None:
        """What reactions give events to."""
        if not self.reactions:
            return
        self.progress.step("Starting EventBridge, Step Functions and SNS")
        self.outlook = stack.enter_context(LocalOutlook(self.aws, APPLICATION))
        self.webhook_secret_arn = self.aws.create_secret(f"{APPLICATION}-webhook", self.webhook_secret)
        file = self.folder / "logs" / "webhook.log"
        self.webhook_url = self.settings.webhook_url or stack.enter_context(webhook_receiver(self.webhook_secret, file))

    def _domain(self, certificate: Certificate) -> SignatureProxy:
        indexes = self.settings.indexed.values()
        of_role = {
            "writer": [],
            "config": [],
            "reader": rights.reader_requests(self.settings.index),
            "sync": rights.of_all(rights.sync_requests, indexes),
            **{_react(each): rights.react_requests() for each in self.reactions},
            _OPERATIONS: rights.of_all(rights.operations_requests, indexes),
            _WORKER: rights.of_all(rights.worker_requests, indexes),
        }
        return SignatureProxy(
            self.platform.opensearch.url,
            credentials=dict(self._keys.values()),
            region=REGION,
            certificate=certificate,
            allow={self._keys[role][0]: partial(rights.allows, requests) for role, requests in of_role.items()},
        )

    def _start_functions(self, stack: ExitStack) -> None:
        self.progress.step("Building the functions' folder")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-functions-"))) / "code"
        build_local(folder)
        for file in self.settings.extra_code:
            shutil.copy(file, folder)
        runtime = runtime_folder(cache_folder())
        self.functions = stack.enter_context(
            Functions(
                LambdaFunction(
                    function_name(name),
                    folder=folder,
                    runtime=runtime,
                    handler=handler,
                    environment=environment,
                    timeout_s=self._timeout(function_name(name)),
                    memory_mb=_MEMORY_MB,
                    log=self.log_of(name),
                    region=REGION,
                    account=self.account.id,
                    keep_compiled=self.settings.keep_compiled,
                )
                for name, handler, environment in self._configured()
            )
        )

    def _configured(self) -> Iterator[tuple[str, str, Mapping[str, str]]]:
        """Yield name, handler and environment of each function."""
        handlers: dict[FunctionName, str] = {**HANDLERS, "sync": self.settings.sync_handler}
        for name, handler in handlers.items():
            tables = self._topic_tables() if name == "sync" else []
            file = self._settings_file(name, tables) if tables else {}
            yield name, handler, {**self._variables(name, VARIABLES[name]), **file}
        for each in self.reactions:
            own = self._settings_file(_react(each), [self._table(each)])
            if each == WEBHOOK:
                own[REACTION_SECRET] = self.webhook_secret_arn
            shared = tuple(name for name in REACT_VARIABLES if name not in own)
            yield _react(each), REACT, {**self._variables(_react(each), shared), **own}

    def _table(self, reaction: str) -> str:
        """Return the settings file of a reaction's function."""
        assert self.outlook is not None
        values: dict[str, Any] = {"name": reaction, "collections": tuple(self.settings.indexes)}
        if reaction == NEW_DOCUMENTS:
            values |= {"kinds": ("insert",), "target": "eventbridge", "bus": self.outlook.bus}
        else:
            values |= {"target": "webhook", "url": self.webhook_url, "timeout_s": self.settings.webhook_timeout_s}
        return _toml("reactions", values)

    def _topic_tables(self) -> list[str]:
        return [
            _toml("topics", {"topic": topic, "collection": namespace, "form": "keys"})
            for namespace, topic in self.settings.topics.items()
        ]

    def _settings_file(self, name: str, tables: Sequence[str]) -> dict[str, str]:
        """Write a settings file of these tables, and return the variable that names it."""
        file = self.folder / f"{name}.toml"
        file.write_text("\n".join(tables), encoding="utf-8")
        return {SETTINGS_VARIABLE: str(file)}

    def _variables(self, role: str, variables: tuple[str, ...]) -> dict[str, str]:
        """Return the variables that the stack sets on a function, plus local ones: keys, endpoints, CAs."""
        collections = [
            {"namespace": namespace, "index": index, "replicas": 0}
            for namespace, index in self.settings.indexed.items()
        ]
        values = {
            environment.SECRET: self.secret_arn,
            environment.ENDPOINT: f"127.0.0.1:{self.platform.source.child.port}",
            environment.DOMAIN: self.domain.endpoint,
            environment.COLLECTIONS: json.dumps(collections),
            environment.QUEUE: self.queue_url,
            environment.CURSORS: "collection",
            environment.RETENTION: str(self.settings.behaviour.retention_s),
            environment.TIMEOUT: f"{self.settings.sink_timeout_s:g}",
            environment.LOG_FORMAT: "json",
            environment.LISTEN: "127.0.0.1:0",
            environment.WORKER_METRICS: f"{APPLICATION}-worker",
        }
        key, secret = self._keys[role]
        return {
            **{name: values[name] for name in variables},
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": self.aws.url,
            "AWS_ENDPOINT_URL_SQS": self.aws.url,
            "AWS_ENDPOINT_URL_EVENTBRIDGE": self.aws.url,
            "PENSTOCK_SOURCE_TLS_CA_FILE": str(self.platform.source.authority),
            "PENSTOCK_SINK_TLS_CA_FILE": str(self._certificate.authority),
        }

    def _timeout(self, name: str) -> float:
        known = {function_name(each): each for each in (*HANDLERS, *map(_react, self.reactions))}[name]
        if known in map(_react, self.reactions):
            return self.settings.reaction_timeout_s
        return self.settings.function_timeout_s if known == "sync" else _API_TIMEOUT_S

    def _start_mappings(self, stack: ExitStack) -> None:
        cluster = Cluster(f"127.0.0.1:{self.platform.source.child.port}", self.platform.source.authority)
        self.mappings = stack.enter_context(
            Mappings(
                clusters={self.cluster_arn: cluster},
                secret=self._secret,
                invoke=self.functions.invoke,
                timeout=self._timeout,
                account=self.account,
                behaviour=self.settings.behaviour,
            )
        )
        self.lambda_url = stack.enter_context(mapping_api(self.mappings, self.settings.lambda_port))
        if self.platform.kafka:
            from penstock_tools.aws.mapping.topics import topic_mappings  # noqa: PLC0415 (needs a driver, which few have)

            stack.enter_context(
                topic_mappings(
                    self.platform.kafka.bootstrap_servers,
                    self.settings.topics.values(),
                    function_name("sync"),
                    self.functions.invoke,
                    batch_size=self.settings.batch_size,
                    window_s=self.settings.batch_window_s,
                )
            )

    def _secret(self, arn: str) -> Mapping[str, str]:
        held: dict[str, str] = json.loads(self.aws.secret(arn))
        return held

    def _gateway(self) -> Gateway:
        routes = {route: function_name(name) for route, name in _ROUTES.items()}
        return Gateway(routes, self.functions.invoke, port=self.settings.gateway_port, api_key=self.api_key)

    def _write_environment(self) -> None:
        file = self.folder / "operations.env"
        file.touch(mode=0o600)
        file.chmod(0o600)  # also where it is there already: what it gets is secret
        lines = ["unset AWS_PROFILE AWS_SESSION_TOKEN\n"]  # of the shell's own account
        lines += (f"export {name}={shlex.quote(value)}\n" for name, value in self.operations().items())
        file.write_text("".join(lines), encoding="utf-8")


def _toml(table: str, values: Mapping[str, Any]) -> str:
    return "\n".join([f"[[{table}]]", *(f"{name} = {toml_value(value)}" for name, value in values.items()), ""])


def _react(reaction: str) -> str:
    """Return the end of the name of a reaction's function."""
    return f"react-{reaction}"
