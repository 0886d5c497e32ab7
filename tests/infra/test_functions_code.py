"""The functions are what penstock.lambdas.environment declares, and are told exactly that."""

import json

import pytest

from penstock.lambdas import environment
from penstock.lambdas.environment import HANDLERS, VARIABLES
from testkit.functions_template import OTHER, STACK, plain, properties


def function(template, name):
    return properties(template, "AWS::Lambda::Function", FunctionName=f"change-streams-demo-{name}")


def test_there_are_the_declared_functions_and_no_others(synth):
    named = [
        each["Properties"]["FunctionName"]
        for each in synth({})[STACK].find_resources("AWS::Lambda::Function").values()
        if "FunctionName" in each["Properties"]
    ]
    assert sorted(named) == sorted(f"change-streams-demo-{name}" for name in HANDLERS)


@pytest.mark.parametrize("name", HANDLERS)
def test_a_function_runs_its_handler_and_is_told_exactly_what_is_declared(synth, name):
    found = function(synth({})[STACK], name)
    assert found["Handler"] == HANDLERS[name]
    assert found["Runtime"] == "python3.13"
    assert set(found["Environment"]["Variables"]) == set(VARIABLES[name])


def test_the_values_name_the_cluster_the_domain_the_secret_and_the_queue(synth):
    told = function(synth({})[STACK], "sync")["Environment"]["Variables"]
    (queue,) = synth({})[STACK].find_resources("AWS::SQS::Queue")
    assert plain(told[environment.SECRET]) == "SECRET"
    assert "documentdb-stack" in plain(told[environment.ENDPOINT])
    assert "opensearch-stack" in plain(told[environment.DOMAIN])
    assert plain(told[environment.QUEUE]) == queue
    assert told[environment.LOG_FORMAT] == "json"
    (collection,) = json.loads(told[environment.COLLECTIONS])
    assert collection == {"namespace": "demo-database.demo-collection", "index": "demo-index", "replicas": 0}


def test_the_values_follow_the_configuration(synth):
    told = function(synth(OTHER)[STACK], "sync")["Environment"]["Variables"]
    assert json.loads(told[environment.COLLECTIONS]) == [{"namespace": "shop.orders", "index": "orders", "replicas": 0}]


def test_only_a_production_domain_has_copies(synth):
    told = function(synth({"profile": "production"})[STACK], "sync")["Environment"]["Variables"]
    (collection,) = json.loads(told[environment.COLLECTIONS])
    assert "replicas" not in collection


@pytest.mark.parametrize("context", [{}, OTHER])
def test_the_time_of_a_request_leaves_time_for_more_in_one_call(synth, context):
    sync = function(synth(context)[STACK], "sync")
    assert 1 <= float(sync["Environment"]["Variables"][environment.TIMEOUT]) <= sync["Timeout"] / 3


def test_penstock_takes_what_the_functions_are_told(synth):
    """The real reader of settings takes the names and the kinds of values; references stand as some text."""
    from penstock.settings import read_settings

    for name in HANDLERS:
        told = function(synth({})[STACK], name)["Environment"]["Variables"]
        values = {key: value if isinstance(value, str) else "host.example" for key, value in told.items()}
        if environment.QUEUE in values:
            values[environment.QUEUE] = "https://sqs.eu-west-1.amazonaws.com/123456789012/queue"
        settings = read_settings(environ={**values, "AWS_REGION": "eu-west-1"}, need_collections=True)
        assert [each.namespace for each in settings.collections] == ["demo-database.demo-collection"]


@pytest.mark.parametrize("name", HANDLERS)
def test_a_function_is_in_the_private_subnets_with_its_group(synth, name):
    network = function(synth({})[STACK], name)["VpcConfig"]
    assert [plain(group) for group in network["SecurityGroupIds"]] == ["FUNCTIONS-GROUP"]
    assert [plain(subnet) for subnet in network["SubnetIds"]] == ["PRIVATE-SUBNET-1", "PRIVATE-SUBNET-2"]


def test_size_and_architecture_are_the_configurations(synth):
    sync = function(synth(OTHER)[STACK], "sync")
    assert (sync["Timeout"], sync["MemorySize"]) == (60, 1024)
    assert {function(synth(OTHER)[STACK], name)["Architectures"][0] for name in HANDLERS} == {"arm64"}
    assert {function(synth({})[STACK], name)["Architectures"][0] for name in HANDLERS} == {"x86_64"}


@pytest.mark.parametrize("name", ["writer", "reader", "config"])
def test_the_functions_of_the_api_outlast_its_patience(synth, name):
    assert function(synth({})[STACK], name)["Timeout"] >= 30


@pytest.mark.parametrize("name", HANDLERS)
def test_logs_are_kept_for_a_month_under_the_functions_name(synth, name):
    template = synth({})[STACK]
    groups = template.find_resources("AWS::Logs::LogGroup")
    group = function(template, name)["LoggingConfig"]["LogGroup"]["Ref"]
    assert groups[group]["Properties"]["LogGroupName"] == f"/aws/lambda/change-streams-demo-{name}"
    assert groups[group]["Properties"]["RetentionInDays"] == 30
    assert groups[group]["DeletionPolicy"] == "Delete"


def test_every_log_group_has_a_retention(synth):
    groups = synth({})[STACK].find_resources("AWS::Logs::LogGroup").values()
    assert len(groups) == 7
    assert all(group["Properties"]["RetentionInDays"] for group in groups)


def test_the_deployed_folders_hold_the_handlers_and_the_command(synthesis, tmp_path, monkeypatch):
    """The one synthesis with the real code, instead of its stand-in."""
    from infra import assets  # which needs the CDK library

    monkeypatch.setattr(assets, "BUILT", tmp_path)
    deployed = synthesis({"asset_folder": ""})
    folders = sorted(deployed.folder.glob("asset.*"))
    for handler in HANDLERS.values():
        module = handler.rpartition(".")[0].replace(".", "/")
        assert [each for each in folders if (each / f"{module}.py").exists()], f"{handler} is in no asset"
    assert [each for each in folders if (each / "penstock/cli/app.py").exists()]
    assert not [each for each in folders if (each / "penstock/console").exists()]
    assert sorted(each.name for each in (tmp_path / "x86_64").iterdir()) == ["functions", "operations"]
