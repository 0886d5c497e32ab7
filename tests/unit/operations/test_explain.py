"""How long a look waits for a worker: the looks are scripted here, tests/end_to_end/test_explain.py has real ones."""

import pytest

from penstock.errors import SettingsError
from penstock.operations.explain.diagnosis import Evidence, conclude
from penstock.operations.explain.document_ref import asked_id
from penstock.operations.explain.explain import look_until_passed
from penstock.operations.explain.look import Explanation


def seen(time, position, *, version=1, worker="running"):
    found = Evidence("shop.orders", "not there", time, "g1", version, load="live", worker=worker, position=position)
    return Explanation("a", '"a"', found, None, conclude(found))


def verdict(*looks, wait_s=60):
    left = iter(looks)
    found = look_until_passed(lambda: next(left), wait_s=wait_s, every_s=0)
    return found.conclusion.verdict, len(list(left))


@pytest.mark.parametrize(
    "typed",
    [
        "",
        '"\\ud800"',
        "doc:5",
        'doc:{"a":5}',
        "doc:" + "[" * 3000,
        "list:[",
        "regex:",
        "n:" + "9" * 30,
        "n:" + "9" * 5000,
        "ts:a:b",
        '{"a":{"$numberLong":"99999999999999999999"}}',
    ],
)
def test_an_id_that_nothing_can_have_is_refused(typed):
    with pytest.raises(SettingsError, match=r"is not a document id: give it as"):
        asked_id(typed)


@pytest.mark.parametrize(
    "typed",
    [
        '{"$numberDecimal":"abc"}',
        '{"$date":{"$numberLong":"9999999999999999999"}}',
        '{"$timestamp":{"t":1}}',
        '{"a":' * 2000 + "1" + "}" * 2000,
        "{",
    ],
)
def test_a_text_that_only_looks_like_extended_json_is_the_id(typed):
    assert asked_id(typed).source_id == typed


def test_what_stays_wrong_once_the_worker_has_passed_differs():
    assert verdict(seen(5, 1), seen(6, 4), seen(7, 5), seen(8, 5), seen(9, 9)) == ("differs", 1)


def test_what_the_worker_brings_is_in_step():
    assert verdict(seen(5, 1), seen(6, 5, version=None), seen(7, 7)) == ("absent", 1)


def test_a_document_that_moves_is_not_one_that_stays_wrong():
    moving = [seen(5, 1), seen(6, 5, version=2), seen(7, 6, version=3), seen(8, 8, version=4)]
    assert verdict(*moving, seen(9, 9, version=None)) == ("absent", 0)


def test_only_a_running_worker_is_waited_for():
    assert verdict(seen(5, 1, worker="stopped"), seen(6, 6)) == ("behind", 1)
    assert verdict(seen(5, 1), seen(6, 6), wait_s=0) == ("behind", 1)
