"""A deployment beside what exists: it is used, and nothing of it is changed but the rules that are listed."""

import json
from pathlib import Path

import pytest

from testkit.functions_template import EXISTING, allows, plain, properties
from testkit.templates import LAMBDA, OPENSEARCH, VPC, all_properties

FUNCTIONS = {"Fn::GetAtt": ["FunctionsGroupBEE8AEDB", "GroupId"]}


@pytest.fixture(scope="module")
def network(synth):
    return synth(EXISTING)[VPC]


@pytest.fixture(scope="module")
def functions(synth):
    return synth(EXISTING)[LAMBDA]


def role_of(template, function):
    made = properties(template, "AWS::Lambda::Function", FunctionName=f"change-streams-demo-{function}")
    return template.content["Resources"][made["Role"]["Fn::GetAtt"][0]]["Properties"]


def test_nothing_is_made_that_exists(synth):
    kinds = {each["Type"] for template in synth(EXISTING).values() for each in template.content["Resources"].values()}
    made = (
        "AWS::EC2::VPC",
        "AWS::EC2::Subnet",
        "AWS::EC2::NatGateway",
        "AWS::DocDB",
        "AWS::OpenSearch",
        "AWS::Secrets",
    )
    assert [kind for kind in kinds if kind.startswith(made)] == []


def test_all_that_changes_of_it_is_three_rules_and_each_is_listed(network, synthesis):
    rules = {
        (rule["GroupId"], rule["FromPort"], json.dumps(rule["SourceSecurityGroupId"]))
        for rule in all_properties(network, "AWS::EC2::SecurityGroupIngress")
    }
    cluster, domain = EXISTING["cluster_group"], EXISTING["domain_group"]
    assert rules == {
        (cluster, 27017, json.dumps(FUNCTIONS)),
        (cluster, 27017, json.dumps(cluster)),
        (domain, 443, json.dumps(FUNCTIONS)),
    }
    listed = (synthesis(EXISTING).folder / f"{VPC}.metadata.json").read_text()
    assert f"The existing security group {cluster} gets rules that allow 27017 from the functions" in listed
    assert f"The existing security group {domain} gets rules that allow 443 from the functions" in listed


def test_functions_and_task_stand_in_its_subnets(functions):
    for function in all_properties(functions, "AWS::Lambda::Function"):
        if "VpcConfig" in function:
            assert function["VpcConfig"]["SubnetIds"] == EXISTING["vpc_subnets"].split(",")
    assert properties(functions, "AWS::CodeBuild::Project")["VpcConfig"]["VpcId"] == EXISTING["vpc_id"]


def test_the_mapping_and_the_functions_name_the_servers(functions):
    mapping = properties(functions, "AWS::Lambda::EventSourceMapping")
    assert mapping["EventSourceArn"] == EXISTING["cluster_arn"]
    assert mapping["SourceAccessConfigurations"] == [{"Type": "BASIC_AUTH", "URI": EXISTING["cluster_secret"]}]
    sync = properties(functions, "AWS::Lambda::Function", FunctionName="change-streams-demo-sync")
    variables = sync["Environment"]["Variables"]
    assert variables["DOCUMENT_DB_ENDPOINT"] == EXISTING["cluster_endpoint"]
    assert variables["OPEN_SEARCH_DOMAIN_ENDPOINT"] == EXISTING["domain_endpoint"]
    assert variables["DOCUMENT_DB_SECRET"] == EXISTING["cluster_secret"]


def test_rights_are_of_these_servers_and_the_secret_s_key(functions):
    sync, domain = role_of(functions, "sync"), EXISTING["domain_arn"]
    assert allows(sync, "rds:DescribeDBClusters", EXISTING["cluster_arn"])
    assert allows(sync, "secretsmanager:GetSecretValue", EXISTING["cluster_secret"])
    assert allows(sync, "kms:Decrypt", EXISTING["cluster_secret_key"])
    assert allows(sync, "es:ESHttpPost", f"{domain}/demo-index-g1-write/_bulk")
    assert not allows(sync, "es:ESHttpPost", f"{domain}/another/_bulk")


def test_roles_that_a_domain_may_have_to_map_are_shown(functions):
    assert {"SyncRoleArn", "ReaderRoleArn", "OperationsRoleArn"} <= functions.content["Outputs"].keys()


def test_alarms_watch_the_existing_servers(functions):
    free = properties(functions, "AWS::CloudWatch::Alarm", AlarmName="change-streams-demo-domain-free-storage")
    assert free["Threshold"] == 100 * 1024 // 5
    assert {"Name": "DomainName", "Value": "search"} in free["Dimensions"]
    busy = properties(functions, "AWS::CloudWatch::Alarm", AlarmName="change-streams-demo-cluster-cpu")
    assert busy["Dimensions"] == [{"Name": "DBClusterIdentifier", "Value": "shop"}]


def test_each_part_may_be_new_beside_the_others_and_props_do_as_well_as_context(tmp_path: Path):
    from infra.app import build, make_app
    from infra.configuration import Configuration
    from testkit.synthesis import STAND_IN

    app = make_app(str(tmp_path / "props"), {"asset_folder": str(STAND_IN)})
    given = {key: value for key, value in EXISTING.items() if not key.startswith("domain")}
    lists = {key: tuple(given[key].split(",")) for key in ("vpc_subnets", "vpc_zones")}
    key = EXISTING["cluster_secret_key"]
    build(app, configuration=Configuration(**{**given, **lists, "group_rules": False, "domain_key": key}))
    app.synth()
    made = json.loads((tmp_path / "props" / f"{OPENSEARCH}.template.json").read_text())["Resources"]
    (domain,) = [each["Properties"] for each in made.values() if each["Type"] == "AWS::OpenSearchService::Domain"]
    assert domain["VPCOptions"]["SubnetIds"] == [lists["vpc_subnets"][0]]
    assert domain["EncryptionAtRestOptions"]["KmsKeyId"] == key.rpartition("/")[2]
    rules = json.loads((tmp_path / "props" / f"{VPC}.template.json").read_text())["Resources"].values()
    assert not any(each["Properties"].get("GroupId") == EXISTING["cluster_group"] for each in rules)


@pytest.fixture(scope="module")
def large(synth):
    """Many collections with a function each, in a VPC of somebody's own that has several subnets in a zone."""
    tables = [{"namespace": f"shop.c{number}", "index": f"shop-{number}"} for number in range(16)]
    subnets = ",".join(f"subnet-0123456789abcdef{number}" for number in range(4))
    vpc = {
        "vpc_id": EXISTING["vpc_id"],
        "vpc_subnets": subnets,
        "vpc_zones": "eu-west-1a,eu-west-1a,eu-west-1b,eu-west-1b",
    }
    return synth({**vpc, "profile": "production", "sync_functions": "each", "collections": json.dumps(tables)})


def test_a_domain_stands_in_one_subnet_of_each_zone(large):
    domain = properties(large[OPENSEARCH], "AWS::OpenSearchService::Domain")
    assert domain["VPCOptions"]["SubnetIds"] == ["subnet-0123456789abcdef0", "subnet-0123456789abcdef2"]
    assert domain["ClusterConfig"]["ZoneAwarenessConfig"] == {"AvailabilityZoneCount": 2}


def test_no_widget_has_more_alarms_than_a_dashboard_takes(large):
    alarms = all_properties(large[LAMBDA], "AWS::CloudWatch::Alarm")
    body = json.loads(plain(properties(large[LAMBDA], "AWS::CloudWatch::Dashboard")["DashboardBody"]))
    shown = [len(each["properties"]["alarms"]) for each in body["widgets"] if each["type"] == "alarm"]
    assert (sum(shown), max(shown)) == (len(alarms), 100)
