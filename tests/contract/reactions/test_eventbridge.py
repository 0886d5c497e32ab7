"""EventBridge as moto plays it; its partial failures, which moto never has, by a server that answers as it would."""

import json

import boto3
import pytest

from penstock.reactions.event import Event
from penstock.reactions.target import Accepted, Refused, TryAgain
from penstock.reactions.targets.eventbridge import REQUEST_BYTES, EventBridgeTarget, size_of
from penstock.settings import ReactionSettings
from testkit.sink_access import Said, relay


@pytest.fixture
def aws(aws_url, monkeypatch):
    """The environment of somebody with an account."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_EVENTBRIDGE", aws_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    return aws_url


@pytest.fixture
def scripted(aws, monkeypatch):
    """A server that answers PutEvents by steps."""
    with relay("http://127.0.0.1:9") as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EVENTBRIDGE", server.url)
        yield server


def target(bus="orders"):
    return EventBridgeTarget(ReactionSettings(name="paid", collections=("shop.orders",), target="eventbridge", bus=bus))


def event(number, size=0):
    whole = {
        "specversion": "1.0",
        "id": f"shop.orders/n:{number}/1",
        "source": "penstock",
        "type": "penstock.document.insert",
        "subject": f"shop.orders/n:{number}",
        "time": "2026-11-29T12:00:00Z",
        "data": {"collection": "shop.orders", "document": {"_id": number, "text": "x" * size}},
    }
    return Event.read(json.dumps(whole).encode())


def test_a_rule_finds_the_events_and_its_target_gets_them_whole(aws, aws_url):
    def client(service):
        return boto3.client(service, region_name="eu-central-1", endpoint_url=aws_url)

    events, sqs = client("events"), client("sqs")
    events.create_event_bus(Name="orders")
    queue = sqs.create_queue(QueueName="paid")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {
        "source": ["penstock"],
        "detail-type": ["penstock.document.insert"],
        "detail": {"data": {"collection": ["shop.orders"], "document": {"_id": [{"numeric": [">", 9]}]}}},
    }
    events.put_rule(Name="paid", EventBusName="orders", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="paid", EventBusName="orders", Targets=[{"Id": "1", "Arn": arn}])
    given = [event(number) for number in range(12)]
    assert target().problem() == ""
    assert target().send(given) == [Accepted()] * 12
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    details = [json.loads(each["Body"])["detail"] for each in messages]
    assert sorted(each["id"] for each in details) == [given[10].id, given[11].id]
    assert sorted(details, key=lambda each: each["id"])[0] == json.loads(given[10].body)


def test_a_bus_that_is_not_there_is_found_before_the_start(aws):
    assert target("nowhere").problem() == "the bus nowhere cannot be described: ResourceNotFoundException"


def answer(*codes):
    entries = [{"ErrorCode": code, "ErrorMessage": "so"} if code else {"EventId": "1"} for code in codes]
    return Said(200, json.dumps({"FailedEntryCount": len(list(filter(None, codes))), "Entries": entries}).encode())


def entries_of(asked):
    return [json.loads(each["Detail"])["id"] for each in json.loads(asked.body)["Entries"]]


def test_each_entry_has_its_own_answer(scripted):
    scripted.plan = lambda _: answer(None, "ThrottlingException", "MalformedDetail", "InternalFailure")
    assert target().send([event(number) for number in range(4)]) == [
        Accepted(),
        TryAgain("EventBridge: ThrottlingException"),
        Refused("EventBridge refused the entry: MalformedDetail"),
        TryAgain("EventBridge: InternalFailure"),
    ]


def test_a_request_has_10_entries_and_256_kb_at_the_most(scripted):
    scripted.plan = lambda asked: answer(*[None] * len(entries_of(asked)))
    given = [event(number, size) for number, size in enumerate([100_000, 100_000, 100_000, *[1] * 15])]
    assert target().send(given) == [Accepted()] * 18
    assert [entry for asked in scripted.asked for entry in entries_of(asked)] == [each.id for each in given]
    assert [len(entries_of(asked)) for asked in scripted.asked] == [2, 10, 6]


def test_an_event_that_is_too_large_is_refused_for_good_and_takes_no_other_along(scripted):
    scripted.plan = lambda asked: answer(*[None] * len(entries_of(asked)))
    room = REQUEST_BYTES - size_of(event(1, 0))
    first, fits, large = target().send([event(0), event(1, room), event(2, room + 1)])
    assert (first, fits) == (Accepted(), Accepted())
    assert large == Refused("262,145 bytes, more than the 262,144 that EventBridge takes", for_good=True)


def test_a_request_that_one_entry_spoils_is_divided(scripted):
    def plan(asked):
        if any(each.endswith("n:1/1") for each in entries_of(asked)):
            return Said(400, b'{"__type": "ValidationException", "message": "no"}')
        return answer(*[None] * len(entries_of(asked)))

    scripted.plan = plan
    refused = Refused("EventBridge refused the entry: ValidationException")
    assert target().send([event(number) for number in range(3)]) == [Accepted(), refused, Accepted()]


@pytest.mark.parametrize("said", [Said(400, b'{"__type": "AccessDeniedException"}'), "drop"], ids=["denied", "away"])
def test_what_is_wrong_with_the_bus_itself_is_waited_for(scripted, said, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    scripted.plan = lambda _: said
    answers = target().send([event(0), event(1)])
    assert [type(each) for each in answers] == [TryAgain, TryAgain]
