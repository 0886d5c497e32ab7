"""Consoles that are killed while an operation runs: what can go on does so elsewhere, all else says how far it was."""

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

import testkit.saved_state
from penstock.console.jobs.job import Job, JobKind, JobName, Person
from penstock.console.jobs.keeper import JobKeeper
from penstock.model import Letter, Namespace, Position
from penstock.runtime.intervals import Intervals
from penstock.settings import read_settings
from testkit.http_relay import Asked, relay
from testkit.job_console import JobConsole
from testkit.saved_state.restore import restore
from testkit.verify_case import Case, case
from testkit.workspace import Site, until

ANN = Person("Ann", "operator")


@pytest.fixture
def at(database: Database, source_uri: str, sink_url: str, site: Site) -> Iterator[Case]:
    """A collection that is loaded; the settings of consoles are in the site's folder."""
    namespace = f"{database.name}.items"
    site.settings(namespace, pipeline={"name": database.name.replace("_", "-"), "load_range": 100})
    with case(database, source_uri, sink_url, site.index(namespace)) as made:
        yield made


@pytest.fixture
def looks(at: Case, site: Site) -> Iterator[JobKeeper]:
    """A console that runs nothing itself."""
    with JobKeeper(read_settings(file=site.folder / "penstock.toml"), intervals=Intervals.fast(), runs=False) as made:
        yield made


def job(looks: JobKeeper, kind: JobKind, at: Case) -> Job:
    found = looks.board.job(kind, f"{at.database.name}.items")
    assert found is not None
    return found


def until_job(looks: JobKeeper, kind: JobKind, at: Case, *states: str) -> Job:
    until(lambda: job(looks, kind, at).run.state in states, lambda: job(looks, kind, at))
    return job(looks, kind, at)


def test_a_verify_goes_on_in_the_next_console_where_it_was_killed(at: Case, looks: JobKeeper, site: Site) -> None:
    at.items.insert_many([{"_id": number, "n": number} for number in range(1600)])
    at.load()
    at.tamper(3, {"n": "wrong"})
    name = JobName("verify", f"{at.database.name}.items")
    console = JobConsole(site.folder)
    looks.start(name, {"rate": 200, "wait_s": 0}, ANN)
    saved = until(lambda: saved_place(site, at) and job(looks, "verify", at).run.findings, "a part of it is saved")
    console.kill()
    killed_at = job(looks, "verify", at).run
    assert (killed_at.state, saved[0].kind, saved[0].id, saved[0].fields) == ("running", "different", "n:3", ("n",))
    assert 0 < killed_at.done < killed_at.total
    console = JobConsole(site.folder)
    resumed = until_job(looks, "verify", at, "done").run
    console.close()
    assert resumed.resumed == 1
    assert resumed.total < killed_at.total, "it went on where it was"
    assert resumed.result == "not equal: 1,600 documents compared; 1 different"
    assert [each.id for each in resumed.findings] == ["n:3"]


def saved_place(site: Site, at: Case) -> bool:
    state = site._state(f"verify/{at.database.name}.items/{at.generation.index}")
    return bool((state.get("progress") or {}).get("place"))


def test_a_replay_that_was_killed_says_how_far_it_was_and_the_rest_can_be_replayed(
    at: Case, looks: JobKeeper, site: Site
) -> None:
    at.items.insert_many([{"_id": number, "n": number} for number in range(1000)])
    store_letters(at, 1000)
    name = JobName("replay", f"{at.database.name}.items")
    with relay(site.sink_url) as slow:
        slow.plan = slowly
        text = (site.folder / "penstock.toml").read_text()
        (site.folder / "penstock.toml").write_text(text.replace(site.sink_url, slow.url))
        console = JobConsole(site.folder)
        looks.start(name, {}, ANN)
        until(lambda: job(looks, "replay", at).run.counts.get("done"), lambda: job(looks, "replay", at))
        console.kill()
    (site.folder / "penstock.toml").write_text(text)
    console = JobConsole(site.folder)
    interrupted = until_job(looks, "replay", at, "interrupted").run
    left = letters(site, at)  # what was under way when the console was killed has come to its end
    assert 0 < left < 1000
    assert 0 < interrupted.counts["done"] <= 1000 - left
    assert (interrupted.total, interrupted.is_good, interrupted.resumed) == (1000, False, 0)
    looks.start(name, {}, ANN)
    done = until_job(looks, "replay", at, "done").run
    console.close()
    assert done.result.startswith(f"{left} dead letters, ")
    outcomes = [int(number) for number in re.findall(r"(\d+) (?:in step now|superseded before)", done.result)]
    assert sum(outcomes) == left, done.result
    assert letters(site, at) == 0
    assert len(at.indexed()) == 1000


def slowly(asked: Asked) -> str:
    if "penstock-dead-letters/_bulk" in asked.path:
        time.sleep(1)
    return "pass"


def store_letters(at: Case, count: int) -> None:
    namespace = Namespace.named(f"{at.database.name}.items")
    alias, now = at.generation.write_alias, at.now()
    at.adapters.dead_letters.store(
        [
            Letter(namespace, alias, f"n:{number}", str(number), now, Position("", now), "400: refused", b"{}")
            for number in range(count)
        ]
    )


def letters(site: Site, at: Case) -> int:
    site.ask("POST", "penstock-dead-letters/_refresh")
    query = {"query": {"term": {"namespace": f"{at.database.name}.items"}}}
    return int(site.ask("POST", "penstock-dead-letters/_count", query)["count"])


def test_a_stop_reaches_another_process_within_seconds_and_the_next_verify_goes_on(
    at: Case, looks: JobKeeper, site: Site
) -> None:
    at.items.insert_many([{"_id": number, "n": number} for number in range(1000)])
    at.load()
    name = JobName("verify", f"{at.database.name}.items")
    console = JobConsole(site.folder)
    looks.start(name, {"rate": 20}, ANN)
    until(lambda: job(looks, "verify", at).run.done > 50, lambda: job(looks, "verify", at))
    looks.stop(name, Person("Bob", "operator"))
    stopped_at = time.monotonic()
    stopped = until_job(looks, "verify", at, "stopped").run
    assert time.monotonic() - stopped_at < 30, "long before the 45 s that it has left"
    assert stopped.result == "stopped by Bob"
    assert saved_place(site, at)
    console.close()


RECORDING = sorted(Path(testkit.saved_state.__file__).parent.glob("*.json"))[-1]


def test_jobs_run_on_the_state_of_an_earlier_version(
    site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(site.folder)
    restore(RECORDING, site, database)
    name = JobName("verify", f"{database.name}.people")
    settings = read_settings(file=site.folder / "penstock.toml")
    with JobKeeper(settings, intervals=Intervals.fast()) as at:
        assert at.board.job(*name) is None
        assert name.subject not in {each.subject for each in at.activity.entries()}
        at.start(name, {"wait_s": 0}, ANN)
        found = until(lambda: (now := at.board.job(*name)) and not now.is_open and now, lambda: at.board.job(*name))
    database.client.drop_database(f"{database.name}_logs")
    sys.modules.pop("recorded_shapes", None)
    assert (found.run.state, found.run.is_good) == ("done", True), json.dumps(found.run.result)


def test_only_the_documents_that_are_named_are_repaired(at: Case, looks: JobKeeper, site: Site) -> None:
    at.items.insert_many([{"_id": number, "n": number} for number in range(10)])
    at.load()
    at.tamper(1, None)
    at.tamper(2, {"n": "wrong"})
    at.tamper(77, {"n": 77})
    at.tamper(78, {"n": 78})
    name, subject = JobName("repair", f"{at.database.name}.items"), f"{at.database.name}.items"
    wanted = ["n:1", "n:77"]
    with JobKeeper(read_settings(file=site.folder / "penstock.toml"), intervals=Intervals.fast()) as runs:
        runs.start(name, {"repair": True, "documents": wanted, "wait_s": 0}, ANN)
        done = until_job(looks, "repair", at, "done").run
    assert (done.result, done.is_good) == ("equal: 1 document compared; 1 missing; 1 too many; 2 repaired", True), (
        subject
    )
    indexed: dict[str, Any] = at.indexed()
    assert (indexed["n:1"], indexed["n:2"], "n:77" in indexed, "n:78" in indexed) == (
        {"n": 1},
        {"n": "wrong"},
        False,
        True,
    )
