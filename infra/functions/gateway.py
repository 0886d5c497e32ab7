"""The HTTP API: it declares what may be sent; the functions decide what it means."""

from collections.abc import Mapping
from typing import Final

from aws_cdk import CfnOutput, RemovalPolicy
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.configuration import Configuration
from infra.findings import accept
from infra.functions.findings import accept_managed_policy
from infra.functions.functions import LOGS_KEPT, Functions
from infra.functions.names import API

QUERY: Final = ("q", "size", "after", "id")
"""Parameters of GET /demo-data; all are optional."""

REQUESTS_PER_SECOND: Final = 50
BURST: Final = 100


class Gateway(Construct):
    """The API with its key or other authorisation; the output ApiUrl is its address, with a slash at the end."""

    def __init__(self, scope: Construct, name: str, *, configuration: Configuration, functions: Functions) -> None:
        super().__init__(scope, name)
        self._access = configuration.api
        self.api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=API,
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
        output = self.api.node.find_child("Endpoint")
        assert isinstance(output, CfnOutput)
        output.override_logical_id("ApiUrl")
        self._validator = self.api.add_request_validator(
            "Validator", validate_request_body=True, validate_request_parameters=True
        )
        self._routes(functions)
        self._say_what_is_wrong()
        self.key = self._key() if self._access == "key" else None
        self._accept()

    def _routes(self, functions: Functions) -> None:
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
