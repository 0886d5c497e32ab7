"""Faults made on purpose, on real processes and servers under a writer: `make faults`, `make break-promises`."""

from pathlib import Path

HERE = Path(__file__).parent
