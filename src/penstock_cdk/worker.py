"""The worker as a service: `penstock run` on Fargate, in as many tasks as stand by for each other.

Who of them feeds an index is penstock's own lease, which is kept in the domain: the others stand by and take over. So
there is no autoscaling: a second task adds no speed. While new tasks replace old ones both are there, the new ones
standing by until the old ones have given their leases back.
"""

from collections.abc import Sequence
from typing import Final

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from penstock.lambdas.environment import (
    APPLICATION,
    LISTEN,
    SETTINGS_FOLDER,
    WORKER_METRICS,
    WORKER_PORT,
    WORKER_VARIABLES,
)
from penstock.lambdas.permissions import of_all, worker_requests
from penstock.settings.checks import secret_variable
from penstock_cdk import checks, metrics
from penstock_cdk.access import WILDCARDS, policy, secret_access
from penstock_cdk.alarms import AGE_LIMIT_MS, Alarms
from penstock_cdk.code import Architecture
from penstock_cdk.collections import Collections, index_names, index_patterns, require_worked
from penstock_cdk.findings import accept, accept_wildcards
from penstock_cdk.functions import LOGS_KEPT
from penstock_cdk.names import CPUS, Cpu
from penstock_cdk.parts import Cluster, Domain, Network
from penstock_cdk.reactions import Reaction, target_policies
from penstock_cdk.streams import ChangeStreams
from penstock_cdk.variables import chosen, values

MEMORY_LIMIT_PERCENT: Final = 90

PROBE: Final = (
    "import sys, urllib.request as web; "
    f"sys.exit(web.urlopen('http://127.0.0.1:{WORKER_PORT}/metrics', timeout=4).status != 200)"
)
"""The health check: Python is all that the image has. Not `/healthz`: another task is no faster where the index is
away or the source ahead, and alarms say so; a pipeline that stops ends the task by itself."""

_PLATFORMS: Final = {"arm64": ecs.CpuArchitecture.ARM64, "x86_64": ecs.CpuArchitecture.X86_64}


class PenstockWorker(Construct):
    """The service with its tasks, role, log and alarms; `service_name` is also the dimension `Worker` of its metrics.

    `task_role` is who asks the domain: one with fine-grained access control has to know it.
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
        streams: ChangeStreams,
        image: ecs.ContainerImage,
        reactions: Sequence[Reaction] = (),
        architecture: Architecture = "arm64",
        tasks: int = 2,
        cpu: Cpu = 512,
        change_log_retention_hours: int = 24,
        prefix: str = APPLICATION,
    ) -> None:
        """Make it. The image is the project's, for this architecture, with the settings and files of collections that
        are not inline in /etc/penstock. `streams` are enabled before it starts. Raises ValueError.
        """
        super().__init__(scope, name)
        checks.require(
            self,
            tasks=(checks.whole_number(1, 10), tasks),
            cpu=(checks.one_number_of(*CPUS), cpu),
            architecture=(checks.one_of("arm64", "x86_64"), architecture),
            change_log_retention_hours=(checks.whole_number(1, 168), change_log_retention_hours),
            prefix=(checks.prefix, prefix),
            reactions=(_each_by_worker, reactions),
            collections=(require_worked, collections),
        )
        self.service_name = f"{prefix}-worker"
        given = {
            **values(cluster, domain, collections, retention_hours=change_log_retention_hours),
            LISTEN: f":{WORKER_PORT}",
            WORKER_METRICS: self.service_name,
        }
        self.task_role = self._role(cluster, domain, index_names(collections.tables), reactions)
        definition = ecs.FargateTaskDefinition(
            self,
            "Task",
            family=self.service_name,
            cpu=cpu,
            memory_limit_mib=2 * cpu,
            task_role=self.task_role.without_policy_updates(),
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=_PLATFORMS[architecture], operating_system_family=ecs.OperatingSystemFamily.LINUX
            ),
        )
        self._container(definition, image, chosen(WORKER_VARIABLES, given), reactions)
        self.service = self._service(definition, network, tasks)
        followed = [each.namespace for each in collections.tables]
        followed += [name for each in reactions for name in each.table["collections"]]
        enabled = streams.enabled(Construct(self, "Streams"), list(dict.fromkeys(followed)))
        self.service.node.add_dependency(*enabled.values(), *cluster.needed)
        alarms = Alarms(self, "Alarms", prefix=prefix)
        self._add_alarms(alarms, change_log_retention_hours)
        self.reactions = list(reactions)
        if reactions:
            self._add_reaction_alarms(alarms, change_log_retention_hours)
        self.alarms = alarms.all

    def _role(
        self, cluster: Cluster, domain: Domain, indexes: Sequence[str], reactions: Sequence[Reaction]
    ) -> iam.Role:
        access = policy(domain, of_all(worker_requests, index_patterns(indexes)))
        role = iam.Role(
            self,
            "TaskRole",
            assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"),
            inline_policies={
                "DocumentDbSecretAccess": secret_access(cluster.secret, "DocumentDbSecretAccess"),
                "OpenSearchAccess": access,
                **target_policies(Stack.of(self), reactions),
            },
        )
        accept_wildcards(role, access, WILDCARDS)
        return role

    def _container(
        self,
        definition: ecs.FargateTaskDefinition,
        image: ecs.ContainerImage,
        given: dict[str, str],
        reactions: Sequence[Reaction],
    ) -> None:
        group = logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/ecs/{self.service_name}",
            retention=LOGS_KEPT,
            removal_policy=RemovalPolicy.DESTROY,
        )
        definition.add_container(
            "worker",
            image=image,
            command=["run"],
            environment={**given, "AWS_REGION": Stack.of(self).region},
            secrets={
                secret_variable(str(each.table["name"])): ecs.Secret.from_secrets_manager(each.secret)
                for each in reactions
                if each.secret
            },
            working_directory=SETTINGS_FOLDER,
            logging=ecs.LogDrivers.aws_logs(log_group=group, stream_prefix="worker"),
            health_check=ecs.HealthCheck(
                command=["CMD", "python", "-c", PROBE],
                interval=Duration.seconds(15),
                timeout=Duration.seconds(5),
                retries=4,
                start_period=Duration.minutes(2),
            ),
            stop_timeout=Duration.minutes(2),  # it writes what it has read, and gives its lease back
        )
        accept(
            definition,
            {
                "AwsSolutions-ECS2": "Names and addresses only; the login is read from the secret, by the task's role.",
                "AwsSolutions-IAM5[Resource::*]": "A token of the registry is for no one repository.",
            },
        )

    def _service(self, definition: ecs.FargateTaskDefinition, network: Network, tasks: int) -> ecs.FargateService:
        cluster = ecs.Cluster(self, "Cluster", vpc=network.vpc, cluster_name=self.service_name)
        accept(
            cluster, {"AwsSolutions-ECS4": "The worker writes its own metrics; Container Insights cost by the metric."}
        )
        return ecs.FargateService(
            self,
            "Service",
            cluster=cluster,
            service_name=self.service_name,
            task_definition=definition,
            desired_count=tasks,
            min_healthy_percent=100,
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            assign_public_ip=False,
            vpc_subnets=network.selection,
            security_groups=[network.group],
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )

    def _add_alarms(self, alarms: Alarms, retention_hours: int) -> None:
        """Of the worker's own metrics, one alarm for all tasks together, and of the memory of the tasks."""
        alarms.add(
            "WorkerAway",
            self.metric("PipelinesHeld"),
            1,
            "No worker has held a lease for 15 minutes: nothing is indexed. See the log of the service's tasks, and "
            "the service's events.",
            evaluation_periods=3,
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            without_data=cloudwatch.TreatMissingData.BREACHING,
        )
        alarms.add(
            "WorkerLag",
            self.metric("LagSeconds"),
            AGE_LIMIT_MS // 1000,
            "The worker is more than 15 minutes behind. See docs/operations.md, `Reduce the lag`.",
            evaluation_periods=2,
        )
        alarms.add(
            "WorkerLagAgainstChangeLog",
            self.metric("LagSeconds"),
            retention_hours * 3600 // 2,
            f"The worker is behind by more than half of the change log's retention ({retention_hours} h). Beyond the "
            "retention it has to load again: raise change_log_retention_hours now, then look for the cause.",
        )
        alarms.add(
            "WorkerWaiting",
            self.metric("Waiting"),
            1,
            "The index has accepted nothing for 15 minutes, and the worker waits. Its log has OpenSearch's reason.",
            evaluation_periods=3,
        )
        alarms.add(
            "WorkerDeadLetters",
            self.metric("DeadLettered", statistic="Sum"),
            1,
            "The index refused a document permanently. `penstock dead-letters list` shows which, and why.",
        )
        alarms.add(
            "WorkerPositionsLost",
            self.metric("PositionsLost", statistic="Sum"),
            1,
            "The change log no longer holds a position: the worker loads the collections again. Make the change log's "
            "retention longer.",
        )
        alarms.add(
            "WorkerUnserved",
            self.metric("Unserved"),
            1,
            "A collection cannot be served: it does not exist yet, or cannot have its index. The log says why.",
            evaluation_periods=3,
        )
        alarms.add(
            "WorkerMemory",
            self.service.metric_memory_utilization(period=metrics.PERIOD, statistic="Maximum"),
            MEMORY_LIMIT_PERCENT,
            "The tasks are short of memory, and end when they have none: give them more (worker_cpu).",
        )

    def _add_reaction_alarms(self, alarms: Alarms, retention_hours: int) -> None:
        """Of all reactions together; `penstock status` says which it is."""
        alarms.add(
            "WorkerReactionStopped",
            self.metric("ReactionsStopped"),
            1,
            "A reaction has stopped by an error, and gives no events; indexes go on. `penstock status` and the log "
            "have the reason.",
        )
        alarms.add(
            "WorkerReactionWaiting",
            self.metric("ReactionsWaiting"),
            1,
            "The target of a reaction has taken nothing for 15 minutes. Its events wait; the index does not.",
            evaluation_periods=3,
        )
        alarms.add(
            "WorkerReactionDeadLetters",
            self.metric("ReactionsDeadLettered", statistic="Sum"),
            1,
            "A target refused an event for good. `penstock dead-letters list --reaction NAME` shows it, and why; "
            "replay it when the target takes it.",
        )
        alarms.add(
            "WorkerReactionLagAgainstChangeLog",
            self.metric("ReactionLagSeconds"),
            retention_hours * 3600 // 2,
            f"A reaction is behind by more than half of the change log's retention ({retention_hours} h). Beyond the "
            "retention its events are lost: raise change_log_retention_hours now, then look for the cause.",
        )

    def metric(self, name: str, *, statistic: str = "Maximum") -> cloudwatch.Metric:
        """Return one of the worker's own metrics: see docs/metrics.md."""
        return metrics.of_worker(name, self.service_name, statistic=statistic)


def _each_by_worker(reactions: Sequence[Reaction]) -> Sequence[Reaction]:
    for each in reactions:
        try:
            each.read(by_worker=True)
        except ValueError as error:
            raise ValueError(f"{each.table.get('name')}: {error}") from None
    return reactions
