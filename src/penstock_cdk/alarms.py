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

from penstock.lambdas.environment import APPLICATION
from penstock_cdk import metrics
from penstock_cdk.names import short
from penstock_cdk.parts import Cluster, Domain
from penstock_cdk.sync_functions import SyncFunction

AGE_LIMIT_MS: Final = 15 * 60 * 1000
BATCHES_LIMIT: Final = 10
JVM_LIMIT_PERCENT: Final = 85
CPU_LIMIT_PERCENT: Final = 80


class Alarms(Construct):
    """Alarms of one part. Without an action they only show on the dashboard; `send_mail` adds one."""

    def __init__(self, scope: Construct, name: str, *, prefix: str = APPLICATION) -> None:
        super().__init__(scope, name)
        self._prefix = prefix
        self.all: list[cloudwatch.Alarm] = []

    def of_sync(self, of: SyncFunction, sync: lambda_.IFunction) -> None:
        """Of a sync function, whatever calls it."""
        self.add(
            "SyncErrors",
            sync.metric_errors(period=metrics.PERIOD, statistic="Sum"),
            1,
            "The sync function failed for a whole batch, and Lambda retries it: domain and parking queue were both "
            "unavailable, or the deployment is broken. The function's log has the reason.",
            of=of,
        )
        self._of_writes(of, sync)

    def of_streams(self, of: SyncFunction, sync: lambda_.IFunction, *, retention_hours: int) -> None:
        """Of the mappings that call a sync function with the events of change streams."""
        self.add(
            "MappingAge",
            metrics.of_mapping("IteratorAge", sync, statistic="Maximum"),
            AGE_LIMIT_MS,
            "The mapping reads changes that are more than 15 minutes old. See the errors and the duration of the sync "
            "function; larger batches (batch_size) and more memory make it faster.",
            evaluation_periods=2,
            of=of,
        )
        self.add(
            "OversizedRecords",
            metrics.of_mapping("OversizedRecordCount", sync, statistic="Sum"),
            1,
            "The mapping dropped an event above 6 MB: run `penstock verify --repair`.",
            of=of,
        )
        self.add(
            "LagAgainstChangeLog",
            metrics.of_sync(metrics.LAG, sync, statistic="Maximum"),
            retention_hours * 3600 // 2,
            f"The mapping is behind by more than half of the change log's retention "
            f"({retention_hours} h). Beyond the retention, changes are lost and the mapping "
            "is disabled: raise change_log_retention_hours now, then look for the cause.",
            of=of,
        )

    def of_topics(self, of: SyncFunction, sync: lambda_.IFunction, *, batch_size: int) -> None:
        """Of the mappings that call a sync function with the records of topics."""
        self.add(
            "TopicLag",
            metrics.of_mapping("OffsetLag", sync, statistic="Maximum"),
            BATCHES_LIMIT * batch_size,
            f"For 15 minutes, {BATCHES_LIMIT} batches or more of a topic's records have waited for the sync function. "
            "Beyond the topic's retention they are lost. See the errors and the duration of the function; larger "
            "batches (batch_size), more memory and more partitions make it faster.",
            evaluation_periods=3,
            of=of,
        )

    def of_reaction(self, name: str, react: lambda_.IFunction, *, retention_hours: int) -> None:
        """Of a reaction's function and the mappings that call it."""
        of = SyncFunction(short(name), name, ())
        self.add(
            "ReactionWaits",
            react.metric_errors(period=metrics.PERIOD, statistic="Sum"),
            1,
            "The target of the reaction takes no events, or the deployment is broken: the function fails, and Lambda "
            "tries the batch again. The function's log has the reason. The index does not wait.",
            of=of,
        )
        self.add(
            "ReactionDeadLetters",
            metrics.of_sync(metrics.DEAD_LETTERED, react),
            1,
            f"The target refused an event, which is kept. `penstock dead-letters list --reaction {name}` shows it, and "
            "why; replay it when the target takes it.",
            of=of,
        )
        self.add(
            "ReactionOversizedRecords",
            metrics.of_mapping("OversizedRecordCount", react, statistic="Sum"),
            1,
            "The mapping dropped an event above 6 MB: the target will never get it.",
            of=of,
        )
        self.add(
            "ReactionLag",
            metrics.of_sync(metrics.LAG, react, statistic="Maximum"),
            retention_hours * 3600 // 2,
            f"The reaction is behind by more than half of the change log's retention ({retention_hours} h). Beyond "
            "the retention, events are lost and the mapping is disabled: raise change_log_retention_hours now.",
            of=of,
        )

    def of_queue(self, queue: sqs.IQueue) -> None:
        """Of the queue of parked keys."""
        self.add(
            "ParkedKeys",
            queue.metric_approximate_number_of_messages_visible(period=metrics.PERIOD, statistic="Maximum"),
            1,
            "The domain was unavailable for longer than a call of the sync function; the keys of unwritten documents "
            "wait in the parking queue. When the domain is back, run `penstock dead-letters replay --queue`.",
        )

    def _of_writes(self, of: SyncFunction, sync: lambda_.IFunction) -> None:
        self.add(
            "DeadLetters",
            metrics.of_sync(metrics.DEAD_LETTERED, sync),
            1,
            "The index refused a document permanently. `penstock dead-letters list` shows which, and why.",
            of=of,
        )
        self.add(
            "SystemicFaults",
            metrics.of_sync(metrics.SYSTEMIC_FAULTS, sync),
            1,
            "The index is not as penstock created it, or refuses everything. The sync function's log says what to do.",
            of=of,
        )
        self.add(
            "Unreconciled",
            metrics.of_sync(metrics.UNRECONCILED, sync, statistic="Maximum"),
            1,
            "A collection was dropped, or replaced by a rename, and its index still holds documents from before. When "
            "the collection is back, run `penstock load`: it removes them.",
            of=of,
        )

    def add(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        threshold: float,
        description: str,
        *,
        of: SyncFunction | None = None,
        evaluation_periods: int = 1,
        without_data: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
        comparison_operator: cloudwatch.ComparisonOperator = (
            cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
        ),
    ) -> None:
        """Add an alarm; `of` a sync function it has a name of its own."""
        alarm = cloudwatch.Alarm(
            self,
            f"{name}{of.key if of else ''}",
            alarm_name="-".join(filter(None, [self._prefix, _with_hyphens(name), of.label if of else ""])),
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            evaluation_periods=evaluation_periods,
            comparison_operator=comparison_operator,
            treat_missing_data=without_data,
        )
        self.all.append(alarm)


class ServerAlarms(Alarms):
    """Alarms of a cluster and a domain; `all` are the alarms."""

    def __init__(
        self, scope: Construct, name: str, *, cluster: Cluster, domain: Domain, prefix: str = APPLICATION
    ) -> None:
        super().__init__(scope, name, prefix=prefix)
        of_domain = domain.domain
        self.add(
            "DomainFreeStorage",
            of_domain.metric_free_storage_space(period=metrics.PERIOD, statistic="Minimum"),
            domain.volume_gib * 1024 // 5,
            "Less than a fifth of a data node's disk is free; soon the domain refuses writes. Make its volumes larger.",
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_OR_EQUAL_TO_THRESHOLD,
        )
        self.add(
            "DomainJvmMemory",
            of_domain.metric_jvm_memory_pressure(period=metrics.PERIOD, statistic="Maximum"),
            JVM_LIMIT_PERCENT,
            "The domain is short of memory and will refuse requests: use a larger instance, or fewer shards.",
            evaluation_periods=3,
        )
        self.add(
            "DomainRed",
            of_domain.metric_cluster_status_red(period=metrics.PERIOD, statistic="Maximum"),
            1,
            "A primary shard is missing: writes to its index wait or are parked. See the domain's health.",
        )
        self.add(
            "ClusterCpu",
            metrics.of_cluster("CPUUtilization", cluster.identifier, statistic="Average"),
            CPU_LIMIT_PERCENT,
            "The cluster's instances are busy: changes are read late. Use larger instances.",
            evaluation_periods=3,
        )


def send_mail(topic_scope: Construct, alarms: Sequence[cloudwatch.Alarm], address: str, about: str) -> sns.Topic:
    """Send alarms, and when they end, to an address, which has to confirm it."""
    topic = sns.Topic(topic_scope, "Topic", display_name=f"Alarms of {about}", enforce_ssl=True)
    # With a policy of its own, the topic no longer lets the services of its account publish by default.
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions={"StringEquals": {"aws:SourceAccount": Stack.of(topic).account}},
        )
    )
    topic.add_subscription(subscriptions.EmailSubscription(address))
    action: Any = actions.SnsAction(topic)
    for alarm in alarms:
        alarm.add_alarm_action(action)
        alarm.add_ok_action(action)
    return topic


def _with_hyphens(name: str) -> str:
    """Return `sync-errors` for `SyncErrors`."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("-")
