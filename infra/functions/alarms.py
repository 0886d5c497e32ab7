"""Alarms; the description of each says what is wrong and what to do about it."""

from collections.abc import Sequence
from typing import Any, Final

from aws_cdk import Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.configuration import Configuration
from infra.functions import metrics
from infra.functions.functions import Functions
from infra.functions.servers import Servers
from infra.functions.sync_functions import SyncFunction
from penstock.lambdas.environment import APPLICATION

AGE_LIMIT_MS: Final = 15 * 60 * 1000
JVM_LIMIT_PERCENT: Final = 85
CPU_LIMIT_PERCENT: Final = 80


class Alarms(Construct):
    """All alarms. They send mail if there is an address; otherwise, they only show on the dashboard."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        configuration: Configuration,
        functions: Functions,
        servers: Servers,
        syncs: Sequence[SyncFunction],
    ) -> None:
        super().__init__(scope, name)
        self.all: list[cloudwatch.Alarm] = []
        for each in syncs:
            sync = functions.syncs[each.tables[0].namespace]
            self._of_mapping(configuration, each, sync)
            self._of_writes(each, sync)
        self._of_queue(servers.queue)
        self._of_servers(servers)
        if configuration.alarm_email:
            self._send_to(configuration.alarm_email)

    def _of_mapping(self, configuration: Configuration, of: SyncFunction, sync: lambda_.IFunction) -> None:
        self._alarm(
            "MappingAge",
            metrics.of_mapping("IteratorAge", sync, statistic="Maximum"),
            AGE_LIMIT_MS,
            "The mapping reads changes that are more than 15 minutes old. See the errors and the duration of the sync "
            "function; larger batches (batch_size) and more memory make it faster.",
            evaluation_periods=2,
            of=of,
        )
        self._alarm(
            "SyncErrors",
            sync.metric_errors(period=metrics.PERIOD, statistic="Sum"),
            1,
            "The sync function failed for a whole batch, and Lambda retries it: domain and parking queue were both "
            "unavailable, or the deployment is broken. The function's log has the reason.",
            of=of,
        )
        self._alarm(
            "OversizedRecords",
            metrics.of_mapping("OversizedRecordCount", sync, statistic="Sum"),
            1,
            "The mapping dropped an event above 6 MB: run `penstock verify --repair`.",
            of=of,
        )
        retention_s = configuration.change_log_retention_hours * 3600
        self._alarm(
            "LagAgainstChangeLog",
            metrics.of_sync(metrics.LAG, sync, statistic="Maximum"),
            retention_s // 2,
            f"The mapping is behind by more than half of the change log's retention "
            f"({configuration.change_log_retention_hours} h). Beyond the retention, changes are lost and the mapping "
            "is disabled: raise change_log_retention_hours now, then look for the cause.",
            of=of,
        )

    def _of_queue(self, queue: sqs.IQueue) -> None:
        self._alarm(
            "ParkedKeys",
            queue.metric_approximate_number_of_messages_visible(period=metrics.PERIOD, statistic="Maximum"),
            1,
            "The domain was unavailable for longer than a call of the sync function; the keys of unwritten documents "
            "wait in the parking queue. When the domain is back, run `penstock dead-letters replay --queue`.",
        )

    def _of_writes(self, of: SyncFunction, sync: lambda_.IFunction) -> None:
        self._alarm(
            "DeadLetters",
            metrics.of_sync(metrics.DEAD_LETTERED, sync),
            1,
            "The index refused a document permanently. `penstock dead-letters list` shows which, and why.",
            of=of,
        )
        self._alarm(
            "SystemicFaults",
            metrics.of_sync(metrics.SYSTEMIC_FAULTS, sync),
            1,
            "The index is not as penstock created it, or refuses everything. The sync function's log says what to do.",
            of=of,
        )
        self._alarm(
            "Unreconciled",
            metrics.of_sync(metrics.UNRECONCILED, sync, statistic="Maximum"),
            1,
            "A collection was dropped, or replaced by a rename, and its index still holds documents from before. When "
            "the collection is back, run `penstock load`: it removes them.",
            of=of,
        )

    def _of_servers(self, servers: Servers) -> None:
        domain = servers.opensearch.domain
        self._alarm(
            "DomainFreeStorage",
            domain.metric_free_storage_space(period=metrics.PERIOD, statistic="Minimum"),
            servers.opensearch.volume_gib * 1024 // 5,
            "Less than a fifth of a data node's disk is free; soon the domain refuses writes. Make its volumes larger.",
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_OR_EQUAL_TO_THRESHOLD,
        )
        self._alarm(
            "DomainJvmMemory",
            domain.metric_jvm_memory_pressure(period=metrics.PERIOD, statistic="Maximum"),
            JVM_LIMIT_PERCENT,
            "The domain is short of memory and will refuse requests: use a larger instance, or fewer shards.",
            evaluation_periods=3,
        )
        self._alarm(
            "DomainRed",
            domain.metric_cluster_status_red(period=metrics.PERIOD, statistic="Maximum"),
            1,
            "A primary shard is missing: writes to its index wait or are parked. See the domain's health.",
        )
        self._alarm(
            "ClusterCpu",
            metrics.of_cluster("CPUUtilization", servers.documentdb.identifier, statistic="Average"),
            CPU_LIMIT_PERCENT,
            "The cluster's instances are busy: changes are read late. Use larger instances.",
            evaluation_periods=3,
        )

    def _alarm(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        threshold: float,
        description: str,
        *,
        of: SyncFunction | None = None,
        evaluation_periods: int = 1,
        comparison_operator: cloudwatch.ComparisonOperator = (
            cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
        ),
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            f"{name}{of.key if of else ''}",
            alarm_name="-".join(filter(None, [APPLICATION, _with_hyphens(name), of.label if of else ""])),
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            evaluation_periods=evaluation_periods,
            comparison_operator=comparison_operator,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        self.all.append(alarm)

    def _send_to(self, address: str) -> None:
        topic = sns.Topic(self, "Topic", display_name=f"Alarms of {APPLICATION}", enforce_ssl=True)
        # With a policy of its own, the topic no longer lets the services of its account publish by default.
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
        topic.add_subscription(subscriptions.EmailSubscription(address))
        action: Any = actions.SnsAction(topic)
        for alarm in self.all:
            alarm.add_alarm_action(action)
            alarm.add_ok_action(action)


def _with_hyphens(name: str) -> str:
    """Return `sync-errors` for `SyncErrors`."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("-")
