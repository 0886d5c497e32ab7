"""The template of the functions' stack, as tests read it."""

import re
from typing import Any

from testkit.templates import Template

STACK = "change-streams-demo-lambda-stack"

OTHER = {
    "database": "shop",
    "collection": "orders",
    "index": "orders",
    "architecture": "arm64",
    "api": "iam",
    "batch_size": "17",
    "batch_window_s": "3",
    "function_timeout_s": "60",
    "function_memory_mb": "1024",
    "change_log_retention_hours": "10",
    "schedule": "rate(1 day)",
    "scheduled_command": "verify --repair",
    "alarm_email": "people@example.com",
    "service_linked_role": "true",
}
"""A context that chooses otherwise wherever it can."""

AS_IN_SAMPLE = {"as_in_sample": "true", "open_api": "true", "engine_version": "4.0.0"}

EXISTING = {
    "vpc_id": "vpc-0123456789abcdef0",
    "vpc_subnets": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "vpc_zones": "eu-west-1a,eu-west-1b",
    "cluster_arn": "arn:aws:rds:eu-west-1:123456789012:cluster:shop",
    "cluster_endpoint": "shop.cluster-c0ffee.eu-west-1.docdb.amazonaws.com:27017",
    "cluster_group": "sg-0123456789abcdef0",
    "cluster_secret": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop-login-AbCdEf",
    "cluster_secret_key": "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "domain_arn": "arn:aws:es:eu-west-1:123456789012:domain/search",
    "domain_endpoint": "vpc-search-c0ffee.eu-west-1.es.amazonaws.com",
    "domain_group": "sg-0123456789abcdef1",
    "domain_volume_gib": "100",
}
"""A context in which network, cluster and domain exist already."""

EACH: dict[str, Any] = {
    "collections": [
        {"namespace": "shop.orders", "index": "shop-orders", "replicas": 0},
        {"namespace": "shop.Items & co", "index": "shop-items", "rename": {"a.b": "c"}, "replicas": 0},
    ],
    "sync_functions": "each",
}
"""A context with a sync function for each of two collections."""

WORKER: dict[str, Any] = {"door": "worker", "engine_version": "8.0.0", "egress": "endpoints"}
"""A context with a worker and no mapping."""

REACTIONS: dict[str, Any] = {
    "reactions": "true",
    "egress": "endpoints",
    "collections": [
        {"namespace": "shop.orders", "index": "shop-orders", "replicas": 0},
        {"namespace": "shop.items", "index": "shop-items", "replicas": 0},
    ],
}
"""A context with a state machine that runs for each new document."""

BOTH: dict[str, Any] = {
    **EXISTING,
    "door": "both",
    "collections": EACH["collections"],
    "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/penstock:1.2",
    "worker_architecture": "x86_64",
    "worker_cpu": "1024",
}
"""A context with mappings and a worker, beside what exists."""

_NAMES = {
    r"change-streams-demo-opensearch-stack:\w*Domain\w*Arn\w*": "DOMAIN",
    r"change-streams-demo-documentdb-stack:\w*RefClusterSecret\w*": "SECRET",
    r"change-streams-demo-documentdb-stack:\w*RefCluster\w*": "CLUSTER",
    r"change-streams-demo-vpc-stack:\w*FunctionsGroup\w*": "FUNCTIONS-GROUP",
    r"change-streams-demo-vpc-stack:\w*RefVpcPrivateSubnet(\d)\w*": r"PRIVATE-SUBNET-\1",
}


def properties(template: Template, kind: str, **wanted: Any) -> dict[str, Any]:
    """The properties of the only resource of a kind, or of the only one that has these values."""
    found = [resource.get("Properties", {}) for resource in template.find_resources(kind, **wanted).values()]
    assert len(found) == 1, f"{len(found)} of {kind} {wanted}"
    return found[0]


def plain(value: Any) -> str:
    """A value of the template as text: references by name, imports by what they stand for."""
    match value:
        case {"Fn::Join": [delimiter, parts]}:
            return str(delimiter).join(plain(part) for part in parts)
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"{resource}.{attribute}"
        case {"Fn::ImportValue": name}:
            for pattern, word in _NAMES.items():
                if re.fullmatch(pattern, name):
                    return re.sub(pattern, word, name)
            return str(name)
        case {"Ref": name} | {"Fn::Sub": name}:
            return str(name)
    return str(value)


def statements(role: dict[str, Any]) -> list[tuple[list[str], list[str]]]:
    """Actions and resources of all inline policies of a role; all of them allow."""
    found = []
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            actions, resources = as_list(statement["Action"]), as_list(statement["Resource"])
            found.append((actions, [plain(resource) for resource in resources]))
    return found


def allows(role: dict[str, Any], action: str, resource: str) -> bool:
    """What IAM says about an action on a resource; `*` stands for slashes too."""
    return any(
        action in actions and any(_matches(pattern, resource) for pattern in resources)
        for actions, resources in statements(role)
    )


def may_ask(role: dict[str, Any], method: str, path: str) -> bool:
    """Whether a role may send a request to the domain."""
    return allows(role, f"es:ESHttp{method.capitalize()}", f"DOMAIN{path}")


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None
