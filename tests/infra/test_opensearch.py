"""The domain: one small node in one subnet, or spread over zones; closed to whoever does not sign."""

import pytest

from testkit.functions_template import OTHER
from testkit.templates import OPENSEARCH, imported, only, properties, resources

DOMAIN = "AWS::OpenSearchService::Domain"
ROLE = "AWS::IAM::ServiceLinkedRole"


@pytest.fixture(scope="module")
def template(synth):
    return synth({})[OPENSEARCH]


@pytest.fixture(scope="module")
def domain(template):
    return properties(template, DOMAIN)


@pytest.fixture(scope="module")
def production(synth):
    return synth({"profile": "production"})[OPENSEARCH]


def test_the_engine_is_the_one_of_the_local_platform(domain):
    assert domain["EngineVersion"] == "OpenSearch_3.3"


def test_an_upgrade_happens_in_place(template):
    assert only(template, DOMAIN)["UpdatePolicy"]["EnableVersionUpgrade"] is True


def test_one_node_is_in_exactly_one_private_subnet(domain):
    (subnet,) = domain["VPCOptions"]["SubnetIds"]
    assert "PrivateSubnet1" in imported(subnet)
    assert domain["ClusterConfig"] == {
        "DedicatedMasterEnabled": False,
        "InstanceCount": 1,
        "InstanceType": "t3.small.search",
        "MultiAZWithStandbyEnabled": False,
        "ZoneAwarenessEnabled": False,
    }


@pytest.mark.parametrize("context", [{}, {"profile": "production"}])
def test_only_the_domain_s_group_is_on_it(synth, context):
    template = synth(context)[OPENSEARCH]
    (group,) = properties(template, DOMAIN)["VPCOptions"]["SecurityGroupIds"]
    assert "DomainGroup" in imported(group)
    assert not resources(template, "AWS::EC2::SecurityGroup")


@pytest.mark.parametrize("context", [{}, {"profile": "production"}])
def test_everything_is_encrypted(synth, context):
    domain = properties(synth(context)[OPENSEARCH], DOMAIN)
    assert domain["EncryptionAtRestOptions"]["Enabled"] is True
    assert domain["NodeToNodeEncryptionOptions"] == {"Enabled": True}
    assert domain["DomainEndpointOptions"] == {
        "EnforceHTTPS": True,
        "TLSSecurityPolicy": "Policy-Min-TLS-1-2-PFS-2023-10",
    }


@pytest.mark.parametrize("context", [{}, {"profile": "production"}])
def test_identity_policies_alone_decide_who_may_call(synth, context):
    """No access policy lets anybody in, no custom resource adds one later, and there are no users of its own."""
    template = synth(context)[OPENSEARCH]
    domain = properties(template, DOMAIN)
    assert "AccessPolicies" not in domain
    assert not domain.get("AdvancedSecurityOptions", {}).get("Enabled", False)
    assert not [each for each in template.content["Resources"].values() if each["Type"].startswith("Custom::")]


def test_a_demonstration_goes_with_the_stack(template):
    assert only(template, DOMAIN)["DeletionPolicy"] == "Delete"


def test_its_disk_is_small(domain):
    assert domain["EBSOptions"] == {"EBSEnabled": True, "VolumeSize": 10, "VolumeType": "gp3"}


def test_production_is_spread_over_zones_with_dedicated_masters(production):
    domain = properties(production, DOMAIN)
    assert domain["ClusterConfig"] == {
        "DedicatedMasterCount": 3,
        "DedicatedMasterEnabled": True,
        "DedicatedMasterType": "m6g.large.search",
        "InstanceCount": 2,
        "InstanceType": "r6g.large.search",
        "MultiAZWithStandbyEnabled": False,
        "ZoneAwarenessConfig": {"AvailabilityZoneCount": 2},
        "ZoneAwarenessEnabled": True,
    }
    subnets = [imported(subnet) for subnet in domain["VPCOptions"]["SubnetIds"]]
    assert len(set(subnets)) == 2
    assert all("PrivateSubnet" in subnet for subnet in subnets)


def test_production_stays_when_the_stack_goes(production):
    for kind in (DOMAIN, "AWS::KMS::Key"):
        assert only(production, kind)["DeletionPolicy"] == "Retain"


def test_production_is_encrypted_with_its_own_key(production):
    (key,) = resources(production, "AWS::KMS::Key")
    assert properties(production, DOMAIN)["EncryptionAtRestOptions"]["KmsKeyId"] == {"Ref": key}
    assert properties(production, "AWS::KMS::Key")["EnableKeyRotation"] is True


def test_production_logs_errors_and_what_is_slow_and_may_write_the_logs(production):
    published = properties(production, DOMAIN)["LogPublishingOptions"]
    assert {name for name, log in published.items() if log["Enabled"]} == {
        "ES_APPLICATION_LOGS",
        "INDEX_SLOW_LOGS",
        "SEARCH_SLOW_LOGS",
    }
    (policy,) = resources(production, "AWS::Logs::ResourcePolicy")
    assert policy in only(production, DOMAIN)["DependsOn"]
    written = str(properties(production, "AWS::Logs::ResourcePolicy")["PolicyDocument"])
    assert "es.amazonaws.com" in written
    assert "aws:SourceAccount" in written
    for group in resources(production, "AWS::Logs::LogGroup"):
        assert group in written


def test_the_service_linked_role_is_not_created_by_default(template):
    assert not resources(template, ROLE)


def test_the_service_linked_role_comes_by_context_before_the_domain_and_stays(synth):
    template = synth(OTHER)[OPENSEARCH]
    (name,) = resources(template, ROLE)
    assert properties(template, ROLE) == {"AWSServiceName": "opensearchservice.amazonaws.com"}
    assert name in only(template, DOMAIN)["DependsOn"]
    assert only(template, ROLE)["DeletionPolicy"] == "Retain"
