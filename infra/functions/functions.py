"""The four functions and their logs."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.collections import FILE
from infra.configuration import Configuration
from infra.findings import accept
from infra.functions.assets import Assets
from infra.functions.roles import Roles
from infra.functions.sync_functions import SyncFunction
from infra.functions.variables import chosen
from infra.network import NetworkStack
from penstock.lambdas.environment import COLLECTIONS, HANDLERS, VARIABLES, FunctionName, function_name
from penstock.settings.table import SETTINGS_VARIABLE

RUNTIME: Final = lambda_.Runtime.PYTHON_3_13
LOGS_KEPT: Final = logs.RetentionDays.ONE_MONTH

_ABOUT: Final[dict[FunctionName, str]] = {
    "writer": "POST /demo-data: stores JSON documents in the collection.",
    "reader": "GET /demo-data: the documents of the index.",
    "config": "POST /config: creates the collection and enables its change stream.",
    "sync": "Target of the event source mapping: writes changes to the index.",
}


class _Size(NamedTuple):
    timeout_s: int
    memory_mb: int


class Functions(Construct):
    """A function for each handler that penstock.lambdas.environment declares, such as `functions["writer"]`.

    `syncs` are the sync functions by their collections.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        configuration: Configuration,
        network: NetworkStack,
        roles: Roles,
        code: Assets,
        values: Mapping[str, str],
        syncs: Sequence[SyncFunction],
    ) -> None:
        super().__init__(scope, name)
        self._configuration, self._network, self._roles = configuration, network, roles
        shared = lambda_.Code.from_asset(code.functions)
        self._by_name: dict[FunctionName, lambda_.Function] = {
            each: self._function(each, each.capitalize(), function_name(each), shared, chosen(VARIABLES[each], values))
            for each in HANDLERS
            if each != "sync"
        }
        self.syncs: dict[str, lambda_.Function] = {}
        for sync in syncs:
            told = chosen(VARIABLES["sync"], values)
            if sync.settings_folder:
                told = {**told, SETTINGS_VARIABLE: f"{sync.settings_folder}{FILE}"}
                told.pop(COLLECTIONS, None)
            of_sync = lambda_.Code.from_asset(code.shared) if sync.settings_folder else shared
            function = self._function("sync", sync.construct, sync.function_name, of_sync, told)
            if sync.settings_folder:
                function.add_layers(self._settings(sync))
            self.syncs |= dict.fromkeys([table.namespace for table in sync.tables], function)

    def __getitem__(self, name: FunctionName) -> lambda_.Function:
        return self._by_name[name]

    def _function(
        self, kind: FunctionName, construct: str, named: str, code: lambda_.Code, told: Mapping[str, str]
    ) -> lambda_.Function:
        size = _size(kind, self._configuration)
        function = lambda_.Function(
            self,
            construct,
            function_name=named,
            description=_ABOUT[kind],
            runtime=RUNTIME,
            architecture=_architecture(self._configuration),
            handler=HANDLERS[kind],
            code=code,
            environment=told,
            role=self._roles[construct],
            timeout=Duration.seconds(size.timeout_s),
            memory_size=size.memory_mb,
            log_group=function_logs(self, f"{construct}Logs", f"/aws/lambda/{named}"),
            vpc=self._network.vpc,
            vpc_subnets=private_subnets(self._network),
            security_groups=[self._network.functions_group],
        )
        accept(
            function,
            {"AwsSolutions-L1": "The code and its compiled packages are built for Python 3.13, and tested on it."},
        )
        return function

    def _settings(self, sync: SyncFunction) -> lambda_.LayerVersion:
        """The settings of one collection, with its mapping file and the module of its function."""
        return lambda_.LayerVersion(
            self,
            f"{sync.construct}Settings",
            code=lambda_.Code.from_asset(self._configuration.collections.layer(sync.tables[0])),
            description=f"Settings of {sync.tables[0].namespace}",
        )


def private_subnets(network: NetworkStack) -> ec2.SubnetSelection:
    """Return the subnets that cannot be reached from outside."""
    return ec2.SubnetSelection(subnets=network.vpc.private_subnets)


def function_logs(scope: Construct, name: str, group_name: str) -> logs.LogGroup:
    """A log group with a known name. It is deleted with the stack, even in production: a group that stayed would make
    the next deployment fail, even the one after a rollback.
    """
    return logs.LogGroup(
        scope, name, log_group_name=group_name, retention=LOGS_KEPT, removal_policy=RemovalPolicy.DESTROY
    )


def _size(name: FunctionName, configuration: Configuration) -> _Size:
    if name == "sync":
        return _Size(configuration.function_timeout_s, configuration.function_memory_mb)
    if name == "config":
        return _Size(120, 256)  # API Gateway waits 29 s; a deployment waits longer, for a cluster that has just started
    return _Size(30, 256)


def _architecture(configuration: Configuration) -> lambda_.Architecture:
    return {"x86_64": lambda_.Architecture.X86_64, "arm64": lambda_.Architecture.ARM_64}[configuration.architecture]
