"""Series begin at 0 and go with what they are about."""

from penstock.observe.metrics import METRICS, PROCESS_METRICS, Metrics


def series(metrics):
    return {
        (sample.name, *sorted(sample.labels.items())) for each in metrics.registry.collect() for sample in each.samples
    }


def test_the_counters_of_a_pipeline_begin_at_zero():
    metrics = Metrics()
    metrics.begin("pipeline", "shop")
    dead = {"pipeline": "shop", "outcome": "dead_lettered"}
    assert metrics.registry.get_sample_value("penstock_changes_total", dead) == 0
    lost = {"pipeline": "shop", "reason": "alias_moved"}
    assert metrics.registry.get_sample_value("penstock_positions_lost_total", lost) == 0
    assert metrics.registry.get_sample_value("penstock_batches_total", {"pipeline": "shop"}) == 0
    assert not [each for each in series(metrics) if "reaction" in str(each)]


def test_a_second_begin_keeps_what_was_counted():
    metrics = Metrics()
    metrics.begin("reaction", "mail")
    metrics.count("penstock_reaction_events_total", 3, reaction="mail", outcome="accepted")
    metrics.begin("reaction", "mail")
    assert metrics.value("penstock_reaction_events_total", reaction="mail", outcome="accepted") == 3
    assert metrics.registry.get_sample_value("penstock_reaction_waits_total", {"reaction": "mail"}) == 0


def test_the_gauges_of_a_pipeline_go_with_it_and_its_counters_stay():
    metrics = Metrics()
    for pipeline in ("shop", "shop-g2"):
        metrics.begin("pipeline", pipeline)
        metrics.set("penstock_lease_held", 1, pipeline=pipeline)
        metrics.set("penstock_lag_seconds", 7, pipeline=pipeline)
    metrics.set("penstock_ignored_documents", 2, index="shop-g2", field="when")
    metrics.forget("pipeline", "shop-g2")
    metrics.forget("pipeline", "never")
    metrics.forget("index", "shop-g2")
    left = series(metrics)
    assert ("penstock_lease_held", ("pipeline", "shop")) in left
    assert ("penstock_lease_held", ("pipeline", "shop-g2")) not in left
    assert ("penstock_lag_seconds", ("pipeline", "shop-g2")) not in left
    assert ("penstock_batches_total", ("pipeline", "shop-g2")) in left
    assert not [each for each in left if each[0] == "penstock_ignored_documents"]


def test_the_process_reports_what_is_declared_of_it():
    families = {each.name: each for each in Metrics().registry.collect() if each.name.startswith("process_")}
    reported = {sample.name: family.type for family in families.values() for sample in family.samples}
    assert reported == {name: metric.kind for name, metric in PROCESS_METRICS.items()}
    assert METRICS.keys().isdisjoint(PROCESS_METRICS)
