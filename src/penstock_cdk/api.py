"""The HTTP API: it declares what may be sent; the functions decide what it means."""

from collections.abc import Mapping
from typing import Final, Literal

from aws_cdk import CfnOutput, RemovalPolicy
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from penstock.lambdas.environment import APPLICATION, VARIABLES
from penstock.lambdas.permissions import reader_requests
from penstock_cdk import checks
from penstock_cdk.access import policy
from penstock_cdk.code import Architecture, FunctionsCode
from penstock_cdk.collections import Collections
from penstock_cdk.findings import accept, accept_managed_policy
from penstock_cdk.functions import LOGS_KEPT, function
from penstock_cdk.parts import Cluster, Domain, Network
from penstock_cdk.roles import Policies, function_role, login_policies
from penstock_cdk.streams import ChangeStreams
from penstock_cdk.variables import chosen, values

QUERY: Final = ("q", "size", "after", "id")
"""Parameters of GET /demo-data; all are optional."""

REQUESTS_PER_SECOND: Final = 50
BURST: Final = 100


Access = Literal["key", "iam", "open"]
Api = Literal["writer", "reader", "config"]


class SyncApi(Construct):
    """Writer, reader and config behind API Gateway; they serve the first of the collections.

    `functions` and `roles` are those of writer and reader; `gateway` has the API and its key.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        network: Network,
        cluster: Cluster,
        domain: Domain,
        collections: Collections,
        code: FunctionsCode,
        streams: ChangeStreams,
        access: Access = "key",
        architecture: Architecture = "x86_64",
        prefix: str = APPLICATION,
    ) -> None:
        """Make it. `streams` has the config function. Raises ValueError."""
        super().__init__(scope, name)
        checks.require(self, access=(checks.one_of("key", "iam", "open"), access), prefix=(checks.prefix, prefix))
        given = values(cluster, domain, collections, retention_hours=0)
        allowed: dict[Api, Policies] = {
            "writer": login_policies(cluster),
            "reader": {"OpenSearchAccess": policy(domain, reader_requests(collections.tables[0].alias))},
        }
        roles, functions = Construct(self, "Roles"), Construct(self, "Functions")
        self.roles = {each: function_role(roles, each.capitalize(), allowed[each]) for each in allowed}
        self.functions = {
            each: function(
                functions,
                each.capitalize(),
                kind=each,
                function_name=f"{prefix}-{each}",
                code=code.with_settings,
                environment=chosen(VARIABLES[each], given),
                role=self.roles[each],
                network=network,
                architecture=architecture,
            )
            for each in allowed
        }
        called: dict[Api, lambda_.Function] = {"config": streams.config}
        called.update(self.functions)
        self.gateway = Gateway(self, "Gateway", functions=called, access=access, api_name=prefix)


class Gateway(Construct):
    """The API with its key or other authorisation; `url` is the output of its address, with a slash at the end."""

    def __init__(
        self, scope: Construct, name: str, *, functions: Mapping[Api, lambda_.Function], access: Access, api_name: str
    ) -> None:
        super().__init__(scope, name)
        self._access = access
        self.api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=api_name,
            description="Stores documents in the collection, and finds them in the index.",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            cloud_watch_role=True,
            deploy_options=apigateway.StageOptions(
                stage_name="prod",
                throttling_rate_limit=REQUESTS_PER_SECOND,
                throttling_burst_limit=BURST,
                metrics_enabled=True,
                logging_level=apigateway.MethodLoggingLevel.ERROR,
                data_trace_enabled=False,  # it would log documents
                access_log_destination=apigateway.LogGroupLogDestination(
                    logs.LogGroup(self, "AccessLogs", retention=LOGS_KEPT, removal_policy=RemovalPolicy.DESTROY)
                ),
                access_log_format=apigateway.AccessLogFormat.json_with_standard_fields(
                    caller=True,
                    http_method=True,
                    ip=True,
                    protocol=True,
                    request_time=True,
                    resource_path=True,
                    response_length=True,
                    status=True,
                    user=True,
                ),
            ),
        )
        url = self.api.node.find_child("Endpoint")
        assert isinstance(url, CfnOutput)
        self.url = url
        self._validator = self.api.add_request_validator(
            "Validator", validate_request_body=True, validate_request_parameters=True
        )
        self._routes(functions)
        self._say_what_is_wrong()
        self.key = self._key() if self._access == "key" else None
        self._accept()

    def _routes(self, functions: Mapping[Api, lambda_.Function]) -> None:
        data = self.api.root.add_resource("demo-data")
        self._route(data, "POST", functions["writer"], models={"application/json": self._documents()})
        self._route(data, "GET", functions["reader"], query=QUERY)
        self._route(self.api.root.add_resource("config"), "POST", functions["config"])

    def _route(
        self,
        resource: apigateway.Resource,
        method: str,
        function: lambda_.Function,
        *,
        models: Mapping[str, apigateway.IModel] | None = None,
        query: tuple[str, ...] = (),
    ) -> None:
        resource.add_method(
            method,
            apigateway.LambdaIntegration(function, allow_test_invoke=False),
            api_key_required=self._access == "key",
            authorization_type=(
                apigateway.AuthorizationType.IAM if self._access == "iam" else apigateway.AuthorizationType.NONE
            ),
            request_validator=self._validator,
            request_models=models,
            request_parameters={f"method.request.querystring.{name}": False for name in query},
        )

    def _documents(self) -> apigateway.Model:
        """One document or several; a body that is not sent as application/json is only checked by the function."""
        document = apigateway.JsonSchema(type=apigateway.JsonSchemaType.OBJECT)
        documents = apigateway.JsonSchema(type=apigateway.JsonSchemaType.ARRAY, items=document, min_items=1)
        return self.api.add_model(
            "Documents",
            content_type="application/json",
            description="One JSON object, or an array of them.",
            schema=apigateway.JsonSchema(
                schema=apigateway.JsonSchemaVersion.DRAFT4, title="Documents", one_of=[document, documents]
            ),
        )

    def _say_what_is_wrong(self) -> None:
        """Add the reason to the response: by default, API Gateway only says that a body is invalid."""
        self.api.add_gateway_response(
            "BadBody",
            type=apigateway.ResponseType.BAD_REQUEST_BODY,
            status_code="400",
            templates={"application/json": '{"message": "$context.error.validationErrorString"}'},
        )

    def _key(self) -> apigateway.IApiKey:
        key = self.api.add_api_key("Key")
        plan = self.api.add_usage_plan(
            "Plan",
            description="What the holders of the key may ask for.",
            throttle=apigateway.ThrottleSettings(rate_limit=REQUESTS_PER_SECOND, burst_limit=BURST),
            api_stages=[apigateway.UsagePlanPerApiStage(stage=self.api.deployment_stage)],
        )
        plan.add_api_key(key)
        return key

    def _accept(self) -> None:
        no_users = (
            "Called by who deployed it: with an API key by default, signed with -c api=iam, by anybody only when asked "
            "for with -c open_api=true. There are no users for Cognito to hold."
        )
        accept(
            self.api,
            {
                "AwsSolutions-COG4": no_users,
                "AwsSolutions-APIG4": no_users,
                "AwsSolutions-APIG3": "Throttled; a web ACL is of use once the public is let in.",
            },
        )
        accept_managed_policy(
            self.api, "Lets API Gateway write logs.", "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
        )
