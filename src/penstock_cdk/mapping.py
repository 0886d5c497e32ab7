"""One event source mapping."""

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from penstock.model import Namespace
from penstock_cdk.parts import Cluster


def event_source_mapping(
    scope: Construct,
    *,
    cluster: Cluster,
    namespace: Namespace,
    function: lambda_.IFunction,
    batch_size: int,
    batch_window_s: int,
    enabled_at: float | None,
) -> lambda_.CfnEventSourceMapping:
    """A mapping that starts at the time when the change stream was enabled; without one it is created disabled."""
    enabled = enabled_at is not None
    mapping = lambda_.CfnEventSourceMapping(
        scope,
        "Mapping",
        function_name=function.function_name,
        event_source_arn=cluster.arn,
        enabled=enabled,
        starting_position="AT_TIMESTAMP" if enabled else "LATEST",
        starting_position_timestamp=enabled_at,
        batch_size=batch_size,
        maximum_batching_window_in_seconds=batch_window_s,
        source_access_configurations=[
            lambda_.CfnEventSourceMapping.SourceAccessConfigurationProperty(
                type="BASIC_AUTH", uri=cluster.secret.secret_arn
            )
        ],
        document_db_event_source_config=lambda_.CfnEventSourceMapping.DocumentDBEventSourceConfigProperty(
            database_name=namespace.db, collection_name=namespace.coll, full_document="UpdateLookup"
        ),
    )
    mapping.node.add_dependency(*cluster.needed)
    return mapping
