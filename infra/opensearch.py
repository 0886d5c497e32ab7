"""The OpenSearch domain."""

from typing import Any, Final

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_opensearchservice as opensearch
from constructs import Construct

from infra.configuration import Configuration
from infra.network import NetworkStack
from penstock_cdk.findings import accept
from penstock_cdk.parts import Domain

ENGINE = opensearch.EngineVersion.OPENSEARCH_3_3
"""The release that the local platform runs, and therefore the one that penstock is tested with."""

_MOST_ZONES: Final = 3
"""OpenSearch Service spreads a domain over two zones, or over three."""


class OpenSearchStack(Stack):
    """A domain in the private subnets, open only to identities whose own policies allow it."""

    def __init__(self, scope: Construct, name: str, *, configuration: Configuration, network: NetworkStack) -> None:
        super().__init__(
            scope, name, env=network.account_and_region, termination_protection=configuration.is_production
        )
        self._configuration = configuration
        self._private_subnets = network.vpc.private_subnets
        # No access policy: it would have to name its users here. Without one, every caller must sign its requests,
        # and a policy of its role must allow them.
        self.domain = opensearch.Domain(
            self,
            "Domain",
            version=ENGINE,
            vpc=network.vpc,
            security_groups=[network.domain_group],
            enforce_https=True,
            tls_security_policy=opensearch.TLSSecurityPolicy.TLS_1_2_PFS,
            node_to_node_encryption=True,
            enable_version_upgrade=True,
            enable_auto_software_update=True,
            **(self._production() if configuration.is_production else self._demo()),
        )
        if configuration.is_production:
            self._let_the_domain_write_logs()
        if configuration.service_linked_role:
            self._add_service_linked_role()
        _accept_findings(self.domain, production=configuration.is_production)

    @property
    def part(self) -> Domain:
        """What the rest of the app asks of it.

        The ARN is exported by name, so that the ids of cdk-nag's findings, which contain it, are known.
        """
        resource = self.domain.node.default_child
        assert isinstance(resource, opensearch.CfnDomain)
        return Domain(
            domain=self.domain,
            arn=str(self.export_value(self.domain.domain_arn)),
            endpoint=self.domain.domain_endpoint,
            volume_gib=int(self.resolve(resource.ebs_options)["volumeSize"]),
        )

    def _demo(self) -> dict[str, Any]:
        """One small node, in one subnet, as required for a domain without zone awareness."""
        return {
            "vpc_subnets": [ec2.SubnetSelection(subnets=self._private_subnets[:1])],
            "capacity": opensearch.CapacityConfig(
                data_nodes=1, data_node_instance_type="t3.small.search", multi_az_with_standby_enabled=False
            ),
            "zone_awareness": opensearch.ZoneAwarenessConfig(enabled=False),
            "ebs": opensearch.EbsOptions(volume_size=10, volume_type=ec2.EbsDeviceVolumeType.GP3),
            "encryption_at_rest": opensearch.EncryptionAtRestOptions(enabled=True, kms_key=self._own_key()),
            "removal_policy": RemovalPolicy.DESTROY,
        }

    def _production(self) -> dict[str, Any]:
        """A data node in each zone, three dedicated masters, a key of its own, logs; it outlives the stack."""
        by_zone: dict[str, ec2.ISubnet] = {}
        for subnet in self._private_subnets:
            by_zone.setdefault(subnet.availability_zone, subnet)
        subnets = list(by_zone.values())[:_MOST_ZONES]
        zones = len(subnets)
        key = self._own_key() or kms.Key(
            self,
            "Key",
            description="Disks of the OpenSearch domain",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        return {
            "vpc_subnets": [ec2.SubnetSelection(subnets=subnets)],
            "capacity": opensearch.CapacityConfig(
                data_nodes=zones,
                data_node_instance_type="r6g.large.search",
                master_nodes=3,
                master_node_instance_type="m6g.large.search",
                multi_az_with_standby_enabled=False,
            ),
            "zone_awareness": opensearch.ZoneAwarenessConfig(enabled=True, availability_zone_count=zones),
            "ebs": opensearch.EbsOptions(volume_size=100, volume_type=ec2.EbsDeviceVolumeType.GP3),
            "encryption_at_rest": opensearch.EncryptionAtRestOptions(enabled=True, kms_key=key),
            "logging": self._logging(),
            "suppress_logs_resource_policy": True,
            "removal_policy": RemovalPolicy.RETAIN,
        }

    def _own_key(self) -> kms.IKey | None:
        """The user's key, if there is one."""
        arn = self._configuration.domain_key
        return kms.Key.from_key_arn(self, "Key", arn) if arn else None

    def _logging(self) -> opensearch.LoggingOptions:
        self._log_groups = [
            logs.LogGroup(self, name, retention=logs.RetentionDays.THREE_MONTHS)
            for name in ("ErrorLogs", "SlowSearchLogs", "SlowIndexLogs")
        ]
        errors, searches, writes = self._log_groups
        return opensearch.LoggingOptions(
            app_log_enabled=True,
            app_log_group=errors,
            slow_search_log_enabled=True,
            slow_search_log_group=searches,
            slow_index_log_enabled=True,
            slow_index_log_group=writes,
        )

    def _let_the_domain_write_logs(self) -> None:
        """Declare a plain resource: the library would add a function that calls the API."""
        policy = logs.ResourcePolicy(
            self,
            "LogPolicy",
            policy_statements=[
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal("es.amazonaws.com")],
                    actions=["logs:PutLogEvents", "logs:CreateLogStream"],
                    resources=[group.log_group_arn for group in self._log_groups],
                    conditions={"StringEquals": {"aws:SourceAccount": self.account}},
                )
            ],
        )
        self.domain.node.add_dependency(policy)

    def _add_service_linked_role(self) -> None:
        """An account has one, for all its domains: it stays when the stack is deleted."""
        role = iam.CfnServiceLinkedRole(self, "ServiceLinkedRole", aws_service_name="opensearchservice.amazonaws.com")
        role.apply_removal_policy(RemovalPolicy.RETAIN)
        self.domain.node.add_dependency(role)


def _accept_findings(domain: opensearch.Domain, *, production: bool) -> None:
    accept(
        domain,
        {
            "AwsSolutions-OS3": "A domain in a VPC allows no addresses in a policy; its security group restricts them.",
            "AwsSolutions-OS5": "Without an access policy, no unsigned request is allowed.",
        },
    )
    if not production:
        one_node = "One node is enough for a demo; production has dedicated masters, zones and slow logs."
        slow_logs = [f"AwsSolutions-OS9[LogExport::{log}_SLOW_LOGS]" for log in ("SEARCH", "INDEX")]
        accept(domain, dict.fromkeys(["AwsSolutions-OS4", "AwsSolutions-OS7", *slow_logs], one_node))
