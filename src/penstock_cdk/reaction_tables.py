"""Tables of reactions as they are deployed: checked for the door that runs them, written for their settings file."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from penstock.errors import SettingsError
from penstock.model import Namespace
from penstock.operations.init import toml_value
from penstock.reactions.where import as_text, condition_of
from penstock.settings import ReactionSettings
from penstock_cdk import checks

IN_SECRETS_MANAGER: Final = "in Secrets Manager"
"""Stands for the secret of a webhook while its table is checked: no file that is deployed holds one."""

_MOST_NAME: Final = 38
"""Lambda takes 64 characters for the name of a function."""

_NO_SECRET: Final = dict.fromkeys(("secret", "secret_file"), "the secret of a webhook is taken from Secrets Manager")

_OF_A_WORKER: Final = {
    "before": "a mapping delivers no before-images",
    "after_index": "a mapping does not know how far the index is",
    "start": "a mapping starts when it is made",
    "on_position_lost": "a mapping is disabled then",
}


def read_table(table: Mapping[str, Any], *, by_worker: bool, has_secret: bool) -> ReactionSettings:
    """Check the table of a reaction that a worker runs, or functions with mappings. Raises ValueError."""
    problems = [f"{name}: {why}; remove it" for name, why in _NO_SECRET.items() if name in table]
    if not by_worker:
        problems += [
            f"{name}: {why}; remove it, or let a worker run the reaction"
            for name, why in _OF_A_WORKER.items()
            if name in table
        ]
    if (table.get("target") == "webhook") != has_secret:
        problems.append("secret: a webhook needs the secret of Secrets Manager, another target has none")
    if problems:
        raise ValueError("; ".join(problems))
    settings = _validated({**table, **({"secret": IN_SECRETS_MANAGER} if has_secret else {})})
    for each in map(Namespace.named, settings.collections):
        checks.database(each.db), checks.collection(each.coll)
    if by_worker and len(settings.collections) > 1:
        raise ValueError(
            "collections: the worker follows each collection by a change stream of its own; give each collection a"
            " reaction of its own"
        )
    if not by_worker and len(settings.name) > _MOST_NAME:
        raise ValueError(f"name: it has room for {_MOST_NAME} characters")
    return settings


def toml_table(table: Mapping[str, Any]) -> str:
    """Return the table as TOML."""
    lines = (f"{name} = {_toml(name, value)}" for name, value in table.items() if value is not None)
    return "\n".join(["[[reactions]]", *lines, ""])


def _toml(name: str, value: Any) -> str:
    if name == "where":
        return json.dumps(as_text(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, datetime):
        return value.isoformat()
    return toml_value(tuple(value) if isinstance(value, list) else value)


def _validated(table: Mapping[str, Any]) -> ReactionSettings:
    try:
        settings = ReactionSettings.model_validate(table)
        condition_of(settings.where)
    except ValidationError as error:
        said = (f"{'.'.join(map(str, each['loc']))} {each['msg']}".strip() for each in error.errors())
        raise ValueError("; ".join(said)) from None
    except SettingsError as error:
        raise ValueError("; ".join(error.problems)) from None
    return settings
