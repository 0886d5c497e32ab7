"""Which pipelines of a worker go on, and with what, as the records change."""

import threading

from penstock.documents.transform import Transform
from penstock.observe.metrics import Metrics
from penstock.opensearch.index.definition import IndexDefinition
from penstock.opensearch.state.generations import CollectionRecord
from penstock.planner import Planner
from penstock.runtime.intervals import Intervals
from penstock.settings import CollectionSettings, Settings
from penstock.worker.supervisor import Supervisor
from testkit.workspace import until

ORDERS = CollectionSettings(namespace="shop.orders")


class Records:
    """As the crew reads them."""

    def __init__(self):
        self.now = {}

    def read(self, _):
        return dict(self.now)


class Following:
    """Serves until it is ended."""

    def __init__(self, plan):
        self.plan = plan

    def serve(self, stop):
        stop.wait()


def test_a_pipeline_goes_on_with_what_was_recorded_after_it_began():
    """With what it began with, its next term would take its own record for a change by somebody else."""
    planner, records, begun, stop = Planner(Settings(collections=[ORDERS])), Records(), [], threading.Event()

    def following(plan):
        begun.append(Following(plan))
        return begun[-1]

    supervisor = Supervisor(lambda: planner, records, following, Metrics(), intervals=Intervals(generations_s=0.01))
    working = threading.Thread(target=supervisor.run, args=[stop])
    working.start()
    try:
        until(lambda: begun, "it begins")
        recipe = IndexDefinition.of(ORDERS, Transform(ORDERS))
        records.now = {ORDERS.alias: CollectionRecord("shop.orders", ORDERS.alias).added(recipe, "serving")}
        until(lambda: begun[0].plan.collections[0].recorded, "it knows what is recorded")
        assert len(begun) == 1
    finally:
        stop.set()
        working.join()
