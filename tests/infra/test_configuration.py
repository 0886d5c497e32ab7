"""Context keys: what is read, what is refused, and what the refusal says."""

from dataclasses import fields
from pathlib import Path

import pytest

from infra.configuration import Configuration, ConfigurationError
from penstock_cdk.collections import Collections
from testkit.functions_template import EXISTING

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "aws.md"

REFUSED = {
    "engine_version": ("3.6.0", "5.0.0 or 4.0.0 or 8.0.0"),
    "door": ("lambda", "mapping or worker or both"),
    "profile": ("prod", "demo or production"),
    "egress": ("internet", "nat or endpoints"),
    "database": ("a.b", "1 to 63 characters"),
    "collection": ("system.users", "not system.*"),
    "index": ("Upper", "lower case"),
    "collections": ("shop.orders", "a list of tables in JSON"),
    "sync_functions": ("two", "one or each"),
    "reactions": ("yes", "true or false"),
    "reaction_secrets": ("paid-orders", "paid-orders=arn:aws:secretsmanager"),
    "image": ("penstock", "registry/repository:tag"),
    "worker_architecture": ("riscv", "arm64 or x86_64"),
    "worker_cpu": ("500", "256, 512, 1024, 2048 or 4096"),
    "architecture": ("riscv", "x86_64 or arm64"),
    "batch_size": ("10001", "from 1 to 10000"),
    "batch_window_s": ("301", "from 0 to 300"),
    "as_in_sample": ("yes", "true or false"),
    "api": ("open", "key or iam"),
    "open_api": ("1", "true or false"),
    "service_linked_role": ("on", "true or false"),
    "change_log_retention_hours": ("169", "from 1 to 168"),
    "schedule": ("daily", "rate(1 day)"),
    "scheduled_command": ("verify; rm -r /", "a penstock command with its arguments"),
    "alarm_email": ("nobody", "an e-mail address"),
    "function_timeout_s": ("900", "from 30 to 840"),
    "function_memory_mb": ("64", "from 128 to 10240"),
    "vpc_id": ("vpc-x", "vpc-0123456789abcdef0"),
    "vpc_subnets": ("subnet-0123456789abcdef0", "two or more"),
    "vpc_zones": ("eu-west-1", "eu-west-1a,eu-west-1b"),
    "cluster_arn": ("arn:aws:docdb:eu-west-1:123456789012:cluster:x", "arn:aws:rds:"),
    "cluster_endpoint": ("mongodb://host", "host:27017"),
    "cluster_group": ("group", "sg-0123456789abcdef0"),
    "cluster_secret": ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:login", "six characters"),
    "cluster_secret_key": ("alias/mine", "arn:aws:kms:"),
    "kafka_cluster_arn": ("shop", "arn:aws:kafka:"),
    "kafka_bootstrap_servers": ("https://b-1", "one or more, such as b-1.example:9096"),
    "kafka_secret": ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:login", "six characters"),
    "kafka_secret_key": ("alias/mine", "arn:aws:kms:"),
    "kafka_login": ("PLAIN", "SASL_SCRAM_512_AUTH"),
    "domain_arn": ("arn:aws:es:eu-west-1:123456789012:domain/Upper", "arn:aws:es:"),
    "domain_endpoint": ("https://host", "without https://"),
    "domain_group": ("sg-", "sg-0123456789abcdef0"),
    "domain_volume_gib": ("0", "from 1 to 24576"),
    "group_rules": ("no", "true or false"),
    "cluster_key": ("key", "arn:aws:kms:"),
    "domain_key": ("key", "arn:aws:kms:"),
}
"""Of each key a value that is refused, and what the refusal says is allowed."""


def read(**context):
    from aws_cdk import App

    return Configuration.from_context(App(context=context).node)


def refusal(**context) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(**context)
    return str(caught.value)


def test_without_context_everything_has_its_default():
    assert read() == Configuration()


def test_the_defaults_are_the_demonstration():
    configuration = read()
    assert (configuration.engine_version, configuration.profile, configuration.egress) == ("5.0.0", "demo", "nat")
    assert [each.namespace for each in configuration.synced.tables] == ["demo-database.demo-collection"]
    assert configuration.index == "demo-index"
    assert configuration.api == "key"
    assert not configuration.is_production


def test_values_of_the_command_line_are_text():
    configuration = read(batch_size="500", as_in_sample="true", service_linked_role="false", profile="production")
    assert configuration.batch_size == 500
    assert configuration.as_in_sample is True
    assert configuration.service_linked_role is False
    assert configuration.is_production


def test_values_of_cdk_json_are_json():
    configuration = read(batch_size=500, as_in_sample=True)
    assert configuration.batch_size == 500
    assert configuration.as_in_sample is True


def test_an_empty_value_is_the_default():
    assert read(alarm_email="", batch_size="") == Configuration()


@pytest.mark.parametrize("key", [each.name for each in fields(Configuration)])
def test_a_refusal_names_key_value_and_what_is_allowed(key):
    value, allowed = REFUSED[key]
    message = refusal(**{key: value})
    assert message.startswith(f"{key} is {value!r}: ")
    assert allowed in message


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"vpc_id": EXISTING["vpc_id"]}, "vpc_id names an existing part: vpc_subnets, vpc_zones must be given too."),
        (
            {"cluster_secret": EXISTING["cluster_secret"]},
            "cluster_arn, cluster_endpoint, cluster_group must be given too.",
        ),
        ({"domain_arn": EXISTING["domain_arn"]}, "domain_arn needs vpc_id."),
        ({**EXISTING, "egress": "nat"}, "egress and vpc_id exclude each other: an existing VPC has its own way out."),
        ({**EXISTING, "cluster_key": EXISTING["cluster_secret_key"]}, "cluster_key and cluster_arn exclude each other"),
        (
            {**EXISTING, "vpc_zones": "eu-west-1a,eu-west-1b,eu-west-1c"},
            "vpc_zones must have a zone for each of vpc_subnets",
        ),
        (
            {**{key: EXISTING[key] for key in ("vpc_id", "vpc_subnets")}, "vpc_zones": "eu-west-1a,eu-west-1a"},
            "vpc_zones must name two zones or more, for the cluster",
        ),
    ],
)
def test_keys_of_existing_parts_that_do_not_go_together(given, problem):
    assert problem in refusal(**given)


@pytest.mark.parametrize("door", [{}, {"door": "mapping"}, {"door": "both"}])
def test_engine_8_needs_the_worker_s_door(door):
    said = refusal(engine_version="8.0.0", **door)
    assert said.startswith("engine_version 8.0.0 needs door=worker: ")
    assert "event source mapping does not read engine 8" in said
    assert read(engine_version="8.0.0", door="worker").engine_version == "8.0.0"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"image": "docker.io/team/penstock:1"}, "image needs door=worker or door=both."),
        ({"worker_cpu": 256}, "worker_cpu needs door=worker or door=both."),
        ({"door": "worker", "as_in_sample": True}, "as_in_sample and door=worker exclude each other"),
        ({"door": "worker", "sync_functions": "each"}, "sync_functions and door=worker exclude each other"),
        ({"door": "worker", "reactions": True}, "reactions and door=worker exclude each other"),
        ({"as_in_sample": True, "reactions": True}, "reactions and as_in_sample exclude each other"),
    ],
)
def test_keys_of_another_door_are_refused(given, problem):
    assert problem in refusal(**given)


@pytest.mark.parametrize(
    ("image", "taken"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/penstock:1.2", True),
        (f"docker.io/team/penstock@sha256:{'0' * 64}", True),
        ("docker.io/team/penstock", False),
        ("docker.io/team/penstock:1 --privileged", False),
    ],
)
def test_an_image_has_a_tag_or_a_digest(image, taken):
    if taken:
        assert read(door="worker", image=image).image == image
    else:
        assert "image is" in refusal(door="worker", image=image)


def test_more_sync_functions_than_a_stack_has_room_for_are_refused():
    tables = [{"namespace": f"shop.c{number}", "index": f"shop-{number}"} for number in range(31)]
    assert "a stack has room for 30" in refusal(collections=tables, sync_functions="each")
    assert read(collections=tables[:30], sync_functions="each").sync_functions == "each"
    assert read(collections=tables).sync_functions == "one"


def test_all_problems_are_told_at_once():
    message = refusal(batch_size="0", profile="big", alarm_email="me")
    assert [line.split()[0] for line in message.splitlines()] == ["profile", "batch_size", "alarm_email"]


def test_a_misspelt_key_is_refused():
    assert refusal(profil="production") == "profil is not a context key of this app: profile is."


def test_a_key_of_something_else_is_let_be():
    assert read(**{"@aws-cdk/core:someFlag": True, "team": "search"}) == Configuration()


@pytest.mark.parametrize(
    "expression", ["rate(1 day)", "rate(12 hours)", "cron(0 3 * * ? *)", "cron(0/15 8-17 ? * MON-FRI *)"]
)
def test_schedules_of_eventbridge_are_taken(expression):
    assert read(schedule=expression).schedule == expression


@pytest.mark.parametrize("schedule", ["rate(0 days)", "rate(1 week)", "cron(0 3 * * *)", "cron(0 3 * * ? *) "])
def test_what_eventbridge_would_refuse_is_refused(schedule):
    assert "schedule is" in refusal(schedule=schedule)


@pytest.mark.parametrize("command", ["verify", "verify --repair", "load --collection demo-database.demo-collection"])
def test_commands_of_plain_words_are_taken(command):
    assert read(scheduled_command=command).scheduled_command == command


@pytest.mark.parametrize("command", ["$(id)", "verify && id", "verify | id", "-h", "verify  'x'", "verify\nid"])
def test_what_a_shell_would_read_as_more_is_refused(command):
    assert "scheduled_command is" in refusal(scheduled_command=command)


def test_an_open_api_is_asked_for_by_its_own_key():
    assert read(open_api="true").api == "open"
    assert read(open_api="false").api == "key"


def test_an_open_api_with_an_authorisation_is_refused():
    assert "open_api is true and api is given too" in refusal(open_api="true", api="iam")


def test_the_documentation_has_each_key_with_its_default():
    lines = DOCUMENTATION.read_text().splitlines()
    for key in fields(Configuration):
        default = str(key.default).lower() if isinstance(key.default, bool) else key.default
        default = f"`{default}`" if default not in ("", (), Collections()) else ""
        row = f"| `{key.name}` | {default} | {key.metadata['about']} |"
        assert row in lines, row
