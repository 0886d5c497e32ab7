"""The worker as a service: two tasks, of which one stands by, with what they need and nothing else."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from infra.configuration import Configuration
from penstock.observe.embedded_metrics import WORKER_UNITS
from penstock.settings import read_settings
from penstock_cdk.collections import Collections
from testkit.functions_template import BOTH, WORKER, allows, may_ask, plain, properties
from testkit.templates import DOCUMENTDB, LAMBDA, VPC, Template, all_properties

SERVICE, TASK, ALARM = "AWS::ECS::Service", "AWS::ECS::TaskDefinition", "AWS::CloudWatch::Alarm"


@pytest.fixture(scope="module")
def worker(synth: Any) -> Template:
    return synth(WORKER)[LAMBDA]


@pytest.fixture(scope="module")
def both(synth: Any) -> Template:
    return synth(BOTH)[LAMBDA]


def container(template: Template) -> dict[str, Any]:
    (found,) = properties(template, TASK)["ContainerDefinitions"]
    return found


def told(template: Template) -> dict[str, str]:
    return {each["Name"]: plain(each["Value"]) for each in container(template)["Environment"]}


def task_role(template: Template) -> dict[str, Any]:
    return template.content["Resources"][properties(template, TASK)["TaskRoleArn"]["Fn::GetAtt"][0]]["Properties"]


def test_two_tasks_are_replaced_without_a_gap_and_a_failed_replacement_is_taken_back(worker: Template) -> None:
    service = properties(worker, SERVICE)
    assert service["DesiredCount"] == 2
    how = service["DeploymentConfiguration"]
    assert (how["MinimumHealthyPercent"], how["MaximumPercent"]) == (100, 200)
    assert how["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert not [kind for kind in kinds(worker) if "AutoScaling" in kind]


def test_tasks_stand_where_the_functions_do(worker: Template) -> None:
    network = properties(worker, SERVICE)["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert network["AssignPublicIp"] == "DISABLED"
    assert [plain(group) for group in network["SecurityGroups"]] == ["FUNCTIONS-GROUP"]
    assert [plain(subnet) for subnet in network["Subnets"]] == ["PRIVATE-SUBNET-1", "PRIVATE-SUBNET-2"]


def test_graviton_is_the_default_and_a_switch_changes_it(worker: Template, both: Template) -> None:
    chosen = [properties(each, TASK) for each in (worker, both)]
    assert [each["RuntimePlatform"]["CpuArchitecture"] for each in chosen] == ["ARM64", "X86_64"]
    assert [(each["Cpu"], each["Memory"]) for each in chosen] == [("512", "1024"), ("1024", "2048")]


def test_the_change_streams_are_enabled_before_it_starts(worker: Template) -> None:
    (service,) = worker.find_resources(SERVICE).values()
    streams = worker.find_resources("Custom::ChangeStream")
    assert streams
    assert streams.keys() <= set(service["DependsOn"])


def test_without_mappings_nothing_of_them_is_there_and_the_api_stays(worker: Template, synth: Any) -> None:
    assert not kinds(worker) & {"AWS::Lambda::EventSourceMapping", "AWS::SQS::Queue"}
    functions = {
        each["FunctionName"] for each in all_properties(worker, "AWS::Lambda::Function") if "FunctionName" in each
    }
    assert functions == {f"change-streams-demo-{name}" for name in ("writer", "reader", "config")}
    assert "ApiUrl" in worker.content["Outputs"]
    rules = all_properties(synth(WORKER)[VPC], "AWS::EC2::SecurityGroupIngress")
    assert not [rule for rule in rules if rule["GroupId"] == rule["SourceSecurityGroupId"]]
    assert "PENSTOCK_PIPELINE_PARKING_QUEUE" not in json.dumps(worker.content)


def test_the_functions_and_the_api_keep_their_ids_behind_each_door(worker: Template, synth: Any) -> None:
    """So a change of the door replaces no address and no log."""
    kept = ("FunctionsWriter", "FunctionsReader", "FunctionsConfig", "GatewayApi", "Operations", "Roles")
    with_mapping = synth({})[LAMBDA].content["Resources"]
    of_sync = ("FunctionsSync", "RolesSync", "GatewayApiDeployment")
    expected = {name for name in with_mapping if name.startswith(kept) and not name.startswith(of_sync)}
    assert expected <= worker.content["Resources"].keys()


def test_engine_8_has_its_parameter_group(synth: Any) -> None:
    template = synth(WORKER)[DOCUMENTDB]
    assert properties(template, "AWS::DocDB::DBCluster")["EngineVersion"] == "8.0.0"
    assert properties(template, "AWS::DocDB::DBClusterParameterGroup")["Family"] == "docdb8.0"


def test_images_are_pulled_through_endpoints_where_there_is_no_other_way(synth: Any) -> None:
    services = {plain(each["ServiceName"]) for each in all_properties(synth(WORKER)[VPC], "AWS::EC2::VPCEndpoint")}
    assert {name.rpartition(".ecr.")[2] for name in services if ".ecr." in name} == {"api", "dkr"}


def test_penstock_takes_what_the_tasks_are_told(worker: Template) -> None:
    hosts = dict.fromkeys(("DOCUMENT_DB_ENDPOINT", "OPEN_SEARCH_DOMAIN_ENDPOINT"), "host.example")
    settings = read_settings(environ={**told(worker), **hosts}, need_collections=True)
    assert (settings.source.secret, settings.source.cursor_per) == ("SECRET", "collection")
    assert settings.source.retention_s == 24 * 3600
    assert (settings.sink.auth, settings.observe.listen) == ("sigv4", ":9400")
    assert [each.namespace for each in settings.collections] == ["demo-database.demo-collection"]


def test_no_login_is_in_the_task(worker: Template, both: Template) -> None:
    for each in (worker, both):
        assert "Secrets" not in container(each)
        assert not [name for name in told(each) if "PASSWORD" in name or "USERNAME" in name]


def test_the_role_reads_the_secret_and_asks_the_domain_for_what_a_worker_sends(both: Template) -> None:
    role, domain = task_role(both), BOTH["domain_arn"]
    assert allows(role, "secretsmanager:GetSecretValue", BOTH["cluster_secret"])
    assert allows(role, "kms:Decrypt", BOTH["cluster_secret_key"])
    for index in ("shop-orders", "shop-items"):
        assert allows(role, "es:ESHttpPost", f"{domain}/{index}-g1-write/_bulk")
    assert allows(role, "es:ESHttpPost", f"{domain}/penstock-state/_mget")
    for path in ("_bulk", "another/_bulk", "another-g1/_search", "_delete_by_query", "_reindex"):
        assert not allows(role, "es:ESHttpPost", f"{domain}/{path}")
    assert not allows(role, "es:ESHttpDelete", f"{domain}/shop-orders-g1")


def test_the_role_has_no_more_than_that(worker: Template) -> None:
    actions = {
        action.partition(":")[0]
        for policy in task_role(worker)["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert actions == {"es", "secretsmanager"}
    assert may_ask(task_role(worker), "POST", "/demo-index-g1-write/_bulk")
    name = properties(worker, TASK)["TaskRoleArn"]["Fn::GetAtt"][0]
    assert not [each for each in all_properties(worker, "AWS::IAM::Policy") if {"Ref": name} in each["Roles"]]


def test_the_image_is_the_project_s_with_the_settings_in_it(synthesis: Any) -> None:
    tables = [{"namespace": "shop.orders", "index": "shop-orders", "exclude": ["card"]}]
    done = synthesis({"door": "worker", "collections": tables})
    template = done.templates[LAMBDA]
    asset = re.search(r":([0-9a-f]{64})$", container(template)["Image"]["Fn::Sub"])
    assert asset
    folder = done.folder / f"asset.{asset[1]}"
    root = Path(__file__).parents[2]
    assert (folder / "Dockerfile").read_text() == (root / "Dockerfile").read_text() + "COPY settings/ /etc/penstock/\n"
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", (folder / "Dockerfile").read_text(), re.MULTILINE)
    assert all((folder / name).exists() for line in copied for name in line.split())
    settings = tomllib.loads((folder / "settings" / "penstock.toml").read_text())
    assert settings == {"collections": tables}
    assert told(template)["PENSTOCK_SETTINGS"] == "penstock.toml"
    assert container(template)["WorkingDirectory"] == "/etc/penstock"


def test_mapping_files_and_functions_are_in_the_image(tmp_path: Path) -> None:
    from infra.image import build_context

    (tmp_path / "orders.json").write_text('{"mappings": {}}')
    (tmp_path / "shop.py").write_text("def order(document):\n    return document\n")
    tables = [{"namespace": "shop.orders", "mapping_file": "orders.json", "function": "shop:order"}]
    (tmp_path / "tables.json").write_text(json.dumps(tables))
    collections = Collections.read(f"@{tmp_path}/tables.json")
    settings = Path(build_context(Configuration(door="worker", collections=collections))) / "settings"
    assert (settings / "shop.py").exists()
    (table,) = read_settings(file=settings / "penstock.toml").collections
    assert table.mapping_file
    assert table.mapping_file.is_relative_to(settings)


def test_an_image_that_exists_is_pulled_by_the_rights_on_its_repository_alone(both: Template, synth: Any) -> None:
    assert plain(container(both)["Image"]).endswith("/team/penstock:1.2")
    pulls = [
        statement["Resource"]
        for policy in all_properties(both, "AWS::IAM::Policy")
        for statement in policy["PolicyDocument"]["Statement"]
        if "ecr:BatchGetImage" in statement["Action"]
    ]
    assert pulls == ["arn:aws:ecr:eu-west-1:123456789012:repository/team/penstock"]


def test_every_metric_that_is_watched_is_one_that_a_worker_writes(worker: Template) -> None:
    watched = {
        each["MetricName"]: each
        for each in all_properties(worker, ALARM)
        if each["AlarmName"].startswith("change-streams-demo-worker-") and each["Namespace"] == "penstock"
    }
    assert watched.keys() <= WORKER_UNITS.keys()
    for each in watched.values():
        assert each["Dimensions"] == [{"Name": "Worker", "Value": told(worker)["PENSTOCK_OBSERVE_EMBEDDED_METRICS"]}]


def test_silence_is_an_alarm_only_where_nobody_holds_a_lease(worker: Template) -> None:
    alarms = {each["AlarmName"].removeprefix("change-streams-demo-"): each for each in all_properties(worker, ALARM)}
    away = alarms.pop("worker-away")
    assert (away["MetricName"], away["ComparisonOperator"], away["Threshold"]) == (
        "PipelinesHeld",
        "LessThanThreshold",
        1,
    )
    assert away["TreatMissingData"] == "breaching"
    assert {each["TreatMissingData"] for each in alarms.values()} == {"notBreaching"}
    assert alarms["worker-lag-against-change-log"]["Threshold"] == 12 * 3600


def test_the_dashboard_shows_the_worker_and_all_alarms(worker: Template) -> None:
    body = plain(properties(worker, "AWS::CloudWatch::Dashboard")["DashboardBody"])
    assert '"penstock","LagSeconds","Worker","change-streams-demo-worker"' in body
    assert all(f"{name}.Arn" in body for name in worker.find_resources(ALARM))
    assert "IteratorAge" not in body


def test_logs_are_kept_for_a_month(worker: Template) -> None:
    group = container(worker)["LogConfiguration"]["Options"]["awslogs-group"]["Ref"]
    kept = worker.content["Resources"][group]["Properties"]
    assert (kept["LogGroupName"], kept["RetentionInDays"]) == ("/ecs/change-streams-demo-worker", 30)


def test_a_domain_that_asks_for_roles_is_told_the_worker_s(both: Template) -> None:
    assert {"WorkerRoleArn", "SyncRoleArn", "ReaderRoleArn"} <= both.content["Outputs"].keys()


def kinds(template: Template) -> set[str]:
    return {each["Type"] for each in template.content["Resources"].values()}
