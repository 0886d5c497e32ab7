"""The OpenSearch domain."""

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_opensearchservice as opensearch
from constructs import Construct

from infra.configuration import Configuration
from infra.network import NetworkStack


class OpenSearchStack(Stack):
    """A domain in the private subnets, open to nobody but identities whose policies allow it."""

    domain: opensearch.Domain

    def __init__(self, scope: Construct, name: str, *, configuration: Configuration, network: NetworkStack) -> None:
        super().__init__(scope, name)
        self.domain = opensearch.Domain(
            self,
            "Domain",
            version=opensearch.EngineVersion.OPENSEARCH_3_3,
            vpc=network.vpc,
            vpc_subnets=[ec2.SubnetSelection(subnets=[network.vpc.private_subnets[0]])],
            security_groups=[network.domain_group],
            capacity=opensearch.CapacityConfig(
                data_nodes=1, data_node_instance_type="t3.small.search", multi_az_with_standby_enabled=False
            ),
            enforce_https=True,
            node_to_node_encryption=True,
            encryption_at_rest=opensearch.EncryptionAtRestOptions(enabled=True),
            removal_policy=RemovalPolicy.DESTROY,
        )

    @property
    def endpoint(self) -> str:
        """The host that HTTPS requests go to."""
        return self.domain.domain_endpoint
