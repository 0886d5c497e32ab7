"""A template as CloudFormation reads it, and short ways to look at it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

VPC = "change-streams-demo-vpc-stack"
DOCUMENTDB = "change-streams-demo-documentdb-stack"
OPENSEARCH = "change-streams-demo-opensearch-stack"
LAMBDA = "change-streams-demo-lambda-stack"


@dataclass(frozen=True)
class Template:
    """What is written for one stack."""

    content: dict[str, Any]

    @classmethod
    def read(cls, file: Path) -> Self:
        return cls(json.loads(file.read_text()))

    def find_resources(self, type_name: str, **wanted: Any) -> dict[str, dict[str, Any]]:
        """The resources of a type by their logical ids, or those of them that have these properties."""
        return {
            name: resource
            for name, resource in self.content["Resources"].items()
            if resource["Type"] == type_name and wanted.items() <= resource.get("Properties", {}).items()
        }


def resources(template: Template, type_name: str) -> dict[str, dict[str, Any]]:
    """The resources of a type by their logical ids."""
    return template.find_resources(type_name)


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
