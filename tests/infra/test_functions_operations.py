"""The task runs any penstock command inside the network, with the rights that the commands need."""

import json
import os
import subprocess
import sys

import pytest

from penstock.lambdas import environment
from penstock.lambdas.environment import OPERATIONS_VARIABLES
from testkit.functions_template import OTHER, STACK, allows, may_ask, plain, properties, statements

PROJECT = "AWS::CodeBuild::Project"


@pytest.fixture(scope="module")
def template(synth):
    return synth({})[STACK]


@pytest.fixture(scope="module")
def project(template):
    return properties(template, PROJECT)


@pytest.fixture(scope="module")
def role(template, project):
    return template.find_resources("AWS::IAM::Role")[project["ServiceRole"]["Fn::GetAtt"][0]]["Properties"]


def variables(project):
    return {each["Name"]: each["Value"] for each in project["Environment"]["EnvironmentVariables"]}


def command_of(project):
    (command,) = json.loads(project["Source"]["BuildSpec"])["phases"]["build"]["commands"]
    return command


def run(project, command):
    shell = command_of(project).replace("python ", f"{sys.executable} ", 1)
    environ = {"PATH": os.environ["PATH"], "PENSTOCK_COMMAND": command, "TERM": "dumb"}
    return subprocess.run(["sh", "-c", shell], env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_it_has_its_name_and_eight_hours(project):
    assert project["Name"] == "change-streams-demo-operations"
    assert project["TimeoutInMinutes"] == 8 * 60


def test_it_is_in_the_private_subnets_with_the_functions_group(project):
    network = project["VpcConfig"]
    assert [plain(group) for group in network["SecurityGroupIds"]] == ["FUNCTIONS-GROUP"]
    assert [plain(subnet) for subnet in network["Subnets"]] == ["PRIVATE-SUBNET-1", "PRIVATE-SUBNET-2"]


def test_its_code_is_a_folder_in_s3_and_no_image_is_built(project, role):
    assert project["Source"]["Type"] == "S3"
    assert plain(project["Source"]["Location"]).endswith(".zip")
    assert project["Environment"]["PrivilegedMode"] is False
    archive = plain(project["Source"]["Location"])
    assert allows(role, "s3:GetObject", f"arn:AWS::Partition:s3:::{archive}")
    assert not allows(role, "s3:GetObject", f"arn:AWS::Partition:s3:::{archive.rsplit('/', 1)[0]}/another.zip")


def test_it_runs_on_the_python_that_the_code_is_built_for(project):
    assert json.loads(project["Source"]["BuildSpec"])["phases"]["install"]["runtime-versions"] == {"python": "3.13"}


def test_its_machine_has_the_functions_architecture(synth, project):
    other = properties(synth(OTHER)[STACK], PROJECT)
    assert [each["Environment"]["Type"] for each in (project, other)] == ["LINUX_CONTAINER", "ARM_CONTAINER"]
    assert "x86_64" in project["Environment"]["Image"]
    assert "aarch64" in other["Environment"]["Image"]


def test_it_is_told_exactly_what_is_declared_and_a_command(project):
    assert set(variables(project)) == {*OPERATIONS_VARIABLES, "PENSTOCK_COMMAND"}
    assert variables(project)["PENSTOCK_COMMAND"] == "status"
    assert plain(variables(project)[environment.SECRET]) == "SECRET"


def test_it_runs_the_command(project):
    ran = run(project, "--version")
    assert ran.stdout.startswith("penstock "), ran.stderr
    assert ran.returncode == 0


def test_a_failed_command_fails_the_build(project):
    assert run(project, "no-such-command").returncode != 0


def test_no_shell_reads_the_command(project, tmp_path):
    there = tmp_path / "there"
    ran = run(project, f"--version; touch {there} $(touch {there}) && touch {there}")
    assert not there.exists()
    assert ran.returncode != 0


def test_words_of_the_command_may_be_quoted(project):
    ran = run(project, "status --settings 'no such file.toml'")
    assert "no such file.toml" in ran.stderr


def test_its_log_has_a_name_and_a_retention(template, project, role):
    group = project["LogsConfig"]["CloudWatchLogs"]["GroupName"]["Ref"]
    log = template.find_resources("AWS::Logs::LogGroup")[group]["Properties"]
    assert (log["LogGroupName"], log["RetentionInDays"]) == ("/aws/codebuild/change-streams-demo-operations", 30)
    assert allows(role, "logs:PutLogEvents", f"{group}.Arn")


def test_it_reads_the_secret_and_replays_the_queue(template, role):
    (queue,) = template.find_resources("AWS::SQS::Queue")
    assert allows(role, "secretsmanager:GetSecretValue", "SECRET")
    for action in ("ReceiveMessage", "DeleteMessage", "SendMessage", "ChangeMessageVisibility", "GetQueueAttributes"):
        assert allows(role, f"sqs:{action}", f"{queue}.Arn")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/_alias/demo-index"),
        ("GET", "/_alias/demo-index-g1-write"),
        ("GET", "/demo-index-g1/_count"),
        ("GET", "/demo-index-g1/_stats/indexing"),
        ("GET", "/penstock-state"),
        ("GET", "/_cluster/health"),
        ("PUT", "/demo-index-g1"),
        ("PUT", "/penstock-state-v1"),
        ("POST", "/_aliases"),
        ("DELETE", "/demo-index-g1"),
        ("POST", "/demo-index-g1-write/_bulk"),
        ("POST", "/penstock-state/_bulk"),
        ("POST", "/penstock-state/_mget"),
        ("POST", "/demo-index-g1/_refresh"),
        ("POST", "/demo-index-g1/_search"),
        ("POST", "/_search/scroll"),
        ("DELETE", "/_search/scroll"),
        ("POST", "/penstock-dead-letters/_delete_by_query"),
        ("DELETE", "/penstock-check-0123456789ab"),
    ],
)
def test_it_may_send_what_commands_send(role, method, path):
    assert may_ask(role, method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/demo-index"),
        ("DELETE", "/another-g1"),
        ("DELETE", "/penstock-state-v1"),
        ("POST", "/_bulk"),
        ("POST", "/another/_bulk"),
        ("PUT", "/another"),
        ("PUT", "/_cluster/settings"),
    ],
)
def test_it_may_not_send_what_no_command_sends(role, method, path):
    assert not may_ask(role, method, path)


def test_interfaces_are_handed_to_codebuild_only(role):
    (handed,) = [
        statement
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "ec2:CreateNetworkInterfacePermission"
    ]
    assert handed["Condition"]["StringEquals"] == {"ec2:AuthorizedService": "codebuild.amazonaws.com"}
    subnets = [plain(each) for each in handed["Condition"]["ArnEquals"]["ec2:Subnet"]]
    assert [each.rsplit("/", 1)[1] for each in subnets] == ["PRIVATE-SUBNET-1", "PRIVATE-SUBNET-2"]
    assert any("ec2:CreateNetworkInterface" in actions for actions, _ in statements(role))


def test_nothing_starts_it_by_default(template):
    assert not template.find_resources("AWS::Events::Rule")


def test_a_schedule_starts_it_with_its_command(synth):
    template = synth(OTHER)[STACK]
    rule = properties(template, "AWS::Events::Rule")
    assert rule["ScheduleExpression"] == "rate(1 day)"
    (target,) = rule["Targets"]
    (project,) = template.find_resources(PROJECT)
    assert plain(target["Arn"]) == f"{project}.Arn"
    assert json.loads(target["Input"]) == {
        "environmentVariablesOverride": [{"name": "PENSTOCK_COMMAND", "value": "verify --repair", "type": "PLAINTEXT"}]
    }


def test_somebody_is_told_when_what_the_schedule_starts_has_failed(synth):
    alarm = properties(synth(OTHER)[STACK], "AWS::CloudWatch::Alarm", AlarmName="change-streams-demo-operations-failed")
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Threshold"]) == ("AWS/CodeBuild", "FailedBuilds", 1)
    assert [each["Name"] for each in alarm["Dimensions"]] == ["ProjectName"]


def test_the_code_needs_no_package_that_is_not_in_its_folder(project):
    assert "install " not in project["Source"]["BuildSpec"]
