"""The mappings through boto3 and the AWS CLI, at Lambda's own paths."""

import json
import os
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from penstock_tools.aws.mapping.api import mapping_api
from penstock_tools.aws.runtime.invocation import Invocation
from testkit.mapping_site import CLUSTER, NEWER, RAISED, SECRET, mapping_site, wait_until

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def site(tmp_path, source_uri, database):
    with mapping_site(tmp_path, source_uri, database.name) as site:
        yield site


@pytest.fixture
def address(site):
    with mapping_api(site.mappings) as address:
        yield address


@pytest.fixture
def lambda_(address):
    client = boto3.client(
        "lambda",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(parameter_validation=False, retries={"max_attempts": 0}),
    )
    yield client
    client.close()


def refused(call, **parameters):
    with pytest.raises(ClientError) as refusal:
        call(**parameters)
    answer = refusal.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def test_a_mapping_from_its_creation_to_its_deletion(site, lambda_, database):
    created = lambda_.create_event_source_mapping(**site.request(StartingPosition="LATEST"))
    name = created["UUID"]
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert created["State"] == "Creating"
    site.wait_state(name, "Enabled")
    database.c.insert_one({"_id": 1})
    wait_until(lambda: site.function.ids == [1])

    updated = lambda_.update_event_source_mapping(UUID=name, Enabled=False)
    assert (updated["ResponseMetadata"]["HTTPStatusCode"], updated["State"]) == (202, "Disabling")
    site.wait_state(name, "Disabled")
    assert lambda_.update_event_source_mapping(UUID=name, Enabled=True)["State"] == "Enabling"
    site.wait_state(name, "Enabled")
    assert lambda_.update_event_source_mapping(UUID=name, BatchSize=7)["State"] == "Updating"
    site.wait_state(name, "Enabled")
    assert lambda_.get_event_source_mapping(UUID=name)["BatchSize"] == 7

    deleted = lambda_.delete_event_source_mapping(UUID=name)
    assert (deleted["ResponseMetadata"]["HTTPStatusCode"], deleted["State"]) == (202, "Deleting")
    wait_until(lambda: not lambda_.list_event_source_mappings()["EventSourceMappings"])
    assert refused(lambda_.get_event_source_mapping, UUID=name)[:2] == (404, "ResourceNotFoundException")


def test_what_a_configuration_shows(site, lambda_):
    before = datetime.now(UTC)
    name = lambda_.create_event_source_mapping(**site.request())["UUID"]
    site.wait_state(name, "Enabled")
    shown = lambda_.get_event_source_mapping(UUID=name)
    shown.pop("ResponseMetadata")
    modified = shown.pop("LastModified")
    assert abs((modified - before).total_seconds()) < 60
    assert shown == {
        "UUID": name,
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 0,
        "StartingPosition": "LATEST",
        "EventSourceArn": CLUSTER,
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:sync",
        "LastProcessingResult": "No records processed",
        "State": "Enabled",
        "StateTransitionReason": "USER_INITIATED",
        "SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": SECRET}],
        "DocumentDBEventSourceConfig": {"DatabaseName": site.db, "CollectionName": "c", "FullDocument": "Default"},
        "EventSourceMappingArn": f"arn:aws:lambda:us-east-1:123456789012:event-source-mapping:{name}",
    }


def test_times_are_numbers_and_come_back(site, lambda_, address):
    at = datetime(2024, 1, 2, tzinfo=UTC)
    created = lambda_.create_event_source_mapping(
        **site.request(StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=at)
    )
    assert created["StartingPositionTimestamp"] == at
    with urllib.request.urlopen(f"{address}/2015-03-31/event-source-mappings/{created['UUID']}") as answer:
        raw = json.load(answer)
    assert isinstance(raw["LastModified"], float)
    assert raw["StartingPositionTimestamp"] == at.timestamp()


def test_a_mapping_that_was_created_disabled_reads_nothing_until_it_is_enabled(site, lambda_, database):
    name = lambda_.create_event_source_mapping(**site.request(Enabled=False))["UUID"]
    site.wait_state(name, "Disabled")
    database.c.insert_one({"_id": 1})
    lambda_.update_event_source_mapping(UUID=name, Enabled=True)
    site.wait_state(name, "Enabled")
    database.c.insert_one({"_id": 2})
    wait_until(lambda: site.function.ids != [])
    assert site.function.ids == [2]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"BatchSize": 0}, "at 'batchSize' failed to satisfy constraint"),
        ({"EventSourceArn": NEWER}, "Engine version 8.0.1 is not supported."),
        ({"EventSourceArn": CLUSTER + "x"}, "does not exist"),
        ({"EventSourceArn": CLUSTER.replace("us-east-1", "eu-west-1")}, "Region us-east-1"),
        ({"FunctionName": "slow"}, "above 840 seconds"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}, "FilterCriteria"),
    ],
)
def test_a_bad_parameter_is_a_400(site, lambda_, changed, message):
    status, code, text = refused(lambda_.create_event_source_mapping, **site.request(**changed))
    assert (status, code) == (400, "InvalidParameterValueException")
    assert message in text
    assert site.mappings.metrics() == {}


def test_a_function_that_is_not_there_is_a_404(site, lambda_):
    status, code, text = refused(lambda_.create_event_source_mapping, **site.request(FunctionName="other"))
    assert (status, code) == (404, "ResourceNotFoundException")
    assert text == "Function not found: other"


def test_the_database_and_the_collection_cannot_be_changed(site, lambda_):
    name = site.create()
    config = {"DatabaseName": "a", "CollectionName": "b"}
    answer = refused(lambda_.update_event_source_mapping, UUID=name, DocumentDBEventSourceConfig=config)
    assert answer == (400, "InvalidParameterValueException", "Invalid parameters: collectionName, databaseName")
    assert site.mappings.get(name)["State"] == "Enabled"


def test_the_same_mapping_twice_is_a_conflict_another_collection_is_not(site, lambda_):
    name = site.create("c")
    status, code, text = refused(lambda_.create_event_source_mapping, **site.request("c"))
    assert (status, code) == (409, "ResourceConflictException")
    assert name in text
    lambda_.create_event_source_mapping(**site.request("d"))
    lambda_.create_event_source_mapping(**site.request("c", FunctionName="longest"))


@pytest.mark.parametrize("operation", ["update_event_source_mapping", "delete_event_source_mapping"])
def test_a_mapping_on_its_way_is_in_use(site, lambda_, database, operation):
    name = site.create()
    with site.function.held() as held:
        database.c.insert_one({"_id": 1})
        held.wait()
        lambda_.update_event_source_mapping(UUID=name, Enabled=False)  # waits for the call that is under way
        status, code, _ = refused(getattr(lambda_, operation), UUID=name)
        assert (status, code) == (400, "ResourceInUseException")
        assert site.mappings.get(name)["State"] == "Disabling"
    site.wait_state(name, "Disabled")
    assert getattr(lambda_, operation)(UUID=name)["ResponseMetadata"]["HTTPStatusCode"] == 202


@pytest.mark.parametrize("operation", ["get", "update", "delete"])
def test_a_mapping_that_is_not_there_is_a_404(lambda_, operation):
    call = getattr(lambda_, f"{operation}_event_source_mapping")
    status, code, text = refused(call, UUID="00000000-0000-0000-0000-000000000000")
    assert (status, code) == (404, "ResourceNotFoundException")
    assert text == "The resource you requested does not exist."


def test_mappings_are_listed_by_page_by_cluster_and_by_function(site, lambda_):
    names = [site.create(f"c{number}", Enabled=False) for number in range(4)]
    names.append(site.create("c9", Enabled=False, FunctionName="longest"))

    def listed(**parameters):
        pages = lambda_.get_paginator("list_event_source_mappings").paginate(**parameters)
        return [[each["UUID"] for each in page["EventSourceMappings"]] for page in pages]

    assert listed() == [names]
    assert listed(PaginationConfig={"PageSize": 2}) == [names[:2], names[2:4], names[4:]]
    assert listed(FunctionName="longest") == [names[4:]]
    assert listed(FunctionName="arn:aws:lambda:us-east-1:123456789012:function:sync") == [names[:4]]
    assert listed(EventSourceArn=CLUSTER) == [names]
    assert listed(EventSourceArn=NEWER) == [[]]
    assert refused(lambda_.list_event_source_mappings, Marker="x")[:2] == (400, "InvalidParameterValueException")
    assert refused(lambda_.list_event_source_mappings, MaxItems=0)[:2] == (400, "InvalidParameterValueException")


def test_a_body_that_is_no_object_and_an_unknown_path(address):
    def status(path, body=None):
        request = urllib.request.Request(address + path, data=body)
        with pytest.raises(urllib.error.HTTPError) as error, urllib.request.urlopen(request):
            pass
        with error.value:
            return error.value.code, error.value.headers["x-amzn-ErrorType"]

    assert status("/2015-03-31/event-source-mappings/", b"[1]") == (400, "InvalidParameterValueException")
    assert status("/2015-03-31/event-source-mappings", b"{") == (400, "InvalidParameterValueException")
    assert status("/2014-11-13/event-source-mappings") == (404, "ResourceNotFoundException")


def test_a_function_can_be_called(site, lambda_):
    site.function.answer = lambda _call: Invocation(b'{"statusCode":200}')
    answer = lambda_.invoke(FunctionName="sync", Payload=b'{"events":[]}')
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    assert answer["Payload"].read() == b'{"statusCode":200}'
    assert site.function.payloads == [b'{"events":[]}']


def test_a_function_that_raises_answers_its_error(site, lambda_):
    site.function.answer = lambda _call: RAISED
    answer = lambda_.invoke(FunctionName="sync")
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert json.load(answer["Payload"])["errorType"] == "ValueError"


def test_the_other_ways_to_call_a_function(site, lambda_):
    assert lambda_.invoke(FunctionName="sync", InvocationType="DryRun")["StatusCode"] == 204
    assert site.function.payloads == []
    assert lambda_.invoke(FunctionName="sync", InvocationType="Event", Payload=b"{}")["StatusCode"] == 202
    wait_until(lambda: site.function.payloads == [b"{}"])
    assert refused(lambda_.invoke, FunctionName="other")[:2] == (404, "ResourceNotFoundException")
    answer = refused(lambda_.invoke, FunctionName="sync", Payload=b"{")
    assert answer[:2] == (400, "InvalidRequestContentException")
    large = b'"' + b"x" * 6 * 1024 * 1024 + b'"'
    assert refused(lambda_.invoke, FunctionName="sync", Payload=large)[:2] == (413, "RequestTooLargeException")


def test_the_aws_cli_creates_enables_and_deletes(site, address, database, tmp_path):
    def aws(*words):
        command = [str(Path(sys.executable).with_name("aws")), "--endpoint-url", address, "lambda"]
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_PAGER": "", **CREDENTIALS}
        done = subprocess.run([*command, *words], env=env, capture_output=True, timeout=60, check=True)
        return json.loads(done.stdout)

    created = aws(
        *("create-event-source-mapping", "--function-name", "sync", "--event-source-arn", CLUSTER, "--no-enabled"),
        *("--starting-position", "LATEST", "--batch-size", "50"),
        *("--source-access-configurations", json.dumps([{"Type": "BASIC_AUTH", "URI": SECRET}])),
        *("--document-db-event-source-config", json.dumps({"DatabaseName": site.db, "CollectionName": "c"})),
    )
    assert created["BatchSize"] == 50
    name = created["UUID"]
    site.wait_state(name, "Disabled")
    assert aws("update-event-source-mapping", "--uuid", name, "--enabled")["State"] == "Enabling"
    site.wait_state(name, "Enabled")
    database.c.insert_one({"_id": 1})
    wait_until(lambda: site.function.ids == [1])
    assert aws("get-event-source-mapping", "--uuid", name)["LastProcessingResult"] == "OK"
    assert aws("delete-event-source-mapping", "--uuid", name)["State"] == "Deleting"
    wait_until(lambda: site.mappings.metrics() == {})
    assert aws("list-event-source-mappings", "--function-name", "sync")["EventSourceMappings"] == []
