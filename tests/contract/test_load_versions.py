"""A load's version is older than anything written since its read, so that the stream's later change wins."""

from contextlib import closing

import pytest
from source_sides import RealSide, changes_of, read_changes

from penstock.mongo import load
from penstock.mongo.connection import connect
from penstock.settings import SourceSettings


@pytest.fixture
def side(source_uri, database):
    with connect(SourceSettings(uri=source_uri)) as connection:
        yield RealSide(connection, database)


class Overtaken:
    """A collection that is edited between the server's answer and its arrival."""

    def __init__(self, collection, edit) -> None:
        self._collection, self._edit = collection, edit

    def find_raw_batches(self, *arguments, **options):
        with closing(self._collection.find_raw_batches(*arguments, **options)) as found:
            for raw in found:
                self._edit()
                yield raw


def test_what_is_written_after_the_read_has_a_higher_version_than_what_was_read(side, monkeypatch):
    side.insert("orders", {"_id": 1, "text": "old"})
    position = side.now(side.stream("orders"))
    real = load.collection

    def edit():
        side.replace("orders", {"_id": 1, "text": "new"})

    monkeypatch.setattr(load, "collection", lambda *given: Overtaken(real(*given), edit))
    (loaded,) = changes_of(side.load("orders").batches(None))
    (streamed,) = read_changes(side.stream("orders"), position, 1)
    assert (loaded.document["text"], streamed.document["text"]) == ("old", "new")
    assert loaded.version < streamed.version
