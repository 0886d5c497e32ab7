"""The VPC: subnets, the way out, and who may talk to whom."""

import pytest

from testkit.templates import VPC, all_properties, properties, resources

ANYWHERE = "0.0.0.0/0"
NOWHERE = "255.255.255.255/32"


@pytest.fixture(scope="module")
def template(synth):
    return synth({})[VPC]


@pytest.fixture(scope="module")
def with_endpoints(synth):
    return synth({"egress": "endpoints"})[VPC]


@pytest.fixture(scope="module")
def production(synth):
    return synth({"profile": "production"})[VPC]


def subnets(template, kind):
    """Ids of the subnets that are public or private."""
    return [name for name in resources(template, "AWS::EC2::Subnet") if f"{kind}Subnet" in name]


def ways_out(template, kind):
    """Where the subnets of a kind send what is for the internet."""
    found = []
    for name, route in resources(template, "AWS::EC2::Route").items():
        if f"{kind}Subnet" in name:
            target = route["Properties"]
            assert target["DestinationCidrBlock"] == ANYWHERE
            found.append("nat" if "NatGatewayId" in target else "internet")
    return found


def group_names(template):
    """Ids of the security groups, with the name that the code gives them."""
    return {name: name.rstrip("0123456789ABCDEF") for name in resources(template, "AWS::EC2::SecurityGroup")}


def rules(template):
    """Every rule: (inbound or outbound, of which group, whom, protocol, first port, last port)."""
    names = group_names(template)

    def name_of(reference):
        return names[reference["Fn::GetAtt"][0]]

    found = []
    for name, group in resources(template, "AWS::EC2::SecurityGroup").items():
        for direction, key in (("in", "SecurityGroupIngress"), ("out", "SecurityGroupEgress")):
            found += [
                (direction, names[name], rule["CidrIp"], rule["IpProtocol"], rule["FromPort"], rule["ToPort"])
                for rule in group["Properties"].get(key, [])
                if rule["CidrIp"] != NOWHERE
            ]
    for direction, kind, key in (
        ("in", "AWS::EC2::SecurityGroupIngress", "SourceSecurityGroupId"),
        ("out", "AWS::EC2::SecurityGroupEgress", "DestinationSecurityGroupId"),
    ):
        found += [
            (
                direction,
                name_of(rule["GroupId"]),
                name_of(rule[key]),
                rule["IpProtocol"],
                rule["FromPort"],
                rule["ToPort"],
            )
            for rule in all_properties(template, kind)
        ]
    return sorted(found)


RULES = sorted(
    [
        ("out", "FunctionsGroup", "ClusterGroup", "tcp", 27017, 27017),
        ("in", "ClusterGroup", "FunctionsGroup", "tcp", 27017, 27017),
        ("out", "FunctionsGroup", "DomainGroup", "tcp", 443, 443),
        ("in", "DomainGroup", "FunctionsGroup", "tcp", 443, 443),
        ("out", "FunctionsGroup", ANYWHERE, "tcp", 443, 443),
        ("out", "ClusterGroup", "ClusterGroup", "tcp", 27017, 27017),
        ("in", "ClusterGroup", "ClusterGroup", "tcp", 27017, 27017),
        ("out", "ClusterGroup", ANYWHERE, "tcp", 443, 443),
    ]
)


def test_there_are_public_and_private_subnets_in_two_zones(template):
    assert len(subnets(template, "Public")) == 2
    assert len(subnets(template, "Private")) == 2


def test_nothing_gets_a_public_address_by_itself(template):
    assert {subnet["MapPublicIpOnLaunch"] for subnet in all_properties(template, "AWS::EC2::Subnet")} == {False}


def test_private_subnets_go_out_by_one_nat_gateway(template):
    assert len(resources(template, "AWS::EC2::NatGateway")) == 1
    assert ways_out(template, "Private") == ["nat", "nat"]
    assert ways_out(template, "Public") == ["internet", "internet"]


def test_there_are_three_groups_with_exactly_these_rules(template):
    assert sorted(group_names(template).values()) == ["ClusterGroup", "DomainGroup", "FunctionsGroup"]
    assert rules(template) == RULES


def test_s3_is_reached_without_nat(template):
    (endpoint,) = all_properties(template, "AWS::EC2::VPCEndpoint")
    assert endpoint["VpcEndpointType"] == "Gateway"
    assert endpoint["ServiceName"]["Fn::Join"][1][-1] == ".s3"


def test_with_endpoints_there_is_no_nat_and_no_way_to_the_internet(with_endpoints):
    assert not resources(with_endpoints, "AWS::EC2::NatGateway")
    assert ways_out(with_endpoints, "Private") == []
    assert len(subnets(with_endpoints, "Private")) == 2


def test_endpoints_are_what_the_poller_the_functions_and_the_task_call(with_endpoints):
    endpoints = all_properties(with_endpoints, "AWS::EC2::VPCEndpoint")
    services = {
        (endpoint["VpcEndpointType"], str(endpoint["ServiceName"]["Fn::Join"][1][-1]).lstrip("."))
        for endpoint in endpoints
    }
    assert services == {
        ("Gateway", "s3"),
        *(
            ("Interface", service)
            for service in ("lambda", "sts", "secretsmanager", "sqs", "logs", "monitoring", "codebuild")
        ),
    }


def test_endpoints_answer_to_the_services_own_names_in_the_private_subnets(with_endpoints):
    private = [{"Ref": name} for name in subnets(with_endpoints, "Private")]
    for endpoint in all_properties(with_endpoints, "AWS::EC2::VPCEndpoint"):
        if endpoint["VpcEndpointType"] == "Interface":
            assert endpoint["PrivateDnsEnabled"] is True
            assert endpoint["SubnetIds"] == private
            (group,) = endpoint["SecurityGroupIds"]
            assert group_names(with_endpoints)[group["Fn::GetAtt"][0]] == "EndpointsGroup"


def test_endpoints_are_open_to_functions_and_cluster_alone(with_endpoints):
    more = [
        ("in", "EndpointsGroup", "ClusterGroup", "tcp", 443, 443),
        ("in", "EndpointsGroup", "FunctionsGroup", "tcp", 443, 443),
    ]
    assert rules(with_endpoints) == sorted(RULES + more)


def test_changing_the_way_out_moves_no_subnet(template, with_endpoints):
    """A subnet that is replaced would take cluster and domain with it."""
    assert resources(template, "AWS::EC2::Subnet") == resources(with_endpoints, "AWS::EC2::Subnet")


def test_production_has_a_nat_gateway_in_each_zone(production):
    assert len(resources(production, "AWS::EC2::NatGateway")) == len(subnets(production, "Public")) == 2
    gateways = [
        str(route["Properties"]["NatGatewayId"])
        for name, route in resources(production, "AWS::EC2::Route").items()
        if "PrivateSubnet" in name
    ]
    assert len(set(gateways)) == 2


def test_production_logs_refused_connections(production):
    log = properties(production, "AWS::EC2::FlowLog")
    assert log["TrafficType"] == "REJECT"
    assert properties(production, "AWS::Logs::LogGroup")["RetentionInDays"] == 30


def test_production_has_the_same_rules(production):
    assert rules(production) == RULES
