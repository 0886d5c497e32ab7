"""The quickest faults of `make faults`, once each, on the tests' servers; and the page that is made of the results."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUICK = (
    "worker_killed",
    "worker_killed_while_refused",
    "worker_stopped",
    "source_cut",
    "sink_cut",
    "too_many_requests",
    "service_unavailable",
    "answers_lost",
    "items_refused",
    "answer_cut",
)


@pytest.fixture
def faults(monkeypatch):
    """The faults by name, and what makes one."""
    monkeypatch.syspath_prepend(str(ROOT))
    import faults.made  # noqa: F401 (registers them)
    from faults.fault import FAULTS, made

    return FAULTS, made


def test_the_quick_ones_are_these(faults):
    assert {name for name, each in faults[0].items() if each.quick} == set(QUICK)


@pytest.mark.parametrize("name", QUICK)
def test_after_a_fault_nothing_is_lost_doubled_or_resurrected(faults, source_uri, sink_url, tmp_path, name):
    from faults.ground import Ground

    if "@" in source_uri or "tls" in source_uri:
        pytest.skip("a server with a login or TLS cannot be reached through a proxy")
    registered, made = faults
    result = made(registered[name], Ground(source_uri, sink_url, tmp_path), tmp_path, times=1)
    assert result.kept, result
    assert len(result.recovered_s) == 1
    assert result.changes > 1


def test_the_page_is_what_the_results_make_of_it():
    checked = subprocess.run(
        [sys.executable, "-m", "faults.page", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.stdout + checked.stderr == ""
