"""A worker that sends to a collector: what arrives there, and that one in trouble holds nothing up."""

import threading
import time

import pytest

from testkit.collector import collector
from testkit.workspace import until

PIPELINE = "pipeline"


@pytest.fixture
def there():
    with collector() as there:
        yield there


@pytest.fixture
def namespace(site, database):
    database.items.insert_many([{"_id": f"identity-{number}", "text": "confidential"} for number in range(300)])
    namespace = f"{database.name}.items"
    site.settings(namespace)
    return namespace


def test_the_collector_gets_what_metrics_shows_and_spans_without_a_word_of_the_documents(
    site, database, namespace, there
):
    worker = site.start("run", "--observe-otlp-endpoint", there.url)
    worker.until_live()
    for number in range(20):
        database.items.insert_one({"_id": f"identity-x{number}", "text": "confidential"})
    site.until_equal(database, "items")
    wanted = {(("outcome", "written"), (PIPELINE, database.name)): 320.0}
    until(lambda: wanted.items() <= there.values("penstock_changes_total").items(), lambda: there.exports[-1:])
    worker.terminate()
    spans = [each for each in there.batches() if each["penstock.pipeline"] == database.name]
    assert {each["penstock.kind"] for each in spans} == {"load", "stream"}
    loaded = [each["penstock.written"] for each in spans if each["penstock.kind"] == "load"]
    assert sum(loaded) == 300
    assert all(each["penstock.bytes"] > 20 * each["penstock.written"] for each in spans)
    assert not [each for each in there.raw if b"identity" in each or b"confidential" in each]


def test_a_collector_that_hangs_delays_neither_the_index_nor_the_end(site, database, namespace, there):
    release = threading.Event()
    there.answer = lambda: (release.wait(300) and 200) or 500
    worker = site.start("run", "--observe-otlp-endpoint", there.url)
    worker.until_live()
    until(lambda: there.headers, "a request that hangs")
    database.items.insert_one({"_id": "late", "text": "x"})
    site.until_equal(database, "items")
    assert not release.is_set()
    ending = time.monotonic()
    worker.terminate()
    assert time.monotonic() - ending < 20
    assert len(worker.lines("run ends")) == 1
    assert worker.lines("run ends")[0]["signal"] == "SIGTERM"
    release.set()
