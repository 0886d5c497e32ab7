"""The four functions and their logs."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.configuration import Configuration
from infra.findings import accept
from infra.functions.roles import Roles
from infra.functions.variables import chosen
from infra.network import NetworkStack
from penstock.lambdas.environment import HANDLERS, VARIABLES, FunctionName, function_name

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
    """One function for each handler that penstock.lambdas.environment declares, such as `functions["sync"]`."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        configuration: Configuration,
        network: NetworkStack,
        roles: Roles,
        folder: str,
        values: Mapping[str, str],
    ) -> None:
        super().__init__(scope, name)
        code = lambda_.Code.from_asset(folder)
        self._by_name: dict[FunctionName, lambda_.Function] = {}
        for each, handler in HANDLERS.items():
            size = _size(each, configuration)
            self._by_name[each] = lambda_.Function(
                self,
                each.capitalize(),
                function_name=function_name(each),
                description=_ABOUT[each],
                runtime=RUNTIME,
                architecture=_architecture(configuration),
                handler=handler,
                code=code,
                environment=chosen(VARIABLES[each], values),
                role=roles[each],
                timeout=Duration.seconds(size.timeout_s),
                memory_size=size.memory_mb,
                log_group=function_logs(self, f"{each.capitalize()}Logs", f"/aws/lambda/{function_name(each)}"),
                vpc=network.vpc,
                vpc_subnets=private_subnets(network),
                security_groups=[network.functions_group],
            )
            accept(
                self._by_name[each],
                {"AwsSolutions-L1": "The code and its compiled packages are built for Python 3.13, and tested on it."},
            )

    def __getitem__(self, name: FunctionName) -> lambda_.Function:
        return self._by_name[name]


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
