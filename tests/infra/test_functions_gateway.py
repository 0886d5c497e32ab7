"""The API takes what it declares, from those who may, and not more than it should."""

import json

import pytest

from testkit.functions_template import AS_IN_SAMPLE, OTHER, STACK, plain, properties

ROUTES = [("POST", "demo-data", "writer"), ("GET", "demo-data", "reader"), ("POST", "config", "config")]
METHOD = "AWS::ApiGateway::Method"


def method(template, verb, path):
    (resource,) = template.find_resources("AWS::ApiGateway::Resource", PathPart=path)
    return properties(template, METHOD, HttpMethod=verb, ResourceId={"Ref": resource})


@pytest.fixture(scope="module")
def template(synth):
    return synth({})[STACK]


@pytest.mark.parametrize(("verb", "path", "function"), ROUTES)
def test_each_route_calls_its_function_and_may(template, verb, path, function):
    integration = method(template, verb, path)["Integration"]
    assert integration["Type"] == "AWS_PROXY"
    functions = template.find_resources("AWS::Lambda::Function")
    (called,) = [name for name in functions if f"{name}.Arn" in plain(integration["Uri"])]
    assert functions[called]["Properties"]["FunctionName"] == f"change-streams-demo-{function}"
    permitted = [
        plain(each["Properties"]["SourceArn"])
        for each in template.find_resources("AWS::Lambda::Permission").values()
        if plain(each["Properties"]["FunctionName"]) == f"{called}.Arn"
    ]
    assert [each.rsplit("/", 2)[1:] for each in permitted] == [[verb, path]]


def test_there_are_no_other_routes(template):
    assert len(template.find_resources(METHOD)) == len(ROUTES)


def test_the_api_is_regional_with_the_stage_prod(template):
    assert properties(template, "AWS::ApiGateway::RestApi")["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    assert properties(template, "AWS::ApiGateway::Stage")["StageName"] == "prod"


def test_its_address_is_an_output(template):
    address = plain(template.content["Outputs"]["ApiUrl"]["Value"])
    assert address.startswith("https://")
    assert address.endswith("/")


@pytest.mark.parametrize(("verb", "path", "_function"), ROUTES)
def test_a_key_is_needed_by_default(template, verb, path, _function):
    found = method(template, verb, path)
    assert (found["ApiKeyRequired"], found["AuthorizationType"]) == (True, "NONE")


def test_the_key_belongs_to_a_usage_plan_of_the_stage(template):
    plan = properties(template, "AWS::ApiGateway::UsagePlan")
    assert plan["Throttle"] == {"RateLimit": 50, "BurstLimit": 100}
    (stage,) = template.find_resources("AWS::ApiGateway::Stage")
    assert [each["Stage"] for each in plan["ApiStages"]] == [{"Ref": stage}]
    (key,) = template.find_resources("AWS::ApiGateway::ApiKey")
    assert properties(template, "AWS::ApiGateway::UsagePlanKey")["KeyId"] == {"Ref": key}
    assert template.content["Outputs"]["ApiKeyId"]["Value"] == {"Ref": key}


@pytest.mark.parametrize(("context", "authorisation"), [(OTHER, "AWS_IAM"), (AS_IN_SAMPLE, "NONE")])
def test_iam_and_open_have_no_key(synth, context, authorisation):
    template = synth(context)[STACK]
    methods = [each["Properties"] for each in template.find_resources(METHOD).values()]
    assert {(each["ApiKeyRequired"], each["AuthorizationType"]) for each in methods} == {(False, authorisation)}
    assert not template.find_resources("AWS::ApiGateway::ApiKey")
    assert "ApiKeyId" not in template.content["Outputs"]


def test_calls_are_throttled_and_bodies_are_not_logged(template):
    (settings,) = properties(template, "AWS::ApiGateway::Stage")["MethodSettings"]
    assert (settings["HttpMethod"], settings["ResourcePath"]) == ("*", "/*")
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == (50, 100)
    assert settings["DataTraceEnabled"] is False


def test_requests_are_validated(template):
    validator = properties(template, "AWS::ApiGateway::RequestValidator")
    assert (validator["ValidateRequestBody"], validator["ValidateRequestParameters"]) == (True, True)
    (name,) = template.find_resources("AWS::ApiGateway::RequestValidator")
    methods = template.find_resources(METHOD).values()
    assert {plain(each["Properties"]["RequestValidatorId"]) for each in methods} == {name}


def test_a_body_is_an_object_or_an_array_of_them(template):
    (name,) = template.find_resources("AWS::ApiGateway::Model")
    assert method(template, "POST", "demo-data")["RequestModels"] == {"application/json": {"Ref": name}}
    schema = properties(template, "AWS::ApiGateway::Model")["Schema"]
    assert schema["oneOf"] == [{"type": "object"}, {"type": "array", "items": {"type": "object"}, "minItems": 1}]


def test_the_parameters_of_a_search_are_declared_and_optional(template):
    assert method(template, "GET", "demo-data")["RequestParameters"] == {
        f"method.request.querystring.{name}": False for name in ("q", "size", "after", "id")
    }


def test_a_refused_body_is_answered_with_the_reason(template):
    response = properties(template, "AWS::ApiGateway::GatewayResponse")
    assert (response["ResponseType"], response["StatusCode"]) == ("BAD_REQUEST_BODY", "400")
    assert "$context.error.validationErrorString" in response["ResponseTemplates"]["application/json"]


def test_calls_are_logged_with_a_retention_and_the_account_may_log(template):
    setting = properties(template, "AWS::ApiGateway::Stage")["AccessLogSetting"]
    groups = template.find_resources("AWS::Logs::LogGroup")
    assert groups[setting["DestinationArn"]["Fn::GetAtt"][0]]["Properties"]["RetentionInDays"] == 30
    assert {"requestId", "status", "httpMethod", "resourcePath"} <= set(json.loads(setting["Format"]))
    role = properties(template, "AWS::ApiGateway::Account")["CloudWatchRoleArn"]["Fn::GetAtt"][0]
    trust = template.find_resources("AWS::IAM::Role")[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust[0]["Principal"] == {"Service": "apigateway.amazonaws.com"}
