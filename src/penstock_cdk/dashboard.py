"""One page that shows whether the sync keeps up, whether anything is lost or refused, and how the servers are."""

from collections.abc import Sequence
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from penstock.lambdas.environment import APPLICATION
from penstock_cdk import metrics
from penstock_cdk.api import SyncApi
from penstock_cdk.parts import Cluster, Domain
from penstock_cdk.reactions import Reactions
from penstock_cdk.sync import ChangeStreamSync
from penstock_cdk.worker import PenstockWorker

Syncs = Sequence[lambda_.IFunction]

_ALARMS_AT_ONCE: Final = 100
"""CloudWatch refuses a dashboard with more in one widget ("Dashboard Body Structure and Syntax", its API reference)."""


class SyncDashboard(Construct):
    """A dashboard of the parts that there are."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        cluster: Cluster,
        domain: Domain,
        alarms: Sequence[cloudwatch.Alarm],
        sync: ChangeStreamSync | None = None,
        worker: PenstockWorker | None = None,
        api: SyncApi | None = None,
        reactions: Sequence[Reactions] = (),
        dashboard_name: str = APPLICATION,
    ) -> None:
        super().__init__(scope, name)
        rows: list[list[cloudwatch.IWidget]] = []
        if sync is not None:
            syncs = list(dict.fromkeys(sync.functions.values()))
            rows += [_keeps_up(syncs), _refused(syncs, sync.queue)]
            if sync.of_topics:
                rows.append([_topics(sync.of_topics)])
        if worker is not None:
            rows.append(_worker(worker))
            if worker.reactions:
                rows.append(_reactions_of(worker))
        if reacts := [each for part in reactions for each in part.functions.values()]:
            rows.append(_reactions(reacts))
        rows.append(_servers(cluster, domain))
        if api is not None:
            rows.append(_api(api))
        parts = [list(alarms[at : at + _ALARMS_AT_ONCE]) for at in range(0, len(alarms), _ALARMS_AT_ONCE)]
        shown: list[list[cloudwatch.IWidget]] = [
            [cloudwatch.AlarmStatusWidget(title="Alarms", alarms=each, width=24)] for each in parts
        ]
        cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=dashboard_name,
            default_interval=Duration.hours(3),
            widgets=[*shown, *rows],
        )


def _keeps_up(syncs: Syncs) -> list[cloudwatch.IWidget]:
    return [
        _behind("How far behind", syncs),
        _by_name(
            "Changes by outcome",
            syncs,
            (metrics.WRITTEN, metrics.SUPERSEDED, metrics.FILTERED, metrics.DEAD_LETTERED),
        ),
        _graph(
            "Sync function: duration",
            *(sync.metric_duration(statistic=statistic) for sync in syncs for statistic in ("p50", "p99")),
        ),
    ]


def _refused(syncs: Syncs, queue: sqs.IQueue) -> list[cloudwatch.IWidget]:
    return [
        _graph(
            "Sync function: errors",
            *(sync.metric_errors() for sync in syncs),
            *(metrics.of_sync(metrics.SYSTEMIC_FAULTS, sync) for sync in syncs),
            *(metrics.of_sync(metrics.UNRECONCILED, sync, statistic="Maximum") for sync in syncs),
        ),
        _graph(
            "Parked keys",
            *(metrics.of_sync(metrics.PARKED, sync) for sync in syncs),
            queue.metric_approximate_number_of_messages_visible(),
            queue.metric_approximate_age_of_oldest_message(),
        ),
        _graph(
            "Events over 6 MB, dropped by the mapping",
            *(metrics.of_mapping("OversizedRecordCount", sync, statistic="Sum") for sync in syncs),
        ),
    ]


def _topics(syncs: Syncs) -> cloudwatch.IWidget:
    return _graph(
        "Topics: records that wait",
        *(metrics.of_mapping("OffsetLag", sync, statistic="Maximum") for sync in syncs),
    )


def _worker(worker: PenstockWorker) -> list[cloudwatch.IWidget]:
    outcomes = (metrics.WRITTEN, metrics.SUPERSEDED, metrics.FILTERED, metrics.DEAD_LETTERED)
    return [
        _graph("Worker: how far behind in s", worker.metric(metrics.LAG)),
        _graph("Worker: changes by outcome", *(worker.metric(name, statistic="Sum") for name in outcomes)),
        _graph(
            "Worker: leases held, waiting, CPU and memory in %",
            worker.metric("PipelinesHeld"),
            worker.metric("Waiting"),
            worker.service.metric_cpu_utilization(),
            worker.service.metric_memory_utilization(),
        ),
    ]


def _reactions_of(worker: PenstockWorker) -> list[cloudwatch.IWidget]:
    return [
        _graph("Reactions: how far behind in s", worker.metric("ReactionLagSeconds")),
        _graph(
            "Reactions: accepted, pending, dead letters",
            worker.metric("ReactionsAccepted", statistic="Sum"),
            worker.metric("ReactionsPending"),
            worker.metric("ReactionsDeadLettered", statistic="Sum"),
        ),
        _graph("Reactions: waiting, stopped", worker.metric("ReactionsWaiting"), worker.metric("ReactionsStopped")),
    ]


def _reactions(reacts: Syncs) -> list[cloudwatch.IWidget]:
    """Of functions; what is pending the mapping alone knows, by the age of what it delivers next."""
    return [
        _behind("Reactions: how far behind", reacts),
        _by_name(
            "Reactions: accepted, filtered, dead letters",
            reacts,
            (metrics.ACCEPTED, metrics.FILTERED, metrics.DEAD_LETTERED),
        ),
        _graph(
            "Reactions: waits for the target, errors",
            *(metrics.of_sync(metrics.WAITS, each) for each in reacts),
            *(each.metric_errors() for each in reacts),
        ),
    ]


def _servers(cluster: Cluster, domain: Domain) -> list[cloudwatch.IWidget]:
    of_domain = domain.domain
    return [
        _graph(
            "Domain: memory and CPU in %",
            of_domain.metric_jvm_memory_pressure(),
            of_domain.metric_cpu_utilization(),
        ),
        _graph("Domain: free storage in MB", of_domain.metric_free_storage_space()),
        _graph(
            "Cluster: CPU in %, size of the change log in MB",
            metrics.of_cluster("CPUUtilization", cluster.identifier, statistic="Average"),
            metrics.of_cluster("ChangeStreamLogSize", cluster.identifier, statistic="Maximum"),
        ),
    ]


def _api(api: SyncApi) -> list[cloudwatch.IWidget]:
    gateway, functions = api.gateway, api.functions
    return [
        _graph("API: calls", gateway.api.metric_count()),
        _graph("API: errors", gateway.api.metric_client_error(), gateway.api.metric_server_error()),
        _graph(
            "API: latency", gateway.api.metric_latency(statistic="p50"), gateway.api.metric_latency(statistic="p99")
        ),
        _graph("Writer and reader: errors", functions["writer"].metric_errors(), functions["reader"].metric_errors()),
    ]


def _behind(title: str, functions: Syncs) -> cloudwatch.GraphWidget:
    """Show how far functions and their mappings are behind, which count in different units."""
    return cloudwatch.GraphWidget(
        title=f"{title}: s at the function, ms at the mapping",
        left=[metrics.of_sync(metrics.LAG, each, statistic="Maximum") for each in functions],
        right=[metrics.of_mapping("IteratorAge", each, statistic="Maximum") for each in functions],
        width=8,
    )


def _by_name(title: str, functions: Syncs, names: Sequence[str]) -> cloudwatch.GraphWidget:
    """Show what functions report under these names."""
    return _graph(title, *(metrics.of_sync(name, each) for each in functions for name in names))


def _graph(title: str, *what: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(what), width=8)
