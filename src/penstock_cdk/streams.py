"""Change streams, which must be enabled before anything reads them: CloudFormation asks the config function to."""

from collections.abc import Sequence
from typing import Final

from aws_cdk import CfnElement, CustomResource, RemovalPolicy, Stack, custom_resources
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from penstock.lambdas.environment import APPLICATION, VARIABLES
from penstock.model import Namespace
from penstock.settings.checks import PATTERN_SIGN
from penstock_cdk.code import Architecture, FunctionsCode
from penstock_cdk.collections import Collections
from penstock_cdk.findings import accept, accept_managed_policy
from penstock_cdk.functions import LOGS_KEPT, function
from penstock_cdk.names import short
from penstock_cdk.parts import Cluster, Network
from penstock_cdk.roles import function_role, login_policies
from penstock_cdk.variables import chosen, values

_CONFIG_TIMEOUT_S: Final = 120
"""API Gateway waits 29 s; a deployment waits longer, for a cluster that has just started."""


class ChangeStreams(Construct):
    """The config function, and custom resources that have it enable the change streams of collections."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        network: Network,
        cluster: Cluster,
        collections: Collections,
        code: FunctionsCode,
        architecture: Architecture = "x86_64",
        prefix: str = APPLICATION,
    ) -> None:
        super().__init__(scope, name)
        self._cluster = cluster
        self._provider: custom_resources.Provider | None = None
        self.config: lambda_.Function = function(
            Construct(self, "Functions"),
            "Config",
            kind="config",
            function_name=f"{prefix}-config",
            code=code.with_settings,
            environment=chosen(VARIABLES["config"], values(cluster, None, collections, retention_hours=0)),
            role=function_role(Construct(self, "Roles"), "Config", login_policies(cluster)),
            network=network,
            architecture=architecture,
            timeout_s=_CONFIG_TIMEOUT_S,
        )

    def enabled(self, scope: Construct, collections: Sequence[str]) -> dict[str, CustomResource]:
        """Return the enabled change streams of collections; `EnabledAt` of each is when, in Unix seconds.

        They are never updated: a later EnabledAt would make a new mapping start there. A pattern has those of its whole
        database, now and later.
        """
        provider = self._provider = self._provider or self._make_provider()
        streams = {}
        for each in collections:
            namespace = Namespace.named(each)
            stream = streams[each] = CustomResource(
                Construct(scope, short(each)),
                "ChangeStream",
                service_token=provider.service_token,
                resource_type="Custom::ChangeStream",
                properties={"Database": namespace.db, "Collection": "" if PATTERN_SIGN in each else namespace.coll},
            )
            stream.node.add_dependency(*self._cluster.needed)
        return streams

    def _make_provider(self) -> custom_resources.Provider:
        scope = Construct(self, "Mapping")
        provider = custom_resources.Provider(
            scope,
            "Provider",
            on_event_handler=self.config,
            log_group=logs.LogGroup(scope, "ProviderLogs", retention=LOGS_KEPT, removal_policy=RemovalPolicy.DESTROY),
        )
        _accept_framework(provider, self.config)
        return provider


def _accept_framework(provider: custom_resources.Provider, config: lambda_.Function) -> None:
    """The provider is a function that belongs to the CDK."""
    accept_managed_policy(provider, "It writes its log.", "service-role/AWSLambdaBasicExecutionRole")
    resource = config.node.default_child
    assert isinstance(resource, CfnElement)
    called = Stack.of(provider).get_logical_id(resource)
    accept(
        provider,
        {
            f"AwsSolutions-IAM5[Resource::<{called}.Arn>:*]": "It calls the config function, in any of its versions.",
            "AwsSolutions-L1": "Its runtime is the one that this release of the CDK was tested with.",
        },
    )
