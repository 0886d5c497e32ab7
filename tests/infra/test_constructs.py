"""penstock_cdk in an app of one's own: the example of the page, word for word, and props that are wrong."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from testkit.synthesis import STAND_IN
from testkit.templates import Template, all_properties

PAGE = Path(__file__).parents[2] / "docs" / "constructs.md"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """What the example on the page writes, where nobody is signed in and no program is found by its name."""
    folder = tmp_path_factory.mktemp("app")
    (example,) = re.findall(r"<!-- example -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (folder / "app.py").write_text(example)
    without = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CDK_", "JSII_"))}
    subprocess.run(
        [sys.executable, "app.py"],
        cwd=folder,
        env={**without, "PATH": "", "CDK_OUTDIR": str(folder / "out"), "AWS_EC2_METADATA_DISABLED": "true"},
        check=True,
        timeout=500,
    )
    return Template.read(folder / "out" / "search.template.json")


def test_the_example_makes_what_it_names(written: Template) -> None:
    functions = {
        each["FunctionName"] for each in all_properties(written, "AWS::Lambda::Function") if "FunctionName" in each
    }
    assert {re.sub("-[0-9a-f]{8}$", "", name) for name in functions} == {
        f"shop-search-{name}" for name in ("config", "writer", "reader", "sync-shop-orders", "sync-shop-items")
    }
    mappings = all_properties(written, "AWS::Lambda::EventSourceMapping")
    assert {each["DocumentDBEventSourceConfig"]["CollectionName"] for each in mappings} == {"orders", "items"}
    (service,) = all_properties(written, "AWS::ECS::Service")
    assert service["ServiceName"] == "shop-search-worker"
    (dashboard,) = all_properties(written, "AWS::CloudWatch::Dashboard")
    assert dashboard["DashboardName"] == "shop-search"
    alarms = all_properties(written, "AWS::CloudWatch::Alarm")
    assert all(each["AlarmName"].startswith("shop-search-") and each["AlarmActions"] for each in alarms)


def test_of_what_exists_only_the_groups_get_rules(written: Template) -> None:
    rules = {(each["GroupId"], each["FromPort"]) for each in all_properties(written, "AWS::EC2::SecurityGroupIngress")}
    assert rules == {("sg-0123456789abcdef0", 27017), ("sg-0123456789abcdef1", 443)}
    kinds = {each["Type"] for each in written.content["Resources"].values()}
    assert not [kind for kind in kinds if kind.startswith(("AWS::DocDB", "AWS::OpenSearch", "AWS::EC2::VPC"))]


def test_the_deployed_code_is_real_and_holds_no_settings_of_another_function(written: Template) -> None:
    layers = all_properties(written, "AWS::Lambda::LayerVersion")
    assert len({json.dumps(each["Content"]) for each in layers}) == 2


def props(stack: Any) -> dict[str, Any]:
    from infra.configuration import Configuration
    from infra.existing import ExistingCluster, ExistingDomain, existing_vpc
    from penstock_cdk.code import FunctionsCode
    from penstock_cdk.collections import Collections
    from penstock_cdk.parts import Network
    from testkit.functions_template import EXISTING

    given: dict[str, Any] = {**EXISTING, "domain_volume_gib": 100}
    lists = {key: tuple(EXISTING[key].split(",")) for key in ("vpc_subnets", "vpc_zones")}
    configuration = Configuration(**{**given, **lists})
    vpc = existing_vpc(stack, configuration)
    collections = Collections.read([{"namespace": "shop.orders", "index": "orders"}])
    return {
        "network": Network(vpc=vpc, subnets=vpc.private_subnets, group=stack.group(vpc)),
        "cluster": ExistingCluster(stack, "Cluster", configuration=configuration).part,
        "domain": ExistingDomain(stack, "Domain", configuration=configuration).part,
        "collections": collections,
        "code": FunctionsCode.of(STAND_IN / "functions", collections),
    }


@pytest.fixture
def stack(app: Any) -> Any:
    from aws_cdk import Stack
    from aws_cdk import aws_ec2 as ec2

    class Own(Stack):
        def group(self, vpc: ec2.IVpc) -> ec2.SecurityGroup:
            return ec2.SecurityGroup(self, "Group", vpc=vpc)

    return Own(app, "own")


def test_props_that_are_wrong_are_named_all_at_once(stack: Any) -> None:
    from penstock_cdk.sync import ChangeStreamSync

    wrong = {"batch_size": 0, "timeout_s": 900, "how_many": "two", "prefix": "Upper"}
    with pytest.raises(ValueError, match="ChangeStreamSync: batch_size is 0: it must be a whole number") as caught:
        ChangeStreamSync(stack, "Sync", **props(stack), **wrong)
    lines = str(caught.value).splitlines()
    assert [line.split()[1] for line in lines] == ["batch_size", "timeout_s", "how_many", "prefix"]
    assert "from 30 to 840" in lines[1]


def test_a_sync_without_collections_is_refused(stack: Any) -> None:
    from penstock_cdk.collections import Collections
    from penstock_cdk.sync import ChangeStreamSync

    with pytest.raises(ValueError, match="it must have a collection"):
        ChangeStreamSync(stack, "Sync", **{**props(stack), "collections": Collections()})


def test_a_worker_says_which_sizes_it_takes(stack: Any) -> None:
    from aws_cdk import aws_ecs as ecs

    from penstock_cdk.streams import ChangeStreams
    from penstock_cdk.worker import PenstockWorker

    given = props(stack)
    streams = ChangeStreams(stack, "Streams", **{key: given[key] for key in given if key != "domain"})
    del given["code"]
    image = ecs.ContainerImage.from_registry("docker.io/team/penstock:1")
    wrong: dict[str, Any] = {"cpu": 500, "tasks": 0, "architecture": "riscv"}
    with pytest.raises(ValueError, match="PenstockWorker: tasks is 0: it must be a whole number from 1") as caught:
        PenstockWorker(stack, "Worker", **given, streams=streams, image=image, **wrong)
    lines = str(caught.value).splitlines()
    assert lines[1] == "PenstockWorker: cpu is 500: it must be 256, 512, 1024, 2048 or 4096."
    assert lines[2] == "PenstockWorker: architecture is 'riscv': it must be arm64 or x86_64."


def test_an_api_says_which_access_it_knows(stack: Any) -> None:
    from penstock_cdk.api import SyncApi
    from penstock_cdk.streams import ChangeStreams

    given = props(stack)
    streams = ChangeStreams(stack, "Streams", **{key: given[key] for key in given if key != "domain"})
    with pytest.raises(ValueError, match="SyncApi: access is 'all': it must be key or iam or open"):
        SyncApi(stack, "Api", **given, streams=streams, access="all")  # type: ignore[arg-type]


def test_a_stack_has_room_for_several_apis(stack: Any) -> None:
    from aws_cdk import App

    from penstock_cdk.api import SyncApi
    from penstock_cdk.streams import ChangeStreams

    given = props(stack)
    streams = ChangeStreams(stack, "Streams", **{key: given[key] for key in given if key != "domain"})
    for name in ("orders", "items"):
        SyncApi(stack, name, **given, streams=streams, prefix=name)
    app = stack.node.root
    assert isinstance(app, App)
    outputs = app.synth().get_stack_by_name("own").template["Outputs"]
    assert len([each for each in outputs if "Endpoint" in each]) == 2


def test_a_webhook_gets_its_secret_by_name_and_its_role_may_read_it(stack: Any) -> None:
    from aws_cdk import Stack
    from aws_cdk import aws_secretsmanager as secretsmanager
    from aws_cdk.assertions import Template as Assertions

    from penstock_cdk.reactions import Reaction, Reactions
    from penstock_cdk.streams import ChangeStreams

    given = props(stack)
    shared = {name: part for name, part in given.items() if name != "collections"}
    streams = ChangeStreams(stack, "Streams", **{name: part for name, part in given.items() if name != "domain"})
    table = {"name": "paid", "collections": ["shop.orders"], "target": "webhook", "url": "https://hooks.example.com"}
    paid = Reaction(table, secret=secretsmanager.Secret(stack, "Secret"))
    made = Reactions(stack, "Reactions", **shared, reactions=[paid], streams=streams, prefix="shop")
    assert Stack.of(made.functions["paid"]) is stack
    resources = Assertions.from_stack(stack).to_json()["Resources"]
    (function,) = [
        each["Properties"]
        for each in resources.values()
        if each["Type"] == "AWS::Lambda::Function" and each["Properties"].get("FunctionName") == "shop-react-paid"
    ]
    secret = function["Environment"]["Variables"]["REACTION_SECRET"]
    (role,) = function["Role"]["Fn::GetAtt"][:1]
    policies = {each["PolicyName"]: each for each in resources[role]["Properties"]["Policies"]}
    assert policies["WebhookSecretAccess"]["PolicyDocument"]["Statement"][0]["Resource"] == secret
    assert "BusAccess" not in policies


def test_a_reaction_must_fit_into_a_call_of_its_function(stack: Any) -> None:
    from penstock_cdk.reactions import Reaction, Reactions

    given = {name: part for name, part in props(stack).items() if name != "collections"}
    slow = Reaction(
        {"name": "slow", "collections": ["shop.orders"], "target": "eventbridge", "bus": "b", "timeout_s": 30}
    )
    with pytest.raises(ValueError, match="slow: timeout_s of the function must be more than twice"):
        Reactions(stack, "Reactions", **given, reactions=[slow], streams=None, timeout_s=60)
