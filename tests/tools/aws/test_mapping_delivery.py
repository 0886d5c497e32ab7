"""How changes become calls: batches, order, attempts, the committed position, redelivery."""

import re
import threading
import time

import pytest
from bson import Int64

from penstock_tools.aws.runtime.invocation import Invocation
from testkit.mapping_site import CLUSTER, RAISED, mapping_site, wait_until

OK = Invocation(b"null")


@pytest.fixture
def begin(tmp_path, source_uri, database):
    """Begin an account with some behaviour."""
    with_sites = []

    def begin(**behaviour):
        site = mapping_site(tmp_path, source_uri, database.name, **behaviour)
        with_sites.append(site)
        return site.__enter__()

    yield begin
    for site in with_sites:
        site.__exit__(None, None, None)


@pytest.fixture
def site(begin):
    return begin()


def fails(times):
    """A function that raises so many times, then succeeds."""
    return lambda call: RAISED if call <= times else OK


def test_every_type_of_change_in_order(site, database):
    site.create(full_document="UpdateLookup")
    database.c.insert_one({"_id": 1, "n": Int64(5)})
    database.c.replace_one({"_id": 1}, {"z": 1})
    database.c.update_one({"_id": 1}, {"$set": {"a": 1}, "$unset": {"z": 1}})
    database.c.delete_one({"_id": 1})
    wait_until(lambda: len(site.function.events) == 4)
    events = site.function.events
    assert [event["operationType"] for event in events] == ["insert", "replace", "update", "delete"]
    assert events[0]["fullDocument"] == {"_id": 1, "n": 5}
    assert events[2]["updateDescription"] == {"removedFields": ["z"], "updatedFields": {"a": 1}}
    assert "fullDocument" not in events[3]
    assert all(event["ns"] == {"db": site.db, "coll": "c"} for event in events)
    assert {call["eventSourceArn"] for call in site.function.calls} == {CLUSTER}
    assert set(site.function.names) == {"sync"}


def test_without_lookup_an_update_has_no_document(site, database):
    site.create()
    database.c.insert_one({"_id": 1})
    database.c.update_one({"_id": 1}, {"$set": {"a": 1}})
    wait_until(lambda: len(site.function.events) == 2)
    assert ["fullDocument" in event for event in site.function.events] == [True, False]


def test_a_mapping_of_a_database_sees_all_its_collections(site, database):
    site.create(coll=None)
    database.a.insert_one({"_id": 1})
    database.b.insert_one({"_id": 2})
    wait_until(lambda: len(site.function.ids) == 2)
    assert [event["ns"]["coll"] for event in site.function.events] == ["a", "b"]


def test_a_batch_ends_at_its_size(site, database):
    site.create(BatchSize=10, MaximumBatchingWindowInSeconds=300)
    database.c.insert_many([{"_id": number} for number in range(25)])
    wait_until(lambda: len(site.function.payloads) == 2)
    assert [len(batch) for batch in site.function.batches] == [10, 10]  # five wait for the window
    assert site.function.ids == list(range(20))


def test_a_batch_ends_at_its_window_which_begins_with_the_first_record(site, database):
    site.create(BatchSize=10_000, MaximumBatchingWindowInSeconds=1)
    began = time.monotonic()
    database.c.insert_many([{"_id": 1}, {"_id": 2}])
    wait_until(lambda: site.function.payloads != [])
    assert time.monotonic() - began >= 1
    assert site.function.ids == [1, 2]


def test_a_batch_ends_at_six_megabytes(site, database):
    site.create(BatchSize=1000, MaximumBatchingWindowInSeconds=300)
    text = "x" * 1_000_000
    for number in range(14):
        database.c.insert_one({"_id": number, "text": text})
    wait_until(lambda: len(site.function.payloads) == 2)
    assert [len(batch) for batch in site.function.batches] == [6, 6]
    assert all(6_000_000 < len(payload) <= 6 * 1024 * 1024 for payload in site.function.payloads)


def test_an_event_above_six_megabytes_is_dropped_and_counted(site, database):
    name = site.create()
    database.c.insert_one({"_id": 1})
    database.c.insert_one({"_id": 2, "text": "x" * 6 * 1024 * 1024})
    database.c.insert_one({"_id": 3})
    site.wait_metric(name, "DeliveredEvents", 2)
    assert site.function.ids == [1, 3]
    assert site.metric(name, "OversizedRecordCount") == 1


def test_an_event_that_is_dropped_alone_is_passed_for_good(site, database):
    name = site.create()
    database.c.insert_one({"_id": 2, "text": "x" * 6 * 1024 * 1024})
    site.wait_metric(name, "OversizedRecordCount", 1)
    site.begin_again()
    database.c.insert_one({"_id": 3})
    wait_until(lambda: site.function.ids == [3])
    assert site.metric(name, "OversizedRecordCount") == 0


def test_the_largest_event_that_fits_arrives(site, database):
    site.create()
    database.c.insert_one({"_id": "0000", "text": ""})
    wait_until(lambda: len(site.function.payloads) == 1)
    room = 6 * 1024 * 1024 - len(site.function.payloads[0])
    database.c.insert_one({"_id": "0001", "text": "x" * room})
    wait_until(lambda: len(site.function.payloads) == 2)
    assert abs(len(site.function.payloads[1]) - 6 * 1024 * 1024) <= 4  # the increment's digits


def test_calls_are_strictly_serial(site, database):
    site.create(BatchSize=1)
    site.function.answer = lambda _call: time.sleep(0.01) or OK
    database.c.insert_many([{"_id": number} for number in range(30)])
    wait_until(lambda: len(site.function.ids) == 30)
    assert site.function.most_at_once == 1
    assert site.function.ids == list(range(30))


def test_what_is_measured(site, database):
    name = site.create()
    assert site.metric(name, "IteratorAge") is None
    site.function.answer = fails(1)
    database.c.insert_one({"_id": 1})
    site.wait_metric(name, "DeliveredEvents", 1)
    measured = site.mappings.metrics()[name]
    assert 0 <= measured.pop("IteratorAge") < 60_000
    assert measured == {
        "Invocations": 2,
        "Errors": 1,
        "OversizedRecordCount": 0,
        "DeliveredEvents": 1,
        "SkippedEvents": 0,
    }


def test_the_result_of_the_last_call_is_shown(site, database):
    name = site.create()
    assert site.mappings.get(name)["LastProcessingResult"] == "No records processed"
    open_again = threading.Event()
    site.function.answer = lambda _call: OK if open_again.is_set() else RAISED
    database.c.insert_one({"_id": 1})
    assert site.wait_result(name, "PROBLEM") == "PROBLEM: Function call failed"
    open_again.set()
    site.wait_result(name, "OK")


def test_forever_sends_the_same_batch_until_it_succeeds(begin, database):
    site = begin(retry="forever")
    name = site.create(BatchSize=2, MaximumBatchingWindowInSeconds=300)
    site.function.answer = fails(9)
    database.c.insert_many([{"_id": number} for number in range(4)])
    wait_until(lambda: len(site.function.payloads) == 11)
    assert len(set(site.function.payloads[:10])) == 1
    assert site.function.ids[-4:] == [0, 1, 2, 3]
    assert site.metric(name, "Errors") == 9


def test_six_skips_the_batch_after_six_attempts(begin, database):
    site = begin(retry="six")
    name = site.create(BatchSize=2, MaximumBatchingWindowInSeconds=300)
    site.function.answer = fails(6)
    database.c.insert_many([{"_id": number} for number in range(4)])
    wait_until(lambda: len(site.function.payloads) == 7)
    assert site.function.ids == [0, 1] * 6 + [2, 3]
    site.wait_metric(name, "DeliveredEvents", 2)
    assert site.metric(name, "SkippedEvents") == 2
    site.begin_again()
    database.c.insert_many([{"_id": 8}, {"_id": 9}])
    wait_until(lambda: site.function.ids[-1] == 9)
    assert site.function.ids[14:] == [8, 9]  # what was skipped does not come back


def test_five_failures_do_not_skip_a_batch(begin, database):
    site = begin(retry="six")
    name = site.create()
    site.function.answer = fails(5)
    database.c.insert_one({"_id": 1})
    site.wait_metric(name, "DeliveredEvents", 1)
    assert site.function.ids == [1] * 6
    assert site.metric(name, "SkippedEvents") == 0


def test_a_function_that_cannot_be_called_is_a_failed_call(site, database):
    name = site.create()
    site.function.answer = lambda call: [][call] if call == 1 else OK
    database.c.insert_one({"_id": 1})
    site.wait_metric(name, "DeliveredEvents", 1)
    assert site.metric(name, "Errors") == 1


def test_what_failed_comes_again_after_a_restart_and_what_succeeded_does_not(site, database):
    name = site.create(BatchSize=1)
    site.function.answer = lambda call: OK if call == 1 else RAISED
    database.c.insert_many([{"_id": 1}, {"_id": 2}])
    wait_until(lambda: len(site.function.payloads) >= 3)
    site.mappings.close()
    calls = len(site.function.payloads)
    site.function.answer = lambda _call: OK
    site.begin_again()
    site.wait_metric(name, "DeliveredEvents", 1)
    assert site.function.ids[calls:] == [2]
    assert set(site.function.ids[1:]) == {2}


def test_what_happens_while_nothing_runs_is_delivered_afterwards(site, database):
    name = site.create()
    database.c.insert_one({"_id": 1})
    wait_until(lambda: site.function.ids == [1])
    site.mappings.close()
    database.c.insert_one({"_id": 2})
    site.begin_again()
    wait_until(lambda: site.function.ids == [1, 2])
    assert site.mappings.get(name)["State"] == "Enabled"


def test_disabling_and_enabling_goes_on_from_the_committed_token(site, database):
    name = site.create()
    site.function.answer = lambda _call: RAISED
    database.c.insert_one({"_id": 1})
    wait_until(lambda: site.function.payloads != [])
    site.update(name, Enabled=False)
    calls = len(site.function.payloads)
    site.function.answer = lambda _call: OK
    database.c.insert_one({"_id": 2})
    site.update(name, Enabled=True)
    wait_until(lambda: len(site.function.ids) == calls + 2)
    assert site.function.ids[calls:] == [1, 2]


def test_a_mapping_that_was_disabled_before_its_first_event_misses_nothing(site, database):
    name = site.create()
    site.update(name, Enabled=False)
    database.c.insert_one({"_id": 1})
    site.update(name, Enabled=True)
    wait_until(lambda: site.function.ids == [1])


def test_disabling_waits_for_the_call_under_way_and_commits_it(site, database):
    name = site.create()
    with site.function.held() as held:
        database.c.insert_one({"_id": 1})
        held.wait()
        site.mappings.update(name, {"Enabled": False})
    site.wait_state(name, "Disabled")
    site.update(name, Enabled=True)
    database.c.insert_one({"_id": 2})
    wait_until(lambda: 2 in site.function.ids)
    assert site.function.ids == [1, 2]


def test_an_update_takes_hold_of_the_running_mapping(site, database):
    name = site.create(BatchSize=10_000, MaximumBatchingWindowInSeconds=300)
    database.c.insert_many([{"_id": number} for number in range(3)])
    site.update(name, BatchSize=3, FunctionName="longest")
    wait_until(lambda: site.function.ids == [0, 1, 2])
    assert site.function.names == ["longest"]
    assert site.mappings.get(name)["MaximumBatchingWindowInSeconds"] == 300


def test_a_batch_is_delivered_once_more_on_demand(site, database):
    name = site.create()
    with pytest.raises(LookupError, match="has delivered no batch yet"):
        site.mappings.redeliver(name)
    database.c.insert_one({"_id": 1})
    site.wait_metric(name, "DeliveredEvents", 1)
    site.mappings.redeliver(name)
    assert site.function.payloads[0] == site.function.payloads[1]
    database.c.insert_one({"_id": 2})
    wait_until(lambda: len(site.function.ids) == 3)
    assert site.function.ids == [1, 1, 2]
    assert site.metric(name, "DeliveredEvents") == 3


def test_a_redelivery_does_not_move_the_position_back(begin, database):
    site = begin(retry="six")
    name = site.create(BatchSize=1)
    site.function.answer = lambda call: OK if call == 1 or call > 7 else RAISED
    database.c.insert_many([{"_id": 1}, {"_id": 2}])  # the second is skipped
    site.wait_metric(name, "SkippedEvents", 1)
    site.mappings.redeliver(name)
    site.begin_again()
    database.c.insert_one({"_id": 3})
    wait_until(lambda: 3 in site.function.ids)
    assert re.fullmatch("12{6}13", "".join(map(str, site.function.ids)))


def test_a_deleted_mapping_calls_no_more(site, database):
    name = site.create()
    site.mappings.delete(name)
    wait_until(lambda: site.mappings.metrics() == {})
    other = site.create("d")
    database.c.insert_one({"_id": 1})
    database.d.insert_one({"_id": 2})
    site.wait_metric(other, "DeliveredEvents", 1)
    assert site.function.ids == [2]
    site.begin_again()
    assert list(site.mappings.metrics()) == [other]


def test_two_mappings_are_independent(site, database):
    first, second = site.create("a"), site.create("b", FunctionName="longest")
    site.function.failing = {"sync"}
    database.a.insert_one({"_id": 1})
    site.wait_metric(first, "Errors", 1)
    database.b.insert_one({"_id": 2})
    site.wait_metric(second, "DeliveredEvents", 1)
    assert site.metric(first, "DeliveredEvents") == 0
    site.function.failing = set()
    site.wait_metric(first, "DeliveredEvents", 1)


def test_ten_thousand_changes_arrive_once_each(site, database):
    name = site.create(BatchSize=1000, full_document="UpdateLookup")
    database.c.insert_many([{"_id": number, "text": "x" * 200} for number in range(10_000)])
    site.wait_metric(name, "DeliveredEvents", 10_000)
    assert site.function.ids == list(range(10_000))
