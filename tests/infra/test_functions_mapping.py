"""The mapping reads every change of the one collection, from the time on at which its change stream was enabled."""

import json

import pytest

from testkit.functions_template import AS_IN_SAMPLE, OTHER, STACK, plain, properties

MAPPING = "AWS::Lambda::EventSourceMapping"
STREAM = "Custom::ChangeStream"


@pytest.fixture(scope="module")
def template(synth):
    return synth({})[STACK]


def test_the_mapping_joins_the_collection_with_the_sync_function(template):
    mapping = properties(template, MAPPING)
    assert mapping["DocumentDBEventSourceConfig"] == {
        "DatabaseName": "demo-database",
        "CollectionName": "demo-collection",
        "FullDocument": "UpdateLookup",
    }
    (access,) = mapping["SourceAccessConfigurations"]
    assert (access["Type"], plain(access["URI"])) == ("BASIC_AUTH", "SECRET")
    assert plain(mapping["EventSourceArn"]) == "arn:AWS::Partition:rds:AWS::Region:AWS::AccountId:cluster:CLUSTER"
    functions = template.find_resources("AWS::Lambda::Function")
    sync = functions[mapping["FunctionName"]["Ref"]]
    assert sync["Properties"]["FunctionName"] == "change-streams-demo-sync"


def test_batches_are_as_configured(synth):
    mapping = properties(synth(OTHER)[STACK], MAPPING)
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (17, 3)


def test_the_mapping_has_nothing_that_documentdb_does_not_take(template):
    assert set(properties(template, MAPPING)) == {
        "BatchSize",
        "DocumentDBEventSourceConfig",
        "Enabled",
        "EventSourceArn",
        "FunctionName",
        "MaximumBatchingWindowInSeconds",
        "SourceAccessConfigurations",
        "StartingPosition",
        "StartingPositionTimestamp",
        "Tags",
    }


def test_by_default_the_mapping_starts_where_the_change_stream_was_enabled(template):
    mapping = properties(template, MAPPING)
    (stream,) = template.find_resources(STREAM)
    assert mapping["Enabled"] is True
    assert mapping["StartingPosition"] == "AT_TIMESTAMP"
    assert mapping["StartingPositionTimestamp"] == {"Fn::GetAtt": [stream, "EnabledAt"]}


def test_the_config_function_enables_exactly_the_mappings_scope(template):
    stream = properties(template, STREAM)
    assert (stream["Database"], stream["Collection"]) == ("demo-database", "demo-collection")
    provider = template.find_resources("AWS::Lambda::Function")[stream["ServiceToken"]["Fn::GetAtt"][0]]["Properties"]
    called = provider["Environment"]["Variables"]["USER_ON_EVENT_FUNCTION_ARN"]["Fn::GetAtt"][0]
    functions = template.find_resources("AWS::Lambda::Function")
    assert functions[called]["Properties"]["FunctionName"] == "change-streams-demo-config"


def test_the_clusters_instances_are_there_first(synthesis):
    """They are in another stack; CloudFormation finishes it before this one."""
    manifest = json.loads((synthesis({}).folder / "manifest.json").read_text())
    assert "change-streams-demo-documentdb-stack" in manifest["artifacts"][STACK]["dependencies"]


def test_as_in_the_sample_people_enable_both(synth):
    template = synth(AS_IN_SAMPLE)[STACK]
    mapping = properties(template, MAPPING)
    assert mapping["Enabled"] is False
    assert mapping["StartingPosition"] == "LATEST"
    assert "StartingPositionTimestamp" not in mapping
    assert not template.find_resources(STREAM)


@pytest.mark.parametrize("kind", [MAPPING, STREAM])
def test_another_collection_has_another_mapping_and_another_change_stream(synth, kind):
    """An update in place is refused for a mapping, and would move its start for the change stream."""
    (one,), (other,) = (set(synth(context)[STACK].find_resources(kind)) for context in ({}, OTHER))
    assert one != other


@pytest.mark.parametrize("kind", [MAPPING, STREAM])
def test_the_same_collection_keeps_both_whatever_else_is_chosen(synth, kind):
    changed = {"batch_size": "5", "function_memory_mb": "2048"}
    assert set(synth({})[STACK].find_resources(kind)) == set(synth(changed)[STACK].find_resources(kind))


@pytest.mark.parametrize("context", [{}, AS_IN_SAMPLE])
def test_the_mappings_id_is_an_output(synth, context):
    template = synth(context)[STACK]
    (mapping,) = template.find_resources(MAPPING)
    output = template.content["Outputs"]["esmid"]
    assert output["Value"] == {"Fn::GetAtt": [mapping, "Id"]}
    assert output["Export"]["Name"] == "esm-id"
