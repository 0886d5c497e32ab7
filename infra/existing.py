"""Parts of a deployment that exist already. They are used by their names, so that synthesis looks nothing up.

Nothing of them is changed, except that their security groups get the rules that `NetworkStack` lists.
"""

from aws_cdk import Annotations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_opensearchservice as opensearch
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.configuration import Configuration
from penstock_cdk.parts import Cluster, Domain, Kafka


class ExistingCluster(Construct):
    """A DocumentDB cluster; `part` is what the rest of the app asks of it."""

    def __init__(self, scope: Construct, name: str, *, configuration: Configuration) -> None:
        super().__init__(scope, name)
        key = configuration.cluster_secret_key
        secret = secretsmanager.Secret.from_secret_attributes(
            self,
            "Secret",
            secret_complete_arn=configuration.cluster_secret,
            encryption_key=kms.Key.from_key_arn(self, "SecretKey", key) if key else None,
        )
        self.part = Cluster(
            arn=configuration.cluster_arn,
            endpoint=configuration.cluster_endpoint,
            identifier=configuration.cluster_arn.rpartition(":")[2],
            secret=secret,
        )


class ExistingDomain(Construct):
    """An OpenSearch domain; `part` is what the rest of the app asks of it."""

    def __init__(self, scope: Construct, name: str, *, configuration: Configuration) -> None:
        super().__init__(scope, name)
        domain = opensearch.Domain.from_domain_attributes(
            self,
            "Domain",
            domain_arn=configuration.domain_arn,
            domain_endpoint=f"https://{configuration.domain_endpoint}",
        )
        self.part = Domain(
            domain=domain,
            arn=configuration.domain_arn,
            endpoint=configuration.domain_endpoint,
            volume_gib=configuration.domain_volume_gib,
        )


def existing_kafka(scope: Construct, configuration: Configuration) -> Kafka | None:
    """The Kafka whose topics bring changes, if there is one."""
    if not configuration.has_kafka:
        return None
    key, secret = configuration.kafka_secret_key, configuration.kafka_secret
    where = Construct(scope, "Kafka")
    return Kafka(
        arn=configuration.kafka_cluster_arn,
        bootstrap_servers=configuration.kafka_bootstrap_servers,
        secret=secretsmanager.Secret.from_secret_attributes(
            where,
            "Secret",
            secret_complete_arn=secret,
            encryption_key=kms.Key.from_key_arn(where, "SecretKey", key) if key else None,
        )
        if secret
        else None,
        login=configuration.kafka_login,
    )


def existing_vpc(scope: Construct, configuration: Configuration) -> ec2.IVpc:
    """The VPC, of which only the private subnets are used."""
    return ec2.Vpc.from_vpc_attributes(
        scope,
        "Vpc",
        vpc_id=configuration.vpc_id,
        availability_zones=list(configuration.vpc_zones),
        private_subnet_ids=list(configuration.vpc_subnets),
    )


def existing_group(
    scope: Construct, name: str, group: str, *, configuration: Configuration, rules: str
) -> ec2.ISecurityGroup:
    """A security group; says which `rules` it gets, where it gets any."""
    if configuration.group_rules:
        Annotations.of(scope).add_info(f"The existing security group {group} gets rules that allow {rules}.")
    return ec2.SecurityGroup.from_security_group_id(scope, name, group, mutable=configuration.group_rules)
