"""While the brokers are away, work on the log is begun again; it does not end the process."""

import threading

import pytest

from penstock.errors import ReadAgain
from penstock.kafka import mark_reader, own_topics
from penstock.kafka.mark_reader import newest_mark
from penstock.kafka.own_topics import OwnTopics
from penstock.settings import LogSettings

NOBODY = LogSettings(bootstrap_servers="127.0.0.1:9")


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(own_topics, "_ANSWER_S", 0.3)
    monkeypatch.setattr(mark_reader, "_ANSWER_S", 0.3)


@pytest.mark.parametrize(
    "work",
    [
        lambda: OwnTopics(NOBODY).make_marks("marks"),
        lambda: OwnTopics(NOBODY).describe(["topic"]),
        lambda: OwnTopics(NOBODY).brokers,
        lambda: newest_mark(NOBODY, "marks", threading.Event()),
    ],
)
def test_brokers_that_are_away_are_asked_again(work):
    with pytest.raises(ReadAgain, match=r"127\.0\.0\.1:9"):
        work()
