"""Lambda's validation of a mapping for DocumentDB, one rule at a time."""

import re

import pytest

from penstock_tools.aws.mapping import rules
from penstock_tools.aws.mapping.errors import InvalidParameterValue, ResourceNotFound
from testkit.mapping_site import CLUSTER, SECRET, TIMEOUTS

NOW = 1_800_000_000.0


def request(**changed):
    asked = {
        "EventSourceArn": CLUSTER,
        "FunctionName": "sync",
        "SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": SECRET}],
        "DocumentDBEventSourceConfig": {"DatabaseName": "shop", "CollectionName": "orders"},
    } | changed
    return {name: value for name, value in asked.items() if value is not None}


def namespace(db="shop", coll="orders", **more):
    return {"DocumentDBEventSourceConfig": {"DatabaseName": db, "CollectionName": coll} | more}


def access(*entries):
    return {"SourceAccessConfigurations": list(entries)}


BASIC = {"Type": "BASIC_AUTH", "URI": SECRET}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"BatchSize": 1},
        {"BatchSize": 10_000},
        {"MaximumBatchingWindowInSeconds": 0},
        {"MaximumBatchingWindowInSeconds": 300},
        {"Enabled": False},
        {"StartingPosition": "LATEST"},
        {"StartingPosition": "TRIM_HORIZON"},
        {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": NOW},
        {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1_700_000_000.5},
        {"DocumentDBEventSourceConfig": {"DatabaseName": "shop"}},
        namespace("d" * 63, "c" * 57),
        namespace("a-b", "_x y"),
        namespace("a-b", "systems"),
        namespace(FullDocument="UpdateLookup"),
        namespace(FullDocument="Default"),
        {"FunctionName": "arn:aws:lambda:us-east-1:123456789012:function:sync:live"},
        {"FilterCriteria": {"Filters": []}, "DestinationConfig": {"OnFailure": {}}, "FunctionResponseTypes": []},
        {"BisectBatchOnFunctionError": False},
        {"Tags": {"a": "b"}, "MetricsConfig": {"Metrics": ["EventCount"]}},
    ],
)
def test_what_lambda_accepts(changed):
    rules.check_create(request(**changed), NOW)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"FunctionName": None}, "FunctionName is required"),
        ({"FunctionName": ""}, "'functionName' failed to satisfy constraint: Member must have length greater"),
        ({"FunctionName": "f" * 65}, "have length less than or equal to 64"),
        ({"FunctionName": "f" * 257}, "have length less than or equal to 256"),
        ({"FunctionName": "a b"}, "'functionName' failed to satisfy constraint: Member must satisfy regular"),
        ({"FunctionName": 5}, "functionName must be a string"),
        ({"EventSourceArn": None}, "EventSourceArn is required"),
        ({"EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:queue"}, "Unrecognized event source"),
        ({"EventSourceArn": CLUSTER + "x" * 10_000}, "have length less than or equal to 10000"),
        ({"BatchSize": 0}, "Value '0' at 'batchSize' failed to satisfy constraint: Member must have value greater"),
        ({"BatchSize": 10_001}, "have value less than or equal to 10000"),
        ({"BatchSize": "7"}, "batchSize must be an integer"),
        ({"BatchSize": True}, "batchSize must be an integer"),
        ({"MaximumBatchingWindowInSeconds": -1}, "'maximumBatchingWindowInSeconds' failed"),
        ({"MaximumBatchingWindowInSeconds": 301}, "have value less than or equal to 300"),
        ({"MaximumBatchingWindowInSeconds": 0.5}, "must be an integer"),
        ({"Enabled": "yes"}, "Enabled must be true or false"),
        ({"SourceAccessConfigurations": None}, "exactly one entry"),
        (access(), "exactly one entry"),
        (access(BASIC, BASIC), "exactly one entry"),
        (access(BASIC, {"Type": "VPC_SUBNET", "URI": "subnet:subnet-1"}), "exactly one entry"),
        (access({"Type": "SASL_SCRAM_512_AUTH", "URI": SECRET}), "SASL_SCRAM_512_AUTH is not supported"),
        (access({"Type": "BASIC_AUTH"}), "needs a URI"),
        (access({"Type": "BASIC_AUTH", "URI": "a?b"}), "satisfy regular expression pattern"),
        (access({"Type": "BASIC_AUTH", "URI": "a" * 201}), "have length less than or equal to 200"),
        ({"DocumentDBEventSourceConfig": None}, "DatabaseName is required"),
        ({"DocumentDBEventSourceConfig": {"CollectionName": "orders"}}, "DatabaseName is required"),
        ({"DocumentDBEventSourceConfig": "shop"}, "must be an object"),
        (namespace(db=""), "databaseName' failed to satisfy constraint: Member must have length greater"),
        (namespace(db="d" * 64), "have length less than or equal to 63"),
        (namespace(db="a b"), "databaseName' failed to satisfy constraint: Member must satisfy regular"),
        (namespace(db="a.b"), "databaseName' failed"),
        (namespace(db="a$b"), "databaseName' failed"),
        (namespace(db='a"b'), "databaseName' failed"),
        (namespace(db="a/b"), "databaseName' failed"),
        (namespace(coll=""), "collectionName' failed"),
        (namespace(coll="c" * 58), "have length less than or equal to 57"),
        (namespace(coll="system.users"), "collectionName' failed"),
        (namespace(coll="-x"), "collectionName' failed"),
        (namespace(coll="a$b"), "collectionName' failed"),
        (namespace(FullDocument="Lookup"), "satisfy enum value set: [UpdateLookup, Default]"),
        ({"StartingPosition": "EARLIEST"}, "'startingPosition' failed to satisfy constraint"),
        ({"StartingPosition": "AT_TIMESTAMP"}, "needs StartingPositionTimestamp"),
        ({"StartingPosition": "LATEST", "StartingPositionTimestamp": 1}, "AT_TIMESTAMP only"),
        ({"StartingPositionTimestamp": 1}, "AT_TIMESTAMP only"),
        ({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": NOW + 1}, "must not be in the future"),
        ({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": "now"}, "Unix seconds"),
    ],
)
def test_what_lambda_refuses(changed, message):
    with pytest.raises(InvalidParameterValue, match=re.escape(message)):
        rules.check_create(request(**changed), NOW)


OF_OTHER_SOURCES = {
    "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"},
    "BisectBatchOnFunctionError": True,
    "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:q"}},
    "FilterCriteria": {"Filters": [{"Pattern": "{}"}]},
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "LoggingConfig": {"SystemLogLevel": "DEBUG"},
    "MaximumRecordAgeInSeconds": 60,
    "MaximumRetryAttempts": 0,
    "ParallelizationFactor": 2,
    "ProvisionedPollerConfig": {"MinimumPollers": 1},
    "Queues": ["q"],
    "ScalingConfig": {"MaximumConcurrency": 2},
    "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:1"]}},
    "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"},
    "Topics": ["t"],
    "TumblingWindowInSeconds": 30,
}


def test_every_parameter_of_other_sources_is_looked_at():
    assert sorted(OF_OTHER_SOURCES) == sorted(rules.UNSUPPORTED)


@pytest.mark.parametrize("name", OF_OTHER_SOURCES)
def test_parameters_of_other_sources_are_refused(name):
    expected = f"Unsupported parameters for an Amazon DocumentDB event source: {name}\\."
    with pytest.raises(InvalidParameterValue, match=expected):
        rules.check_create(request(**{name: OF_OTHER_SOURCES[name]}), NOW)
    with pytest.raises(InvalidParameterValue, match=expected):
        rules.check_update({name: OF_OTHER_SOURCES[name]})


@pytest.mark.parametrize("version", ["4.0", "4.0.0", "5.0", "5.0.0"])
def test_engine_versions_that_lambda_reads(version):
    rules.check_engine(version)


@pytest.mark.parametrize("version", ["3.6.0", "5.1", "50.0", "8.0.1", ""])
def test_other_engine_versions_are_refused_in_lambdas_own_words(version):
    with pytest.raises(InvalidParameterValue) as refused:
        rules.check_engine(version)
    assert str(refused.value) == f"Engine version {version} is not supported."


def test_a_function_has_fourteen_minutes():
    rules.check_timeout("longest", TIMEOUTS.__getitem__)
    with pytest.raises(InvalidParameterValue, match="841 seconds, is above 840 seconds"):
        rules.check_timeout("slow", TIMEOUTS.__getitem__)


def test_a_function_must_exist():
    with pytest.raises(ResourceNotFound, match="Function not found: other"):
        rules.check_timeout("other", TIMEOUTS.__getitem__)


def test_a_cluster_must_be_of_the_same_account_and_region():
    rules.check_region(CLUSTER, "us-east-1", "123456789012")
    for region, account in [("eu-west-1", "123456789012"), ("us-east-1", "210987654321")]:
        with pytest.raises(InvalidParameterValue, match="must be in the function's account"):
            rules.check_region(CLUSTER, region, account)


@pytest.mark.parametrize(
    "given",
    [
        "sync",
        "sync:$LATEST",
        "123456789012:function:sync",
        "arn:aws:lambda:us-east-1:123456789012:function:sync",
        "arn:aws:lambda:us-east-1:123456789012:function:sync:live",
    ],
)
def test_every_form_of_a_functions_name(given):
    assert rules.function_name(given) == "sync"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"CollectionName": "a", "DatabaseName": "b"}, "Invalid parameters: collectionName, databaseName"),
        ({"CollectionName": "a"}, "Invalid parameters: collectionName"),
        ({"DatabaseName": "b", "FullDocument": "Default"}, "Invalid parameters: databaseName"),
    ],
)
def test_an_update_cannot_change_what_is_read(config, message):
    with pytest.raises(InvalidParameterValue) as refused:
        rules.check_update({"DocumentDBEventSourceConfig": config})
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "update",
    [
        {},
        {"Enabled": False},
        {"BatchSize": 5, "MaximumBatchingWindowInSeconds": 3, "FunctionName": "sync"},
        {"DocumentDBEventSourceConfig": {"FullDocument": "UpdateLookup"}},
        {"SourceAccessConfigurations": [BASIC]},
    ],
)
def test_what_an_update_may_change(update):
    rules.check_update(update)


@pytest.mark.parametrize(
    "update",
    [
        {"BatchSize": 0},
        {"MaximumBatchingWindowInSeconds": 301},
        {"FunctionName": "a b"},
        {"SourceAccessConfigurations": []},
        {"DocumentDBEventSourceConfig": {"FullDocument": "x"}},
    ],
)
def test_an_update_is_held_to_the_same_rules(update):
    with pytest.raises(InvalidParameterValue):
        rules.check_update(update)
