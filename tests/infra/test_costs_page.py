"""docs/aws-costs.md counts what is deployed, and counts right."""

import re
from pathlib import Path
from typing import Any

from infra.configuration import Configuration
from penstock.lambdas.embedded_metrics import UNITS
from penstock.observe.embedded_metrics import REACTION_UNITS, WORKER_UNITS
from testkit.functions_template import EACH, WORKER, properties
from testkit.templates import LAMBDA, VPC, Template, all_properties

PAGE = (Path(__file__).parents[2] / "docs" / "aws-costs.md").read_text()
DAY_S = 24 * 3600


def row(begins: str) -> list[str]:
    """The cells of the only row that begins so."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {begins}")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def numbers(begins: str) -> list[list[int]]:
    return [[int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*", cell)] for cell in row(begins)]


def alarms(template: Template) -> int:
    names = [each["AlarmName"] for each in all_properties(template, "AWS::CloudWatch::Alarm")]
    return len([name for name in names if not re.search("-(domain|cluster)-", name)])


def test_metrics_and_alarms_are_as_many_as_there_are(synth: Any) -> None:
    assert numbers("custom metrics") == [[len(UNITS)], [len(WORKER_UNITS), len(REACTION_UNITS)]]
    of_one, of_two, of_worker = (alarms(synth(each)[LAMBDA]) for each in ({}, EACH, WORKER))
    ((each, queue), (worker, _)) = numbers("alarms")
    assert (each + queue, 2 * each + queue, worker) == (of_one, of_two, of_worker)


def test_endpoints_are_as_many_as_there_are(synth: Any) -> None:
    def count(context: dict[str, Any]) -> int:
        found = all_properties(synth(context)[VPC], "AWS::EC2::VPCEndpoint")
        return len([each for each in found if each["VpcEndpointType"] == "Interface"])

    assert numbers("interface endpoints") == [[count({"egress": "endpoints"})], [count(WORKER)]]


def test_the_example_is_counted_as_the_page_says(synth: Any) -> None:
    defaults = Configuration()
    calls = [DAY_S // window for window in (defaults.batch_window_s, 10)]
    assert numbers("calls of the sync function") == [[calls[0]], [calls[1]], [0]]
    gb_s = [
        round(each * seconds * defaults.function_memory_mb / 1024)
        for each, seconds in zip(calls, (0.1, 0.15), strict=True)
    ]
    assert numbers("memory times time") == [[gb_s[0]], [gb_s[1]], [0]]
    service = properties(synth(WORKER)[LAMBDA], "AWS::ECS::Service")
    task = properties(synth(WORKER)[LAMBDA], "AWS::ECS::TaskDefinition")
    vcpu_h = service["DesiredCount"] * int(task["Cpu"]) * 24 // 1024
    assert numbers("vCPU on Fargate") == [[0], [0], [vcpu_h]]
    assert numbers("memory on Fargate") == [[0], [0], [service["DesiredCount"] * int(task["Memory"]) * 24 // 1024]]
    assert 10 * DAY_S == 864_000
    assert "864,000 changes a day" in PAGE
    assert defaults.batch_size >= 100
