"""The history that a real worker keeps, and how soon somebody who keeps looking sees that it is gone."""

import json
import time
from contextlib import closing
from dataclasses import replace

import pytest

from penstock.operations.status.history import histories
from penstock.operations.status.watch import StatusWatch
from penstock.runtime.intervals import INTERVALS
from penstock.settings.reading import read_settings
from testkit.receiver import SECRET, receiver
from testkit.workspace import FAST, meanwhile, until

SAMPLED = replace(FAST, sample_s=0.3, sample_counts_s=0.3)


@pytest.fixture
def namespace(site, database):
    database.items.insert_many([{"_id": number, "text": "x"} for number in range(300)])
    site.settings(f"{database.name}.items", pipeline={"lease_s": 3})
    site.intervals = SAMPLED
    return f"{database.name}.items"


@pytest.fixture
def watch(site, namespace):
    """Somebody who looks again and again, with the intervals that penstock runs with."""
    with closing(
        StatusWatch(read_settings(file=site.folder / "penstock.toml", environ={}), intervals=INTERVALS)
    ) as made:
        yield made


def writes(database):
    def write(stop):
        number = 0
        while not stop.wait(0.02):
            number += 1
            database.items.update_one({"_id": number % 300}, {"$set": {"text": str(number)}})

    return write


def test_a_worker_keeps_samples_a_later_one_goes_on_and_status_draws_them(site, database, namespace, watch, penstock):
    def samples():
        return histories(watch.view.states, [database.name], "15m")[database.name]

    first = site.start("run")
    first.until_live()
    with meanwhile(writes(database)):
        until(lambda: sum(each or 0 for each in samples().columns["written"]) > 0, "changes are sampled")
        until(lambda: samples().last("documents_index") == samples().last("documents_source") == 300, "both sides")
        shown = until(lambda: (now := watch.look()).collections[0].writes_per_s and now, "a rate")
        first.kill()
        began = samples().times[0]
        second = site.start("run")
        second.until_live()
        until(lambda: samples().times[-1] > samples().times[0] + 2, "the second one goes on")
    found = samples()
    assert found.times[0] == began
    assert found.last("write_p99_ms") > 0
    assert found.last("loaded") == 1.0
    assert found.last("memory_mb") > 10
    assert shown.collections[0].documents_index == 300
    drawn = penstock("status", "--history", "15m").stdout
    assert namespace in drawn
    assert "█" in drawn
    printed = json.loads(penstock("status", "--history", "15m", "--json").stdout)
    assert printed[0]["shows"] == namespace
    assert printed[0]["columns"]["at"][0] == began
    assert penstock("status", "--history", "2m").returncode == 2
    second.terminate()


def test_who_keeps_looking_sees_a_killed_worker_within_seconds_and_no_other_one(site, database, namespace, watch):
    worker = site.start("run")
    worker.until_live()

    def look():
        time.sleep(0.5)
        return watch.look()

    def the_one(state):
        found = look()
        return [each.state for each in found.workers] == [state] and found

    alive = until(lambda: the_one("alive"), worker.errors)
    assert alive.collections[0].state == "live"
    assert alive.workers[0].pipelines == {database.name: "live"}
    for _ in range(8):
        assert "silent" not in {each.state for each in look().workers}
    worker.kill()
    gone = until(lambda: the_one("silent"), "nobody says that it is gone")
    assert gone.collections[0].state == "stopped"
    assert gone.workers[0].silent_s >= INTERVALS.silent_s
    another = site.start("run")
    another.until_live()
    until(lambda: sorted(each.state for each in look().workers) == ["alive"], "the list is tidied up")
    another.terminate()
    until(lambda: look().workers == [], "who ends leaves the list")


def test_a_standby_is_seen_and_nobody_is_silent_while_the_index_takes_no_writes(site, database, namespace, watch):
    first = site.start("run")
    first.until_live()
    second = site.start("run")
    second.until_logged("standby: another worker holds the lease")
    until(
        lambda: (
            sorted(each.pipelines.get(database.name, "") for each in watch.look().workers if each.state == "alive")
            == ["live", "standby"]
        ),
        "both are seen",
    )
    site.ask("PUT", "penstock-state/_settings", {"index.blocks.write": True})
    try:
        until(lambda: time.sleep(0.3) or watch.look().index_slow, "it is said that the index takes no writes")
        for _ in range(12):
            time.sleep(0.3)
            assert "silent" not in {each.state for each in watch.look().workers}
    finally:
        site.ask("PUT", "penstock-state/_settings", {"index.blocks.write": None})
    until(lambda: time.sleep(0.3) or {each.state for each in watch.look().workers} == {"alive"}, "all is well again")
    until(lambda: watch.look().index_slow == "", "nothing is said of the index")


def test_a_reaction_keeps_samples_too(site, database, namespace, penstock):
    name = f"hook-{database.name}"
    with receiver() as hook:
        its = {"name": name, "collections": [namespace], "target": "webhook", "url": hook.url, "secret": SECRET}
        site.settings(namespace, reactions=[its])
        settings = read_settings(file=site.folder / "penstock.toml", environ={})
        worker = site.start("run")
        until(lambda: site.reaction_state(name)["position"], lambda: worker.errors)
        worker.until_live()
        with closing(StatusWatch(settings, intervals=INTERVALS)) as watch, meanwhile(writes(database)):
            watch.look()
            (pipeline,) = (each for each in watch.pipelines if name in each)

            def sampled():
                found = histories(watch.view.states, [pipeline], "15m")[pipeline]
                return sum(each or 0 for each in found.columns["accepted"]) > 0 and found

            found = until(sampled, lambda: worker.errors)
            assert found.last("pending") is not None
            assert found.last("lag_s") is not None
            assert found.columns["written"] == [None] * len(found.times)
            until(lambda: sampled().last("letters") == 0, "its dead letters are counted")
            (held,) = (each for each in watch.look().pipelines if each.name == pipeline)
            assert (held.title, held.state) == (f"reaction {name}", "live")
        assert f"reaction {name}" in penstock("status", "--history", "15m").stdout
        worker.terminate()
