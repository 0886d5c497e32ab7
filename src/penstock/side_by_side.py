"""Threads at the edges: tasks that run side by side and end together."""

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from penstock.errors import Stopped


def side_by_side(stop: threading.Event, *tasks: Callable[[], None]) -> None:
    """Run the tasks in threads until all have ended; the first one to fail sets `stop`, which must end the others.

    Raises the first error that is not Stopped; a task that raises Stopped has ended as it was told to.
    """
    if not tasks:
        return
    with ThreadPoolExecutor(len(tasks), thread_name_prefix="penstock") as pool:
        futures = [pool.submit(task) for task in tasks]
        failed, _ = wait(futures, return_when=FIRST_EXCEPTION)
        if any(future.exception() for future in failed):
            stop.set()
    errors = [error for future in futures if (error := future.exception())]
    first = next((error for error in errors if not isinstance(error, Stopped)), None)
    if first:
        raise first
