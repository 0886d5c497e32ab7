"""Both ways of a sync function behind one handler, so that rounds can alternate in one warm process.

The envelope says which: `way`. Returns the CPU seconds that the process has used so far.
"""

import time
from typing import Any

import sample_way  # it is next to this file in the function's folder

from penstock.lambdas import sync

WAYS = {"penstock": sync.handler, "sample": sample_way.handler}


def handler(envelope: Any, context: Any) -> float:
    WAYS[envelope["way"]](envelope, context)
    return time.process_time()
