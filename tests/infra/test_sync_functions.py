"""One sync function for each collection: what it has of its own, and that no other notices it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock_cdk.collections import FILE, Collections
from penstock_cdk.names import readable
from testkit.functions_template import EACH, allows, may_ask, plain, properties
from testkit.synthesis import Synthesis
from testkit.templates import LAMBDA, Template, all_properties

FUNCTION, ALARM, LAYER = "AWS::Lambda::Function", "AWS::CloudWatch::Alarm", "AWS::Lambda::LayerVersion"
TABLES: list[dict[str, Any]] = EACH["collections"]
OF_ONE = {**EACH, "collections": TABLES[:1]}


@pytest.fixture(scope="module")
def both(synth: Callable[..., dict[str, Template]]) -> Template:
    return synth(EACH)[LAMBDA]


def sync_of(template: Template, namespace: str) -> dict[str, Any]:
    return properties(template, FUNCTION, FunctionName=f"change-streams-demo-sync-{readable(namespace)}")


def test_each_mapping_calls_the_function_of_its_collection(both: Template) -> None:
    for mapping in all_properties(both, "AWS::Lambda::EventSourceMapping"):
        of = mapping["DocumentDBEventSourceConfig"]
        called = both.content["Resources"][mapping["FunctionName"]["Ref"]]["Properties"]
        assert called == sync_of(both, f"{of['DatabaseName']}.{of['CollectionName']}")
        assert called["Handler"] == "penstock.lambdas.sync.handler"


def test_a_function_may_write_the_index_of_its_collection_and_no_other(both: Template) -> None:
    role = both.content["Resources"][sync_of(both, "shop.orders")["Role"]["Fn::GetAtt"][0]]["Properties"]
    assert may_ask(role, "POST", "/shop-orders-g1-write/_bulk")
    assert not may_ask(role, "POST", "/shop-items-g1-write/_bulk")


def test_they_share_the_queue_and_have_logs_and_alarms_of_their_own(both: Template) -> None:
    (queue,) = both.find_resources("AWS::SQS::Queue")
    for table in TABLES:
        sync = sync_of(both, table["namespace"])
        role = both.content["Resources"][sync["Role"]["Fn::GetAtt"][0]]["Properties"]
        assert allows(role, "sqs:SendMessage", f"{queue}.Arn")
        group = both.content["Resources"][sync["LoggingConfig"]["LogGroup"]["Ref"]]["Properties"]
        assert group["LogGroupName"] == f"/aws/lambda/{sync['FunctionName']}"
        (function,) = both.find_resources(FUNCTION, FunctionName=sync["FunctionName"])
        watched = {
            alarm["AlarmName"].removesuffix(f"-{readable(table['namespace'])}")
            for alarm in all_properties(both, ALARM)
            if {"Name": "FunctionName", "Value": {"Ref": function}} in alarm["Dimensions"]
        }
        assert watched == {
            f"change-streams-demo-{name}"
            for name in (
                "mapping-age",
                "sync-errors",
                "oversized-records",
                "lag-against-change-log",
                "dead-letters",
                "systemic-faults",
                "unreconciled",
            )
        }
    assert properties(both, ALARM, AlarmName="change-streams-demo-parked-keys")


def test_the_dashboard_shows_all_of_them(both: Template) -> None:
    body = plain(properties(both, "AWS::CloudWatch::Dashboard")["DashboardBody"])
    functions = [name for name in both.find_resources(FUNCTION) if name.startswith("FunctionsSync")]
    assert len(functions) == 2
    assert all(body.count(f'"LagSeconds","FunctionName","{name}"') == 1 for name in functions)


def test_names_fit_and_tell_collections_apart() -> None:
    long = [f"{'database' * 6}.{'collection' * 5}{number}" for number in range(2)]
    names = {f"change-streams-demo-sync-{readable(each)}" for each in [*long, "a.b", "A.B", "a.b-"]}
    assert len(names) == 5
    assert all(len(name) <= 64 for name in names)


def test_a_collection_that_is_added_or_removed_touches_no_other(synthesis: Callable[..., Synthesis]) -> None:
    """All that differs is new, or shows all of them; the functions of the API and the task know all collections."""
    one = synthesis(OF_ONE).templates[LAMBDA].content["Resources"]
    two = synthesis(EACH).templates[LAMBDA].content["Resources"]
    knowing = ("FunctionsWriter", "FunctionsReader", "FunctionsConfig", "Operations", "Dashboard")
    changed = {name for name, each in one.items() if two[name] != each and not name.startswith(knowing)}
    assert changed == set()
    assert any(name.startswith("FunctionsSync") for name in one)


def test_a_function_finds_its_settings_its_mapping_and_its_own_code_in_the_layer(
    both: Template, synthesis: Callable[..., Synthesis], tmp_path: Path
) -> None:
    told = sync_of(both, "shop.orders")["Environment"]["Variables"]
    assert told["PENSTOCK_SETTINGS"] == f"/opt/{FILE}"
    (layer,) = sync_of(both, "shop.orders")["Layers"]
    asset = both.content["Resources"][layer["Ref"]]["Properties"]["Content"]["S3Key"].removesuffix(".zip")
    deployed = (synthesis(EACH).folder / f"asset.{asset}" / FILE).read_text()
    assert "shop.orders" in deployed
    assert "Items" not in deployed

    (tmp_path / "orders.json").write_text('{"mappings": {"properties": {"n": {"type": "long"}}}}')
    (tmp_path / "shop.py").write_text("def order(document):\n    return document\n")
    tables = [{"namespace": "shop.orders", "mapping_file": "orders.json", "function": "shop:order"}]
    (tmp_path / "tables.json").write_text(json.dumps(tables))
    given = Collections.read(f"@{tmp_path}/tables.json")
    opt = Path(given.layer(given.tables[0]))
    program = (
        "from penstock.lambdas.clients import collection;"
        "from penstock.documents.transform import Transform; import sys; Transform(collection());"
        "print(collection().mapping_file, sys.modules['shop'].__file__)"
    )
    environment = {**os.environ, "PENSTOCK_SETTINGS": str(opt / FILE), "PYTHONPATH": str(opt / "python")}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd="/", capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [str(opt / "penstock-mappings/shop.orders.json"), str(opt / "python/shop.py")]


def test_one_stack_holds_as_many_functions_as_are_allowed(both: Template, synth: Callable[..., Any]) -> None:
    """CloudFormation takes 500 resources in a stack."""
    from penstock_cdk.names import MOST_FUNCTIONS

    per_collection = len(both.content["Resources"]) - len(synth(OF_ONE)[LAMBDA].content["Resources"])
    rest = len(both.content["Resources"]) - 2 * per_collection
    assert rest + MOST_FUNCTIONS * per_collection <= 500


def test_one_function_serves_a_hundred_collections(synth: Callable[..., dict[str, Template]]) -> None:
    tables = [{"namespace": f"shop.c{number}", "index": f"shop-{number}", "replicas": 0} for number in range(100)]
    template = synth({"collections": tables})[LAMBDA]
    mappings = all_properties(template, "AWS::Lambda::EventSourceMapping")
    assert len({each["DocumentDBEventSourceConfig"]["CollectionName"] for each in mappings}) == 100
    assert len({json.dumps(each["FunctionName"]) for each in mappings}) == 1
