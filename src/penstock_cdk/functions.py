"""One function with its log."""

from collections.abc import Mapping
from typing import Final, Literal

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from penstock.lambdas.environment import HANDLERS, REACT, FunctionName
from penstock_cdk.code import Architecture
from penstock_cdk.findings import accept
from penstock_cdk.parts import Network

RUNTIME: Final = lambda_.Runtime.PYTHON_3_13
LOGS_KEPT: Final = logs.RetentionDays.ONE_MONTH

Kind = FunctionName | Literal["react"]

_HANDLERS: Final[dict[Kind, str]] = {"react": REACT, **dict[Kind, str](HANDLERS.items())}

_ABOUT: Final[dict[Kind, str]] = {
    "writer": "POST /demo-data: stores JSON documents in the collection.",
    "reader": "GET /demo-data: the documents of the index.",
    "config": "POST /config: creates the collection and enables its change stream.",
    "sync": "Target of the event source mapping: writes changes to the index.",
    "react": "Target of event source mappings: gives changes to the target of a reaction.",
}


def function(
    scope: Construct,
    name: str,
    *,
    kind: Kind,
    function_name: str,
    code: str,
    environment: Mapping[str, str],
    role: iam.IRole,
    network: Network,
    architecture: Architecture,
    timeout_s: int = 30,
    memory_mb: int = 256,
) -> lambda_.Function:
    """A function with one of the handlers that penstock.lambdas.environment declares, and its log beside it."""
    made = lambda_.Function(
        scope,
        name,
        function_name=function_name,
        description=_ABOUT[kind],
        runtime=RUNTIME,
        architecture=_ARCHITECTURES[architecture],
        handler=_HANDLERS[kind],
        code=lambda_.Code.from_asset(code),
        environment=environment,
        role=role,
        timeout=Duration.seconds(timeout_s),
        memory_size=memory_mb,
        log_group=known_logs(scope, f"{name}Logs", f"/aws/lambda/{function_name}"),
        vpc=network.vpc,
        vpc_subnets=network.selection,
        security_groups=[network.group],
    )
    accept(
        made,
        {"AwsSolutions-L1": "The code and its compiled packages are built for Python 3.13, and tested on it."},
    )
    return made


def known_logs(scope: Construct, name: str, group_name: str) -> logs.LogGroup:
    """A log group with a known name. It is deleted with the stack, even in production: a group that stayed would make
    the next deployment fail, even the one after a rollback.
    """
    return logs.LogGroup(
        scope, name, log_group_name=group_name, retention=LOGS_KEPT, removal_policy=RemovalPolicy.DESTROY
    )


_ARCHITECTURES: Final = {"x86_64": lambda_.Architecture.X86_64, "arm64": lambda_.Architecture.ARM_64}
