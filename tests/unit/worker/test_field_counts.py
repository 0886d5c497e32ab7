"""The counts of an index's fields are reported by the worker that feeds it, and by no other."""

import threading
from types import SimpleNamespace

from penstock.observe.metrics import Metrics
from penstock.worker.field_counts import FieldCounts
from testkit.workspace import FAST


def test_nothing_more_is_reported_of_the_indexes_once_the_term_has_ended():
    metrics, ending = Metrics(), threading.Event()
    for index in ("orders-g1", "letters-g1"):
        metrics.set("penstock_index_fields", 7, index=index)
        metrics.set("penstock_ignored_documents", 3, index=index, field="when")
    adapters = SimpleNamespace(metrics=metrics, client=SimpleNamespace(url="http://127.0.0.1:1"), intervals=FAST)
    ending.set()
    FieldCounts(adapters, ["orders-g1"]).keep_counting(ending)
    samples = [each for family in metrics.registry.collect() for each in family.samples]
    assert {each.labels["index"] for each in samples if "index" in each.labels} == {"letters-g1"}
