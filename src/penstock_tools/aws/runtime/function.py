"""A Lambda function on this machine, configured and run as on AWS."""

import os
import sys
import threading
import uuid
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from penstock.errors import PenstockError
from penstock_tools.aws.runtime.invocation import Invocation
from penstock_tools.aws.runtime.log import FunctionLog, Report
from penstock_tools.aws.runtime.sandbox import Sandbox
from penstock_tools.servers.errors import LocalServerError

REQUEST_LIMIT: Final = 6 * 1024 * 1024
_KEPT_REPORTS = 10_000


class RequestEntityTooLarge(PenstockError):
    """Lambda does not accept a payload of this size; the function was not called."""


class LambdaFunction:
    """A function by its name. A context manager: nothing runs after it was left.

    The first invocation starts a sandbox, as on Lambda: its init is part of that call. The sandbox serves one call
    after the other, so calls at the same time wait for each other; Lambda would start more sandboxes. It is replaced
    after the process died or was killed, and when the environment changes. The memory size is passed on and reported,
    not enforced.
    """

    def __init__(  # noqa: PLR0913 (what a function is configured with on Lambda)
        self,
        name: str,
        *,
        folder: Path,
        runtime: Path,
        handler: str,
        environment: Mapping[str, str],
        timeout_s: float,
        memory_mb: int,
        log: Path,
        region: str,
        account: str,
        keep_compiled: bool = False,
    ) -> None:
        """`folder` is the built asset, `runtime` the result of `runtime_folder`.

        `keep_compiled`: compiled modules are kept in the folder, which Lambda does not do, so that later starts take a
        third of the time. The caller passes AWS credentials in `environment`, where Lambda would put those of the role.
        """
        self.name = name
        self.arn = f"arn:aws:lambda:{region}:{account}:function:{name}"
        self.log = log
        self.reports: deque[Report] = deque(maxlen=_KEPT_REPORTS)
        self._folder = folder.absolute()
        self._runtime = runtime.absolute()
        self._environment = dict(environment)
        self._timeout_s = timeout_s
        self._own_environment = {
            "AWS_DEFAULT_REGION": region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": log.name,
            "AWS_REGION": region,
            "LAMBDA_TASK_ROOT": str(self._folder),
            "_HANDLER": handler,
        }
        self._memory_mb = memory_mb
        self._keep_compiled = keep_compiled
        self._one_call = threading.Lock()
        self._closed = False
        self._sandbox: Sandbox | None = None

    @property
    def init_s(self) -> float | None:
        """How long the latest sandbox took from its start until it asked for its first event."""
        return next((report.init_s for report in reversed(self.reports) if report.init_s is not None), None)

    @property
    def peak_memory_mb(self) -> float | None:
        """The peak resident memory of the reported invocations; None if the system does not report it."""
        return max(
            (report.peak_memory_mb for report in self.reports if report.peak_memory_mb is not None), default=None
        )

    def __enter__(self) -> "LambdaFunction":
        if not self._folder.is_dir():
            raise LocalServerError(f"The function {self.name} has no folder {self._folder}: build it first")
        self._log = FunctionLog(self.log, self._memory_mb)
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        if self._sandbox is not None:
            self._sandbox.kill()  # so that a running call ends
        with self._one_call:
            self._drop_sandbox()
        self._log.close()

    def invoke(self, payload: bytes) -> Invocation:
        """Call the function and wait for its answer. Raises RequestEntityTooLarge for a payload above 6 MB."""
        if len(payload) > REQUEST_LIMIT:
            raise RequestEntityTooLarge(
                f"The function {self.name} was not called: {len(payload)} byte payload is too large for the "
                f"RequestResponse invocation type (limit {REQUEST_LIMIT} bytes)"
            )
        with self._one_call:
            answer, report = self._live_sandbox().run(str(uuid.uuid4()), payload)
            self.reports.append(report)
            return answer

    def crash(self) -> None:
        """Kill the sandbox at once. A call that is running fails with Runtime.ExitError."""
        if self._sandbox is not None:
            self._sandbox.kill()

    def update_environment(self, changes: Mapping[str, str]) -> None:
        """Set these variables in addition to the others, for a new sandbox; a call that is going on ends first."""
        with self._one_call:
            self._environment.update(changes)
            self._drop_sandbox()

    def _live_sandbox(self) -> Sandbox:
        self._require_open()
        if self._sandbox is not None and not self._sandbox.alive():
            self._drop_sandbox()
        if self._sandbox is None:
            self._sandbox = Sandbox(
                runtime=self._runtime,
                environment={**_DEFAULTS, **self._environment, **self._own_environment},
                arn=self.arn,
                timeout_s=self._timeout_s,
                log=self._log,
                keep_compiled=self._keep_compiled,
            )
        self._require_open()  # again: leaving kills only a sandbox that is there
        return self._sandbox

    def _require_open(self) -> None:
        if self._closed:
            raise LocalServerError(f"The function {self.name} has been stopped: enter a new one to call it")

    def _drop_sandbox(self) -> None:
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None


_DEFAULTS = {"PATH": os.defpath, "LANG": "en_US.UTF-8", "TZ": ":UTC"}
"""Variables that Lambda sets and a function's configuration may override."""
