"""The API gateway over HTTP, in front of real functions: events, answers, API Gateway's own responses and limits."""

import base64
import json
import re
import time

import pytest
import urllib3

from penstock_tools.aws.gateway.gateway import BODY_LIMIT, Gateway
from penstock_tools.aws.runtime.functions import Functions
from penstock_tools.servers.errors import LocalServerError

ECHO = """
    import json

    def handler(event, context):
        return {"statusCode": 200, "body": json.dumps(event)}
"""
AS_TOLD = """
    import json

    def handler(event, context):
        told = json.loads(event["body"])
        if told == "raise":
            raise ValueError("no luck")
        if told == "too much":
            return {"statusCode": 200, "body": "x" * 7_000_000}
        return told
"""
WAITING = """
    import os, time

    def handler(event, context):
        folder = event["headers"]["folder"]
        while not os.path.exists(folder + "/go"):
            time.sleep(0.01)
        open(folder + "/done", "w").close()
        return {"statusCode": 200}
"""
ROUTES = {
    ("GET", "/demo-data"): "echo",
    ("POST", "/demo-data"): "echo",
    ("POST", "/told"): "told",
    ("HEAD", "/demo-data"): "echo",
    ("GET", "/nobody"): "nobody",
}


@pytest.fixture(scope="module")
def functions(new_function):
    made = [new_function(code, name=name) for name, code in (("echo", ECHO), ("told", AS_TOLD), ("slow", WAITING))]
    with Functions(made) as functions:
        yield functions


@pytest.fixture(scope="module")
def gateway(functions):
    with Gateway(ROUTES, functions.invoke) as gateway:
        yield gateway


@pytest.fixture
def http():
    with urllib3.PoolManager(retries=False, timeout=60) as http:
        yield http


def test_an_event_has_the_keys_and_nulls_of_the_rest_proxy_format(gateway, http):
    before = int(time.time() * 1000)
    url = f"{gateway.url}/demo-data"
    answered = http.request("GET", url, headers={"User-Agent": "tests", "Accept": "*/*", "Accept-Encoding": "identity"})
    event = answered.json()
    context = event.pop("requestContext")
    identity = context.pop("identity")
    headers = event.pop("headers")
    assert {name: [value] for name, value in headers.items()} == event.pop("multiValueHeaders")
    assert event == {
        "resource": "/demo-data",
        "path": "/demo-data",
        "httpMethod": "GET",
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "body": None,
        "isBase64Encoded": False,
    }
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", headers.pop("X-Amzn-Trace-Id"))
    assert headers == {
        "Host": f"127.0.0.1:{gateway.port}",
        "User-Agent": "tests",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Port": str(gateway.port),
        "X-Forwarded-Proto": "http",
    }
    assert before <= context.pop("requestTimeEpoch") <= int(time.time() * 1000)
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", context.pop("requestTime"))
    assert re.fullmatch(r"\w{8}(-\w{4}){3}-\w{12}", context["requestId"])
    assert context.pop("requestId") == answered.headers["x-amzn-RequestId"]
    assert context.pop("extendedRequestId")
    assert context == {
        "resourceId": "local",
        "resourcePath": "/demo-data",
        "httpMethod": "GET",
        "path": "/prod/demo-data",
        "accountId": "123456789012",
        "protocol": "HTTP/1.1",
        "stage": "prod",
        "domainPrefix": "127",
        "domainName": f"127.0.0.1:{gateway.port}",
        "apiId": "local",
    }
    assert (identity.pop("sourceIp"), identity.pop("userAgent")) == ("127.0.0.1", "tests")
    assert identity == dict.fromkeys(
        [
            "cognitoIdentityPoolId",
            "accountId",
            "cognitoIdentityId",
            "caller",
            "principalOrgId",
            "accessKey",
            "cognitoAuthenticationType",
            "cognitoAuthenticationProvider",
            "userArn",
            "user",
        ]
    )


def test_repeated_parameters_and_headers_keep_the_last_and_all_values(gateway, http):
    headers = urllib3.HTTPHeaderDict([("X-Tag", "one"), ("X-Tag", "two")])
    event = http.request("GET", f"{gateway.url}/demo-data?q=caf%C3%A9+au&id=1&id=2&empty=", headers=headers).json()
    assert event["queryStringParameters"] == {"q": "café au", "id": "2", "empty": ""}
    assert event["multiValueQueryStringParameters"] == {"q": ["café au"], "id": ["1", "2"], "empty": [""]}
    assert event["headers"]["X-Tag"] == "two"
    assert event["multiValueHeaders"]["X-Tag"] == ["one", "two"]


def test_a_body_of_text_arrives_as_it_is_and_any_other_as_base64(gateway, http):
    text = '{"name": "Zoë", "n": 1}'
    event = http.request("POST", f"{gateway.url}/demo-data", body=text.encode()).json()
    assert (event["body"], event["isBase64Encoded"]) == (text, False)
    assert not {"content-length", "connection"} & {name.lower() for name in event["headers"]}
    binary = bytes(range(256))
    event = http.request("POST", f"{gateway.url}/demo-data", body=binary).json()
    assert (base64.b64decode(event["body"]), event["isBase64Encoded"]) == (binary, True)


@pytest.fixture
def told(gateway, http):
    """Have the function answer exactly this."""
    return lambda value: http.request("POST", f"{gateway.url}/told", body=json.dumps(value).encode())


def test_an_answer_becomes_a_response(told):
    response = told(
        {
            "statusCode": 201,
            "headers": {"X-One": "1", "X-Number": 7, "X-Flag": True, "X-Both": "a", "Content-Length": "999"},
            "multiValueHeaders": {"X-Both": ["a", "b"], "Set-Cookie": ["c=1", "d=2"]},
            "body": '{"made": "Zoë"}',
            "isBase64Encoded": False,
        }
    )
    assert (response.status, response.json()) == (201, {"made": "Zoë"})
    assert response.headers["Content-Type"] == "application/json"
    assert [response.headers[name] for name in ("X-One", "X-Number", "X-Flag")] == ["1", "7", "true"]
    assert response.headers.getlist("X-Both") == ["a", "b"]
    assert response.headers.getlist("Set-Cookie") == ["c=1", "d=2"]
    assert response.headers["Content-Length"] == str(len(response.data))


def test_a_binary_answer_is_decoded_and_its_content_type_kept(told):
    binary = bytes(range(256))
    answer = {"statusCode": "200", "body": base64.b64encode(binary).decode(), "isBase64Encoded": True}
    response = told({**answer, "headers": {"content-type": "image/png"}})
    assert (response.status, response.data) == (200, binary)
    assert response.headers.getlist("Content-Type") == ["image/png"]


def test_an_answer_needs_only_its_status(told):
    response = told({"statusCode": 204, "headers": None, "multiValueHeaders": None, "body": None})
    assert (response.status, response.data) == (204, b"")


def test_head_gives_the_headers_of_get_only(gateway, http):
    response = http.request("HEAD", f"{gateway.url}/demo-data")
    assert (response.status, response.data) == (200, b"")
    assert int(response.headers["Content-Length"]) > 100


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {},
        {"body": "no status"},
        {"statusCode": None},
        {"statusCode": True},
        {"statusCode": "ok"},
        {"statusCode": 99},
        {"statusCode": 200, "body": {"not": "a string"}},
        {"statusCode": 200, "body": "not base64!", "isBase64Encoded": True},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"X-Object": {}}},
        {"statusCode": 200, "headers": {"X-Split": "a\r\nSet-Cookie: b"}},
        {"statusCode": 200, "multiValueHeaders": {"X-One": "not an array"}},
        {"statusCode": 200, "status_code": 200},
        "raise",
        "too much",
    ],
    ids=str,
)
def test_a_malformed_answer_and_a_failed_function_are_a_bad_gateway(told, answer):
    response = told(answer)
    assert (response.status, response.json()) == (502, {"message": "Internal server error"})
    assert response.headers["x-amzn-ErrorType"] == "InternalServerErrorException"


@pytest.mark.parametrize(
    ("method", "path", "text", "error_type"),
    [
        ("GET", "/prod/unknown", "Missing Authentication Token", "MissingAuthenticationTokenException"),
        ("DELETE", "/prod/demo-data", "Missing Authentication Token", "MissingAuthenticationTokenException"),
        ("GET", "/prod", "Missing Authentication Token", "MissingAuthenticationTokenException"),
        ("GET", "/other/demo-data", "Forbidden", "ForbiddenException"),
        ("GET", "/demo-data", "Forbidden", "ForbiddenException"),
    ],
)
def test_unknown_routes_and_stages_are_refused(gateway, http, method, path, text, error_type):
    response = http.request(method, f"http://127.0.0.1:{gateway.port}{path}")
    assert (response.status, response.json()) == (403, {"message": text})
    assert response.headers["x-amzn-ErrorType"] == error_type


def test_with_an_api_key_only_its_bearer_is_served(functions, http):
    with Gateway(ROUTES, functions.invoke, stage="demo", api_key="right") as gateway:
        for headers in ({}, {"x-api-key": "wrong"}, {"x-api-key": ""}):
            response = http.request("GET", f"{gateway.url}/demo-data", headers=headers)
            assert (response.status, response.json()) == (403, {"message": "Forbidden"})
        served = http.request("GET", f"{gateway.url}/demo-data", headers={"X-API-Key": "right"})
        assert served.status == 200
        assert served.json()["requestContext"]["path"] == "/demo/demo-data"
        assert served.json()["requestContext"]["identity"]["apiKey"] == "right"
        unknown = http.request("GET", f"{gateway.url}/unknown")
        assert unknown.json() == {"message": "Missing Authentication Token"}


def test_a_function_that_needs_too_long_is_a_gateway_timeout_and_goes_on(functions, http, tmp_path):
    routes = {("POST", "/slow"): "slow"}
    with Gateway(routes, functions.invoke, integration_timeout_s=0.2) as gateway:
        response = http.request("POST", f"{gateway.url}/slow", headers={"folder": str(tmp_path)})
        assert (response.status, response.json()) == (504, {"message": "Endpoint request timed out"})
        (tmp_path / "go").touch()
        deadline = time.monotonic() + 60
        while not (tmp_path / "done").exists():
            assert time.monotonic() < deadline, "the function was ended"
            time.sleep(0.01)


def test_a_body_above_ten_megabytes_is_refused(gateway, http):
    response = http.request("POST", f"{gateway.url}/demo-data", body=b"x" * (BODY_LIMIT + 1))
    assert (response.status, response.data) == (413, b"HTTP content length exceeded 10485760 bytes.")
    again = http.request("GET", f"{gateway.url}/demo-data")
    assert again.status == 200


def test_a_body_that_lambda_would_not_take_is_refused(gateway, http):
    response = http.request("POST", f"{gateway.url}/demo-data", body=b"x" * 6_291_456)
    assert (response.status, response.json()) == (413, {"message": "Request Too Long"})


def test_a_body_sent_in_chunks_arrives_whole(gateway, http):
    event = http.request("POST", f"{gateway.url}/demo-data", body=iter([b"some", b"thing"])).json()
    assert event["body"] == "something"
    assert "transfer-encoding" not in {name.lower() for name in event["headers"]}
    refused = http.request("POST", f"{gateway.url}/demo-data", body=iter([b"x" * BODY_LIMIT, b"x"]))
    assert refused.status == 413


def test_a_route_to_no_function_is_an_internal_error(gateway, http):
    response = http.request("GET", f"{gateway.url}/nobody")
    assert (response.status, response.json()) == (500, {"message": "Internal server error"})


def test_a_port_in_use_is_told(gateway, functions):
    with pytest.raises(LocalServerError, match=f"API gateway cannot use port {gateway.port}"):
        Gateway(ROUTES, functions.invoke, port=gateway.port).__enter__()
