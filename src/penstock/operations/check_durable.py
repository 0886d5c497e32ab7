"""The part of `check` that looks at the settings of an index which keep what was written, and what was deleted."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from penstock.opensearch.index.mapping import GC_DELETES_S
from penstock.operations.finding import Finding, failure, warning

_SECONDS = {"nanos": 1e-9, "micros": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}
"""OpenSearch's units of time."""


def durable_findings(index: str, settings: Mapping[str, Any]) -> Iterator[Finding]:
    """What somebody has set otherwise than penstock did; `settings` are those of the index."""
    if settings.get("translog", {}).get("durability") == "async":
        yield warning(
            "sink",
            f"{index}: translog",
            "is `async`: what was acknowledged can be lost when a node dies",
            "set index.translog.durability to request",
        )
    gc_deletes = str(settings.get("gc_deletes", "60s"))
    if _seconds(gc_deletes) < GC_DELETES_S:
        yield warning(
            "sink",
            f"{index}: gc_deletes",
            f"is {gc_deletes}: the index forgets deletes so soon that a late write can bring a document back",
            f"set index.gc_deletes to {GC_DELETES_S}s",
        )
    blocks = [name for name, value in settings.get("blocks", {}).items() if value == "true"]
    if blocks:
        yield failure(
            "sink", f"{index}: blocks", f"{', '.join(blocks)}: writes wait", "make room on the disk, remove the block"
        )


def _seconds(text: str) -> float:
    """The time that a setting tells; 0 for what cannot be read."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-z]+)", text)
    return float(found[1]) * _SECONDS.get(found[2], 0) if found else 0.0
