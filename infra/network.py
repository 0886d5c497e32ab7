"""The VPC, and the three security groups that control who may connect to whom."""

from aws_cdk import Environment, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.configuration import Configuration
from infra.existing import existing_group, existing_vpc
from penstock_cdk.findings import accept
from penstock_cdk.parts import HTTPS, Network, allow_connections

_Service = ec2.InterfaceVpcEndpointAwsService

ENDPOINTS = {
    "Lambda": _Service.LAMBDA_,  # the mapping's poller: calls the function
    "Sts": _Service.STS,  # the poller: assumes the function's role
    "SecretsManager": _Service.SECRETS_MANAGER,  # the poller and the functions: the cluster's login
    "Sqs": _Service.SQS,  # the sync function: parks keys
    "Logs": _Service.CLOUDWATCH_LOGS,  # the operations task: its log
    "Monitoring": _Service.CLOUDWATCH_MONITORING,  # the operations task: metrics
    "CodeBuild": _Service.CODEBUILD,  # the operations task: reports its progress
}
"""Services that are called from inside the VPC, and need an endpoint there if there is no NAT."""

OF_MAPPINGS = ("Lambda", "Sts", "Sqs")
"""Those of them that nothing calls without mappings."""

OF_A_WORKER = {
    "EcrApi": _Service.ECR,  # Fargate: the image, with the service below and S3
    "EcrDocker": _Service.ECR_DOCKER,
}
"""What a worker's tasks need besides."""

OF_REACTIONS = {"Events": _Service.EVENTBRIDGE}  # functions of reactions, and workers: events for a bus


class NetworkStack(Stack):
    """Public and private subnets, a way out, and the groups of functions, cluster and domain."""

    def __init__(
        self, scope: Construct, name: str, *, configuration: Configuration, env: Environment | None = None
    ) -> None:
        super().__init__(scope, name, env=env, termination_protection=configuration.is_production)
        self._configuration = configuration
        self.vpc: ec2.IVpc = existing_vpc(self, configuration) if configuration.vpc_id else self._vpc()
        self.functions_group = self._group("FunctionsGroup", "The functions and the operations task")
        self.cluster_group = self._cluster_group()
        self.domain_group = self._domain_group()
        allow_connections(
            self.functions_group,
            cluster=self.cluster_group,
            domain=self.domain_group,
            mappings=configuration.has_mappings,
        )
        if not configuration.vpc_id:
            self.vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
            if configuration.egress == "endpoints":
                self._add_interface_endpoints()

    @property
    def account_and_region(self) -> Environment:
        """The account and region of this stack, known or not; the other stacks are deployed there too."""
        return Environment(account=self.account, region=self.region)

    @property
    def part(self) -> Network:
        """Where functions and tasks stand: in the subnets that cannot be reached from outside."""
        return Network(vpc=self.vpc, subnets=self.vpc.private_subnets, group=self.functions_group)

    def _vpc(self) -> ec2.Vpc:
        """Private subnets keep their type without NAT, so that changing `egress` does not replace what is in them."""
        production = self._configuration.is_production
        gateways = (None if production else 1) if self._configuration.egress == "nat" else 0
        vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr("10.0.0.0/16"),
            max_azs=3 if production else 2,
            nat_gateways=gateways,
            restrict_default_security_group=False,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=24, map_public_ip_on_launch=False
                ),
                ec2.SubnetConfiguration(name="Private", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=20),
            ],
        )
        if production:
            group = logs.LogGroup(self, "FlowLogs", retention=logs.RetentionDays.ONE_MONTH)
            vpc.add_flow_log(
                "FlowLog",
                destination=ec2.FlowLogDestination.to_cloud_watch_logs(group),
                traffic_type=ec2.FlowLogTrafficType.REJECT,
            )
        else:
            accept(vpc, {"AwsSolutions-VPC7": "Flow logs cost by the gigabyte; the production profile has them."})
        return vpc

    def _group(self, name: str, description: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(self, name, vpc=self.vpc, description=description, allow_all_outbound=False)

    def _cluster_group(self) -> ec2.ISecurityGroup:
        if not (group := self._configuration.cluster_group):
            return self._group("ClusterGroup", "The DocumentDB cluster and the poller of the mapping")
        rules = "27017 from the functions"
        if self._configuration.has_mappings:
            rules += ", and from itself for the poller of the mapping"
        return existing_group(self, "ClusterGroup", group, configuration=self._configuration, rules=rules)

    def _domain_group(self) -> ec2.ISecurityGroup:
        if not (group := self._configuration.domain_group):
            return self._group("DomainGroup", "The OpenSearch domain")
        rules = "443 from the functions"
        return existing_group(self, "DomainGroup", group, configuration=self._configuration, rules=rules)

    def _add_interface_endpoints(self) -> None:
        group = self._group("EndpointsGroup", "Interface endpoints of AWS services")
        for caller in (self.functions_group, self.cluster_group):
            group.add_ingress_rule(caller, HTTPS, "calls of AWS services")
        services = dict(ENDPOINTS)
        if self._configuration.has_worker:
            services |= OF_A_WORKER
        if self._configuration.puts_on_a_bus:
            services |= OF_REACTIONS
        if not self._configuration.has_mappings:
            services = {name: service for name, service in services.items() if name not in OF_MAPPINGS}
        for name, service in services.items():
            self.vpc.add_interface_endpoint(
                name,
                service=service,
                open=False,
                security_groups=[group],
                subnets=ec2.SubnetSelection(subnets=self.vpc.private_subnets),
            )
