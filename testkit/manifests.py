"""What is wrong with objects of Kubernetes, as far as it shows without a cluster.

The schemas of Kubernetes, strict; of the two kinds of Prometheus's operator the fields that are used here; the settings
as penstock reads them, with the variables of each container; the command lines as penstock parses them.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from monitoring.rules import RULES
from penstock.cli.app import app
from penstock.settings import Settings, read_settings

VERSIONS = ("1.27", kubernetes_validate.latest_version())
"""The oldest that the chart allows, and the newest of which there are schemas."""

_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_RULE = {
    "type": "object",
    "required": ["alert", "expr"],
    "additionalProperties": False,
    "properties": {
        "alert": {"type": "string"},
        "expr": {"type": "string"},
        "for": {"type": "string", "pattern": "^[0-9]+[smh]$"},
        "labels": _TEXTS,
        "annotations": _TEXTS,
    },
}
_OF_THE_OPERATOR: Mapping[str, Any] = {
    "ServiceMonitor": {
        "type": "object",
        "required": ["selector", "endpoints"],
        "additionalProperties": False,
        "properties": {
            "selector": {
                "type": "object",
                "required": ["matchLabels"],
                "additionalProperties": False,
                "properties": {"matchLabels": _TEXTS},
            },
            "endpoints": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["port"],
                    "additionalProperties": False,
                    "properties": {name: {"type": "string"} for name in ("port", "path", "interval")},
                },
            },
        },
    },
    "PrometheusRule": {
        "type": "object",
        "required": ["groups"],
        "additionalProperties": False,
        "properties": {
            "groups": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "rules"],
                    "additionalProperties": False,
                    "properties": {
                        "name": {"type": "string"},
                        "rules": {"type": "array", "minItems": len(RULES), "items": _RULE},
                    },
                },
            }
        },
    },
}


class _NoDuplicates(yaml.SafeLoader):
    """YAML takes the second of two equal keys; Kubernetes refuses them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{keys} {node.start_mark}"
        return super().construct_mapping(node, deep)


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of a manifest."""
    return [each for each in yaml.load_all(text, _NoDuplicates) if each]


def schema_problems(found: list[dict[str, Any]]) -> list[str]:
    """What the schemas refuse."""
    return [problem for each in found for problem in _of_schema(each)]


def _of_schema(found: dict[str, Any]) -> Iterator[str]:
    name = f"{found['kind']} {found['metadata']['name']}"
    if found["kind"] in _OF_THE_OPERATOR:
        problems = jsonschema.Draft202012Validator(_OF_THE_OPERATOR[found["kind"]]).iter_errors(found["spec"])
        yield from (f"{name}: {each.message}" for each in problems)
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(found, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{name}, {version}: {error.message}"


def pods(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The templates of all pods, by the kind and name of what makes them."""
    templates = {}
    for each in found:
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            templates[f"{each['kind']}/{each['metadata']['name']}"] = spec["template"]
    return templates


def secrets_as_values(found: list[dict[str, Any]]) -> set[str]:
    """The names of Secrets that are objects of the manifest: there must be none."""
    return {each["metadata"]["name"] for each in found if each["kind"] == "Secret"}


def read_as_in(pod: dict[str, Any], found: list[dict[str, Any]], folder: Path) -> Settings:
    """Read the settings as the pod's first container would: its ConfigMap, its variables, a file for each secret."""
    container, spec = pod["spec"]["containers"][0], pod["spec"]
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in spec["volumes"]}
    assert set(mounts.values()) == set(volumes)
    config = volumes[mounts["/etc/penstock"]]["configMap"]["name"]
    (data,) = [each["data"] for each in found if each["kind"] == "ConfigMap" and each["metadata"]["name"] == config]
    environ = {each["name"]: each.get("value", "") for each in container["env"]}
    for each in container["env"]:
        if "valueFrom" in each:
            assert each["valueFrom"]["secretKeyRef"]["name"]
            environ[each["name"]] = "mongodb://source.example/?replicaSet=rs0" if each["name"].endswith("URI") else "x"
    text = "\n".join([*data.values(), *environ.values()])
    for path in set(re.findall(r"/run/secrets/[\w./-]+", text)):
        assert any(Path(mount) in Path(path).parents for mount in mounts), f"{path} is not mounted"
        file = folder / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x: a secret of sixteen characters\n")
    here = str(folder / "run/secrets")
    for name, content in data.items():
        (folder / name).write_text(content.replace("/run/secrets", here))
    environ = {name: value.replace("/run/secrets", here) for name, value in environ.items()}
    return read_settings(file=folder / "penstock.toml", environ=environ, need_collections=True)


def parsed(pod: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The command of the pod's first container and its parameters, as the command line takes them."""
    name, *words = pod["spec"]["containers"][0]["args"]
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return name, group.commands[name].make_context(name, list(words)).params
