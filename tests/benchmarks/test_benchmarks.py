"""The benchmarks run, at a tiny size, and have no figures when index and source differ."""

import json
import secrets
import subprocess
import sys
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(*words: str | Path) -> None:
    """Run one in a process of its own. They have their own servers, for they delete every index between two rounds."""
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, timeout=1100, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.mark.timeout(1200)
def test_every_benchmark_runs_to_its_comparison(tmp_path):
    run("benchmarks.tiny", tmp_path)
    for name in ("load", "catch_up", "latency", "cost", "growth", "verify"):
        sections = json.loads((tmp_path / f"{name}.json").read_text())["sections"]
        assert sections
        assert all(section["rows"] for section in sections)


def test_the_sync_function_is_measured_as_deployed(tmp_path):
    run("benchmarks.lambda_calls", "--rounds=1", "--events=10", f"--results={tmp_path}")
    assert (tmp_path / "lambda_calls.json").exists()


def test_a_look_at_many_collections_is_measured_and_nothing_stays(sink_url):
    run("benchmarks.status", "--collections=3", "--looks=2", f"--url={sink_url}")


def test_several_processes_apply_each_change_once(kafka_servers):
    from benchmarks.apply import Applied

    applied = Applied(kafka_servers, documents=600, transform_us=10, prefix=f"bench-{secrets.token_hex(4)}")
    applied.fill()
    try:
        applied.begin(2)
        assert applied.apply().seconds > 0  # it ends with no figures where one is missing or comes twice
    finally:
        applied.end()


@pytest.fixture
def at(monkeypatch, database, source_uri, sink_url):
    """The benchmarks' ground on the tests' servers and database."""
    from benchmarks import ground

    monkeypatch.setattr(ground, "DB", database.name)
    servers = SimpleNamespace(source=SimpleNamespace(uri=source_uri), opensearch=SimpleNamespace(url=sink_url))
    with closing(ground.Ground(servers)) as at:
        yield at


def test_there_are_no_figures_when_one_document_differs(at, database, index_prefix, tmp_path):
    from benchmarks.ground import generated
    from benchmarks.item import Given, tell
    from benchmarks.results import Section

    name = f"{index_prefix}documents"
    at.fill(name, generated(3))
    at.make(name)
    for each in database[name].find():
        key = str(each.pop("_id"))
        document = {**each, "price": 0.5} if each["number"] == 1 else each
        at.client.request("PUT", f"/{name}-g1-write/_doc/{key}", document)

    def sections():
        yield Section("loaded", ("way", "documents a second"), [("fast", 1e9)])
        at.require_equal(name)

    with pytest.raises(SystemExit, match="no figures"):
        tell("load", sections(), Given(results=tmp_path), {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [3, 4, 5])
def test_no_way_always_comes_after_the_same_one(monkeypatch, count):
    from benchmarks.rounds import in_turn

    rounds = [in_turn(range(count), number) for number in range(1, 8)]
    assert all(sorted(order) == list(range(count)) for order in rounds)
    neighbours = [pair for order in rounds for pair in pairwise(order)]
    for way in range(count):
        assert len({before for before, after in neighbours if after == way}) > 1


def test_a_goal_that_is_just_missed_does_not_look_reached(monkeypatch):
    from benchmarks.results import Goal

    told = [Goal("", value, 0.7, 0.9, least=0.85).told for value in (0.8475, 0.85, 0.8)]
    assert told == ["0.8475", "0.85", "0.80"]
    assert Goal("", 150.4, 140, 151, most=150.0, unit=" MB").told == "150.4 MB"
