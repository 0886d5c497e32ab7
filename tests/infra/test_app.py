"""The app as a whole: four stacks that CloudFormation takes and that carry their tag, without anybody signing in."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from testkit.functions_template import AS_IN_SAMPLE, BOTH, EACH, EXISTING, OTHER, REACTIONS, WORKER
from testkit.synthesis import STAND_IN, Synthesis, synthesise
from testkit.templates import DOCUMENTDB, LAMBDA, OPENSEARCH, VPC

ROOT = Path(__file__).parents[2]
STACKS = {VPC, DOCUMENTDB, OPENSEARCH, LAMBDA}
TAG = {"Key": "Application", "Value": "change-streams-demo"}

CONTEXTS = {
    "default": {},
    "production": {"profile": "production"},
    "endpoints": {"egress": "endpoints"},
    "as-in-sample": AS_IN_SAMPLE,
    "other": OTHER,
    "existing": EXISTING,
    "each": EACH,
    "worker": WORKER,
    "both": BOTH,
    "reactions": REACTIONS,
}


@pytest.fixture(params=CONTEXTS)
def each(request, synthesis) -> Synthesis:
    """What is synthesised for each context in turn."""
    return synthesis(CONTEXTS[request.param])


def run_app(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m infra.app` where no program is found by its name and nobody is signed in."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CDK_", "JSII_"))}
    nobody = {
        "AWS_CONFIG_FILE": str(folder / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    given = {**inherited, **nobody, "PATH": "", "CDK_OUTDIR": str(folder / "out"), **environment}
    command = [sys.executable, "-m", "infra.app"]
    return subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=500, check=False)


@pytest.fixture(scope="session")
def problems_of() -> Callable[[str], list[str]]:
    """What cfn-lint says of a template. Its rules are read once, and several contexts have the same of some stack.

    W3005: CDK writes a dependency that a reference implies already; it does no harm and cannot be taken back.
    """
    from cfnlint.config import ConfigMixIn
    from cfnlint.decode import decode_str
    from cfnlint.runner import Runner

    runner = Runner(ConfigMixIn(ignore_checks=["W3005"], regions=["us-east-1"]))

    @cache
    def problems_of(template: str) -> list[str]:
        decoded, errors = decode_str(template)
        assert not errors
        found = runner.validate_template(decoded)
        return [f"{'/'.join(map(str, match.path or ()))}: {match.rule.id} {match.message}" for match in found]

    return problems_of


def resources_of(synthesis: Synthesis) -> Iterator[tuple[str, dict[str, Any]]]:
    for stack, template in synthesis.templates.items():
        for name, resource in template.content["Resources"].items():
            yield f"{stack} {name} {resource['Type']}", resource


def test_there_are_the_four_stacks_of_the_sample_less_those_of_existing_servers(each, synthesis):
    exist = {DOCUMENTDB, OPENSEARCH} if each in (synthesis(EXISTING), synthesis(BOTH)) else set()
    assert set(each.files) == STACKS - exist


def test_no_finding_of_cdk_nag_is_left_unaccepted(each):
    assert each.findings == []


def test_cfn_lint_has_nothing_to_say(each, problems_of):
    said = [f"{stack} {problem}" for stack, file in each.files.items() for problem in problems_of(file.read_text())]
    assert said == []


def test_everything_that_can_carry_a_tag_carries_it(each):
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

    without = []
    for name, resource in resources_of(each):
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource["Type"]).schema
        if "Tags" in schema["properties"]:
            tags = resource.get("Properties", {}).get("Tags", [])
            if TAG not in tags:
                without.append(name)
    assert without == []


def test_the_same_app_gives_the_same_templates(synthesis, tmp_path):
    first, again = synthesis({}), synthesise(tmp_path, {})
    assert {name: file.read_bytes() for name, file in first.files.items()} == {
        name: file.read_bytes() for name, file in again.files.items()
    }


def test_it_needs_no_credentials_no_docker_and_no_node_of_the_machine(synthesis, tmp_path):
    """With the code's real folders, which `synthesis` has stand-ins for."""
    run = run_app(tmp_path)
    assert run.returncode == 0, run.stderr
    files = {name: tmp_path / "out" / file.name for name, file in synthesis({}).files.items()}
    assert files[LAMBDA].exists()
    for name in STACKS - {LAMBDA}:
        assert files[name].read_bytes() == synthesis({}).files[name].read_bytes()


def test_a_context_that_cannot_be_deployed_is_refused_in_one_line(tmp_path):
    run = run_app(tmp_path, CDK_CONTEXT_JSON=json.dumps({"engine_version": "8.0.0"}))
    assert run.returncode == 1
    assert run.stderr.startswith("engine_version 8.0.0 needs door=worker: ")
    assert "Traceback" not in run.stderr


def test_stacks_go_to_the_account_and_region_of_the_cli(tmp_path, monkeypatch):
    from infra import app, assets

    monkeypatch.setenv("CDK_OUTDIR", str(tmp_path / "out"))
    monkeypatch.setenv("CDK_DEFAULT_ACCOUNT", "123456789012")
    monkeypatch.setenv("CDK_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setitem(app.FEATURE_FLAGS, assets.CONTEXT_KEY, str(STAND_IN))
    app.main()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert {manifest["artifacts"][stack]["environment"] for stack in STACKS} == {"aws://123456789012/eu-west-1"}


@pytest.mark.parametrize(("context", "protected"), [({}, set()), ({"profile": "production"}, STACKS)])
def test_production_s_stacks_cannot_be_deleted_by_mistake(synthesis, context, protected):
    manifest = json.loads((synthesis(context).folder / "manifest.json").read_text())
    found = {
        name
        for name, artifact in manifest["artifacts"].items()
        if name in STACKS and artifact["properties"].get("terminationProtection")
    }
    assert found == protected


def test_in_a_region_with_three_zones_production_uses_three(tmp_path):
    """Without account and region CDK knows of two only."""
    zones = {
        "availability-zones:account=123456789012:region=eu-west-1": ["eu-west-1a", "eu-west-1b", "eu-west-1c"],
    }
    domain = synthesise(tmp_path, {"profile": "production", **zones}, "123456789012", "eu-west-1").templates[OPENSEARCH]
    (cluster,) = domain.find_resources("AWS::OpenSearchService::Domain").values()
    assert cluster["Properties"]["ClusterConfig"]["ZoneAwarenessConfig"] == {"AvailabilityZoneCount": 3}
    assert cluster["Properties"]["ClusterConfig"]["InstanceCount"] == 3
    assert len(cluster["Properties"]["VPCOptions"]["SubnetIds"]) == 3
