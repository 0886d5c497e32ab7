"""Short ways to read a template."""

from typing import Any

from aws_cdk.assertions import Template

VPC = "change-streams-demo-vpc-stack"
DOCUMENTDB = "change-streams-demo-documentdb-stack"
OPENSEARCH = "change-streams-demo-opensearch-stack"
LAMBDA = "change-streams-demo-lambda-stack"


def resources(template: Template, type_name: str) -> dict[str, dict[str, Any]]:
    """The resources of a type by their logical ids."""
    return dict(template.find_resources(type_name))


def all_properties(template: Template, type_name: str) -> list[dict[str, Any]]:
    return [resource.get("Properties", {}) for resource in resources(template, type_name).values()]


def only(template: Template, type_name: str) -> dict[str, Any]:
    """The one resource of a type."""
    (resource,) = resources(template, type_name).values()
    return resource


def properties(template: Template, type_name: str) -> dict[str, Any]:
    """The properties of the one resource of a type."""
    return dict(only(template, type_name)["Properties"])


def imported(value: Any) -> str:
    """The name of another stack's output that a value is imported from."""
    assert list(value) == ["Fn::ImportValue"], value
    return str(value["Fn::ImportValue"])
