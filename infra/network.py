"""The VPC, and the three security groups that say who may talk to whom."""

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from infra.configuration import Configuration


class NetworkStack(Stack):
    """Public and private subnets, a way out, and the groups of functions, cluster and domain."""

    vpc: ec2.Vpc
    functions_group: ec2.SecurityGroup
    cluster_group: ec2.SecurityGroup
    domain_group: ec2.SecurityGroup

    def __init__(self, scope: Construct, name: str, *, configuration: Configuration) -> None:
        super().__init__(scope, name)
        self.vpc = ec2.Vpc(self, "Vpc", max_azs=2, nat_gateways=1)
        self.functions_group = ec2.SecurityGroup(self, "FunctionsGroup", vpc=self.vpc, allow_all_outbound=False)
        self.cluster_group = ec2.SecurityGroup(self, "ClusterGroup", vpc=self.vpc, allow_all_outbound=False)
        self.domain_group = ec2.SecurityGroup(self, "DomainGroup", vpc=self.vpc, allow_all_outbound=False)
