"""The `[[reactions]]` of a settings file, deployed behind each door."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.configuration import Configuration, ConfigurationError
from penstock.observe.embedded_metrics import REACTION_UNITS
from penstock.settings import read_settings
from penstock_cdk.collections import Collections
from testkit.functions_template import STACK, allows, may_ask, plain, properties, statements
from testkit.synthesis import Context, Synthesis
from testkit.templates import LAMBDA, VPC, Template, all_properties

FUNCTION, ALARM = "AWS::Lambda::Function", "AWS::CloudWatch::Alarm"
OWN_SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:hook-AbCdEf"

COLLECTIONS = """
[[collections]]
namespace = "shop.orders"
index = "shop-orders"
replicas = 0

[[collections]]
namespace = "shop.items"
index = "shop-items"
replicas = 0
"""

REACTIONS = """
[[reactions]]
name = "paid-orders"
collections = ["shop.orders"]
where = { status = "paid", since = { "$gte" = 2026-01-01T00:00:00Z } }
target = "webhook"
url = "https://hooks.example.com/orders"

[[reactions]]
name = "to-the-bus"
collections = ["shop.orders"]
kinds = ["insert"]
target = "eventbridge"
bus = "shop"

[[reactions]]
name = "audited"
collections = ["shop.audit"]
target = "function"
function = "audit:note"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("settings")
    (folder / "audit.py").write_text("def note(event):\n    pass\n")
    (folder / "penstock.toml").write_text(COLLECTIONS + REACTIONS)
    return folder


@pytest.fixture(scope="module")
def made(synthesis: Callable[[Context], Synthesis], folder: Path) -> Callable[..., Synthesis]:
    return lambda **more: synthesis({"collections": f"@{folder}/penstock.toml", **more})


@pytest.fixture(scope="module")
def mapped(made: Callable[..., Synthesis]) -> Template:
    return made(reaction_secrets=f"paid-orders={OWN_SECRET}").templates[LAMBDA]


@pytest.fixture(scope="module")
def worker(made: Callable[..., Synthesis]) -> Template:
    return made(door="worker").templates[LAMBDA]


def react(template: Template, name: str) -> dict[str, Any]:
    return properties(template, FUNCTION, FunctionName=f"change-streams-demo-react-{name}")


def role_of(template: Template, role: Any) -> dict[str, Any]:
    return template.content["Resources"][role["Fn::GetAtt"][0]]["Properties"]


def operations(template: Template) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """The variables of the task by name, and its role."""
    project = properties(template, "AWS::CodeBuild::Project")
    variables = {each["Name"]: each for each in project["Environment"]["EnvironmentVariables"]}
    return variables, role_of(template, project["ServiceRole"])


def test_nothing_stands_against_them(made: Callable[..., Synthesis]) -> None:
    for more in ({"reaction_secrets": f"paid-orders={OWN_SECRET}"}, {"door": "worker"}, {"door": "both"}):
        assert not [finding for finding in made(**more).findings if STACK in finding]


def test_with_mappings_each_reaction_is_a_function_with_mappings_of_its_own(mapped: Template) -> None:
    pairs = {
        (each["FunctionName"]["Ref"], each["DocumentDBEventSourceConfig"]["CollectionName"])
        for each in all_properties(mapped, "AWS::Lambda::EventSourceMapping")
    }
    names = {
        logical: each["Properties"]["FunctionName"].removeprefix("change-streams-demo-")
        for logical, each in mapped.find_resources(FUNCTION).items()
        if "FunctionName" in each["Properties"]
    }
    assert {(names[function], collection) for function, collection in pairs} == {
        ("sync", "orders"),
        ("sync", "items"),
        ("react-paid-orders", "orders"),
        ("react-to-the-bus", "orders"),
        ("react-audited", "audit"),
    }


def test_each_function_may_do_what_its_own_target_needs(mapped: Template) -> None:
    roles = {name: role_of(mapped, react(mapped, name)["Role"]) for name in ("paid-orders", "to-the-bus", "audited")}
    buses = {
        name: [plain(each) for actions, each in statements(role) if "events:PutEvents" in actions]
        for name, role in roles.items()
    }
    assert [len(each) for each in buses.values()] == [0, 1, 0]
    assert ":event-bus/shop" in buses["to-the-bus"][0]
    reads = {name: allows(role, "secretsmanager:GetSecretValue", OWN_SECRET) for name, role in roles.items()}
    assert reads == {"paid-orders": True, "to-the-bus": False, "audited": False}
    assert react(mapped, "paid-orders")["Environment"]["Variables"]["REACTION_SECRET"] == OWN_SECRET


def test_the_functions_of_the_index_know_nothing_of_reactions(mapped: Template, made: Callable[..., Synthesis]) -> None:
    """A webhook without its secret would refuse them the start."""
    sync = properties(mapped, FUNCTION, FunctionName="change-streams-demo-sync")
    folder = made(reaction_secrets=f"paid-orders={OWN_SECRET}").folder
    asset = sync["Code"]["S3Key"].removesuffix(".zip")
    assert tomllib.loads((folder / f"asset.{asset}" / "penstock.toml").read_text()).keys() == {"collections"}


def test_a_webhook_has_a_new_secret_unless_one_is_named(mapped: Template, worker: Template) -> None:
    secrets = "AWS::SecretsManager::Secret"
    assert not mapped.find_resources(secrets)
    (secret,) = worker.find_resources(secrets)
    assert "GenerateSecretString" in worker.find_resources(secrets)[secret]["Properties"]
    assert [each["Value"] for each in worker.content["Outputs"].values() if each["Value"] == {"Ref": secret}]


@pytest.mark.parametrize("door", ["worker", "both"])
def test_a_worker_runs_them_with_the_rights_that_they_need(made: Callable[..., Synthesis], door: str) -> None:
    done = made(door=door)
    template = done.templates[LAMBDA]
    functions = {each.get("FunctionName", "") for each in all_properties(template, FUNCTION)}
    assert not [each for each in functions if "-react-" in each]
    task = properties(template, "AWS::ECS::TaskDefinition")
    (container,) = task["ContainerDefinitions"]
    (secret,) = template.find_resources("AWS::SecretsManager::Secret")
    assert container["Secrets"] == [{"Name": "PENSTOCK_REACTION_PAID_ORDERS_SECRET", "ValueFrom": {"Ref": secret}}]
    role = role_of(template, task["TaskRoleArn"])
    (bus,) = [each for actions, each in statements(role) if actions == ["events:PutEvents"]]
    assert ":event-bus/shop" in plain(bus)
    assert may_ask(role, "POST", "/penstock-reaction-letters/_bulk")
    assert not allows(role, "secretsmanager:GetSecretValue", secret), "ECS reads it, not the task"
    executing = task["ExecutionRoleArn"]["Fn::GetAtt"][0]
    reads = [
        plain(statement["Resource"])
        for policy in all_properties(template, "AWS::IAM::Policy")
        if {"Ref": executing} in policy["Roles"]
        for statement in policy["PolicyDocument"]["Statement"]
        if "secretsmanager:GetSecretValue" in statement["Action"]
    ]
    assert reads == [secret]
    streams = {each["Collection"] for each in all_properties(template, "Custom::ChangeStream")}
    assert streams == {"orders", "items", "audit"}


def test_the_worker_s_image_holds_their_tables_and_modules(made: Callable[..., Synthesis], worker: Template) -> None:
    (container,) = properties(worker, "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    asset = re.search(r":([0-9a-f]{64})$", container["Image"]["Fn::Sub"])
    assert asset
    settings = made(door="worker").folder / f"asset.{asset[1]}" / "settings"
    assert (settings / "audit.py").exists()
    environ = {
        each["Name"]: "a.b" if isinstance(each["Value"], dict) else each["Value"] for each in container["Environment"]
    }
    environ |= {each["Name"]: "signed" for each in container["Secrets"]}
    read = read_settings(file=settings / "penstock.toml", environ=environ, need_collections=True)
    assert [each.name for each in read.reactions] == ["paid-orders", "to-the-bus", "audited"]
    assert json.loads(read.reactions[0].where)["since"] == {"$gte": {"$date": {"$numberLong": "1767225600000"}}}
    assert "secret" not in (settings / "penstock.toml").read_text().lower()


@pytest.mark.parametrize("door", ["mapping", "worker"])
def test_the_task_replays_dead_letters_with_the_secret_and_the_bus(made: Callable[..., Synthesis], door: str) -> None:
    more = {"door": "worker"} if door == "worker" else {"reaction_secrets": f"paid-orders={OWN_SECRET}"}
    done = made(**more)
    template = done.templates[LAMBDA]
    variables, role = operations(template)
    signed = variables["PENSTOCK_REACTION_PAID_ORDERS_SECRET"]
    assert signed["Type"] == "SECRETS_MANAGER"
    assert allows(role, "secretsmanager:GetSecretValue", plain(signed["Value"]))
    (bus,) = [
        each for actions, each in statements(role) if set(actions) == {"events:PutEvents", "events:DescribeEventBus"}
    ]
    assert ":event-bus/shop" in plain(bus)
    assert may_ask(role, "POST", "/penstock-reaction-letters/_search")
    project = properties(template, "AWS::CodeBuild::Project")
    (asset,) = re.findall(r"([0-9a-f]{64})\.zip", plain(project["Source"]["Location"]))
    code = done.folder / f"asset.{asset}"
    assert (code / "audit.py").exists()
    assert variables["PENSTOCK_SETTINGS"]["Value"] == "penstock.toml"
    plainly = {name: str(each["Value"]) for name, each in variables.items() if isinstance(each["Value"], str)}
    del plainly["PENSTOCK_COMMAND"]
    read = read_settings(file=code / "penstock.toml", environ={**plainly, signed["Name"]: "signed"})
    assert [each.name for each in read.reactions] == ["paid-orders", "to-the-bus", "audited"]
    assert [each.namespace for each in read.collections] == ["shop.orders", "shop.items"]


def test_the_task_knows_the_reaction_that_starts_a_state_machine_too(synthesis: Callable[[Context], Synthesis]) -> None:
    """Its one collection stays in the variable; the file has the reaction alone."""
    done = synthesis({"reactions": "true"})
    variables, role = operations(done.templates[LAMBDA])
    assert {"PENSTOCK_COLLECTIONS", "PENSTOCK_SETTINGS"} <= variables.keys()
    assert [each for actions, each in statements(role) if "events:PutEvents" in actions]
    (asset,) = re.findall(
        r"([0-9a-f]{64})\.zip",
        plain(properties(done.templates[LAMBDA], "AWS::CodeBuild::Project")["Source"]["Location"]),
    )
    environ = {
        "PENSTOCK_COLLECTIONS": variables["PENSTOCK_COLLECTIONS"]["Value"],
        "PENSTOCK_SOURCE_CURSOR_PER": "collection",
    }
    read = read_settings(file=done.folder / f"asset.{asset}" / "penstock.toml", environ=environ)
    assert [each.name for each in read.reactions] == ["new-documents"]
    assert [each.namespace for each in read.collections] == ["demo-database.demo-collection"]


def test_alarms_and_the_dashboard_show_them(mapped: Template, worker: Template) -> None:
    names = {each["AlarmName"].removeprefix("change-streams-demo-") for each in all_properties(mapped, ALARM)}
    for reaction in ("paid-orders", "to-the-bus", "audited"):
        assert {f"reaction-{each}-{reaction}" for each in ("waits", "dead-letters", "lag")} <= names
    of_worker = {
        each["MetricName"]: each
        for each in all_properties(worker, ALARM)
        if each["AlarmName"].startswith("change-streams-demo-worker-reaction-")
    }
    assert of_worker.keys() == {"ReactionsStopped", "ReactionsWaiting", "ReactionsDeadLettered", "ReactionLagSeconds"}
    assert of_worker.keys() <= REACTION_UNITS.keys()
    assert of_worker["ReactionLagSeconds"]["Threshold"] == 12 * 3600
    boards = [plain(properties(each, "AWS::CloudWatch::Dashboard")["DashboardBody"]) for each in (mapped, worker)]
    assert all("Reactions: how far behind" in each for each in boards)
    assert all(f'"penstock","{name}","Worker"' in boards[1] for name in REACTION_UNITS)
    assert all(each in boards[0] for each in ('"Accepted"', '"Waits"', '"LagSeconds"'))


def test_without_a_nat_a_bus_has_its_endpoint(synthesis: Callable[[Context], Synthesis], tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text(COLLECTIONS + REACTIONS[REACTIONS.index('\n[[reactions]]\nname = "to') :])
    (tmp_path / "audit.py").write_text("")
    done = synthesis({"collections": f"@{tmp_path}/penstock.toml", "door": "worker", "egress": "endpoints"})
    endpoints = all_properties(done.templates[VPC], "AWS::EC2::VPCEndpoint")
    assert [each for each in endpoints if json.dumps(each["ServiceName"]).count(".events")]


BUS = 'target = "eventbridge"\nbus = "b"\n'
HOOK = 'target = "webhook"\nurl = "https://a.example"\n'
WORKER = {"door": "worker"}


@pytest.mark.parametrize(
    ("lines", "context", "said"),
    [
        (BUS + "before = true\n", {}, "reaction x: before: a mapping delivers no before-images; remove it, or let a w"),
        (BUS + "after_index = true\n", {}, "after_index: a mapping does not know how far"),
        (HOOK + 'secret = "s"\n', WORKER, "no file that is deployed may hold the secret"),
        (HOOK.replace("https", "http"), {}, "url: the security group of functions and tasks opens nothing but 443"),
        (HOOK.replace("example", "example:8443"), WORKER, "opens nothing but 443"),
        (HOOK, {"egress": "endpoints"}, "have no way to a webhook; choose egress=nat"),
        (BUS, {"as_in_sample": "true"}, "reactions and as_in_sample exclude each other"),
        (BUS, {"reaction_secrets": f"x={OWN_SECRET}"}, "reaction_secrets names x, which is no webhook"),
        ('target = "function"\nfunction = "nowhere:f"\n', {}, "put nowhere.py there"),
        (BUS + 'where = { "$where" = "1" }\n', {}, "$where"),
    ],
)
def test_what_cannot_be_deployed_is_refused_by_its_name(
    tmp_path: Path, lines: str, context: dict[str, Any], said: str
) -> None:
    assert said in refusal(tmp_path, f'[[reactions]]\nname = "x"\ncollections = ["shop.orders"]\n{lines}', **context)


def test_a_bus_of_another_region_is_not_reached_by_endpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDK_DEFAULT_REGION", "eu-west-1")
    table = f'[[reactions]]\nname = "x"\ncollections = ["shop.orders"]\n{BUS}region = "us-east-1"\n'
    assert "only buses of the deployment's own region, eu-west-1" in refusal(tmp_path, table, egress="endpoints")
    read(tmp_path, table)
    read(tmp_path, table.replace("us-east-1", "eu-west-1"), egress="endpoints")


def test_a_worker_follows_one_collection_for_a_reaction(tmp_path: Path) -> None:
    table = f'[[reactions]]\nname = "x"\ncollections = ["shop.orders", "shop.items"]\n{BUS}'
    assert "give each collection a reaction of its own" in refusal(tmp_path, table, door="both")
    assert read(tmp_path, table).collections.reactions[0].name == "x"


def test_the_name_of_the_state_machine_s_reaction_is_taken(tmp_path: Path) -> None:
    table = f'[[reactions]]\nname = "new-documents"\ncollections = ["shop.orders"]\n{BUS}'
    assert "`reactions` makes one of this name" in refusal(tmp_path, table, reactions="true")


def read(folder: Path, tables: str, /, **context: Any) -> Configuration:
    from aws_cdk import App

    (folder / "penstock.toml").write_text(COLLECTIONS + tables)
    return Configuration.from_context(App(context={"collections": f"@{folder}/penstock.toml", **context}).node)


def refusal(folder: Path, tables: str, /, **context: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, tables, **context)
    return str(caught.value)


def test_secrets_are_named_for_each_reaction_once() -> None:
    from aws_cdk import App

    for given in ("x", f"x={OWN_SECRET},x={OWN_SECRET}", "x=hook"):
        with pytest.raises(ConfigurationError, match="reaction_secrets is"):
            Configuration.from_context(App(context={"reaction_secrets": given}).node)


def test_json_has_no_reactions() -> None:
    assert Collections.read([{"namespace": "shop.orders", "index": "shop-orders"}]).reactions == ()
