"""The event source mapping of each collection, or of each of its topics, and the functions that they call.

A mapping checks its collection's change stream when it is created, and never again. So by default, CloudFormation calls
the config function, as a custom resource, before it creates the mapping. The mapping then starts at the time when the
stream was enabled, so that it also reads what is written in between. With `enabled=False`, the mapping is created
disabled, and the user does both by hand, as in the AWS sample.
"""

from typing import cast

from aws_cdk import Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from penstock.lambdas.environment import APPLICATION, COLLECTIONS, QUEUE, TIMEOUT, VARIABLES
from penstock.model import Namespace
from penstock.settings.table import SETTINGS_VARIABLE
from penstock_cdk import checks
from penstock_cdk.alarms import Alarms
from penstock_cdk.code import Architecture, FunctionsCode
from penstock_cdk.collections import FILE, Collections, index_patterns, require_mapped
from penstock_cdk.functions import function
from penstock_cdk.mapping import event_source_mapping
from penstock_cdk.names import MOST_FUNCTIONS, short
from penstock_cdk.parts import Cluster, Domain, Kafka, Network
from penstock_cdk.queue import parking_queue
from penstock_cdk.roles import function_role, sync_policies
from penstock_cdk.streams import ChangeStreams
from penstock_cdk.sync_functions import SyncFunction, SyncFunctions, sync_functions
from penstock_cdk.topics import consumer_group, topic_mapping, topic_policies
from penstock_cdk.variables import chosen, values


class ChangeStreamSync(Construct):
    """Keeps the indexes of collections in step: mappings, sync functions, the queue of parked keys, alarms.

    `functions` are the sync functions by their collections, `of_topics` those that take records of topics, `roles`
    those of the functions by the function's construct, `mapping_ids` the ids of the mappings for the AWS CLI, by
    collection. With a `kafka`, a collection for which the settings have `[[topics]]` has a mapping for each of them,
    and none of its change stream.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        network: Network,
        cluster: Cluster,
        domain: Domain,
        collections: Collections,
        code: FunctionsCode,
        streams: ChangeStreams | None = None,
        kafka: Kafka | None = None,
        architecture: Architecture = "x86_64",
        how_many: SyncFunctions = "one",
        batch_size: int = 1000,
        batch_window_s: int = 1,
        timeout_s: int = 300,
        memory_mb: int = 512,
        change_log_retention_hours: int = 24,
        enabled: bool = True,
        keep_queue: bool = False,
        prefix: str = APPLICATION,
    ) -> None:
        """Make all of it. `streams` may be shared with a worker and an API. Raises ValueError."""
        super().__init__(scope, name)
        checks.require(
            self,
            batch_size=(checks.whole_number(1, 10_000), batch_size),
            batch_window_s=(checks.whole_number(0, 300), batch_window_s),
            timeout_s=(checks.whole_number(30, 840), timeout_s),
            memory_mb=(checks.whole_number(128, 10_240), memory_mb),
            change_log_retention_hours=(checks.whole_number(1, 168), change_log_retention_hours),
            how_many=(checks.one_of("one", "each"), how_many),
            collections=(_room(how_many), collections),
            prefix=(checks.prefix, prefix),
        )
        self._cluster, self._collections, self._code, self._network = cluster, collections, code, network
        self._kafka = kafka
        self.collections, self.prefix = collections, prefix
        self.streams = streams or ChangeStreams(
            self,
            "Streams",
            network=network,
            cluster=cluster,
            collections=collections,
            code=code,
            architecture=architecture,
            prefix=prefix,
        )
        self.queue = parking_queue(self, keep=keep_queue)
        self.functions: dict[str, lambda_.Function] = {}
        self.of_topics: list[lambda_.Function] = []
        self._names: dict[str, str] = {}
        self.roles: dict[str, iam.Role] = {}
        given = {
            **values(cluster, domain, collections, retention_hours=change_log_retention_hours),
            QUEUE: self.queue.queue_url,
            TIMEOUT: str(request_timeout_s(timeout_s)),
        }
        roles, functions = Construct(self, "Roles"), Construct(self, "Functions")
        alarms = Alarms(self, "Alarms", prefix=prefix)
        for each in sync_functions(collections.tables, how_many):
            indexes = index_patterns([table.alias for table in each.tables])
            allowed = sync_policies(
                Stack.of(self),
                cluster=cluster,
                domain=domain,
                indexes=indexes,
                queue_arn=self.queue.queue_arn,
                has_streams=self._has_streams(each),
                of_topics=self._topic_policies(each),
            )
            self.roles[each.construct] = function_role(roles, each.construct, allowed)
            made = function(
                functions,
                each.construct,
                kind="sync",
                function_name=self._name(each),
                code=code.alone if each.settings_folder else code.with_settings,
                environment=_environment(each, given),
                role=self.roles[each.construct],
                network=network,
                architecture=architecture,
                timeout_s=timeout_s,
                memory_mb=memory_mb,
            )
            if each.settings_folder:
                made.add_layers(self._settings(functions, each))
            names = [table.namespace for table in each.tables]
            self.functions |= dict.fromkeys(names, made)
            self._names |= dict.fromkeys(names, self._name(each))
            alarms.of_sync(each, made)
            if self._has_streams(each):
                alarms.of_streams(each, made, retention_hours=change_log_retention_hours)
            if self._topics_of(each):
                self.of_topics.append(made)
                alarms.of_topics(each, made, batch_size=batch_size)
        alarms.of_queue(self.queue)
        self.alarms = alarms.all
        self.mapping_ids = self._mappings(batch_size, batch_window_s, enabled=enabled)

    def _settings(self, scope: Construct, sync: SyncFunction) -> lambda_.LayerVersion:
        """The settings of one collection, with its mapping file and the module of its function."""
        return lambda_.LayerVersion(
            scope,
            f"{sync.construct}Settings",
            code=lambda_.Code.from_asset(self._collections.layer(sync.tables[0])),
            description=f"Settings of {sync.tables[0].namespace}",
        )

    def _topics(self, namespace: str) -> list[str]:
        return self._collections.topics_of(namespace) if self._kafka else []

    def _topics_of(self, sync: SyncFunction) -> list[str]:
        return [topic for table in sync.tables for topic in self._topics(table.namespace)]

    def _has_streams(self, sync: SyncFunction) -> bool:
        return not all(self._topics(table.namespace) for table in sync.tables)

    def _topic_policies(self, sync: SyncFunction) -> dict[str, iam.PolicyDocument]:
        topics = self._topics_of(sync)
        if not self._kafka or not topics:
            return {}
        return topic_policies(self._kafka, topics, [consumer_group(self._name(sync), each) for each in topics])

    def _name(self, sync: SyncFunction) -> str:
        return f"{self.prefix}-{sync.name}"

    def _mappings(self, batch_size: int, batch_window_s: int, *, enabled: bool) -> dict[str, str]:
        # Names in the template change with the collection, because a mapping's collection cannot be changed in place.
        mappings = Construct(self, "Mapping")
        of_streams = {each: sync for each, sync in self.functions.items() if not self._topics(each)}
        streams = self.streams.enabled(mappings, list(of_streams)) if enabled and of_streams else {}
        ids = {}
        for each, sync in of_streams.items():
            namespace, of_collection = Namespace.named(each), mappings.node.try_find_child(short(each))
            mapping = event_source_mapping(
                cast(Construct, of_collection or Construct(mappings, short(each))),
                cluster=self._cluster,
                namespace=namespace,
                function=sync,
                batch_size=batch_size,
                batch_window_s=batch_window_s,
                enabled_at=Token.as_number(streams[each].get_att("EnabledAt")) if enabled else None,
            )
            ids[each] = mapping.attr_id
        return {**ids, **self._topic_mappings(mappings, batch_size, batch_window_s)}

    def _topic_mappings(self, scope: Construct, batch_size: int, batch_window_s: int) -> dict[str, str]:
        if not self._kafka:
            return {}
        return {
            f"{namespace} by {topic}": topic_mapping(
                Construct(scope, short(f"{namespace} by {topic}")),
                kafka=self._kafka,
                network=self._network,
                topic=topic,
                group=consumer_group(self._names[namespace], topic),
                function=sync,
                batch_size=batch_size,
                batch_window_s=batch_window_s,
            ).attr_id
            for namespace, sync in self.functions.items()
            for topic in self._topics(namespace)
        }


def request_timeout_s(timeout_s: int) -> int:
    """Return how long the sync function waits for the domain's response: short enough for several tries in a call."""
    return min(20, timeout_s // 4)


def _environment(sync: SyncFunction, given: dict[str, str]) -> dict[str, str]:
    given = chosen(VARIABLES["sync"], given)
    if not sync.settings_folder:
        return given
    without = {name: value for name, value in given.items() if name != COLLECTIONS}
    return {**without, SETTINGS_VARIABLE: f"{sync.settings_folder}{FILE}"}


def _room(how_many: SyncFunctions) -> checks.Read:
    def read(collections: Collections) -> Collections:
        count = len(collections.tables)
        if how_many == "each" and count > MOST_FUNCTIONS:
            raise ValueError(
                f"a stack has room for {MOST_FUNCTIONS} sync functions, not {count}: let one serve them all"
            )
        if not count:
            raise ValueError("it must have a collection")
        return require_mapped(collections)

    return read
