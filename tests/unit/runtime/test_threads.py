"""Tasks that run together, and signals that arrive meanwhile."""

import subprocess
import sys

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
