"""What alerts and dashboard read is what a worker reports, with the labels that they ask for."""

import json

from prometheus_client.parser import text_string_to_metric_families

from monitoring.panels import ROWS
from monitoring.rules import RULES
from testkit.promql import selectors
from testkit.receiver import SECRET, receiver
from testkit.workspace import until

NOT_YET = {"penstock_waits_total", "penstock_second_attempts_total"}
"""Reported once there is a reason: the index waited, or refused a field."""
OF_OTHERS = {
    *("penstock_log_partitions", "penstock_log_lag_records", "penstock_process_restarts_total"),
    *("penstock_load_ranges", "penstock_load_ranges_done"),
}
"""Of `penstock apply`; those of `penstock capture` have its name."""


def read():
    """The series of all alerts and panels."""
    exprs = [rule.expr for rule in RULES]
    exprs += [query.expr for row in ROWS for panel in row.panels for query in panel.queries]
    return [each for expr in exprs for each in selectors(expr.replace("$__rate_interval", "5m"))]


def samples(worker):
    """The samples of a scrape, as the library of Prometheus reads them."""
    return [sample for family in text_string_to_metric_families(worker.scrape()) for sample in family.samples]


def test_a_worker_reports_every_series_that_alerts_and_dashboard_read(site, database):
    database.items.insert_many([{"_id": number, "customer": {"name": "first"}, "when": "?"} for number in range(20)])
    types = {"customer": {"type": "object"}, "when": {"type": "date", "ignore_malformed": True}}
    (site.folder / "mapping.json").write_text(json.dumps({"mappings": {"properties": types}}))
    namespace, absent = f"{database.name}.items", f"{database.name}.absent"
    with receiver() as hook:
        reaction = {"name": f"hook-{database.name}", "collections": [namespace], "target": "webhook"}
        reactions = [{**reaction, "url": hook.url, "secret": SECRET}]
        site.settings(namespace, absent, mapping_file="mapping.json", reactions=reactions)
        worker = site.start("run")
        until(lambda: site.reaction_state(reaction["name"])["position"], lambda: worker.errors)
        until(lambda: worker.metric("penstock_lease_held", pipeline=database.name), lambda: worker.errors)
        refused = {"pipeline": database.name, "outcome": "dead_lettered"}
        assert {**refused, "value": 0.0} in named(worker, "penstock_changes_total"), "a counter begins at 0"
        database.items.insert_one({"_id": 99, "customer": "a word"})
        until(lambda: worker.metric("penstock_changes_total", **refused) >= 1, lambda: worker.errors)
        until(lambda: worker.metric("penstock_reaction_events_total", outcome="accepted") >= 1, lambda: worker.errors)
        until(lambda: named(worker, "penstock_checkpoint_age_seconds"), worker.scrape)
        until(lambda: worker.metric("penstock_ignored_documents") == 20, worker.scrape)
        reported = samples(worker)
        worker.terminate()
    missing = {
        name
        for name, labels in read()
        if not any(each.name == name and labels.items() <= each.labels.items() for each in reported)
    }
    assert {name for name in missing - OF_OTHERS if not name.startswith("penstock_capture_")} == NOT_YET


def named(worker, name):
    return [{**each.labels, "value": each.value} for each in samples(worker) if each.name == name]
