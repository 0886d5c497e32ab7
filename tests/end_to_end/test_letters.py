"""Dead letters through their life: refused, listed, replayed, dropped, while the collection goes on."""

import json
import re
import threading

import pytest
from bson import Decimal128

from penstock.connections import sink_client
from penstock.documents.document_id import document_id, id_json
from penstock.errors import SystemicFault
from penstock.model import Letter, Namespace, Position
from penstock.observe.metrics import Metrics
from penstock.opensearch.dead_letters.search import LetterFilter
from penstock.opensearch.dead_letters.store import OpenSearchDeadLetters
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.write.sink import OpenSearchSink
from penstock.operations.dead_letters.listing import list_letters
from penstock.operations.dead_letters.replay import replay_letters
from penstock.settings import CollectionSettings, Settings, SinkSettings, SourceSettings
from testkit.workspace import until

IMPOSSIBLE = Decimal128.from_bid(b"\xff" * 14 + b"\x41\x30")
OBJECT = {"mappings": {"properties": {"customer": {"type": "object"}}}}


@pytest.fixture
def namespace(site, database):
    """A collection that is served; `customer` must be a document."""
    database.items.insert_many([{"_id": number, "customer": {"name": "first"}} for number in range(20)])
    (site.folder / "mapping.json").write_text(json.dumps(OBJECT))
    site.settings(f"{database.name}.items", mapping_file="mapping.json")
    return f"{database.name}.items"


@pytest.fixture
def listed(penstock):
    """The states of all letters, as the command lists them."""

    def listed(*arguments):
        done = penstock("dead-letters", "list", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return {each["id"]: each["state"] for each in json.loads(done.stdout)["letters"]}

    return listed


@pytest.fixture
def settings(site, namespace):
    """The same settings in this process."""
    collection = CollectionSettings(namespace=namespace, index=site.index(namespace), replicas=0)
    return Settings(
        source=SourceSettings(uri=site.source_uri), sink=SinkSettings(url=site.sink_url), collections=(collection,)
    )


def store(settings, *letters):
    """Keep letters, as a pipeline would."""
    client, patience = sink_client(settings), RetryForever(Metrics(), threading.Event())
    sink = OpenSearchSink(client, settings.sink, Metrics(), patience)
    OpenSearchDeadLetters(client, sink, patience).store(letters)
    client.close()


def letter(site, namespace, identity, version):
    alias = f"{site.index(namespace)}-g1-write"
    text, reason = document_id(identity), "400: no"
    return Letter(Namespace.named(namespace), alias, text, id_json(identity), version, Position("", version), reason)


def replay(settings, *, stop=None, **more):
    return replay_letters(settings, LetterFilter(), stop=stop or threading.Event(), **more)


def test_letters_are_judged_and_replayed_while_a_worker_runs(site, database, namespace, listed, penstock):
    worker = site.start("run")
    worker.until_live()
    names = ["open", "mended", "deleted", "later"]
    database.items.insert_many([{"_id": each, "customer": "poison"} for each in names])
    until(lambda: len(site.letters(database)) == 4, "four letters")
    database.items.update_one({"_id": "mended"}, {"$set": {"customer": {"name": "good"}}})
    database.items.delete_one({"_id": "deleted"})
    until(lambda: "mended" in site.indexed(namespace), "the mended one is indexed")
    states = {"open": "open", "later": "open", "mended": "superseded", "deleted": "deleted"}
    assert listed() == states
    assert listed("--reason", "CONCRETE value", namespace, "--newer-than", "1h") == states
    assert listed("--older-than", "1h") == listed("--reason", "timeout") == {}

    done = penstock("dead-letters", "replay", "--pipeline-dead-letter-limit", "0")
    assert (done.returncode, done.stdout) == (
        1,
        "4 dead letters, 1 in step now, 1 superseded before, 2 refused again\n",
    )
    assert listed() == {"open": "open", "later": "open"}
    worker.terminate()
    database.items.update_one({"_id": "open"}, {"$set": {"customer": {"name": "good"}}})
    database.items.delete_one({"_id": "later"})
    done = penstock("dead-letters", "replay", namespace)
    assert (done.returncode, done.stdout) == (0, "2 dead letters, 2 in step now\n")
    assert listed() == {}
    assert site.differences(database, "items") == []
    assert "poison" not in done.stderr


def test_letters_of_another_deployment_stay(site, database, namespace, settings, penstock):
    """It indexes the same collection otherwise, and its letters go by the same name."""
    other = {"index": site.index("other"), "pipeline": {"name": "second"}}
    for more in ({}, other):
        site.settings(namespace, mapping_file="mapping.json", **more)
        assert penstock("load").returncode == 0
    store(settings, letter(site, namespace, 1, 1)._replace(alias=f"{other['index']}-g1-write"))
    assert replay(settings).letters == 0
    assert len(site.letters(database)) == 1
    assert penstock("dead-letters", "replay").stdout == "1 dead letter, 0 in step now, 1 superseded before\n"
    assert site.letters(database) == []


def test_an_old_letter_never_brings_back_what_it_was_made_of(site, database, namespace, settings, penstock):
    """A worker that lags must not undo it either: the replay carries the time of its own reading."""
    worker = site.start("run")
    worker.until_live()
    worker.terminate()
    database.items.update_one({"_id": 1}, {"$set": {"customer": {"name": "second"}}})
    database.items.delete_one({"_id": 2})
    store(
        settings,
        letter(site, namespace, 1, 5),
        letter(site, namespace, 2, (1 << 63) - 1),
        letter(site, namespace, 3, 5),
    )
    with pytest.raises(SystemicFault, match="ahead of the source's cluster time"):
        replay(settings)
    assert {each["id"] for each in site.letters(database)} >= {"n:2"}
    penstock("dead-letters", "drop", "--all", "--yes")
    indexed = site.ask("GET", f"{site.index(namespace)}/_doc/n:3")["_version"]
    store(settings, letter(site, namespace, 3, indexed), *(letter(site, namespace, each, 1 << 40) for each in (1, 2)))
    site.ask("POST", f"{site.index(namespace)}/_refresh")  # else the deletion finds an earlier version, and leaves it
    site.ask(
        "POST", f"{site.index(namespace)}-g1/_delete_by_query?refresh=true", {"query": {"ids": {"values": ["n:1"]}}}
    )
    replayed = replay(settings)
    assert (replayed.letters, replayed.done, replayed.superseded) == (3, 1, 2)
    assert site.indexed(namespace)["n:1"] == {"customer": {"name": "second"}}
    worker = site.start("run")
    site.until_equal(database, "items")
    assert site.letters(database) == []


def test_a_replay_that_is_interrupted_goes_on_with_the_rest(site, database, namespace, settings, penstock):
    assert penstock("load").returncode == 0
    database.items.insert_many([{"_id": f"n{number}", "customer": {"name": "x"}} for number in range(250)])
    store(settings, *(letter(site, namespace, f"n{number}", 5) for number in range(250)))
    stop = threading.Event()
    replay(settings, stop=stop, on_page=lambda _: stop.set())
    assert len(site.letters(database)) == 150
    assert replay(settings).done == 150
    assert site.letters(database) == []
    assert site.differences(database, "items") == []


def test_letters_that_cannot_be_judged_stay(site, database, namespace, settings, listed, penstock):
    database.items.delete_one({"_id": 0})
    assert penstock("load").returncode == 0
    odd = letter(site, namespace, IMPOSSIBLE, 5)
    store(settings, odd, letter(site, namespace, "a\ufffd", 5), letter(site, namespace, "gone", 5))
    replayed = replay(settings)
    assert (replayed.left, replayed.done) == (2, 1)
    assert {each["id"] for each in site.letters(database)} == {odd.id, "a\ufffd"}
    database.items.drop()
    store(settings, letter(site, namespace, "gone", 6))
    assert listed()["gone"] == "no collection"
    assert replay(settings).done == 0
    assert len(site.indexed(namespace)) == 19


def test_the_list_says_what_it_does_not_show(site, database, namespace, settings, penstock):
    assert penstock("load").returncode == 0
    other = f"{database.name}.others"
    store(settings, *(letter(site, namespace, each, 5) for each in ("a", "b\n", "c")), letter(site, other, "d", 5))
    done = penstock("dead-letters", "list", "--limit", "2")
    assert done.returncode == 0
    assert "1 more; raise --limit to see them" in done.stdout
    assert "most common reasons:\n  3  400: no\n" in done.stdout
    assert re.search(r"also [\d,]+ dead letters? of collections not declared here: ", done.stdout)
    assert json.loads(penstock("dead-letters", "list", "--json").stdout)["undeclared"][other] == 1
    assert penstock("dead-letters", "list", other).stdout.splitlines()[1].split()[:2] == [other, "d"]
    done = penstock("dead-letters", "list", "--source-uri", "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200")
    assert done.returncode == 4
    assert done.stdout.count(" unknown ") == 3
    done = penstock("dead-letters", "list", "--sink-url", "http://127.0.0.1:9")
    assert done.returncode == 5
    assert "No usable response from http://127.0.0.1:9" in done.stderr
    assert list_letters(settings, LetterFilter(), limit=0).letters == []


def test_one_letter_is_shown_whole_and_its_body_only_when_asked_for(site, database, namespace, penstock):
    database.items.insert_one({"_id": "bad\n", "customer": "secret"})
    assert penstock("load").returncode == 0
    for typed in ('"bad\\n"', "bad\n"):
        done = penstock("dead-letters", "show", namespace, typed)
        assert done.returncode == 0, done.stderr
        assert 'document    "bad\\n"\n' in done.stdout
        assert "state       open\n" in done.stdout
        assert "object mapping for [customer]" in done.stdout
        assert "secret" not in done.stdout
    assert '{"customer":"secret"}\n' in penstock("dead-letters", "show", namespace, "bad\n", "--body").stdout
    shown = json.loads(penstock("dead-letters", "show", namespace, "bad\n", "--body", "--json").stdout)
    assert (shown["id"], shown["body"], shown["body_bytes"]) == ("bad\n", '{"customer":"secret"}', 21)
    done = penstock("dead-letters", "show", namespace, "n:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{namespace} has no dead letter for the document n:1" in done.stderr
    assert penstock("dead-letters", "show", namespace, "date:soon").returncode == 2


def test_letters_are_dropped_only_when_somebody_says_so(site, database, namespace, settings, listed, penstock):
    assert penstock("load").returncode == 0
    store(settings, letter(site, namespace, "a", 5), letter(site, namespace, 1, 5))
    assert penstock("dead-letters", "drop").returncode == 2
    done = penstock("dead-letters", "drop", namespace)
    assert done.returncode == 2
    assert "give --yes" in done.stderr
    assert penstock("dead-letters", "drop", "--reason", "yes", "--yes").stdout == "0 dead letters dropped\n"
    assert listed().keys() == {"a", "n:1"}
    assert penstock("dead-letters", "drop", "--document", "n:1", "--yes").stdout == "1 dead letter dropped\n"
    assert listed().keys() == {"a"}
    assert penstock("dead-letters", "drop", "--reason", "no", "--yes").stdout == "1 dead letter dropped\n"
    assert listed() == {}
    assert len(site.indexed(namespace)) == 20


def test_a_replay_names_what_it_cannot_do(site, namespace, penstock):
    done = penstock("dead-letters", "replay", "elsewhere.items")
    assert done.returncode == 2
    assert "elsewhere.items is not a declared collection" in done.stderr
    assert penstock("dead-letters", "replay", "--queue", "--reason", "x").returncode == 2
    assert penstock("dead-letters", "list", "--older-than", "soon").returncode == 2
