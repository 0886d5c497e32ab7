"""The cluster: what the mapping demands, and what each profile keeps."""

import pytest

from infra.configuration import Configuration
from testkit.templates import DOCUMENTDB, VPC, Template, all_properties, imported, only, properties, resources

CLUSTER = "AWS::DocDB::DBCluster"
INSTANCE = "AWS::DocDB::DBInstance"
PARAMETERS = "AWS::DocDB::DBClusterParameterGroup"
SECRET = "AWS::SecretsManager::Secret"
SUBNETS = "AWS::DocDB::DBSubnetGroup"


@pytest.fixture(scope="module")
def template(synth):
    return synth({})[DOCUMENTDB]


@pytest.fixture(scope="module")
def production(synth):
    return synth({"profile": "production"})[DOCUMENTDB]


@pytest.fixture
def stack_alone(app):
    """The stack for a configuration, and its template."""
    from aws_cdk import assertions

    from infra.documentdb import DocumentDbStack
    from infra.network import NetworkStack

    def of(configuration: Configuration):
        network = NetworkStack(app, "network", configuration=configuration)
        stack = DocumentDbStack(app, "documentdb", configuration=configuration, network=network)
        return stack, Template(assertions.Template.from_stack(stack).to_json())

    return of


def test_the_engine_is_pinned(template):
    assert properties(template, CLUSTER)["EngineVersion"] == "5.0.0"
    assert properties(template, PARAMETERS)["Family"] == "docdb5.0"


def test_the_sample_s_engine_comes_by_context(stack_alone):
    _, older = stack_alone(Configuration(engine_version="4.0.0"))
    assert properties(older, CLUSTER)["EngineVersion"] == "4.0.0"
    assert properties(older, PARAMETERS)["Family"] == "docdb4.0"


def test_the_parameter_group_is_the_cluster_s(template):
    (group,) = resources(template, PARAMETERS)
    assert properties(template, CLUSTER)["DBClusterParameterGroupName"] == {"Ref": group}


def test_tls_is_on_and_the_change_log_is_kept_a_day(template):
    assert properties(template, PARAMETERS)["Parameters"] == {
        "tls": "enabled",
        "change_stream_log_retention_duration": "86400",
    }


def test_the_change_log_s_retention_is_in_hours(stack_alone):
    _, week = stack_alone(Configuration(change_log_retention_hours=168))
    assert properties(week, PARAMETERS)["Parameters"]["change_stream_log_retention_duration"] == "604800"


def test_the_login_is_generated_and_has_no_fixed_name(template):
    secret = properties(template, SECRET)
    assert "Name" not in secret
    generated = secret["GenerateSecretString"]
    assert generated["GenerateStringKey"] == "password"
    assert generated["SecretStringTemplate"] == '{"username":"penstock"}'
    assert set('"@/:') <= set(generated["ExcludeCharacters"])


def test_the_cluster_takes_its_login_from_the_secret(template):
    (secret,) = resources(template, SECRET)
    cluster = properties(template, CLUSTER)
    for key, name in (("MasterUsername", "username"), ("MasterUserPassword", "password")):
        assert cluster[key]["Fn::Join"][1] == [
            "{{resolve:secretsmanager:",
            {"Ref": secret},
            f":SecretString:{name}::}}}}",
        ]
    attachment = properties(template, "AWS::SecretsManager::SecretTargetAttachment")
    assert attachment["TargetType"] == "AWS::DocDB::DBCluster"
    assert attachment["SecretId"] == {"Ref": secret}


def test_it_is_in_the_private_subnets_with_its_group_alone(template, synth):
    names = [imported(subnet) for subnet in properties(template, SUBNETS)["SubnetIds"]]
    assert len(names) == 2
    assert all("PrivateSubnet" in name for name in names)
    (group,) = properties(template, CLUSTER)["VpcSecurityGroupIds"]
    assert "ClusterGroup" in imported(group)
    assert not resources(template, "AWS::EC2::SecurityGroup")
    exported = {output["Export"]["Name"] for output in synth({})[VPC].content["Outputs"].values()}
    assert exported >= {*names, imported(group)}


def test_a_demonstration_is_small_and_goes_with_the_stack(template):
    cluster = properties(template, CLUSTER)
    assert [instance["DBInstanceClass"] for instance in all_properties(template, INSTANCE)] == ["db.t3.medium"]
    assert cluster["DeletionProtection"] is False
    assert cluster["BackupRetentionPeriod"] == 1
    assert cluster["StorageEncrypted"] is True
    assert only(template, CLUSTER)["DeletionPolicy"] == "Delete"
    kept = [name for name, resource in template.content["Resources"].items() if _is_kept(resource)]
    assert kept == []


def test_production_is_larger_protected_and_stays(production):
    cluster = properties(production, CLUSTER)
    assert [instance["DBInstanceClass"] for instance in all_properties(production, INSTANCE)] == ["db.r6g.large"] * 3
    assert cluster["DeletionProtection"] is True
    assert cluster["BackupRetentionPeriod"] == 14
    for kind in (CLUSTER, INSTANCE, SECRET, SUBNETS, PARAMETERS, "AWS::KMS::Key"):
        for resource in resources(production, kind).values():
            assert resource["DeletionPolicy"] == "Retain", kind
            assert resource["UpdateReplacePolicy"] == "Retain", kind


def test_production_is_encrypted_with_its_own_key(production):
    (key,) = resources(production, "AWS::KMS::Key")
    assert only(production, CLUSTER)["Properties"]["KmsKeyId"] == {"Fn::GetAtt": [key, "Arn"]}
    assert properties(production, "AWS::KMS::Key")["EnableKeyRotation"] is True


def test_the_secret_needs_no_right_to_a_key(production):
    """The mapping reads it with the sync function's role, which then needs no kms:Decrypt."""
    assert "KmsKeyId" not in properties(production, SECRET)


def test_production_is_audited(production):
    assert properties(production, CLUSTER)["EnableCloudwatchLogsExports"] == ["audit"]
    assert properties(production, PARAMETERS)["Parameters"]["audit_logs"] == "enabled"


def test_a_demonstration_is_not_audited(template):
    assert not properties(template, CLUSTER).get("EnableCloudwatchLogsExports")


def test_the_arn_is_the_one_the_mapping_wants(stack_alone):
    stack, template = stack_alone(Configuration())
    (cluster,) = resources(template, CLUSTER)
    prefix, *rest = _joined(stack.resolve(stack.part.arn))
    assert prefix == "arn:"
    assert rest == [
        {"Ref": "AWS::Partition"},
        ":rds:",
        {"Ref": "AWS::Region"},
        ":",
        {"Ref": "AWS::AccountId"},
        ":cluster:",
        {"Ref": cluster},
    ]


def test_the_endpoint_is_host_and_port(stack_alone):
    stack, template = stack_alone(Configuration())
    (cluster,) = resources(template, CLUSTER)
    assert _joined(stack.resolve(stack.part.endpoint)) == [
        {"Fn::GetAtt": [cluster, "Endpoint"]},
        ":",
        {"Fn::GetAtt": [cluster, "Port"]},
    ]


def test_the_secret_is_the_attached_one(stack_alone):
    """Its ARN waits for the attachment, so whoever gets it finds the host in it too."""
    stack, template = stack_alone(Configuration())
    (attachment,) = resources(template, "AWS::SecretsManager::SecretTargetAttachment")
    assert stack.resolve(stack.part.secret.secret_arn) == {"Ref": attachment}


def _joined(value):
    delimiter, parts = value["Fn::Join"]
    assert delimiter == ""
    return parts


def _is_kept(resource):
    return resource.get("DeletionPolicy", "Delete") != "Delete"
