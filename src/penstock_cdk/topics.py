"""Event source mappings of Kafka topics, and the rights of the poller that reads them."""

from collections.abc import Sequence
from typing import Final

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from penstock_cdk.access import allow, secret_access
from penstock_cdk.parts import Kafka, Network

_Mapping = lambda_.CfnEventSourceMapping
_Access = lambda_.CfnEventSourceMapping.SourceAccessConfigurationProperty

_ABOUT_CLUSTER: Final = ["kafka:DescribeCluster", "kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers"]
_ON_CLUSTER: Final = ["kafka-cluster:Connect", "kafka-cluster:DescribeClusterDynamicConfiguration"]
_ON_TOPICS: Final = ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"]
_ON_GROUPS: Final = ["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"]


def consumer_group(function_name: str, topic: str) -> str:
    """Return the consumer group of a mapping: one that is made again goes on where the last one was."""
    return f"{function_name}.{topic}"


def topic_mapping(
    scope: Construct,
    *,
    kafka: Kafka,
    network: Network,
    topic: str,
    group: str,
    function: lambda_.IFunction,
    batch_size: int,
    batch_window_s: int,
) -> lambda_.CfnEventSourceMapping:
    """A mapping that reads a topic from its start, or from where its consumer group is."""
    mapping = _Mapping(
        scope,
        "Mapping",
        function_name=function.function_name,
        topics=[topic],
        starting_position="TRIM_HORIZON",
        batch_size=batch_size,
        maximum_batching_window_in_seconds=batch_window_s,
        source_access_configurations=_access(kafka, network) or None,
    )
    if kafka.arn:
        mapping.event_source_arn = kafka.arn
        mapping.amazon_managed_kafka_event_source_config = _Mapping.AmazonManagedKafkaEventSourceConfigProperty(
            consumer_group_id=group
        )
    else:
        mapping.self_managed_event_source = _Mapping.SelfManagedEventSourceProperty(
            endpoints=_Mapping.EndpointsProperty(kafka_bootstrap_servers=list(kafka.bootstrap_servers))
        )
        mapping.self_managed_kafka_event_source_config = _Mapping.SelfManagedKafkaEventSourceConfigProperty(
            consumer_group_id=group
        )
    return mapping


def topic_policies(kafka: Kafka, topics: Sequence[str], groups: Sequence[str]) -> dict[str, iam.PolicyDocument]:
    """Return what the poller needs of the Kafka cluster, beside network interfaces."""
    policies = {}
    if kafka.arn:
        about = [*_ABOUT_CLUSTER, "kafka:ListScramSecrets"] if kafka.secret else _ABOUT_CLUSTER
        policies["ESMKafkaAccess"] = allow(about, kafka.arn, sid="ESMKafkaAccess")
        if not kafka.secret:
            policies["ESMKafkaLogin"] = _login(kafka.arn, topics, groups)
    if kafka.secret:
        policies["ESMKafkaSecretAccess"] = secret_access(kafka.secret, "ESMKafkaSecretAccess")
    return policies


def allow_brokers(network: Network, kafka: Kafka) -> None:
    """Let the poller of a cluster that is not Amazon MSK's out to the brokers: it stands in the functions' group."""
    ports = {int(each.rpartition(":")[2]) for each in kafka.bootstrap_servers}
    for port in sorted(ports):
        network.group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(port), "the poller to the Kafka brokers")


def _access(kafka: Kafka, network: Network) -> list[_Access]:
    """Return how the poller logs in, and where it stands; that of Amazon MSK stands in the cluster's own network."""
    login = [_Access(type=kafka.login, uri=kafka.secret.secret_arn)] if kafka.secret else []
    if kafka.arn:
        return login
    subnets = [_Access(type="VPC_SUBNET", uri=f"subnet:{each.subnet_id}") for each in network.subnets]
    group = _Access(type="VPC_SECURITY_GROUP", uri=f"security_group:{network.group.security_group_id}")
    return [*login, *subnets, group]


def _login(cluster: str, topics: Sequence[str], groups: Sequence[str]) -> iam.PolicyDocument:
    """Allow to log in to Amazon MSK with the function's role, and to read these topics in these groups."""
    document = allow(_ON_CLUSTER, cluster, sid="ESMKafkaLogin")

    def add(sid: str, actions: Sequence[str], kind: str, names: Sequence[str]) -> None:
        resources = [f"{cluster.replace(':cluster/', f':{kind}/')}/{name}" for name in names]
        document.add_statements(iam.PolicyStatement(sid=sid, actions=list(actions), resources=resources))

    add("ESMKafkaTopics", _ON_TOPICS, "topic", topics)
    add("ESMKafkaGroups", _ON_GROUPS, "group", groups)
    return document
