"""What a stream and a load do when the server or the way to it fails."""

import threading
import time
from contextlib import closing
from typing import ClassVar

import bson
import pymongo
import pytest
from pymongo.errors import NetworkTimeout
from structlog.testing import capture_logs

from penstock.errors import PositionLost, SourceUnavailable, Stopped
from penstock.model import Position
from penstock.mongo.connection import connect
from penstock.mongo.cursor import ChangeCursor, _Cursor
from penstock.mongo.stream import MongoStream
from penstock.mongo.watch import Watch
from penstock.settings import SourceSettings
from penstock_tools.servers.source import MODES, LocalSourceSettings, local_source
from testkit.source_twins import RealSide, changes_of, read_changes, read_until, shown, whole
from testkit.tcp_proxy import Proxy

SPOKEN = [mode for mode in MODES if mode != "mongodb-4.0" or pymongo.version_tuple < (4, 14)]
"""The kinds of server that the driver speaks to."""

MEGABYTE = 1024 * 1024


@pytest.fixture
def proxy(source_client):
    source_client.admin.command("ping")
    with Proxy(source_client.primary) as proxy:
        yield proxy


@pytest.fixture
def side(proxy, database, source_uri):
    """Writes go straight to the server, reads through the proxy."""
    if "@" in source_uri or "tls" in source_uri:
        pytest.skip("a server with a login or TLS cannot be reached through the proxy")
    uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true&serverSelectionTimeoutMS=1000"
    with connect(SourceSettings(uri=uri)) as connection:
        yield RealSide(connection, database)


def resumes(side: RealSide) -> float:
    return side.metrics.value("penstock_source_resumes_total", pipeline="test")


def test_a_stream_loses_nothing_when_its_connection_is_cut_again_and_again(side, proxy):
    stream = side.stream("orders", batch_size=5)
    position = side.now(stream)
    side.insert("orders", *({"_id": number} for number in range(20)))
    seen = []
    for batch in stream.batches(position, whole):
        seen += [change.id for change in batch.changes]
        if len(seen) >= 20:
            break
        proxy.cut()
    assert seen == list(range(20))
    assert resumes(side) >= 2


def test_a_stream_that_is_cut_while_it_waits_sees_what_comes_afterwards(side, proxy):
    stream = side.stream("orders")
    position = side.now(stream)
    timer = threading.Timer(0.15, lambda: (proxy.cut(), side.insert("orders", {"_id": 1})))
    timer.start()
    assert shown(read_changes(stream, position, 1)) == [("upsert", {"_id": 1})]
    timer.join()


def test_a_load_loses_nothing_when_its_connection_is_cut_again_and_again(side, proxy):
    side.insert("orders", *({"_id": number} for number in range(20)))
    seen = []
    for batch in side.load("orders", range_size=5).batches(None, whole):
        seen += [change.id for change in batch.changes]
        proxy.cut()
    assert seen == list(range(20))
    assert resumes(side) >= 2


def test_a_wait_for_a_server_that_is_away_ends_when_the_process_is_to_stop(side, proxy):
    batches = side.stream("orders").batches(None, whole)
    next(batches)
    proxy.accepting = False
    proxy.cut()
    threading.Timer(0.3, side.stop.set).start()
    with pytest.raises(Stopped):
        list(batches)


class RecordedCursor(ChangeCursor):
    opened: ClassVar[list[ChangeCursor]] = []

    def open(self, pipeline):
        self.opened.append(self)
        return super().open(pipeline)


def test_a_cursor_that_the_server_has_forgotten_is_opened_again(side, monkeypatch):
    monkeypatch.setattr("penstock.mongo.stream.ChangeCursor", RecordedCursor)
    batches = side.stream("orders").batches(None, whole)
    next(batches)
    kill = {"killCursors": "$cmd.aggregate", "cursors": [bson.Int64(RecordedCursor.opened[-1].id)]}
    side.connection.database(side.database.name).command(kill)
    side.insert("orders", {"_id": 1})
    changes = next(batch.changes for batch in batches if batch.changes)
    assert shown(changes) == [("upsert", {"_id": 1})]
    assert resumes(side) == 1


@pytest.mark.parametrize("token", ['{"_data": "zz"}', "{}", '{"_data": "8200"}'])
def test_a_token_that_cannot_be_used_is_replaced_by_its_cluster_time(side, token):
    stream = side.stream("orders")
    side.now(stream)
    before = Position("", side.time())
    side.insert("orders", {"_id": 1})
    (first,) = read_changes(stream, before, 1)
    side.insert("orders", {"_id": 2})
    again = read_changes(side.stream("orders"), Position(token, first.version), 2)
    assert [change.id for change in again] == [1, 2]


def test_a_position_that_is_none_says_what_to_do(side):
    with pytest.raises(PositionLost, match="Load the collections"):
        next(side.stream("orders").batches(Position("not a token", 1), whole))
    with pytest.raises(PositionLost, match="Load the collection"):
        next(side.load("orders").batches(Position("not a token", 1), whole))


def test_a_rate_is_kept(side):
    side.insert("orders", *({"_id": number} for number in range(60)))
    begin = time.monotonic()
    changes = changes_of(side.load("orders", rate=100).batches(None, whole))
    assert len(changes) == 60
    assert time.monotonic() - begin >= 0.5
    assert side.metrics.value("penstock_load_documents_total", pipeline="test") == 60


def test_a_cursor_for_one_collection_goes_on_after_its_drop(side):
    side.insert("orders", {"_id": 1})
    stream = side.stream("orders", cursor_per="collection")
    position = side.now(stream)
    side.drop("orders")
    side.insert("orders", {"_id": 2})
    changes = read_changes(stream, position, 3)
    assert [change.kind for change in changes] == ["drop", "invalidate", "upsert"]
    side.insert("orders", {"_id": 3})
    batches = read_until(stream, position, lambda batches: len(changes_of(batches)) >= 4)
    assert [change.kind for change in changes_of(batches)] == ["drop", "invalidate", "upsert", "upsert"]


def test_a_cursor_for_one_collection_goes_on_after_every_position_around_its_drop(side):
    side.insert("orders", {"_id": 1})
    stream = side.stream("orders", cursor_per="collection", batch_size=1)
    start = side.now(stream)
    side.update("orders", 1, n=1)
    side.drop("orders")
    side.insert("orders", {"_id": 2})
    batches = read_until(stream, start, lambda batches: any(each.kind == "upsert" for each in changes_of(batches)))
    for batch in batches[:-1]:
        again = side.stream("orders", cursor_per="collection")
        rest = read_until(again, batch.position, lambda rest: any(each.id == 2 for each in changes_of(rest)))
        assert shown(changes_of(rest))[-1] == ("upsert", {"_id": 2})


@pytest.fixture
def own_side(tmp_path):
    """Answers a side on a server of its own, started with the flags that the test needs."""
    opened = []

    def start(**flags: object) -> RealSide:
        server = local_source(tmp_path, LocalSourceSettings(**flags))
        source = server.__enter__()
        opened.append(lambda: server.__exit__(None, None, None))
        client = pymongo.MongoClient(source.uri)
        opened.append(client.close)
        if str(flags.get("mode", "")).startswith("documentdb"):
            client.admin.command({"modifyChangeStreams": 1, "database": "shop", "collection": "", "enable": True})
        connection = connect(SourceSettings(uri=source.uri))
        opened.append(connection.close)
        return RealSide(connection, client["shop"])

    yield start
    for close in reversed(opened):
        close()


@pytest.mark.parametrize("mode", SPOKEN)
def test_a_position_that_the_log_no_longer_holds_is_lost_with_its_collections_and_time(own_side, mode):
    side = own_side(log_size=20, mode=mode)
    stream = side.stream("orders", "customers")
    position = side.now(stream)
    for number in range(60):
        side.insert("orders", {"_id": number})
    with pytest.raises(PositionLost, match=r"shop\.customers, shop\.orders \(20..-.*load these collections again"):
        read_changes(stream, position, 1)


@pytest.mark.parametrize("mode", SPOKEN)
def test_a_stream_that_is_overtaken_while_it_is_open_has_lost_its_position(own_side, mode):
    side = own_side(log_size=20, mode=mode)
    batches = side.stream("orders").batches(None, whole)
    next(batches)
    for number in range(60):
        side.insert("orders", {"_id": number})
    with pytest.raises(PositionLost):
        next(batches)


@pytest.mark.parametrize("mode", SPOKEN)
def test_every_kind_of_server_is_followed_and_resumed(own_side, mode):
    side = own_side(mode=mode)
    stream = side.stream("orders", batch_size=2)
    start = side.now(stream)
    side.insert("orders", *({"_id": number} for number in (1.5, bson.Int64(2**40), "three")))
    side.update("orders", 1.5, n=1)
    side.delete("orders", "three")
    batches = read_until(stream, start, lambda batches: len(changes_of(batches)) == 5)
    everything = shown(changes_of(batches))
    seen = 0
    for batch in batches[:-1]:
        seen += len(batch.changes)
        assert shown(read_changes(side.stream("orders"), batch.position, 5 - seen)) == everything[seen:]
    assert len(changes_of(side.load("orders").batches(None, whole))) == 2


def test_changes_of_one_cluster_time_are_told_apart_by_their_positions(own_side):
    side = own_side(one_time_per_command=True)
    stream = side.stream("orders", batch_size=2)
    start = side.now(stream)
    side.insert("orders", *({"_id": number} for number in range(5)))
    batches = read_until(stream, start, lambda batches: len(changes_of(batches)) == 5)
    assert len({change.version for change in changes_of(batches)}) == 1
    middle = batches[[len(batch.changes) for batch in batches].index(2)].position
    assert [change.id for change in read_changes(stream, middle, 3)] == [2, 3, 4]


def test_an_idle_stream_moves_its_position_when_others_write(own_side):
    side = own_side(log_size=20)
    stream = side.stream("orders")
    batches = stream.batches(None, whole)
    begin = next(batches).position
    for number in range(60):
        side.insert("parcels", {"_id": number})
        if number % 5 == 0:
            assert next(batches).changes == []
    batch = next(batch for batch in batches if batch.position.time >= side.time())
    assert batch.position.token != begin.token
    side.insert("orders", {"_id": 1})
    assert shown(read_changes(side.stream("orders"), batch.position, 1)) == [("upsert", {"_id": 1})]


def test_an_update_of_a_large_document_is_an_event_like_others(side):
    text = "x" * (9 * MEGABYTE)
    side.insert("orders", {"_id": 1, "text": text})
    stream = side.stream("orders")
    position = side.now(stream)
    side.update("orders", 1, text="y" + text)
    (change,) = read_changes(stream, position, 1)
    assert change.body == {"_id": 1, "text": "y" + text}
    assert resumes(side) == 0


def test_an_event_above_16_mb_costs_only_a_detour(side):
    """The document fits in 16 MB, together with its `_id` as the event repeats it, it does not."""
    large = {"k": "x" * MEGABYTE}
    side.insert("orders", {"_id": 1, "n": 0}, {"_id": large, "text": "t" * (14 * MEGABYTE)})
    stream = side.stream("orders", batch_size=10)
    position = side.now(stream)
    side.update("orders", 1, n=1)
    side.update("orders", large, more="u" * (MEGABYTE * 3 // 4))
    for number in range(2, 20):
        side.update("orders", 1, n=number)
    batches = read_until(stream, position, lambda batches: len(changes_of(batches)) == 20)
    changes = changes_of(batches)
    assert [change.id if change.id == 1 else "large" for change in changes] == [1, "large"] + [1] * 18
    assert changes[1].body.keys() == {"_id", "text", "more"}
    assert [change.version for change in changes] == sorted(change.version for change in changes)
    assert resumes(side) == 1
    assert max(len(batch.changes) for batch in batches) == 10, "the stream did not come back from its detour"


def test_a_large_document_that_is_gone_when_it_is_looked_up_is_a_delete(side):
    large = {"k": "x" * MEGABYTE}
    stream = side.stream("orders")
    position = side.now(stream)
    side.insert("orders", {"_id": large, "text": "t" * (MEGABYTE * 59 // 4)})
    side.delete("orders", large)
    changes = read_changes(stream, position, 2)
    assert [change.kind for change in changes] == ["delete", "delete"]
    assert resumes(side) == 1


@pytest.fixture
def slow(monkeypatch):
    """A server that takes too long to find more than ten documents; answers how many it was asked for."""
    ask, asked = _Cursor._ask, []

    def ask_for_some(self, command, batch):
        asked.append(command.get("batchSize", command.get("cursor", {}).get("batchSize")))
        if asked[-1] > 10:
            raise NetworkTimeout("timed out")
        return ask(self, command, batch)

    monkeypatch.setattr(_Cursor, "_ask", ask_for_some)
    return asked


def test_a_stream_asks_for_less_where_the_server_takes_longer_than_the_timeout(side, slow):
    stream = side.stream("orders", batch_size=1000)
    position = side.now(stream)
    side.insert("orders", *({"_id": number} for number in range(40)))
    with capture_logs() as logs:
        batches = read_until(stream, position, lambda batches: len(changes_of(batches)) == 40)
    assert [change.id for change in changes_of(batches)] == list(range(40))
    said = [each for each in logs if each["event"].startswith("no answer in time")]
    assert [(each["timeouts"], each["asks_for"], each["log_level"]) for each in said[:2]] == [
        (1, 100, "error"),
        (2, 10, "error"),
    ]
    assert slow[:7] == [0, 0, 1000, 0, 100, 0, 10]


def test_a_load_asks_for_less_where_the_server_takes_longer_than_the_timeout(side, slow):
    side.insert("orders", *({"_id": number} for number in range(40)))
    batches = list(side.load("orders", range_size=1000).batches(None, whole))
    assert [change.id for change in changes_of(batches)] == list(range(40))


def test_a_stream_is_opened_before_the_server_looks_for_an_event(side):
    """However long the way to the next event is, the opening has ended by then."""
    stream = side.stream("orders")
    position = side.now(stream)
    side.insert("orders", {"_id": 1})
    with closing(ChangeCursor(side.connection.client, side.database.name, None, batch_size=5, wait_ms=100)) as cursor:
        watch = Watch(side.database.name, ("orders",))
        assert cursor.open(watch.pipeline(position)).events == []
        assert len(cursor.next().events) == 1


def test_a_stream_that_the_source_refuses_for_good_says_why(side):
    refused = MongoStream(
        side.connection, Watch("admin", ("orders",)), name="test", metrics=side.metrics, stop=side.stop
    )
    with pytest.raises(SourceUnavailable, match="change stream of admin"):
        next(refused.batches(None, whole))
