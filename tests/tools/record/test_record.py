"""The local source against the records of a real MongoDB 4.0.3 and 4.2: each as recorded, or listed with a reason.

Of 4.2 only those cases were kept that are not as in 4.0.3.
"""

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
NEWER = json.loads((_HERE / "events-4.2.json").read_text())["sections"]
_OLD_END, _NEW_END = ["operationTime", "$clusterTime"], ["$clusterTime", "operationTime"]


def _named(sections):
    return {
        f"{section}: {case.get('op') or case['case']}": case["expected"]
        for section, cases in sections.items()
        for case in cases
    }


def _as_newer(value):
    """What a case of 4.0.3 is in 4.2 if nothing else has changed: replies end with another field."""
    if isinstance(value, str):
        return value.replace(" ".join(_OLD_END), " ".join(_NEW_END))
    if isinstance(value, list):
        items = [_as_newer(each) for each in value]
        return [*items[:-2], *_NEW_END] if items[-2:] == _OLD_END and "errmsg" not in items else items
    return {name: _as_newer(each) for name, each in value.items()} if isinstance(value, dict) else value


CASES = _named(RECORD)
NEWER_CASES = {name: _as_newer(case) for name, case in CASES.items()} | _named(NEWER)
DIFFERENCES = tomllib.loads((_HERE / "differences.toml").read_text())
NEWER_DIFFERENCES = tomllib.loads((_HERE / "differences-4.2.toml").read_text())
MEANT = NEWER_DIFFERENCES.pop("everywhere")
NOT_PLAYED = ("connection: ", "large: ", "stepdown: ", "lost: ")
"""Sections that are played as 4.0.3 only: they take long; and later servers have other words for lost positions."""


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
    _play_what_is_quick(stage)
    positions.play_lost(stage)
    faults.play_connection(stage)
    faults.play_large(stage)
    faults.play_step_down(stage)


def _play_what_is_quick(stage):
    shapes.play(stage)
    options.play(stage)


def _played(tmp_path_factory, mode, *halves):
    """What became of every case; the halves are played on a server each, side by side."""
    outcomes, problems = {}, []

    def play(half):
        try:
            settings = LocalSourceSettings(mode=mode, log_size=2500)
            with local_source(tmp_path_factory.mktemp(half.__name__), settings) as source:
                stage = Stage(source.uri)
                half(stage)
                stage.close()
                named = {f"{section}: {name}": outcome for (section, name), outcome in stage.outcomes.items()}
                outcomes.update(named)
        except BaseException as problem:  # noqa: BLE001 (raised again below, in the test's own thread)
            problems.append(problem)

    threads = [threading.Thread(target=play, args=(half,)) for half in halves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return outcomes


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    return _played(tmp_path_factory, "mongodb-4.0", _play_operations_first, _play_the_rest)


@pytest.fixture(scope="module")
def newer_outcomes(tmp_path_factory):
    return _played(tmp_path_factory, "mongodb-5.0", _play_operations_first, _play_what_is_quick)


@pytest.mark.parametrize("case", CASES)
def test_a_case_is_as_recorded_but_for_its_listed_differences(case, outcomes):
    _compare(CASES[case], outcomes.get(case), DIFFERENCES.get(case, {"where": []})["where"])


@pytest.mark.parametrize("case", [case for case in NEWER_CASES if not case.startswith(NOT_PLAYED)])
def test_a_case_of_a_newer_server_is_as_recorded_but_for_its_listed_differences(case, newer_outcomes):
    listed = NEWER_DIFFERENCES.get(case, {"where": []})["where"]
    _compare(NEWER_CASES[case], newer_outcomes.get(case), listed, [each for row in MEANT for each in row["where"]])


def _compare(recorded, outcome, listed, meant=()):
    assert outcome is not None, "this case was not played"
    found = dict(_differences(recorded, outcome))
    known = (*listed, *meant)
    unlisted = {place: pair for place, pair in found.items() if not any(fnmatch(place, each) for each in known)}
    gone = [each for each in listed if not any(fnmatch(place, each) for place in found)]
    assert unlisted == {}, "recorded and found"
    assert gone == [], "no longer different, so take it off the list"


def test_every_listed_difference_names_a_case_and_a_reason():
    for differences, cases in ((DIFFERENCES, CASES), (NEWER_DIFFERENCES, NEWER_CASES)):
        assert [case for case in differences if case not in cases] == []
        assert all(len(difference["reason"]) > 20 for difference in differences.values())
    assert all(len(each["reason"]) > 20 for each in MEANT)


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
    """A busy machine may take longer, most of all where nothing is tried again; what is wrong is off by more."""
    if "_s/$numberDouble" not in place:
        return False
    return -0.15 < float(found) - float(recorded) < (0.35 if "locked_s" in place else 1)
