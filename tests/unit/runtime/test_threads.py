"""Tasks that run together, and signals that arrive meanwhile."""

import subprocess
import sys
import threading

from penstock.runtime.threads import Cutoff

RECEIVED_BY_ANOTHER_THREAD = """
import signal, sys, threading, traceback
from penstock.cli.signals import stop_signals
from penstock.runtime.threads import side_by_side

def main_thread_waits():
    stack = traceback.extract_stack(sys._current_frames()[threading.main_thread().ident])
    return stack[-1].name == "wait" and any(each.filename.endswith("futures/_base.py") for each in stack)

for _ in range(5):
    with stop_signals() as signals:
        def receive():
            while not main_thread_waits():
                pass
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            print(signals.stop.wait(5))
        side_by_side(signals.stop, receive, lambda: signals.stop.wait(20))
"""


def test_a_signal_that_another_thread_receives_is_noticed_by_the_main_thread():
    """Its handler runs in the main thread, which would sleep on in a wait without an end."""
    command = [sys.executable, "-c", RECEIVED_BY_ANOTHER_THREAD]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=True)
    assert done.stdout.split() == ["True"] * 5, done.stderr


def test_what_hangs_after_a_stop_is_cut_again_and_again_until_it_is_closed():
    stop, cuts = threading.Event(), threading.Semaphore(0)
    cutoff = Cutoff(stop, cuts.release, after_s=0.0)
    assert not cuts.acquire(timeout=0.05)
    stop.set()
    assert cuts.acquire(timeout=60)
    assert cuts.acquire(timeout=60)
    cutoff.close()


def test_nothing_is_cut_that_was_closed_in_time():
    stop, cuts = threading.Event(), threading.Semaphore(0)
    cutoff = Cutoff(stop, cuts.release, after_s=60)
    stop.set()
    cutoff.close()
    assert not cuts.acquire(timeout=0.05)
