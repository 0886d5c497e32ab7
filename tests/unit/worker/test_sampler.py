"""Samples are taken whatever their writing waits for, and what cannot be asked has no numbers."""

import threading
from types import SimpleNamespace

import pytest

from penstock.errors import SinkUnavailable
from penstock.model import Counts, Namespace
from penstock.observe.metrics import Metrics
from penstock.opensearch.http.client import Response
from penstock.runtime.intervals import Intervals
from penstock.worker.pipeline_sampler import PipelineLook
from penstock.worker.reporter import Reporter
from penstock.worker.sampler import Sampler
from testkit.workspace import until

OFTEN = Intervals(sample_s=0.01, sample_counts_s=0.01)


class Ring:
    """As the real one, without a server; writing hangs until it is let go, or fails."""

    def __init__(self):
        self.rows, self.writes = [], 0
        self.goes_on = threading.Event()
        self.fails = False

    def add(self, row):
        self.rows.append(row)

    def write(self):
        self.writes += 1
        self.goes_on.wait()
        if self.fails:
            raise SinkUnavailable("away")


def running(sampler, ending):
    threads = [threading.Thread(target=each, args=[ending]) for each in (sampler.keep_taking, sampler.keep_writing)]
    for each in threads:
        each.start()
    return threads


def test_rows_are_taken_while_the_index_hangs_or_is_away():
    ring, ending = Ring(), threading.Event()
    sampler = Sampler(ring, lambda: {"lag_s": 1.0}, lambda: {"documents_index": 7}, OFTEN)
    threads = running(sampler, ending)
    try:
        until(lambda: ring.writes == 1, "writing begins, and hangs")
        before = len(ring.rows)
        until(lambda: len(ring.rows) >= before + 5, "rows are taken all the same")
        assert "documents_index" not in ring.rows[-1]
        ring.goes_on.set()
        until(lambda: ring.rows[-1].get("documents_index") == 7, "what was looked at is in the rows")
        ring.fails = True
        until(lambda: "documents_index" not in ring.rows[-1], "nothing is known of an index that is away")
        assert ring.rows[-1]["lag_s"] == 1.0
        assert ring.rows[-1]["for_s"] > 0
    finally:
        ring.goes_on.set()
        ending.set()
        for each in threads:
            each.join()


def test_an_answer_that_is_none_has_no_numbers_and_ends_nothing():
    """As a proxy's page with status 200, or of a source that is away, while a load is under way."""
    client = SimpleNamespace(url="http://x", request=lambda *_, **__: Response(200, b"<html>"))
    collection = SimpleNamespace(index="orders-g1", source=Namespace("shop", "orders"), write_alias="orders-g1-write")
    plan = SimpleNamespace(collections=[collection])
    reporter = Reporter("shop", Metrics())
    reporter.loads = {"shop.orders": SimpleNamespace(phase="loading")}
    adapters = SimpleNamespace(client=client, connection=SimpleNamespace(client=None), intervals=Intervals())
    look = PipelineLook(plan, adapters, reporter)
    look._in_source = lambda: None
    with pytest.raises(SinkUnavailable, match="not a valid response"):
        look.look()
    assert look.look() == {"loaded": None}
    assert reporter.writes_per_s == {}


def test_a_sample_has_what_happened_since_the_one_before():
    reporter = Reporter("shop", Metrics())
    reporter.counts.add(Counts(read=3, written=2, folded=1))
    for ms in range(1, 101):
        reporter.wrote(ms / 1000)
    first, second = reporter.sample(), reporter.sample()
    assert (first["written"], first["folded"], first["write_p50_ms"], first["write_p99_ms"]) == (2, 1, 51, 100)
    assert (second["written"], second["write_p50_ms"]) == (0, None)
