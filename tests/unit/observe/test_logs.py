"""The log: one line an event, and never a password."""

import json
import logging

import pytest
import structlog

from penstock.observe.logs import mask_credentials, set_up_logs
from penstock.settings import ObserveSettings


@pytest.fixture
def written(capsys):
    """What was written to standard error so far."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def lines(written):
    return [json.loads(line) for line in written().splitlines()]


def test_json_lines_have_time_level_event_and_values(written):
    set_up_logs(ObserveSettings(log_format="json"))
    structlog.get_logger("x").info("took the lease", pipeline="shop", epoch=3)
    (line,) = lines(written)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "took the lease", "level": "info", "pipeline": "shop", "epoch": 3}


def test_lines_for_people_are_not_json(written):
    set_up_logs(ObserveSettings(log_format="console"))
    structlog.get_logger("x").warning("waiting for the index", reason="blocked")
    text = written()
    assert "waiting for the index" in text
    assert "reason=blocked" in text


def test_auto_is_json_where_there_is_no_terminal(written):
    set_up_logs(ObserveSettings())
    structlog.get_logger("x").info("hello")
    assert lines(written)[0]["event"] == "hello"


def test_what_is_below_the_level_is_not_written(written):
    set_up_logs(ObserveSettings(log_format="json", log_level="warning"))
    structlog.get_logger("x").info("quiet")
    structlog.get_logger("x").warning("loud")
    assert [line["event"] for line in lines(written)] == ["loud"]


def test_warnings_of_libraries_are_heard_in_the_same_form(written):
    set_up_logs(ObserveSettings(log_format="json"))
    logging.getLogger("urllib3").warning("connection lost to %s", "http://me:hunter2@h/x")
    logging.getLogger("urllib3").info("chatter")
    (line,) = lines(written)
    assert line["event"] == "connection lost to http://***@h/x"
    assert line["level"] == "warning"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_control_characters_are_escaped_in_values_and_tracebacks_alike(written, log_format):
    hostile = "a\x1b]0;title\x07\x9b31m\r\nERROR forged\u202e\u2028"
    set_up_logs(ObserveSettings(log_format=log_format))
    try:
        raise ValueError(hostile)
    except ValueError:
        structlog.get_logger("x").exception("failed", reason=hostile, several=[hostile])
    logging.getLogger("driver").warning("lost %s", hostile)
    text = written()
    assert not set(text) & set(hostile) - set("a]0;titlem31\nERROR forged")
    assert "\\u001b" in text
    assert len([line for line in text.splitlines() if line.startswith("ERROR forged")]) <= (log_format == "console")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_passwords_in_addresses_are_masked_in_values_and_tracebacks_alike(written, log_format):
    set_up_logs(ObserveSettings(log_format=log_format))
    try:
        raise ValueError("cannot reach mongodb://me:hunter2@h:1/?x=y")
    except ValueError:
        structlog.get_logger("x").exception("failed", uri="mongodb+srv://me:hunter3@h")
    text = written()
    assert "hunter" not in text
    assert "ValueError" in text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("mongodb://u:p@h:1,h:2/?a=b", "mongodb://***@h:1,h:2/?a=b"),
        ("mongodb://u:p/w@h", "mongodb://***@h"),
        ("https://h:9200/x and me@example.org", "https://h:9200/x and me@example.org"),
    ],
)
def test_only_credentials_are_masked(text, masked):
    assert mask_credentials(text) == masked
