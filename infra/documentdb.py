"""The DocumentDB cluster."""

from typing import Any

from aws_cdk import ArnFormat, Duration, RemovalPolicy, Stack
from aws_cdk import aws_docdb as docdb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.configuration import Configuration
from infra.network import NetworkStack
from penstock_cdk.findings import accept
from penstock_cdk.parts import Cluster

FAMILIES = {"8.0.0": "docdb8.0", "5.0.0": "docdb5.0", "4.0.0": "docdb4.0"}
"""The parameter group's family for each engine."""


class DocumentDbStack(Stack):
    """A cluster whose change log is kept long enough, reachable from the functions and from Lambda's poller."""

    def __init__(self, scope: Construct, name: str, *, configuration: Configuration, network: NetworkStack) -> None:
        super().__init__(
            scope, name, env=network.account_and_region, termination_protection=configuration.is_production
        )
        self._configuration = configuration
        self.cluster = docdb.DatabaseCluster(
            self,
            "Cluster",
            engine_version=configuration.engine_version,
            parameter_group=self._parameters(),
            # No name: Secrets Manager keeps a deleted name for 30 days, and the next deployment would collide with it.
            # No characters that must be escaped in a connection string.
            master_user=docdb.Login(username="penstock", exclude_characters='"@/:'),
            vpc=network.vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=network.vpc.private_subnets),
            security_group=network.cluster_group,
            storage_encrypted=True,
            copy_tags_to_snapshot=True,
            **(self._production() if configuration.is_production else self._demo()),
        )
        if configuration.is_production:
            self._retain_what_the_cluster_needs()
        _accept_findings(self.cluster, production=configuration.is_production)

    @property
    def part(self) -> Cluster:
        """What the rest of the app asks of it. The ARN has the form that the mapping needs: of the service rds."""
        secret = self.cluster.secret  # has `username` and `password` of the first user, plus what its attachment adds
        assert secret is not None
        return Cluster(
            arn=self.format_arn(
                service="rds",
                resource="cluster",
                resource_name=self.cluster.cluster_identifier,
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            ),
            endpoint=self.cluster.cluster_endpoint.socket_address,
            identifier=self.cluster.cluster_identifier,
            secret=secret,
            needed=[self.cluster],
        )

    def _parameters(self) -> docdb.ClusterParameterGroup:
        """TLS, because the mapping requires it; a change log that outlives a fault, instead of the 3 hours of AWS."""
        retention = Duration.hours(self._configuration.change_log_retention_hours)
        parameters = {"tls": "enabled", "change_stream_log_retention_duration": str(int(retention.to_seconds()))}
        if self._configuration.is_production:
            parameters["audit_logs"] = "enabled"
        return docdb.ClusterParameterGroup(
            self,
            "Parameters",
            family=FAMILIES[self._configuration.engine_version],
            description="TLS and the change log's retention",
            parameters=parameters,
        )

    def _production(self) -> dict[str, Any]:
        """Three instances, a key of its own, two weeks of backups; all of it stays when the stack is deleted."""
        key = self._own_key() or kms.Key(
            self,
            "Key",
            description="Storage of the DocumentDB cluster",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        return {
            "instances": 3,
            "instance_type": ec2.InstanceType.of(ec2.InstanceClass.R6G, ec2.InstanceSize.LARGE),
            "kms_key": key,
            "backup": docdb.BackupProps(retention=Duration.days(14)),
            "export_audit_logs_to_cloud_watch": True,
            "deletion_protection": True,
            "removal_policy": RemovalPolicy.RETAIN,
        }

    def _demo(self) -> dict[str, Any]:
        """One small instance that is deleted with the stack."""
        return {
            "instances": 1,
            "instance_type": ec2.InstanceType.of(ec2.InstanceClass.T3, ec2.InstanceSize.MEDIUM),
            "kms_key": self._own_key(),
            "backup": docdb.BackupProps(retention=Duration.days(1)),
            "deletion_protection": False,
            "removal_policy": RemovalPolicy.DESTROY,
        }

    def _own_key(self) -> kms.IKey | None:
        """The user's key, if there is one."""
        arn = self._configuration.cluster_key
        return kms.Key.from_key_arn(self, "Key", arn) if arn else None

    def _retain_what_the_cluster_needs(self) -> None:
        """A retained cluster needs its login, and CloudFormation cannot delete groups that are in use."""
        for child in self.node.find_all():
            if isinstance(child, docdb.CfnDBSubnetGroup | docdb.CfnDBClusterParameterGroup | secretsmanager.CfnSecret):
                child.apply_removal_policy(RemovalPolicy.RETAIN)


def _accept_findings(cluster: docdb.DatabaseCluster, *, production: bool) -> None:
    exports = [f"AwsSolutions-DOC5[LogExport::{log}]" for log in ("authenticate", "createIndex", "dropCollection")]
    accept(
        cluster,
        {
            "AwsSolutions-DOC2": "The event source mapping is documented for 27017, and security groups restrict it.",
            "AwsSolutions-DOC3": "The login is the generated secret's; the rule cannot read a reference to it.",
            "AwsSolutions-SMG4": "Rotation needs a function of its own; ours read a rotated login again.",
            **dict.fromkeys(exports, "The service has one export for all three, `audit`; production has it."),
        },
    )
    if not production:
        accept(cluster, {"AwsSolutions-DOC4": "A demo does not need a week of backups; production keeps two weeks."})
