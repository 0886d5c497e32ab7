"""The stack `change-streams-demo-lambda-stack`: where both sides of every grant are visible."""

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.assets import assets
from infra.configuration import Configuration
from infra.documentdb import DocumentDbStack
from infra.existing import ExistingCluster, ExistingDomain, existing_kafka
from infra.image import worker_image
from infra.network import NetworkStack
from infra.opensearch import OpenSearchStack
from infra.operations import OPERATIONS, Operations
from infra.reactions import NewDocuments, by_mappings, declared_reactions
from penstock.lambdas.environment import APPLICATION, QUEUE
from penstock_cdk.alarms import ServerAlarms, send_mail
from penstock_cdk.api import Gateway, SyncApi
from penstock_cdk.dashboard import SyncDashboard
from penstock_cdk.names import short
from penstock_cdk.reactions import Reaction, Reactions
from penstock_cdk.streams import ChangeStreams
from penstock_cdk.sync import ChangeStreamSync
from penstock_cdk.topics import allow_brokers
from penstock_cdk.variables import values
from penstock_cdk.worker import PenstockWorker


class LambdaStack(Stack):
    """The functions, the mapping that calls sync, the API that calls the others, plus operations and monitoring.

    A construct named Default leaves no trace in the ids of what it contains: they stay as they were before there were
    constructs, so that what is deployed is not replaced.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        configuration: Configuration,
        network: NetworkStack,
        documentdb: DocumentDbStack | ExistingCluster,
        opensearch: OpenSearchStack | ExistingDomain,
    ) -> None:
        super().__init__(
            scope, name, env=network.account_and_region, termination_protection=configuration.is_production
        )
        if isinstance(opensearch, Stack):
            self.add_stack_dependency(opensearch)
        code, cluster, domain = assets(self.node, configuration), documentdb.part, opensearch.part
        collections = configuration.synced
        declared = declared_reactions(Construct(self, "Webhooks"), configuration)
        deployed: dict[str, Any] = {
            "network": network.part,
            "cluster": cluster,
            "collections": collections,
            "code": code.functions,
            "architecture": configuration.architecture,
        }
        streams = ChangeStreams(self, "Default", **deployed)
        deployed |= {"domain": domain, "streams": streams}
        sync = self._sync(configuration, deployed) if configuration.has_mappings else None
        api = SyncApi(sync or streams, "Default", **deployed, access=configuration.api)
        api.gateway.url.override_logical_id("ApiUrl")
        worker = self._worker(configuration, deployed, declared) if configuration.has_worker else None
        reacting: list[Reactions] = []
        own_alarms: list[cloudwatch.Alarm] = []
        if declared and not worker:
            reacting.append(by_mappings(self, declared, configuration, deployed))
        if configuration.reactions:
            started = NewDocuments(self, "NewDocuments", configuration=configuration, deployed=deployed)
            reacting.append(started.reactions)
            own_alarms = started.alarms
        queue = sync.queue if sync else None
        given = values(cluster, domain, collections, retention_hours=configuration.change_log_retention_hours)
        operations = Operations(
            self,
            "Operations",
            configuration=configuration,
            network=network.part,
            cluster=cluster,
            domain=domain,
            queue=queue,
            folder=code.operations,
            reactions=[each for part in reacting for each in part.reactions] + (declared if worker else []),
            values={**given, QUEUE: queue.queue_url} if queue else given,
        )
        of_servers = ServerAlarms(self, "Alarms", cluster=cluster, domain=domain)
        alarms = [alarm for part in (sync, worker, *reacting) if part for alarm in part.alarms]
        alarms += [*own_alarms, *operations.alarms, *of_servers.all]
        if configuration.alarm_email:
            send_mail(of_servers, alarms, configuration.alarm_email, about=APPLICATION)
        SyncDashboard(
            self,
            "Dashboard",
            cluster=cluster,
            domain=domain,
            alarms=alarms,
            sync=sync,
            worker=worker,
            api=api,
            reactions=reacting,
        )
        self._outputs(list(sync.mapping_ids.items()) if sync else [], api.gateway)
        roles: dict[str, iam.IRole] = {"Reader": api.roles["reader"], "Operations": operations.role}
        if sync is not None:
            CfnOutput(self, "ParkingQueueUrl", value=sync.queue.queue_url, description="Queue of parked keys.")
            roles |= sync.roles
        if worker is not None:
            CfnOutput(self, "WorkerService", value=worker.service_name, description="Cluster and service on ECS.")
            roles["Worker"] = worker.task_role
        for part in reacting:
            roles |= {f"React{short(name)}": role for name, role in part.roles.items()}
        if configuration.domain_arn:
            self._roles_to_map(roles)

    def _sync(self, configuration: Configuration, deployed: Mapping[str, Any]) -> ChangeStreamSync:
        kafka = existing_kafka(self, configuration)
        if kafka:
            allow_brokers(deployed["network"], kafka)
        return ChangeStreamSync(
            deployed["streams"],
            "Default",
            **deployed,
            kafka=kafka,
            how_many=configuration.sync_functions,
            batch_size=configuration.batch_size,
            batch_window_s=configuration.batch_window_s,
            timeout_s=configuration.function_timeout_s,
            memory_mb=configuration.function_memory_mb,
            change_log_retention_hours=configuration.change_log_retention_hours,
            enabled=not configuration.as_in_sample,
            keep_queue=configuration.is_production,
        )

    def _worker(
        self, configuration: Configuration, deployed: Mapping[str, Any], reactions: Sequence[Reaction]
    ) -> PenstockWorker:
        without_code = {name: part for name, part in deployed.items() if name not in ("code", "architecture")}
        return PenstockWorker(
            self,
            "Worker",
            **without_code,
            reactions=reactions,
            image=worker_image(self, configuration),
            architecture=configuration.worker_architecture,
            cpu=configuration.worker_cpu,
            change_log_retention_hours=configuration.change_log_retention_hours,
        )

    def _outputs(self, mappings: Sequence[tuple[str, str]], gateway: Gateway) -> None:
        # CloudFormation allows no hyphen in the name of an output: it shows `esmid`, as for the sample. The export has
        # the full name.
        if mappings:
            CfnOutput(self, "esm-id", value=mappings[0][1], export_name="esm-id", description="Id of the mapping.")
        for name, mapping_id in mappings[1:]:
            CfnOutput(
                self, f"esm-{name.encode().hex()[:200]}", value=mapping_id, description=f"Id of the mapping of {name}."
            )
        CfnOutput(self, "OperationsProject", value=OPERATIONS, description="Project that runs penstock commands.")
        CfnOutput(self, "DashboardName", value=APPLICATION, description="Dashboard in CloudWatch.")
        if gateway.key is not None:
            CfnOutput(
                self,
                "ApiKeyId",
                value=gateway.key.key_id,
                description="aws apigateway get-api-key --include-value --api-key <this>",
            )

    def _roles_to_map(self, roles: Mapping[str, iam.IRole]) -> None:
        """Show the roles that a domain with fine-grained access control has to know."""
        for name, role in roles.items():
            CfnOutput(self, f"{name}RoleArn", value=role.role_arn, description="Backend role, where the domain asks.")
