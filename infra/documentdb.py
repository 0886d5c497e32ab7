"""The DocumentDB cluster."""

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_docdb as docdb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.configuration import Configuration
from infra.network import NetworkStack


class DocumentDbStack(Stack):
    """A cluster whose change log is kept long enough, reachable from the functions and from Lambda's poller."""

    cluster: docdb.DatabaseCluster

    def __init__(self, scope: Construct, name: str, *, configuration: Configuration, network: NetworkStack) -> None:
        super().__init__(scope, name)
        self.cluster = docdb.DatabaseCluster(
            self,
            "Cluster",
            engine_version=configuration.engine_version,
            master_user=docdb.Login(username="penstock", exclude_characters='"@/:'),
            vpc=network.vpc,
            instance_type=ec2.InstanceType.of(ec2.InstanceClass.T3, ec2.InstanceSize.MEDIUM),
            security_group=network.cluster_group,
            removal_policy=RemovalPolicy.DESTROY,
        )

    @property
    def secret(self) -> secretsmanager.ISecret:
        """`username` and `password` of the cluster's first user, with what else its attachment adds."""
        secret = self.cluster.secret
        assert secret is not None
        return secret

    @property
    def cluster_arn(self) -> str:
        """The ARN as the event source mapping wants it: of the service rds."""
        return self.format_arn(
            service="rds",
            resource="cluster",
            resource_name=self.cluster.cluster_identifier,
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )

    @property
    def endpoint(self) -> str:
        """`host:port`."""
        return self.cluster.cluster_endpoint.socket_address
