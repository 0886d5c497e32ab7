"""Reactions: a function for each, with an event source mapping of its own for each of its collections.

A mapping starts when the stack gets the reaction, whatever the mappings of the indexes have read by then: the config
function is asked once more to enable each change stream, and its answer is the time.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from aws_cdk import Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct
from pydantic import ValidationError

from penstock.errors import SettingsError
from penstock.lambdas.environment import (
    APPLICATION,
    DOMAIN,
    LOG_FORMAT,
    REACT_VARIABLES,
    REACTION_SECRET,
    TIMEOUT,
)
from penstock.model import Namespace
from penstock.operations.init import toml_value
from penstock.reactions.where import condition_of
from penstock.settings import ReactionSettings
from penstock.settings.table import SETTINGS_VARIABLE
from penstock_cdk import checks
from penstock_cdk.alarms import Alarms
from penstock_cdk.code import Architecture, FunctionsCode
from penstock_cdk.collections import FILE, LAYER, copy_module
from penstock_cdk.functions import function
from penstock_cdk.mapping import event_source_mapping
from penstock_cdk.names import short
from penstock_cdk.parts import Cluster, Domain, Network
from penstock_cdk.roles import function_role, react_policies
from penstock_cdk.streams import ChangeStreams
from penstock_cdk.variables import chosen
from penstock_tools.bundle.stable import make_stable

_MOST_NAME: Final = 38
"""Lambda takes 64 characters for the name of a function."""

_OF_A_WORKER: Final = {
    "secret": "give the secret of Secrets Manager to the construct",
    "secret_file": "give the secret of Secrets Manager to the construct",
    "before": "a mapping delivers no before-images",
    "after_index": "a mapping does not know how far the index is",
    "start": "a mapping starts when it is made",
    "on_position_lost": "a mapping is disabled then",
}


@dataclass(frozen=True)
class Reaction:
    """A `[[reactions]]` table; `secret` is what a webhook is signed with, `folder` has the module of a function."""

    table: Mapping[str, Any]
    secret: secretsmanager.ISecret | None = None
    folder: Path = Path()

    def read(self) -> ReactionSettings:
        """Check the table. Raises ValueError."""
        problems = [f"{name}: {why}; remove it" for name, why in _OF_A_WORKER.items() if name in self.table]
        if (self.table.get("target") == "webhook") != (self.secret is not None):
            problems.append("secret: a webhook needs the secret of Secrets Manager, another target has none")
        if problems:
            raise ValueError("; ".join(problems))
        signed = {"secret": "in Secrets Manager"} if self.secret else {}
        try:
            settings = ReactionSettings.model_validate({**self.table, **signed})
            condition_of(settings.where)
        except ValidationError as error:
            said = (f"{'.'.join(map(str, each['loc']))} {each['msg']}".strip() for each in error.errors())
            raise ValueError("; ".join(said)) from None
        except SettingsError as error:
            raise ValueError("; ".join(error.problems)) from None
        if len(settings.name) > _MOST_NAME:
            raise ValueError(f"name: it has room for {_MOST_NAME} characters")
        return settings

    def layer(self) -> str:
        """Return a folder with the settings file and the module, in the form of a layer of a function."""
        folder = Path(tempfile.mkdtemp(prefix="penstock-layer-"))
        (folder / "python").mkdir()
        if name := self.table.get("function"):
            copy_module(str(name), self.folder, folder / "python")
        lines = (f"{name} = {toml_value(_plain(name, value))}" for name, value in self.table.items())
        (folder / FILE).write_text("\n".join(["[[reactions]]", *lines, ""]), encoding="utf-8")
        make_stable(folder)
        return str(folder)


class Reactions(Construct):
    """The functions of reactions with their mappings and alarms; `functions` and `roles` are by the reaction's name."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        reactions: Sequence[Reaction],
        network: Network,
        cluster: Cluster,
        domain: Domain,
        code: FunctionsCode,
        streams: ChangeStreams,
        architecture: Architecture = "x86_64",
        batch_size: int = 100,
        batch_window_s: int = 1,
        timeout_s: int = 300,
        memory_mb: int = 256,
        change_log_retention_hours: int = 24,
        prefix: str = APPLICATION,
    ) -> None:
        """Make all of it. `streams` has the config function. Raises ValueError."""
        super().__init__(scope, name)
        checks.require(
            self,
            reactions=(_each_in_time(timeout_s), reactions),
            batch_size=(checks.whole_number(1, 10_000), batch_size),
            batch_window_s=(checks.whole_number(0, 300), batch_window_s),
            timeout_s=(checks.whole_number(30, 840), timeout_s),
            memory_mb=(checks.whole_number(128, 10_240), memory_mb),
            change_log_retention_hours=(checks.whole_number(1, 168), change_log_retention_hours),
            prefix=(checks.prefix, prefix),
        )
        self.functions: dict[str, lambda_.Function] = {}
        self.roles: dict[str, iam.Role] = {}
        alarms = Alarms(self, "Alarms", prefix=prefix)
        given = {DOMAIN: domain.endpoint, SETTINGS_VARIABLE: f"{LAYER}/{FILE}", TIMEOUT: "10", LOG_FORMAT: "json"}
        for reaction in reactions:
            settings = reaction.read()
            own = Construct(self, short(settings.name))
            bus_arn = _bus_arn(Stack.of(self), settings.bus) if settings.bus else ""
            allowed = react_policies(
                Stack.of(self), cluster=cluster, domain=domain, bus_arn=bus_arn, secret=reaction.secret
            )
            role = self.roles[settings.name] = function_role(own, "Role", allowed)
            secret = {REACTION_SECRET: reaction.secret.secret_arn} if reaction.secret else {}
            made = self.functions[settings.name] = function(
                own,
                "React",
                kind="react",
                function_name=f"{prefix}-react-{settings.name}",
                code=code.alone,
                environment={**chosen(REACT_VARIABLES, given), **secret},
                role=role,
                network=network,
                architecture=architecture,
                timeout_s=timeout_s,
                memory_mb=memory_mb,
            )
            made.add_layers(
                lambda_.LayerVersion(
                    own,
                    "Settings",
                    code=lambda_.Code.from_asset(reaction.layer()),
                    description=f"Settings of the reaction {settings.name}",
                )
            )
            mappings = Construct(own, "Mapping")
            for namespace, stream in streams.enabled(mappings, settings.collections).items():
                event_source_mapping(
                    cast(Construct, mappings.node.find_child(short(namespace))),
                    cluster=cluster,
                    namespace=Namespace.named(namespace),
                    function=made,
                    batch_size=batch_size,
                    batch_window_s=batch_window_s,
                    enabled_at=Token.as_number(stream.get_att("EnabledAt")),
                )
            alarms.of_reaction(settings.name, made, retention_hours=change_log_retention_hours)
        self.alarms = alarms.all


def _plain(name: str, value: Any) -> Any:
    """Return a value as the settings file takes it: a condition as extended JSON."""
    if name == "where" and not isinstance(value, str):
        return json.dumps(value)
    return tuple(value) if isinstance(value, list) else value


def _bus_arn(stack: Stack, bus: str) -> str:
    if bus.startswith("arn:"):
        return bus
    return stack.format_arn(service="events", resource="event-bus", resource_name=bus)


def _each_in_time(timeout_s: int) -> checks.Read:
    def read(reactions: Sequence[Reaction]) -> Sequence[Reaction]:
        names: list[str] = []
        for each in reactions:
            try:
                settings = each.read()
            except ValueError as error:
                raise ValueError(f"{each.table.get('name')}: {error}") from None
            if 2 * settings.timeout_s + 10 > timeout_s:
                raise ValueError(
                    f"{settings.name}: timeout_s of the function must be more than twice the reaction's, plus 10 s"
                )
            names.append(settings.name)
        if len(set(names)) < len(names) or not names:
            raise ValueError("there must be some, each with a name of its own")
        return reactions

    return read
