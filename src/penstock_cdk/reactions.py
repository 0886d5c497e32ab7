"""Reactions: a function for each, with an event source mapping of its own for each of its collections.

A mapping starts when the stack gets the reaction, whatever the mappings of the indexes have read by then: the config
function is asked once more to enable each change stream, and its answer is the time.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from aws_cdk import Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from penstock.lambdas.environment import (
    APPLICATION,
    DOMAIN,
    LOG_FORMAT,
    REACT_VARIABLES,
    REACTION_SECRET,
    TIMEOUT,
)
from penstock.model import Namespace
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
from penstock_cdk.reaction_tables import read_table, toml_table
from penstock_cdk.roles import Policies, function_role, react_policies
from penstock_cdk.streams import ChangeStreams
from penstock_cdk.variables import chosen
from penstock_tools.bundle.stable import make_stable


@dataclass(frozen=True)
class Reaction:
    """A `[[reactions]]` table; `secret` is what a webhook is signed with, `folder` has the module of a function."""

    table: Mapping[str, Any]
    secret: secretsmanager.ISecret | None = None
    folder: Path = Path()

    def read(self, *, by_worker: bool = False) -> ReactionSettings:
        """Check the table for a mapping, or for a worker. Raises ValueError."""
        return read_table(self.table, by_worker=by_worker, has_secret=self.secret is not None)

    def bus_arn(self, stack: Stack) -> str:
        """Return the ARN of the bus that events are put on; empty for another target."""
        bus = str(self.table.get("bus") or "")
        if not bus or bus.startswith("arn:"):
            return bus
        region = str(self.table.get("region") or stack.region)
        return stack.format_arn(service="events", resource="event-bus", resource_name=bus, region=region)

    def layer(self) -> str:
        """Return a folder with the settings file and the module, in the form of a layer of a function."""
        folder = Path(tempfile.mkdtemp(prefix="penstock-layer-"))
        (folder / "python").mkdir()
        if name := self.table.get("function"):
            copy_module(str(name), self.folder, folder / "python")
        (folder / FILE).write_text(toml_table(self.table), encoding="utf-8")
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
        self.reactions = list(reactions)
        self.functions: dict[str, lambda_.Function] = {}
        self.roles: dict[str, iam.Role] = {}
        alarms = Alarms(self, "Alarms", prefix=prefix)
        given = {DOMAIN: domain.endpoint, SETTINGS_VARIABLE: f"{LAYER}/{FILE}", TIMEOUT: "10", LOG_FORMAT: "json"}
        for reaction in reactions:
            settings = reaction.read()
            own = Construct(self, short(settings.name))
            bus_arn = reaction.bus_arn(Stack.of(self))
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


def target_policies(stack: Stack, reactions: Sequence[Reaction], *, looks: bool = False) -> Policies:
    """Return what a task needs that gives events to the buses of several reactions itself.

    With `looks` it may also describe them, as `penstock check` does.
    """
    actions = ["events:PutEvents", *(["events:DescribeEventBus"] if looks else [])]
    buses = dict.fromkeys(arn for each in reactions if (arn := each.bus_arn(stack)))
    if not buses:
        return {}
    statement = iam.PolicyStatement(sid="BusAccess", actions=actions, resources=list(buses))
    return {"BusAccess": iam.PolicyDocument(statements=[statement])}


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
