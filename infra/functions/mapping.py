"""The event source mapping of each collection, and the change stream that must be enabled before it.

A mapping checks its collection's change stream when it is created, and never again. So by default, CloudFormation calls
the config function, as a custom resource, before it creates the mapping. The mapping then starts at the time when the
stream was enabled, so that it also reads what is written in between. With `as_in_sample`, the mapping is created
disabled, and the user does both by hand.
"""

from collections.abc import Mapping

from aws_cdk import CfnElement, CustomResource, RemovalPolicy, Stack, Token, custom_resources
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.configuration import Configuration
from infra.findings import accept
from infra.functions.findings import accept_managed_policy
from infra.functions.functions import LOGS_KEPT
from infra.functions.names import short
from infra.functions.servers import SourceCluster
from penstock.model import Namespace


class Mappings(Construct):
    """A mapping for each collection; `ids` are their ids for the AWS CLI, by collection."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        configuration: Configuration,
        documentdb: SourceCluster,
        syncs: Mapping[str, lambda_.Function],
        config: lambda_.Function,
    ) -> None:
        super().__init__(scope, name)
        self._configuration = configuration
        self._documentdb = documentdb
        self._syncs = syncs
        self._provider = None if configuration.as_in_sample else self._make_provider(config)
        self.ids = {each.namespace: self._mapping(Namespace.named(each.namespace)) for each in configuration.tables}

    def _mapping(self, namespace: Namespace) -> str:
        # Names in the template change with the collection, because a mapping's collection cannot be changed in place.
        of_collection = Construct(self, short(str(namespace)))
        configuration = self._configuration
        mapping = lambda_.CfnEventSourceMapping(
            of_collection,
            "Mapping",
            function_name=self._syncs[str(namespace)].function_name,
            event_source_arn=self._documentdb.cluster_arn,
            enabled=not configuration.as_in_sample,
            starting_position="LATEST" if configuration.as_in_sample else "AT_TIMESTAMP",
            batch_size=configuration.batch_size,
            maximum_batching_window_in_seconds=configuration.batch_window_s,
            source_access_configurations=[
                lambda_.CfnEventSourceMapping.SourceAccessConfigurationProperty(
                    type="BASIC_AUTH", uri=self._documentdb.secret.secret_arn
                )
            ],
            document_db_event_source_config=lambda_.CfnEventSourceMapping.DocumentDBEventSourceConfigProperty(
                database_name=namespace.db, collection_name=namespace.coll, full_document="UpdateLookup"
            ),
        )
        mapping.node.add_dependency(*self._documentdb.needed)
        if self._provider is not None:
            stream = self._change_stream(of_collection, namespace, self._provider)
            mapping.starting_position_timestamp = Token.as_number(stream.get_att("EnabledAt"))
        return mapping.attr_id

    def _make_provider(self, config: lambda_.Function) -> custom_resources.Provider:
        provider = custom_resources.Provider(
            self,
            "Provider",
            on_event_handler=config,
            log_group=logs.LogGroup(self, "ProviderLogs", retention=LOGS_KEPT, removal_policy=RemovalPolicy.DESTROY),
        )
        _accept_framework(provider, config)
        return provider

    def _change_stream(
        self, of_collection: Construct, namespace: Namespace, provider: custom_resources.Provider
    ) -> CustomResource:
        """The enabled change stream. It is never updated: a later EnabledAt would make a new mapping start there."""
        stream = CustomResource(
            of_collection,
            "ChangeStream",
            service_token=provider.service_token,
            resource_type="Custom::ChangeStream",
            properties={"Database": namespace.db, "Collection": namespace.coll},
        )
        stream.node.add_dependency(*self._documentdb.needed)
        return stream


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
