"""The function of a reaction on a real receiver, a real index for its dead letters, and moto's Secrets Manager."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import boto3
import pytest

from penstock.errors import SettingsError, SystemicFault
from penstock.lambdas import react, reaction_settings
from penstock.lambdas.events import NotAnEnvelope
from penstock.lambdas.react import NotGiven, handler
from testkit.react_function import ReactFunction, react_function
from testkit.receiver import SECRET, Receiver, Said, receiver
from testkit.sync_function import T, event

DOWN = Said(503)

AT_ITS_END = SimpleNamespace(aws_request_id="request-1", get_remaining_time_in_millis=lambda: 0)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def reacting(monkeypatch, tmp_path, sink_url, hook, index_prefix):
    """Make the function of a webhook, with more in its table or its environment; one for a test."""
    with ExitStack() as stack:

        def reacting(table=None, **more) -> ReactFunction:
            name = f"hook-{index_prefix.strip('-')}"
            its = {
                "name": name,
                "target": "webhook",
                "url": hook.url,
                "secret": SECRET,
                "timeout_s": 5,
                **(table or {}),
            }
            its = {key: value for key, value in its.items() if value is not None}
            return stack.enter_context(
                react_function(monkeypatch, tmp_path, namespace="shop.orders", sink_url=sink_url, table=its, **more)
            )

        yield reacting


def ids(hook: Receiver) -> list[str]:
    return [each["id"] for each in hook.accepted]


def letters(way, name):
    way.ask("POST", "/penstock-reaction-letters/_refresh")
    query = {"query": {"term": {"alias": f"reaction/{name}"}}, "size": 100}
    hits = way.ask("POST", "/penstock-reaction-letters/_search", query)["hits"]["hits"]
    return {hit["_source"]["id"]: hit["_source"]["reason"] for hit in hits}


def name_of(function: ReactFunction) -> str:
    return reaction_settings.reaction_settings().reactions[0].name


def test_each_change_is_given_signed_and_in_order_for_each_document(reacting, hook):
    function = reacting({"kinds": ("insert", "update", "delete"), "where": {"total": {"$gte": 2}}})
    said = function.call(
        event("insert", 1, {"total": 1}, at=T),
        event("insert", 2, {"total": 2}, at=T + 1),
        event("update", 1, {"total": 5}, at=T + 2),
        event("replace", 2, {"total": 9}, at=T + 3),
        event("update", 1, at=T + 4),
        event("delete", 1, at=T + 5),
    )
    assert [each["type"].rpartition(".")[2] for each in hook.of(1)] == ["update", "update", "delete"]
    assert [each["data"]["document"] for each in hook.of(1)] == [{"_id": 1, "total": 5}, None, None]
    assert [each["id"] for each in hook.of(2)] == [f"shop.orders/n:2/{T + 1}"]
    assert all(each.is_signed for each in hook.posted)
    assert said.pop("LagSeconds") > 0
    assert said == {"Read": 6, "Accepted": 4, "Filtered": 2, "DeadLettered": 0, "Waits": 0}


def test_a_target_that_is_down_fails_the_invocation_in_time_and_the_same_batch_comes_again(reacting, hook):
    function = reacting()
    batch = [event("insert", number, {"n": number}, at=T + number) for number in range(20)]
    hook.plan = lambda posted: Said() if posted.event["data"]["key"]["_id"] < 5 else DOWN
    began = time.monotonic()
    with pytest.raises(NotGiven, match="answered 503"):
        function.call(*batch, left_s=9)
    assert time.monotonic() - began < 9
    assert function.said[-1]["Accepted"] == 5
    assert function.said[-1]["Waits"] > 0
    hook.plan = lambda _: Said()
    function.call(*batch)
    assert sorted(ids(hook)) == sorted(f"shop.orders/n:{number}/{T + number}" for number in range(20))


def test_a_new_container_gives_the_batch_again_with_the_same_ids(reacting, hook):
    function = reacting()
    batch = [event("insert", 1, {"n": 1}, at=T), event("insert", 2, {"n": 1}, at=T + 1)]
    hook.plan = lambda posted: Said() if posted.event["data"]["key"]["_id"] == 1 else DOWN
    with pytest.raises(NotGiven):
        function.call(*batch, left_s=8)
    first = ids(hook)
    assert first == [f"shop.orders/n:1/{T}"]
    function.begin_again()
    hook.plan = lambda _: Said()
    function.call(*batch)
    assert ids(hook)[1:] != []
    assert set(ids(hook)) == {*first, f"shop.orders/n:2/{T + 1}"}


def test_later_events_of_a_document_wait_for_the_one_that_is_not_accepted(reacting, hook):
    function = reacting()
    batch = [event("insert", "a", {"n": 1}, at=T), event("update", "a", {"n": 2}, at=T + 1)]
    hook.plan = lambda posted: DOWN if posted.event["data"]["document"]["n"] == 1 else Said()
    with pytest.raises(NotGiven):
        function.call(*batch, left_s=8)
    assert hook.accepted == []
    hook.plan = lambda _: Said()
    function.call(*batch)
    assert [each["data"]["document"]["n"] for each in hook.accepted] == [1, 2]


def test_a_slow_answer_and_a_retry_after_are_waited_for(reacting, hook):
    function, never = reacting({"timeout_s": 1}), threading.Event()
    plan = iter([Said(200, after=never), Said(429, {"retry-after": "1"}), Said(500)])
    hook.plan = lambda _: next(plan, Said())
    began = time.monotonic()
    function.call(event("insert", 1, {"n": 1}, at=T))
    never.set()
    assert time.monotonic() - began >= 2  # a second for the answer that never came, another one of rest
    assert {each.event["id"] for each in hook.posted} == {f"shop.orders/n:1/{T}"}
    assert len(hook.posted) >= 4


def test_an_invocation_that_ends_does_not_shorten_the_rest_that_a_target_has_asked_for(reacting, hook):
    function = reacting()
    hook.plan = lambda _: Said(429, {"retry-after": "3600"})
    batch = [event("insert", 1, {"n": 1}, at=T)]
    for _ in range(2):
        with pytest.raises(NotGiven, match=r"answered 429|is slow"):
            function.call(*batch, left_s=8)
    assert len(hook.posted) == 1


def test_what_is_refused_becomes_a_dead_letter_with_the_event_and_the_rest_is_given(reacting, hook, way):
    function = reacting({"tries": 2})
    hook.plan = lambda posted: Said(422) if posted.event["data"]["key"]["_id"] == "bad" else Said()
    said = function.call(event("insert", "bad", {"n": 1}, at=T), event("insert", "good", {"n": 1}, at=T + 1))
    assert (said["Accepted"], said["DeadLettered"]) == (1, 1)
    name = name_of(function)
    reason = f"http://{hook.url.split('/')[2]} answered 422"
    assert letters(way, name) == {f"shop.orders/bad/{T}": reason}
    assert len([each for each in hook.posted if each.event["data"]["key"]["_id"] == "bad"]) == 2


def test_more_dead_letters_than_the_limit_fail_the_invocation(reacting, hook):
    function = reacting(PENSTOCK_PIPELINE_DEAD_LETTER_LIMIT="2")
    hook.plan = lambda _: Said(404)
    batch = [event("insert", number, {"n": 1}, at=T + number) for number in range(5)]
    began = time.monotonic()
    with pytest.raises(SystemicFault, match="dead_letter_limit"):
        function.call(*batch, left_s=9)
    assert hook.accepted == []
    assert 3 < time.monotonic() - began < 9, "a mapping may try some times only: none of them is short"


def test_without_an_index_for_its_dead_letter_an_event_is_not_lost(reacting, hook):
    function = reacting({"tries": 1}, PENSTOCK_SINK_URL="http://127.0.0.1:9")
    hook.plan = lambda _: Said(422)
    batch = [event("insert", 1, {"n": 1}, at=T)]
    with pytest.raises(NotGiven):
        function.call(*batch, left_s=8)
    hook.plan = lambda _: Said()
    function.call(*batch)
    assert ids(hook) == [f"shop.orders/n:1/{T}"]


def test_a_target_that_never_returns_costs_its_container_and_not_each_later_batch(reacting, monkeypatch):
    """A function that hangs, for one: nothing else ends its thread."""
    function = reacting()
    monkeypatch.setattr(os, "_exit", sys.exit)
    with react._reacting()._one_batch, pytest.raises(SystemExit):
        function.call(event("insert", 1, {"n": 1}, at=T), left_s=9)


def test_an_event_that_cannot_be_read_is_given_with_the_problem(reacting, hook):
    function = reacting()
    broken = event("insert", 1, {"at": 1}, at=T)
    broken["fullDocument"]["at"] = {"$date": "yesterday"}
    function.call(broken, event("insert", 2, {"n": 1}, at=T + 1))
    by_key = {each["data"]["key"]["_id"]: each["data"] for each in hook.accepted}
    assert by_key[1]["problem"]
    assert by_key[1]["document"] is None
    assert by_key[2]["document"] == {"_id": 2, "n": 1}


def test_changes_of_one_transaction_to_one_document_have_ids_of_their_own(reacting, hook):
    function = reacting()
    first, second = (event("update", 1, {"n": number}, at=T) for number in (1, 2))
    second["_id"] = {"_data": "another"}
    function.call(first, second)
    assert ids(hook) == [f"shop.orders/n:1/{T}", f"shop.orders/n:1/{T}/1"]


def test_the_secret_comes_from_secrets_manager_and_is_renewed(reacting, hook, aws_url, monkeypatch):
    for variable, value in {"AWS_ENDPOINT_URL": aws_url, "AWS_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    manager = boto3.client("secretsmanager", region_name="eu-west-1", endpoint_url=aws_url)
    arn = manager.create_secret(Name=f"hook-{time.time_ns()}", SecretString="an older one")["ARN"]
    function = reacting({"secret": None}, REACTION_SECRET=arn)
    function.call(event("insert", 1, {"n": 1}, at=T))
    assert not hook.posted[0].is_signed
    manager.put_secret_value(SecretId=arn, SecretString=SECRET)
    monkeypatch.setattr(reaction_settings, "_SECRET_KEPT_S", 0.0)
    function.call(event("insert", 2, {"n": 1}, at=T + 1))
    assert hook.posted[1].is_signed
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    function.call(event("insert", 3, {"n": 1}, at=T + 2))
    assert hook.posted[2].is_signed, "by the secret that was read last"


def test_before_images_are_refused_for_a_mapping_has_none(reacting):
    reacting({"before": True})
    with pytest.raises(SettingsError, match="before = true"):
        handler({"events": []}, AT_ITS_END)


def test_waiting_for_the_index_is_refused(reacting):
    tables = '[{"namespace": "shop.orders"}]'
    reacting({"after_index": True}, PENSTOCK_COLLECTIONS=tables)
    with pytest.raises(SettingsError, match="after_index = true is for a worker"):
        handler({"events": []}, AT_ITS_END)


def test_only_a_mapping_may_call_it(reacting):
    reacting()
    with pytest.raises(NotAnEnvelope):
        handler({"Records": []}, AT_ITS_END)
