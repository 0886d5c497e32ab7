"""Each function may do what it does, and nothing else."""

import json

import pytest

from testkit.functions_template import OTHER, STACK, allows, may_ask, plain, properties, statements

ROLES = {"writer": "RolesWriter", "reader": "RolesReader", "config": "RolesConfig", "sync": "RolesSync"}
VPC_POLICY = "arn:AWS::Partition:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"

WRITES = [
    ("POST", "/_bulk"),
    ("POST", "/demo-index/_bulk"),
    ("POST", "/demo-index/_doc"),
    ("POST", "/demo-index/_update/1"),
    ("POST", "/demo-index/_update_by_query"),
    ("POST", "/demo-index/_delete_by_query"),
    ("POST", "/_reindex"),
    ("PUT", "/demo-index/_doc/1"),
    ("PUT", "/demo-index"),
    ("DELETE", "/demo-index"),
    ("DELETE", "/demo-index/_doc/1"),
]


def role_of(template, function):
    roles = template.find_resources("AWS::IAM::Role")
    (found,) = [role for name, role in roles.items() if name.startswith(ROLES[function])]
    return found["Properties"]


@pytest.fixture(scope="module")
def template(synth):
    return synth({})[STACK]


@pytest.mark.parametrize("function", ROLES)
def test_every_role_is_lambdas_and_may_live_in_a_vpc(template, function):
    role = role_of(template, function)
    assert [plain(arn) for arn in role["ManagedPolicyArns"]] == [VPC_POLICY]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}


@pytest.mark.parametrize("function", ROLES)
def test_every_function_has_its_own_role(template, function):
    function = properties(template, "AWS::Lambda::Function", FunctionName=f"change-streams-demo-{function}")
    assert plain(function["Role"]).startswith(ROLES[function["FunctionName"].rsplit("-", 1)[1]])


def test_no_rights_are_added_outside_the_roles(template):
    """A mapping is tried out when it is made; a policy of its own might come later."""
    roles = {
        plain(role)
        for each in template.find_resources("AWS::IAM::Policy").values()
        for role in each["Properties"]["Roles"]
    }
    assert all(role.startswith("MappingProvider") for role in roles)


@pytest.mark.parametrize("function", ["writer", "config"])
def test_writer_and_config_read_the_secret_and_cannot_reach_the_domain(template, function):
    assert statements(role_of(template, function)) == [(["secretsmanager:GetSecretValue"], ["SECRET"])]


def test_reader_searches_the_index(template):
    assert may_ask(role_of(template, "reader"), "POST", "/demo-index/_search")


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_reader_cannot_write(template, method, path):
    assert not may_ask(role_of(template, "reader"), method, path)


def test_reader_sees_nothing_but_its_index(template):
    reader = role_of(template, "reader")
    others = ["/_search", "/_all/_search", "/penstock-state/_search", "/demo-index-g2/_search", "/demo-index,x/_search"]
    assert not any(may_ask(reader, "POST", path) for path in others)
    assert {action for actions, _ in statements(reader) for action in actions} <= {"es:ESHttpGet", "es:ESHttpPost"}


def test_sync_has_what_the_mapping_needs(template):
    sync = role_of(template, "sync")
    named = {policy["PolicyName"] for policy in sync["Policies"]}
    assert named == {
        "ESMNetworkingAccess",
        "ESMDocumentDbAccess",
        "ESMDocumentDbSecretAccess",
        "OpenSearchAccess",
        "ParkingQueueAccess",
    }
    (network,) = [each for each in statements(sync) if each[1] == ["*"]]
    assert set(network[0]) == {
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeVpcs",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeSubnets",
        "ec2:DescribeSecurityGroups",
    }
    rds = "arn:AWS::Partition:rds:AWS::Region:AWS::AccountId"
    assert allows(sync, "rds:DescribeDBClusters", f"{rds}:cluster:CLUSTER")
    assert not allows(sync, "rds:DescribeDBClusters", f"{rds}:cluster:another")
    assert allows(sync, "rds:DescribeDBClusterParameters", f"{rds}:cluster-pg:any")
    assert allows(sync, "rds:DescribeDBSubnetGroups", f"{rds}:subgrp:any")
    assert allows(sync, "secretsmanager:GetSecretValue", "SECRET")


def test_sync_parks_keys_and_does_not_take_them_back(template):
    sync = role_of(template, "sync")
    about_queues = [each for each in statements(sync) if each[0][0].startswith("sqs:")]
    (queue,) = template.find_resources("AWS::SQS::Queue")
    assert about_queues == [(["sqs:SendMessage"], [f"{queue}.Arn"])]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/demo-index"),
        ("GET", "/demo-index-g1"),
        ("PUT", "/demo-index-g1"),
        ("PUT", "/penstock-dead-letters-v1"),
        ("POST", "/demo-index-g1-write/_bulk"),
        ("POST", "/penstock-dead-letters/_bulk"),
        ("POST", "/demo-index-g1/_mget"),
        ("POST", "/penstock-state/_mget"),
        ("POST", "/demo-index-g1/_search"),
        ("POST", "/_search/scroll"),
        ("DELETE", "/_search/scroll"),
    ],
)
def test_sync_may_send_what_it_sends(template, method, path):
    assert may_ask(role_of(template, "sync"), method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/demo-index-g1"),
        ("DELETE", "/penstock-state-v1"),
        ("PUT", "/another"),
        ("POST", "/another/_bulk"),
        ("POST", "/demo-index/_bulk"),
        ("POST", "/_delete_by_query"),
        ("POST", "/_aliases"),
        ("POST", "/_bulk"),
        ("PUT", "/_cluster/settings"),
    ],
)
def test_sync_may_not_send_what_it_never_sends(template, method, path):
    assert not may_ask(role_of(template, "sync"), method, path)


def test_no_right_is_wider_than_a_list_of_actions(template):
    for role in template.find_resources("AWS::IAM::Role").values():
        for actions, resources in statements(role["Properties"]) if "Policies" in role["Properties"] else []:
            assert not any("*" in action for action in actions)
            if resources == ["*"]:
                assert all(action.startswith("ec2:") for action in actions)


def test_kms_is_asked_only_for_a_key_of_the_customers(template):
    assert "kms:Decrypt" not in json.dumps(template.content)


def test_a_secret_with_a_key_of_the_customers_may_be_decrypted():
    from aws_cdk import App, Stack
    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_secretsmanager as secretsmanager

    from penstock_cdk.access import secret_access

    stack = Stack(App(), "stack")
    secret = secretsmanager.Secret(stack, "Secret", encryption_key=kms.Key(stack, "Key"))
    allowed = stack.resolve(secret_access(secret, "Access"))["Statement"]
    assert [each["Action"] for each in allowed] == ["secretsmanager:GetSecretValue", "kms:Decrypt"]
    assert plain(allowed[1]["Resource"]).startswith("Key")


@pytest.mark.parametrize("context", [{}, OTHER])
def test_inline_policies_fit_into_their_roles(synth, context):
    """IAM takes 10,240 characters in all inline policies of a role together; names on AWS are longer than here."""
    for role in synth(context)[STACK].find_resources("AWS::IAM::Role").values():
        policies = role["Properties"].get("Policies", [])
        written = [
            {
                **statement,
                "Resource": [plain(each).replace("DOMAIN", "D" * 90) for each in statement["Resource"]]
                if isinstance(statement["Resource"], list)
                else "R" * 100,
            }
            for policy in policies
            for statement in policy["PolicyDocument"]["Statement"]
        ]
        assert len(json.dumps(written, separators=(",", ":"))) < 9_000


def test_rights_follow_the_index_of_the_configuration(synth):
    template = synth(OTHER)[STACK]
    assert may_ask(role_of(template, "reader"), "POST", "/orders/_search")
    assert not may_ask(role_of(template, "reader"), "POST", "/demo-index/_search")
    assert may_ask(role_of(template, "sync"), "POST", "/orders-g1-write/_bulk")
