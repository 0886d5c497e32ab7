"""A load's version is older than anything written since its read, so that the stream's later change wins."""

from collections.abc import Callable
from typing import ClassVar

import pytest

from penstock.mongo import load
from penstock.mongo.connection import connect
from penstock.mongo.cursor import FindCursor
from penstock.settings import SourceSettings
from testkit.source_twins import RealSide, changes_of, read_changes, whole


@pytest.fixture
def side(source_uri, database):
    with connect(SourceSettings(uri=source_uri)) as connection:
        yield RealSide(connection, database)


class Overtaken(FindCursor):
    """A cursor on a collection that is edited between the server's answer and its arrival."""

    edit: ClassVar[Callable[[], None]]

    def open(self, wanted, *, limit):
        reply = super().open(wanted, limit=limit)
        if reply.count:
            Overtaken.edit()
        return reply


def test_what_is_written_after_the_read_has_a_higher_version_than_what_was_read(side, monkeypatch):
    side.insert("orders", {"_id": 1, "text": "old"})
    position = side.now(side.stream("orders"))
    monkeypatch.setattr(Overtaken, "edit", lambda: side.replace("orders", {"_id": 1, "text": "new"}), raising=False)
    monkeypatch.setattr(load, "FindCursor", Overtaken)
    (loaded,) = changes_of(side.load("orders").batches(None, whole))
    (streamed,) = read_changes(side.stream("orders"), position, 1)
    assert (loaded.body["text"], streamed.body["text"]) == ("old", "new")
    assert loaded.version < streamed.version
