"""What the functions make of API Gateway's events, and of errors."""

import base64
import json
import threading
import time

import pytest
from pymongo.errors import OperationFailure

from penstock.errors import SettingsError, SinkUnavailable, SourceUnavailable, Stopped
from penstock.lambdas import config, documents, http, paging, reader, writer
from penstock.lambdas.http import ApiReply, ApiRequest, BadRequest
from testkit.lambda_calls import PATH, Context, forget, function_settings, parsed, proxy_event

AWAY = "The server is away."


@pytest.fixture(autouse=True)
def declared(monkeypatch):
    with function_settings(monkeypatch, "shop.orders"):
        yield


def answered(event, handle, *, seconds=30.0):
    return http.answer(event, Context(seconds), method="GET", handle=handle, away=AWAY)


def echo(request: ApiRequest, _stop: threading.Event) -> ApiReply:
    said = {"path": request.path, "parameters": dict(request.parameters), "body": request.body.decode()}
    return ApiReply(200, json.dumps(said).encode(), {"x-more": "yes"})


def failing(error: Exception):
    def handle(_request: ApiRequest, _stop: threading.Event) -> ApiReply:
        raise error

    return handle


def test_nulls_in_place_of_maps_and_of_the_body():
    status, body = parsed(answered(proxy_event("GET"), echo))
    assert (status, body) == (200, {"path": f"/prod{PATH}", "parameters": {}, "body": ""})


def test_parameters_a_base64_body_and_headers_of_the_answer():
    body = base64.b64encode("grün".encode()).decode()
    answer = answered(proxy_event("GET", body, {"q": "a b", "size": "5"}, isBase64Encoded=True), echo)
    assert answer["headers"]["x-more"] == "yes"
    _, said = parsed(answer)
    assert said["parameters"] == {"q": "a b", "size": "5"}
    assert said["body"] == "grün"


def test_an_event_with_only_single_values():
    event = proxy_event("GET", None, {"q": "a"}, multiValueQueryStringParameters=None, requestContext=None)
    assert parsed(answered(event, echo))[1] == {"path": PATH, "parameters": {"q": "a"}, "body": ""}


@pytest.mark.parametrize(
    ("event", "status", "reason"),
    [
        ({"key1": "value1"}, 400, "no httpMethod"),
        (["not", "an", "event"], 400, "no httpMethod"),
        (None, 400, "no httpMethod"),
        ({"version": "2.0", "requestContext": {"http": {"method": "GET"}}}, 400, "format 1.0"),
        (proxy_event("PUT"), 405, "PUT is not allowed here; use GET."),
        (proxy_event("GET", "%%%", isBase64Encoded=True), 400, "The body cannot be decoded."),
        (proxy_event("GET", "abc", isBase64Encoded=True), 400, "The body cannot be decoded."),
        (proxy_event("GET", "\ud800"), 400, "The body cannot be decoded."),
        (proxy_event("GET", multiValueQueryStringParameters={"q": ["a", "b"]}), 400, "Given more than once: q."),
    ],
)
def test_an_event_that_is_not_a_request_for_the_function(event, status, reason):
    found, body = parsed(answered(event, echo))
    assert found == status
    assert reason in body["message"]


def refused_by_the_cluster() -> SourceUnavailable:
    error = SourceUnavailable("The source refuses it: secret words.")
    error.__cause__ = OperationFailure("not authorised", 13)
    return error


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (BadRequest("no such thing", 409), 409, "no such thing"),
        (Stopped("secret words"), 503, AWAY),
        (SourceUnavailable("secret words: Secrets Manager is away"), 503, AWAY),
        (refused_by_the_cluster(), 500, "the function's log says which"),
        (SinkUnavailable("secret words: 403"), 500, "the function's log says which"),
        (SettingsError("secret words"), 500, "the function's log says which"),
    ],
)
def test_an_error_is_an_answer_that_tells_nothing_of_the_inside(error, status, message):
    found, body = parsed(answered(proxy_event("GET"), failing(error)))
    assert found == status
    assert message in body["message"]
    assert "secret words" not in body["message"]


def test_what_went_wrong_inside_is_in_the_log(capsys):
    answered(proxy_event("GET"), failing(SinkUnavailable("the reason: 403")))
    logged = capsys.readouterr().err
    assert "the reason: 403" in logged
    assert Context.aws_request_id in logged


def test_settings_that_cannot_be_used(monkeypatch):
    monkeypatch.setenv("PENSTOCK_SINK_URL", "nothing of the kind")
    forget()
    assert parsed(answered(proxy_event("GET"), echo))[0] == 500


def test_a_defect_is_raised():
    with pytest.raises(ZeroDivisionError):
        answered(proxy_event("GET"), failing(ZeroDivisionError()))


def test_work_that_heeds_the_end_of_its_time_is_answered_as_away():
    def handle(_request: ApiRequest, stop: threading.Event) -> ApiReply:
        stop.wait()
        raise Stopped("told to stop")

    assert parsed(answered(proxy_event("GET"), handle, seconds=0.3))[0] == 503


def test_work_that_hangs_is_answered_as_away_before_the_time_is_over():
    hanging = threading.Event()

    def handle(_request: ApiRequest, _stop: threading.Event) -> ApiReply:
        hanging.wait()
        return ApiReply(200, b"{}")

    began = time.monotonic()
    try:
        assert parsed(answered(proxy_event("GET"), handle, seconds=1.5)) == (503, {"message": AWAY})
        assert time.monotonic() - began < 30
    finally:
        hanging.set()


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"siez": "5", "p": "1"}, "`p` is not known; `siez` is not known"),
        ({"size": "0"}, "`size` must be a whole number from 1 to 1000"),
        ({"size": "1001"}, "`size` must be a whole number from 1 to 1000"),
        ({"size": "ten"}, "`size` must be a whole number from 1 to 1000"),
        ({"size": "\u0665"}, "`size` must be a whole number from 1 to 1000"),
        ({"size": ""}, "`size` must be a whole number from 1 to 1000"),
        ({"q": " "}, "`q` is empty"),
        ({"id": ""}, "`id` must have 1 to 512 bytes"),
        ({"id": "x" * 513}, "`id` must have 1 to 512 bytes"),
        ({"id": "1", "size": "2"}, "`id` cannot be combined with other parameters"),
        ({"after": "?"}, "`after` does not belong to this search"),
        ({"after": "bm90aGluZw"}, "`after` does not belong to this search"),
        (
            {"after": paging.to_text(paging.SearchPlace(1.0, 5, ("a",)), "x"), "q": "y"},
            "`after` does not belong to this search",
        ),
    ],
)
def test_parameters_of_the_reader_that_are_refused(parameters, reason):
    status, body = parsed(reader.handler(proxy_event("GET", None, parameters), Context()))
    assert status == 400
    assert reason in body["message"]


def test_the_place_after_a_page_can_be_read_back():
    place = paging.SearchPlace(0.029335693, 17, ("65a0f1c2d3e4f5061728394a", "s:\u00e9"))
    assert paging.from_text(paging.to_text(place, "grün"), "grün") == place


def test_numbers_of_a_source_keep_their_digits():
    text = b'{"a":[1.50,-0.0,1e3,123456789012345678901234567890.5],"b":[9223372036854775807,18446744073709551616,7]}'
    assert reader.written(reader.verbatim(text)) == text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("[1]", 'must be empty, {"enable": true}'),
        ('{"enabled": true}', "Unknown: enabled"),
        ('{"enable": 1}', "`enable` must be true or false"),
        ("{", "The body is not valid JSON"),
    ],
)
def test_bodies_that_config_refuses(body, reason):
    status, answer = parsed(config.handler(proxy_event("POST", body), Context()))
    assert status == 400
    assert reason in answer["message"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "The body is empty"),
        ("{", "The body is not valid JSON"),
        ('"text"', "it is a string"),
        ("null", "it is null"),
        ("[]", "The array is empty"),
        ('[{"a": 1}, 5]', "The document at [1] must be an object; it is a number."),
        ('{"a": NaN}', "NaN is not a JSON value"),
        ('{"a": 1e999}', '$numberDecimal": "1e999"'),
        ('{"a": 1, "a": 2}', "has a duplicate name: 'a'"),
        ('{"a": {"$oid": "xyz"}}', "The document is not valid extended JSON: 'xyz' is not a valid ObjectId"),
        ('[{"a": {"$date": "yesterday"}}]', "The document at [0] is not valid extended JSON"),
        ('{"a": {"$date": {"$numberLong": "x"}}}', "The document is not valid extended JSON"),
        ('{"a": {"$binary": {"base64": "AA=="}}}', "The document is not valid extended JSON"),
        ('{"a": {"$numberDecimal": "ten"}}', "The document is not valid extended JSON"),
        ('{"a": {"$timestamp": 5}}', "The document is not valid extended JSON"),
        ('{"$oid": "65a0f1c2d3e4f5061728394a"}', "is a value of extended JSON ($oid), not a document"),
        ('{"a\\u0000b": 1}', "Key names must not contain the NULL byte"),
        ('{"a": "\\ud800"}', "half a character"),
        ('{"a": 9223372036854775808}', "8-byte ints"),
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 20_000 + "1" + "}" * 20_000, "nested too deep"),
        ('{"secret": "' + "x" * 17_000_000 + '"}', "is too large: 17000035 bytes"),
        (json.dumps([{}] * 1001), "contains 1001 documents; the maximum for a request is 1000"),
    ],
)
def test_bodies_that_the_writer_refuses(body, reason):
    status, answer = parsed(writer.handler(proxy_event("POST", body), Context()))
    assert status == 400
    assert reason in answer["message"]
    assert len(answer["message"]) < 400


def test_a_body_that_is_not_utf8():
    body = base64.b64encode(b'{"a": "\xff"}').decode()
    status, answer = parsed(writer.handler(proxy_event("POST", body, isBase64Encoded=True), Context()))
    assert (status, answer["message"]) == (400, "The body is not valid JSON: it is not UTF-8.")


def test_a_document_has_its_id_first_and_keeps_the_order_of_its_fields():
    (document,) = documents.documents_of(b'{"b": 1, "a": 2, "_id": "x"}')
    assert list(document.raw) == ["_id", "b", "a"]
    assert document.id == "x"


def test_a_document_without_an_id_gets_one_and_null_is_one():
    without, null = documents.documents_of(b'[{"a": 1}, {"_id": null}]')
    assert without.raw["_id"] == without.id
    assert null.id is None
