"""What each error of a source means."""

import pytest
from pymongo.errors import AutoReconnect, ConfigurationError, OperationFailure, ServerSelectionTimeoutError

from penstock.errors import SourceUnavailable
from penstock.mongo.error_table import TABLE, Fault, fault_of, in_words, unavailable

RECORDED = [
    (9, "resume token string was not a valid hex string", Fault.LOST),
    (9, "Invalid resume token: {_data: '0163'}", Fault.LOST),
    (9, "unrecognized field 'nosuchfield'", Fault.REFUSED),
    (15, "Invalid advance (8) past end of buffer[3] at offset: 0", Fault.LOST),
    (136, "CappedPositionLost: CollectionScan died due to position in capped collection being deleted.", Fault.LOST),
    (136, "CollectionScan died due to failure to restore tailable cursor position. Last seen record id: 1", Fault.LOST),
    (9, "The 'cursor' option is required, except for aggregate with the explain argument", Fault.REFUSED),
    (286, "Resume of change stream was not possible, as the resume point may no longer be in the oplog.", Fault.LOST),
    (136, "modifyChangeStreams has not been run for this collection/database/cluster", Fault.NOT_ENABLED),
    (260, "Attempted to resume a stream on a collection which has been dropped.", Fault.LOST),
    (40573, "The $changeStream stage is only supported on replica sets", Fault.NOT_REPLICATED),
    (
        40576,
        "Resume of change stream was not possible, as the resume point may no longer be in the oplog. ",
        Fault.LOST,
    ),
    (40585, 'resume of change stream was not possible, as the resume token was not found. {_data: "82"}', Fault.LOST),
    (40647, "Bad resume token: _data of missing or of wrong type{}", Fault.LOST),
    (40649, "invalid empty resume token", Fault.LOST),
    (50795, "Invalid Resume Token: only supports version 0 or 1", Fault.LOST),
    (50796, "Resume Token does not contain version", Fault.LOST),
    (50854, "Invalid resume token: wrong type for version", Fault.LOST),
    (50810, "Expected type Decimal.", Fault.LOST),
    (50811, "Unknown type: 99", Fault.LOST),
    (50865, "Do not specify both 'resumeAfter' and 'startAfter' in a $changeStream stage", Fault.REFUSED),
    (9999999, "Resume token of a kind that nobody has seen yet", Fault.LOST),
    (10334, "BSONObj size: 18874456 (0x1200058) is invalid. Size must be between 0 and 16793600", Fault.TOO_LARGE),
    (None, "BSONObjectTooLarge: event is too large", Fault.TOO_LARGE),
    (43, "cursor id 4242424242 not found", Fault.TRANSIENT),
    (11602, "operation was interrupted", Fault.TRANSIENT),
    (143, "cursor id 1 is already in use", Fault.TRANSIENT),
    (17287, "Bad query specified", Fault.TRANSIENT),
    (13, "not authorized on shop to execute command", Fault.NOT_ALLOWED),
    (18, "Authentication failed.", Fault.LOGIN),
    (166, "Namespace rec.vw is a view, not a collection", Fault.REFUSED),
]


def failure(code: int | None, text: str) -> OperationFailure:
    details = {"ok": 0, "errmsg": text, "code": code, "echo": {"secret": "modifyChangeStreams has not been run"}}
    return OperationFailure(f"{text}, full error: {details}", code, details)


@pytest.mark.parametrize(("code", "text", "fault"), RECORDED)
def test_recorded_errors_mean_what_they_meant(code, text, fault):
    assert fault_of(failure(code, text)) is fault


def test_every_line_of_the_table_decides_something():
    for rule in TABLE:
        assert fault_of(failure(rule.code, f"words {rule.text} words")) is rule.fault, rule


def test_no_line_hides_another():
    assert len({(rule.code, rule.text) for rule in TABLE}) == len(TABLE)
    without_text = [rule.code for rule in TABLE if not rule.text]
    assert len(set(without_text)) == len(without_text)


def test_every_fault_has_a_line_or_is_the_last_resort():
    assert {rule.fault for rule in TABLE} == set(Fault) - {Fault.REFUSED}


def test_a_lost_connection_is_transient_and_a_setting_is_not():
    assert fault_of(AutoReconnect("connection closed")) is Fault.TRANSIENT
    assert fault_of(ServerSelectionTimeoutError("no primary")) is Fault.TRANSIENT
    assert fault_of(ConfigurationError("wire version")) is Fault.REFUSED


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_that_ends_a_reader_says_the_next_step(fault):
    code = next((rule.code for rule in TABLE if rule.fault is fault), 166)
    text = next((rule.text for rule in TABLE if rule.fault is fault), "")
    error = unavailable(failure(code, f"the cause {text}"), "the change stream of shop.orders")
    assert isinstance(error, SourceUnavailable)
    assert "shop.orders" in str(error)
    assert "the cause" in str(error)
    assert str(error).count(". ") >= 1
    assert str(error).endswith(".")


def test_a_stream_that_is_off_is_answered_with_the_command_that_turns_it_on():
    off = failure(136, "modifyChangeStreams has not been run for this collection")
    for_collection = str(unavailable(off, "the change stream of shop.orders"))
    assert 'db.adminCommand({modifyChangeStreams: 1, database: "shop", collection: "orders", enable: true})' in (
        for_collection
    )
    for_database = str(unavailable(off, "the change stream of shop"))
    assert 'database: "shop", collection: ""' in for_database


def test_a_missing_login_is_told_as_one_and_not_as_a_missing_role():
    error = unavailable(failure(13, "command listCollections requires authentication"), "to read shop.orders")
    assert "username and password" in error.todo
    assert "role" not in str(error)
    assert "role" in unavailable(failure(13, "not authorized on shop"), "to read shop.orders").todo


def test_words_hold_the_message_and_the_code_and_nothing_of_the_reply():
    words = in_words(failure(166, "Namespace rec.vw is a view, not a collection"))
    assert words == "Namespace rec.vw is a view, not a collection (code 166)"
