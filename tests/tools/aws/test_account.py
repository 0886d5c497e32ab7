"""`penstock aws check` on an account that moto plays, with a cluster of our own: moto has no DocumentDB."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from botocore.loaders import create_loader
from botocore.session import get_session
from botocore.stub import Stubber

from penstock.operations.check.finding import CheckFinding
from penstock_tools.aws.account import SERVICE_LINKED_ROLE, account_findings

DESCRIPTIONS = create_loader()
"""Of the services: one for all accounts, since reading that of EC2 takes longer than a test."""

ARN = "arn:aws:rds:eu-west-1:123456789012:cluster:shop"


class Account:
    """An account with a VPC, a cluster and a domain, right in everything unless a test changes it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._session = get_session()
        self._session.register_component("data_loader", DESCRIPTIONS)
        self.ec2, self.iam = self._client("ec2"), self._client("iam")
        self.vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [self._subnet(number) for number in (0, 1)]
        self.cluster_group, self.domain_group = self._group("cluster"), self._group("domain")
        self.engine, self.parameters = "5.0.0", {"tls": "enabled", "change_stream_log_retention_duration": "86400"}

    def _client(self, name: str) -> Any:
        return self._session.create_client(name, region_name="eu-west-1")

    def _subnet(self, number: int) -> str:
        made = self.ec2.create_subnet(
            VpcId=self.vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"eu-west-1{'ab'[number]}"
        )
        return str(made["Subnet"]["SubnetId"])

    def _group(self, name: str) -> str:
        return str(self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)["GroupId"])

    def make_domain(self, **more: Any) -> None:
        self._client("opensearch").create_domain(
            DomainName="search",
            VPCOptions={"SubnetIds": self.subnets[:1], "SecurityGroupIds": [self.domain_group]},
            **{"EngineVersion": "OpenSearch_3.3", **more},
        )

    def let_in_the_poller(self) -> None:
        pair = [{"GroupId": self.cluster_group}]
        rule = {"IpProtocol": "tcp", "FromPort": 27017, "ToPort": 27017, "UserIdGroupPairs": pair}
        self.ec2.authorize_security_group_ingress(GroupId=self.cluster_group, IpPermissions=[rule])

    def let_out(self) -> None:
        (table,) = self.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])["RouteTables"]
        address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
        gateway = self.ec2.create_nat_gateway(SubnetId=self.subnets[0], AllocationId=address)["NatGateway"]
        self.ec2.create_route(
            RouteTableId=table["RouteTableId"],
            DestinationCidrBlock="0.0.0.0/0",
            NatGatewayId=gateway["NatGatewayId"],
        )

    def found(self) -> dict[str, CheckFinding]:
        """What is found, by subject."""
        return {each.subject: each for each in account_findings(self._ask, cluster="shop", domain="search")}

    def _ask(self, name: str) -> Any:
        return self._documentdb() if name == "docdb" else self._client(name)

    def _documentdb(self) -> Any:
        """A client that answers one question of each kind; each look asks its own."""
        client = self._client("docdb")
        stub = self._stack.enter_context(Stubber(client))
        cluster = {
            "DBClusterArn": ARN,
            "EngineVersion": self.engine,
            "DBClusterParameterGroup": "parameters",
            "DBSubnetGroup": "subnets",
            "VpcSecurityGroups": [{"VpcSecurityGroupId": self.cluster_group, "Status": "active"}],
        }
        rows = [{"ParameterName": name, "ParameterValue": value} for name, value in self.parameters.items()]
        subnets = {"VpcId": self.vpc, "Subnets": [{"SubnetIdentifier": each} for each in self.subnets]}
        answers: dict[str, Callable[..., Any]] = {
            "describe_db_clusters": lambda **_: {"DBClusters": [cluster]},
            "describe_db_subnet_groups": lambda **_: {"DBSubnetGroups": [subnets]},
        }
        for operation, answer in answers.items():
            setattr(client, operation, answer)
        stub.add_response("describe_db_cluster_parameters", {"Parameters": rows})
        return client


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    from moto import mock_aws  # takes half a second, in each process that collects the tests

    with ExitStack() as stack:
        stack.enter_context(mock_aws())
        yield Account(stack)


def test_an_account_in_which_everything_is_right(account: Account) -> None:
    account.make_domain()
    account.let_in_the_poller()
    account.let_out()
    account.iam.create_role(RoleName=SERVICE_LINKED_ROLE, AssumeRolePolicyDocument="{}")
    found = account.found()
    assert {each.subject: each.detail for each in found.values() if each.verdict != "ok"} == {}
    assert found["shop"].detail == "engine 5.0.0"
    assert found["parameters: change log"].detail == "is kept for 24 h"
    assert found["mappings"].detail == "there is none yet"


def test_what_is_wrong_is_named_with_what_to_do(account: Account) -> None:
    account.engine = "3.6.0"
    account.parameters = {"tls": "disabled", "change_stream_log_retention_duration": "10800"}
    policy = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "x"}, "Action": "es:*", "Resource": "*"}]}
    account.make_domain(
        EngineVersion="Elasticsearch_7.10",
        AdvancedSecurityOptions={"Enabled": True},
        AccessPolicies=json.dumps(policy),
    )
    found = account.found()
    wrong = {each.subject: each.verdict for each in found.values() if each.verdict != "ok"}
    assert wrong == {
        "service-linked role": "failure",
        "shop": "failure",
        "parameters: tls": "failure",
        "parameters: change log": "warning",
        "search": "failure",
        "search: fine-grained access control": "warning",
        "search: access policy": "warning",
        f"{account.cluster_group}: 27017 from itself (the poller of the mapping)": "failure",
        "way out of the cluster's subnets": "failure",
    }
    assert all(each.todo for each in found.values() if each.verdict != "ok")


def test_of_engine_8_it_says_which_way_reads_it(account: Account) -> None:
    account.engine = "8.0.1"
    found = account.found()["shop"]
    assert found.verdict == "warning"
    assert "a worker (`penstock run`) follows it, Lambda's event source mapping refuses it" in found.detail
    assert "-c door=worker" in found.todo


def test_of_engine_8_it_asks_for_no_rules_of_a_poller(account: Account) -> None:
    account.make_domain()
    assert [subject for subject in account.found() if "poller" in subject or "way out" in subject]
    account.engine = "8.0.1"
    assert not [subject for subject in account.found() if "poller" in subject or "way out" in subject]


def test_a_server_that_is_not_there_is_one_finding_and_the_rest_is_looked_at(account: Account) -> None:
    found = account.found()
    assert found["DescribeDomain"].verdict == "failure"
    assert found["shop"].verdict == "ok"


@pytest.mark.parametrize(
    ("state", "result", "verdict"),
    [
        ("Enabled", "OK", "ok"),
        ("Enabled", "PROBLEM: Function call failed", "failure"),
        ("Enabled", "PROBLEM: modifyChangeStreams has not been run", "failure"),
        ("Disabled", "No records processed", "failure"),
    ],
)
def test_a_mapping_says_whether_it_reads(account: Account, state: str, result: str, verdict: str) -> None:
    account.make_domain()
    mapping = {
        "State": state,
        "LastProcessingResult": result,
        "DocumentDBEventSourceConfig": {"DatabaseName": "shop", "CollectionName": "orders"},
    }
    ask = account._ask

    class Mappings:
        def get_paginator(self, _: str) -> "Mappings":
            return self

        def paginate(self, **asked: str) -> list[dict[str, Any]]:
            assert asked == {"EventSourceArn": ARN}
            return [{"EventSourceMappings": [mapping]}]

        def get_function_configuration(self, **_: str) -> dict[str, Any]:
            return {"VpcConfig": {"SecurityGroupIds": ["sg-functions"]}}

    account._ask = lambda name: Mappings() if name == "lambda" else ask(name)  # type: ignore[method-assign]
    found = account.found()
    assert found["mapping of shop.orders"].verdict == verdict
    assert found[f"{account.domain_group}: 443 from the functions"].verdict == "failure"
