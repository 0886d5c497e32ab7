"""`-c reactions=true`: a function with mappings of its own, a bus, a rule, a state machine and a topic."""

import json
import tomllib
from typing import Any

import pytest

from penstock.settings import read_settings
from testkit.functions_template import REACTIONS, STACK, may_ask, plain, properties, statements
from testkit.templates import LAMBDA, all_properties

FUNCTION = "AWS::Lambda::Function"
NAME = "change-streams-demo-react-new-documents"


@pytest.fixture(scope="module")
def template(synth):
    return synth(REACTIONS)[LAMBDA]


@pytest.fixture(scope="module")
def function(template) -> dict[str, Any]:
    return properties(template, FUNCTION, FunctionName=NAME)


@pytest.fixture(scope="module")
def role(template, function) -> dict[str, Any]:
    return template.content["Resources"][function["Role"]["Fn::GetAtt"][0]]["Properties"]


def test_nothing_stands_against_it(synthesis):
    assert not [finding for finding in synthesis(REACTIONS).findings if STACK in finding]


def test_each_collection_has_a_second_mapping_for_the_reaction(template):
    (logical,) = template.find_resources(FUNCTION, FunctionName=NAME)
    (sync,) = template.find_resources(FUNCTION, FunctionName="change-streams-demo-sync")
    mappings = all_properties(template, "AWS::Lambda::EventSourceMapping")
    pairs = {
        (each["FunctionName"]["Ref"], each["DocumentDBEventSourceConfig"]["CollectionName"]): each for each in mappings
    }
    assert set(pairs) == {(name, coll) for name in (logical, sync) for coll in ("orders", "items")}
    starts = {json.dumps(each["StartingPositionTimestamp"]) for each in mappings}
    assert len(starts) == 4, "a reaction that is added later starts then"


def test_the_role_may_put_on_the_bus_keep_dead_letters_and_nothing_else(role):
    (bus,) = [resources for actions, resources in statements(role) if "events:PutEvents" in actions]
    assert [each.rpartition(":")[2] for each in bus] == ["event-bus/change-streams-demo"]
    assert may_ask(role, "POST", "/penstock-reaction-letters/_bulk")
    for path in ("/shop-orders-g1-write/_bulk", "/penstock-state/_bulk", "/penstock-dead-letters/_bulk"):
        assert not may_ask(role, "POST", path)
    actions = {action for allowed, _ in statements(role) for action in allowed}
    assert {action for action in actions if action.startswith(("sqs:", "sns:", "states:", "lambda:"))} == set()
    assert {action for action in actions if action.startswith("events:")} == {"events:PutEvents"}


def test_the_function_finds_its_reaction_in_a_layer(template, function, synthesis, tmp_path):
    assert function["Handler"] == "penstock.lambdas.react.handler"
    assert set(function["Environment"]["Variables"]) == {
        "OPEN_SEARCH_DOMAIN_ENDPOINT",
        "PENSTOCK_SETTINGS",
        "PENSTOCK_SINK_TIMEOUT_S",
        "PENSTOCK_OBSERVE_LOG_FORMAT",
    }
    (layer,) = function["Layers"]
    asset = template.content["Resources"][layer["Ref"]]["Properties"]["Content"]["S3Key"].removesuffix(".zip")
    file = synthesis(REACTIONS).folder / f"asset.{asset}" / "penstock.toml"
    assert set(tomllib.loads(file.read_text())) == {"reactions"}
    (reaction,) = read_settings(file=file).reactions
    assert (reaction.name, reaction.bus, reaction.kinds) == ("new-documents", "change-streams-demo", ("insert",))
    assert reaction.collections == ("shop.orders", "shop.items")


def test_a_rule_of_the_bus_starts_the_state_machine_which_tells_the_topic(template):
    (rule,) = [each for each in all_properties(template, "AWS::Events::Rule") if "EventPattern" in each]
    assert rule["EventPattern"]["detail-type"] == ["penstock.document.insert"]
    (machine_id,) = template.find_resources("AWS::StepFunctions::StateMachine")
    assert [each["Arn"] for each in rule["Targets"]] == [{"Ref": machine_id}]
    machine = template.content["Resources"][machine_id]["Properties"]
    (topic_id,) = template.find_resources("AWS::SNS::Topic")
    definition = plain(machine["DefinitionString"])
    assert topic_id in definition
    assert "sns:publish" in definition
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False


def test_an_event_that_starts_no_state_machine_is_kept_and_an_alarm_says_so(template):
    (rule,) = [each for each in all_properties(template, "AWS::Events::Rule") if "EventPattern" in each]
    (queue,) = [name for name in template.find_resources("AWS::SQS::Queue") if name.startswith("NewDocuments")]
    (target,) = rule["Targets"]
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": [queue, "Arn"]}}
    policies = all_properties(template, "AWS::SQS::QueuePolicy")
    sends = [
        statement
        for policy in policies
        if policy["Queues"] == [{"Ref": queue}]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    assert [each["Principal"] for each in sends] == [{"Service": "events.amazonaws.com"}]
    assert "aws:SourceArn" in json.dumps(sends[0]["Condition"])
    (alarm,) = [each for each in all_properties(template, "AWS::CloudWatch::Alarm") if "unstarted" in each["AlarmName"]]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}]


def test_without_a_nat_there_is_an_endpoint_of_eventbridge(synth):
    endpoints = all_properties(synth(REACTIONS)["change-streams-demo-vpc-stack"], "AWS::EC2::VPCEndpoint")
    assert [each for each in endpoints if json.dumps(each["ServiceName"]).count(".events")]


def test_its_alarms_are_its_own(template):
    names = {each["AlarmName"] for each in all_properties(template, "AWS::CloudWatch::Alarm")}
    assert {name for name in names if name.endswith("-new-documents")} == {
        f"change-streams-demo-{name}-new-documents"
        for name in ("reaction-waits", "reaction-dead-letters", "reaction-oversized-records", "reaction-lag")
    }


def test_collections_of_several_databases_have_a_reaction_for_each():
    from infra.reactions import _new_documents
    from penstock_cdk.collections import Collections

    tables = [{"namespace": name, "index": name} for name in ("a.x", "b.x", "a.y")]
    found = [each.read() for each in _new_documents(Collections.read(tables), bus_name="bus")]
    assert [each.collections for each in found] == [("a.x", "a.y"), ("b.x",)]
    assert len({each.name for each in found}) == 2


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"target": "webhook", "url": "https://a.example"}, "a webhook needs the secret of Secrets Manager"),
        ({"target": "eventbridge", "bus": "b", "before": True}, "before: a mapping delivers no before-images"),
        ({"target": "eventbridge", "bus": "b", "where": {"a": {"$regex": "x"}}}, "regex"),
        ({"target": "eventbridge"}, "needs bus"),
        ({"target": "eventbridge", "bus": "b", "name": "n" * 39}, "room for 38 characters"),
    ],
)
def test_a_table_that_cannot_be_deployed_is_refused(table, said):
    from penstock_cdk.reactions import Reaction

    with pytest.raises(ValueError, match=said.replace("$", r"\$")):
        Reaction({"name": "paid", "collections": ["shop.orders"], **table}).read()


def test_a_condition_and_a_function_travel_in_the_layer(tmp_path):
    from pathlib import Path

    from penstock_cdk.reactions import Reaction

    (tmp_path / "paid.py").write_text("def tell(event):\n    pass\n")
    table = {
        "name": "paid",
        "collections": ["shop.orders"],
        "where": {"$or": [{"total": {"$gte": 100}}, {"vip": True}]},
        "target": "function",
        "function": "paid:tell",
    }
    layer = Path(Reaction(table, folder=tmp_path).layer())
    assert (layer / "python" / "paid.py").exists()
    (reaction,) = read_settings(file=layer / "penstock.toml").reactions
    assert json.loads(reaction.where) == table["where"]
