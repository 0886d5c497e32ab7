"""The stack `change-streams-demo-lambda-stack`: where both sides of every grant are visible."""

from collections.abc import Mapping, Sequence

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.configuration import Configuration
from infra.functions.alarms import Alarms
from infra.functions.assets import assets
from infra.functions.dashboard import Dashboard
from infra.functions.functions import Functions
from infra.functions.gateway import Gateway
from infra.functions.mapping import Mappings
from infra.functions.names import DASHBOARD, OPERATIONS
from infra.functions.operations import Operations
from infra.functions.queue import parking_queue
from infra.functions.roles import Roles
from infra.functions.servers import SearchDomain, Servers, SourceCluster
from infra.functions.sync_functions import sync_functions
from infra.functions.variables import values
from infra.network import NetworkStack


class LambdaStack(Stack):
    """The functions, the mapping that calls sync, the API that calls the others, plus operations and monitoring."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        configuration: Configuration,
        network: NetworkStack,
        documentdb: SourceCluster,
        opensearch: SearchDomain,
    ) -> None:
        super().__init__(
            scope, name, env=network.account_and_region, termination_protection=configuration.is_production
        )
        if isinstance(opensearch, Stack):
            self.add_stack_dependency(opensearch)
        code = assets(self.node, configuration)
        servers = Servers(documentdb, opensearch, parking_queue(self, keep=configuration.is_production))
        variables = values(configuration, servers)
        syncs = sync_functions(configuration)
        roles = Roles(self, "Roles", configuration=configuration, servers=servers, syncs=syncs)
        functions = Functions(
            self,
            "Functions",
            configuration=configuration,
            network=network,
            roles=roles,
            code=code,
            values=variables,
            syncs=syncs,
        )
        mappings = Mappings(
            self,
            "Mapping",
            configuration=configuration,
            documentdb=documentdb,
            syncs=functions.syncs,
            config=functions["config"],
        )
        gateway = Gateway(self, "Gateway", configuration=configuration, functions=functions)
        operations = Operations(
            self,
            "Operations",
            configuration=configuration,
            network=network,
            servers=servers,
            folder=code.operations,
            values=variables,
        )
        alarms = Alarms(self, "Alarms", configuration=configuration, functions=functions, servers=servers, syncs=syncs)
        Dashboard(self, "Dashboard", functions=functions, gateway=gateway, alarms=alarms, servers=servers)
        self._outputs(list(mappings.ids.items()), gateway, servers)
        if configuration.domain_arn:
            of_syncs = {sync.construct: roles[sync.construct] for sync in syncs}
            self._roles_to_map({**of_syncs, "Reader": roles["Reader"], "Operations": operations.role})

    def _outputs(self, mappings: Sequence[tuple[str, str]], gateway: Gateway, servers: Servers) -> None:
        # CloudFormation allows no hyphen in the name of an output: it shows `esmid`, as for the sample. The export has
        # the full name.
        CfnOutput(self, "esm-id", value=mappings[0][1], export_name="esm-id", description="Id of the mapping.")
        for name, mapping_id in mappings[1:]:
            CfnOutput(
                self, f"esm-{name.encode().hex()[:200]}", value=mapping_id, description=f"Id of the mapping of {name}."
            )
        CfnOutput(self, "ParkingQueueUrl", value=servers.queue.queue_url, description="Queue of parked keys.")
        CfnOutput(self, "OperationsProject", value=OPERATIONS, description="Project that runs penstock commands.")
        CfnOutput(self, "DashboardName", value=DASHBOARD, description="Dashboard in CloudWatch.")
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
