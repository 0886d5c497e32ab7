"""A sandbox: the process of a function under `awslambdaric`, started once, called many times, killed if necessary.

Its module path contains only the function's folder, the runtime's folder and the standard library, so a package that
the folder lacks is missing here too.
"""

import json
import os
import queue
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from penstock_tools.aws.runtime.api import Answered, Exited, InitFailed, Ready, RuntimeApi, RuntimeInvocation, Signal
from penstock_tools.aws.runtime.invocation import Invocation
from penstock_tools.aws.runtime.log import FunctionLog, Report

_INIT_LIMIT_S = 10.0

_PROGRAM = """\
import os, sys
sys.path[:0] = [os.environ["LAMBDA_TASK_ROOT"], sys.argv.pop()]
from awslambdaric import bootstrap
bootstrap.ERROR_LOG_LINE_TERMINATE = "\\n"  # by default a carriage return, for CloudWatch
bootstrap.ERROR_LOG_IDENT = " "
from awslambdaric.__main__ import main
main(["awslambdaric", os.environ["_HANDLER"]])
"""
_PYTHON = (sys.executable, "-S", "-P")  # no site packages, no current folder
_WRITE_NOTHING = "-B"


class Sandbox:
    """A process that is starting or waits for its next event."""

    def __init__(
        self,
        *,
        runtime: Path,
        environment: Mapping[str, str],
        arn: str,
        timeout_s: float,
        log: FunctionLog,
        keep_compiled: bool,
    ) -> None:
        """`environment` is all that the process gets, apart from a folder of its own and the Runtime API's address."""
        self._arn = arn
        self._timeout_s = timeout_s
        self._log = log
        self._home = Path(tempfile.mkdtemp(prefix="penstock-function-"))
        self._api = RuntimeApi()
        self._ready = False
        self._init_s: float | None = None
        self._peak_memory_mb: float | None = None
        log.line(f"INIT_START Runtime Version: python:{sys.version_info.major}.{sys.version_info.minor}")
        self._started = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603
            [*_PYTHON, *(() if keep_compiled else (_WRITE_NOTHING,)), "-c", _PROGRAM, str(runtime)],
            stdin=subprocess.DEVNULL,
            stdout=log.file,
            stderr=log.file,
            cwd=environment["LAMBDA_TASK_ROOT"],
            env={
                "HOME": str(self._home),
                "TMPDIR": str(self._home),
                **environment,
                "AWS_LAMBDA_RUNTIME_API": self._api.address,
            },
            start_new_session=True,
        )
        self._watch = threading.Thread(target=self._tell_exit, name="sandbox-watch", daemon=True)
        self._watch.start()

    def alive(self) -> bool:
        """Whether the process is running."""
        if self._process.poll() is not None:
            return False
        try:
            os.kill(self._process.pid, 0)
        except ProcessLookupError:  # the watching thread has its exit status, but has not stored it yet
            return False
        return True

    def kill(self) -> None:
        """Kill the process and its children at once, as Lambda does. May be called from any thread, and twice."""
        if self.alive():
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        """Kill the process and free everything. Call it only once."""
        self.kill()
        self._watch.join()
        self._api.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def _tell_exit(self) -> None:
        self._api.signals.put(Exited(self._process.wait()))

    def run(self, request_id: str, payload: bytes) -> tuple[Invocation, Report]:
        """Run one invocation to its end. Afterwards the process waits for the next one, or is no longer alive."""
        call = _SandboxCall(request_id, cold=not self._ready)
        deadline = self._started + _INIT_LIMIT_S + self._timeout_s
        if self._ready:
            deadline = self._give(call, payload)
        while not call.over:
            match self._signal_by(deadline):
                case None:
                    self._measure()
                    self.kill()
                    call.end("Sandbox.Timedout", f"Task timed out after {self._timeout_s:.2f} seconds")
                case Ready() if not self._ready:
                    self._ready, self._init_s = True, time.monotonic() - self._started
                    deadline = self._give(call, payload)
                case Ready():
                    call.over = call.answer is not None
                case Answered(invocation):
                    call.answer = invocation
                    self._measure()
                case InitFailed(error):
                    call.answer = Invocation(error, "Unhandled")
                case Exited(status):
                    call.end("Runtime.ExitError", _exit_reason(status))
        return self._finish(call)

    def _signal_by(self, deadline: float) -> Signal | None:
        try:
            return self._api.signals.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return None

    def _give(self, call: "_SandboxCall", payload: bytes) -> float:
        self._log.start(call.request_id)
        call.given = time.monotonic()
        deadline_ms = int((time.time() + self._timeout_s) * 1000)
        self._api.give(RuntimeInvocation(call.request_id, payload, deadline_ms, self._arn, _trace_id()))
        return call.given + self._timeout_s

    def _measure(self) -> None:
        self._peak_memory_mb = _peak_memory_mb(self._process.pid) or self._peak_memory_mb

    def _finish(self, call: "_SandboxCall") -> tuple[Invocation, Report]:
        now = time.monotonic()
        if call.given is None:
            self._log.start(call.request_id)
        if call.error_type is not None:
            self._log.failure(call.request_id, call.error_type, call.reason)
        report = Report(
            call.request_id,
            duration_s=now - (call.given or self._started),
            init_s=self._init_s if call.cold else None,
            peak_memory_mb=self._peak_memory_mb,
            error_type=call.error_type,
        )
        self._log.end(report)
        return call.answer or call.failure(), report


class _SandboxCall:
    """An invocation while it is running."""

    def __init__(self, request_id: str, *, cold: bool) -> None:
        self.request_id = request_id
        self.cold = cold
        self.given: float | None = None
        self.answer: Invocation | None = None
        self.error_type: str | None = None
        self.reason = ""
        self.over = False

    def end(self, error_type: str, reason: str) -> None:
        """End it from outside; a response that was given before stays the response."""
        self.error_type, self.reason, self.over = error_type, reason, True

    def failure(self) -> Invocation:
        """Return what the caller gets instead of the function's response."""
        message = f"RequestId: {self.request_id} Error: {self.reason}"
        error = {"errorType": self.error_type, "errorMessage": message}
        return Invocation(json.dumps(error).encode(), "Unhandled")


def _exit_reason(status: int) -> str:
    if status == 0:
        return "Runtime exited without providing a reason"
    if status > 0:
        return f"Runtime exited with error: exit status {status}"
    return f"Runtime exited with error: signal: {(signal.strsignal(-status) or str(-status)).lower()}"


def _trace_id() -> str:
    root = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    return f"Root={root};Parent={secrets.token_hex(8)};Sampled=0"


def _peak_memory_mb(pid: int) -> float | None:
    """Return the most the process ever had resident, where the system reports it (Linux) and while it lives."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found.group(1)) / 1024 if found else None
