"""What the constructs stand on: a network, a cluster to read from and a domain to write to, new or existing ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_opensearchservice as opensearch
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct


@dataclass(frozen=True, kw_only=True)
class Network:
    """Where functions and tasks stand: private subnets with a way to AWS's services, and their security group.

    The group must be let into the cluster on 27017 and into the domain on 443: see `allow_connections`.
    """

    vpc: ec2.IVpc
    subnets: Sequence[ec2.ISubnet]
    group: ec2.ISecurityGroup

    @property
    def selection(self) -> ec2.SubnetSelection:
        """The subnets, as the CDK takes them."""
        return ec2.SubnetSelection(subnets=list(self.subnets))


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A DocumentDB cluster.

    `arn` is the one of the service rds, `endpoint` is host:port, `secret` has `username` and `password`. `needed` must
    be there before anything asks the cluster: its instances too.
    """

    arn: str
    endpoint: str
    identifier: str
    secret: secretsmanager.ISecret
    needed: Sequence[Construct] = ()


@dataclass(frozen=True, kw_only=True)
class Domain:
    """An OpenSearch domain; `endpoint` is its host, `volume_gib` the size of a data node's disk."""

    domain: opensearch.IDomain
    arn: str
    endpoint: str
    volume_gib: int


KafkaLogin = Literal["SASL_SCRAM_512_AUTH", "SASL_SCRAM_256_AUTH", "BASIC_AUTH"]


@dataclass(frozen=True, kw_only=True)
class Kafka:
    """A Kafka cluster whose topics bring changes: Amazon MSK by its `arn`, or one by its `bootstrap_servers`.

    `secret` has `username` and `password`; without one the poller logs in to Amazon MSK with the function's role.
    """

    arn: str = ""
    bootstrap_servers: Sequence[str] = ()
    secret: secretsmanager.ISecret | None = None
    login: KafkaLogin = "SASL_SCRAM_512_AUTH"


SOURCE = ec2.Port.tcp(27017)
HTTPS = ec2.Port.tcp(443)


def allow_connections(
    group: ec2.ISecurityGroup, *, cluster: ec2.ISecurityGroup, domain: ec2.ISecurityGroup, mappings: bool = True
) -> None:
    """Allow exactly the connections that are needed: of functions and tasks with their `group`, and of the poller.

    The event source mapping's poller uses the cluster's subnets and group: it connects to the cluster from inside that
    group, and calls Lambda, STS and Secrets Manager. Without `mappings` there is none.
    """
    anywhere = ec2.Peer.any_ipv4()
    group.connections.allow_to(cluster, SOURCE, "functions to the cluster")
    group.connections.allow_to(domain, HTTPS, "functions to the domain")
    group.add_egress_rule(anywhere, HTTPS, "functions to AWS services")
    if mappings:
        cluster.connections.allow_internally(SOURCE, "the poller to the cluster")
        cluster.add_egress_rule(anywhere, HTTPS, "the poller to AWS services")
