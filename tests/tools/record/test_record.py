"""The local source against the record of a real MongoDB 4.0.3: every case as recorded, or listed with its reason."""

import json
import threading
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.record import faults, options, positions, shapes
from testkit.record.stage import Stage

_HERE = Path(__file__).parent
RECORD = json.loads((_HERE / "events.json").read_text())["sections"]
DIFFERENCES = tomllib.loads((_HERE / "differences.toml").read_text())
CASES = {
    f"{section}: {case.get('op') or case['case']}": case["expected"]
    for section, cases in RECORD.items()
    for case in cases
}


def _play_operations(stage, *sections):
    for section in sections:
        for case in RECORD[section]:
            if "op" in case:
                stage.play(section, case)


def _play_operations_first(stage):
    _play_operations(stage, "types", "ids", "insert", "update", "findAndModify", "bulk_delete", "transaction", "ddl")
    positions.play_transactions(stage)
    positions.play_invalidate(stage)
    _play_operations(stage, "lookup_errors")
    positions.play_dropped(stage)


def _play_the_rest(stage):
    shapes.play(stage)
    options.play(stage)
    faults.play_connection(stage)
    positions.play_lost(stage)
    faults.play_large(stage)
    faults.play_step_down(stage)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What became of every case; the halves are played on a server each, side by side."""
    outcomes, problems = {}, []

    def play(half):
        try:
            settings = LocalSourceSettings(mode="mongodb-4.0", log_size=2500)
            with local_source(tmp_path_factory.mktemp(half.__name__), settings) as source:
                stage = Stage(source.uri)
                half(stage)
                stage.close()
                named = {f"{section}: {name}": outcome for (section, name), outcome in stage.outcomes.items()}
                outcomes.update(named)
        except BaseException as problem:  # noqa: BLE001 (raised again below, in the test's own thread)
            problems.append(problem)

    threads = [threading.Thread(target=play, args=(half,)) for half in (_play_operations_first, _play_the_rest)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return outcomes


@pytest.mark.parametrize("case", CASES)
def test_a_case_is_as_recorded_but_for_its_listed_differences(case, outcomes):
    assert case in outcomes, "this case was not played"
    listed = DIFFERENCES.get(case, {"where": []})["where"]
    found = dict(_differences(CASES[case], outcomes[case]))
    unlisted = {place: pair for place, pair in found.items() if not any(fnmatch(place, each) for each in listed)}
    gone = [each for each in listed if not any(fnmatch(place, each) for place in found)]
    assert unlisted == {}, "recorded and found"
    assert gone == [], "no longer different, so take it off the list"


def test_every_listed_difference_names_a_case_and_a_reason():
    assert [case for case in DIFFERENCES if case not in CASES] == []
    assert all(len(difference["reason"]) > 20 for difference in DIFFERENCES.values())


def _differences(recorded, found, place=""):
    """The places where two values differ, each with what is there."""
    if isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        recorded, found = (dict(enumerate(each)) for each in (recorded, found))
    if not isinstance(recorded, dict) or not isinstance(found, dict):
        if recorded != found and not _took_about_as_long(place, recorded, found):
            yield place, (recorded, found)
        return
    for name in {**recorded, **found}:
        both = recorded.get(name, "<absent>"), found.get(name, "<absent>")
        yield from _differences(*both, f"{place}/{name}" if place else str(name))


def _took_about_as_long(place, recorded, found):
    """A busy machine may take a little longer; a wait that is not waited is off by more."""
    return "_s/$numberDouble" in place and -0.1 <= float(found) - float(recorded) <= 0.3
