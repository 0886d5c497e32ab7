"""How often Python looks for cycles among its objects: rarely, where millions of short-lived documents pass through.

Documents hold no cycles and are freed by their reference counts; looking through them costs a quarter of a load's time
(measured: 48,000 to 59,000 documents a second read at Python's own thresholds, 65,000 to 80,000 at these).
"""

import gc

_THRESHOLDS = (200_000, 20, 100)


def collect_rarely() -> None:
    """Set the process's thresholds; what was imported so far is left out of every look. For the doors."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
