"""docs/aws.md speaks of what is deployed."""

import re
from pathlib import Path

import pytest

from testkit.functions_template import WORKER
from testkit.templates import LAMBDA, all_properties

PAGE = (Path(__file__).parents[2] / "docs" / "aws.md").read_text()


@pytest.fixture(scope="module")
def template(synth):
    return synth({})[LAMBDA]


def test_every_alarm_is_explained(template, synth):
    alarms = [alarm["AlarmName"] for alarm in all_properties(template, "AWS::CloudWatch::Alarm")]
    alarms += [alarm["AlarmName"] for alarm in all_properties(synth(WORKER)[LAMBDA], "AWS::CloudWatch::Alarm")]
    assert "change-streams-demo-worker-away" in alarms
    rows = "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))
    assert [alarm for alarm in alarms if f"`{alarm.removeprefix('change-streams-demo-')}`" not in rows] == []


def test_outputs_that_commands_ask_for_are_there(template):
    asked = set(re.findall(r"\$\(output (\w+)\)", PAGE))
    assert asked == {"ApiUrl", "ApiKeyId", "esmid"}
    assert asked <= set(template.content["Outputs"])


def test_names_are_the_deployed_ones(template):
    (project,) = all_properties(template, "AWS::CodeBuild::Project")
    (dashboard,) = all_properties(template, "AWS::CloudWatch::Dashboard")
    groups = {group.get("LogGroupName") for group in all_properties(template, "AWS::Logs::LogGroup")}
    assert f"--project-name {project['Name']} " in PAGE
    assert f"The dashboard `{dashboard['DashboardName']}`" in PAGE
    assert set(re.findall(r"/aws/[\w/-]+", PAGE)) <= groups


def test_every_stack_is_in_the_table(synth):
    for stack in synth({}):
        assert f"| `{stack}` |" in PAGE


def test_retention_of_a_month_is_true(template):
    kept = {
        group["LogGroupName"]: group["RetentionInDays"]
        for group in all_properties(template, "AWS::Logs::LogGroup")
        if "LogGroupName" in group
    }
    assert "kept for a month" in PAGE
    assert set(kept.values()) == {30}
