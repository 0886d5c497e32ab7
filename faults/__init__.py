"""Deliberate faults, on real processes and servers while a writer writes: `make faults`, `make break-promises`."""

from pathlib import Path

HERE = Path(__file__).parent
