"""The time that others have had, which passes while this machine sleeps too.

`time.monotonic` stands still then (CLOCK_MONOTONIC, clock_gettime(2)), and a lease that has long been another's would
count as held after the machine has woken up.
"""

import time


def passed_s() -> float:
    """Return the seconds since some moment in the past; only differences mean something."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)  # of Linux
    return time.monotonic() if boot is None else time.clock_gettime(boot)
