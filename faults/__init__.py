"""Faults made on purpose, on real processes and servers under a writer: `make faults`, `make break-promises`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
_TESTS = HERE.parent / "tests"

sys.path += [str(_TESTS), str(_TESTS / "contract")]  # workers, proxy, sink_sides: what the tests stand on
