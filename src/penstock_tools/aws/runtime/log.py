"""The log of a function: the output of its process, between the lines that Lambda writes around every invocation."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Report:
    """What an invocation took. Only the first one of a sandbox has `init_s`, as on Lambda."""

    request_id: str
    duration_s: float
    init_s: float | None
    peak_memory_mb: float | None
    error_type: str | None
    """Why the invocation did not end by itself: Lambda's term, such as Sandbox.Timedout."""


class FunctionLog:
    """Appends to a file that is also the output of the function's process, so that the order is kept."""

    def __init__(self, path: Path, memory_mb: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._memory_mb = memory_mb
        self.file = path.open("ab", buffering=0)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def line(self, text: str) -> None:
        """Write one line."""
        self.file.write(f"{text}\n".encode())

    def start(self, request_id: str) -> None:
        """Write the line before an invocation."""
        self.line(f"START RequestId: {request_id} Version: $LATEST")

    def failure(self, request_id: str, error_type: str, reason: str) -> None:
        """Write why an invocation was ended from outside."""
        if error_type == "Sandbox.Timedout":
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self.line(f"{now} {request_id} {reason}\n")
        else:
            self.line(f"RequestId: {request_id} Error: {reason}\n{error_type}")

    def end(self, report: Report) -> None:
        """Write the two lines after an invocation."""
        self.line(f"END RequestId: {report.request_id}")
        milliseconds = report.duration_s * 1000
        words = [
            f"REPORT RequestId: {report.request_id}",
            f"Duration: {milliseconds:.2f} ms",
            f"Billed Duration: {math.ceil(milliseconds)} ms",
            f"Memory Size: {self._memory_mb} MB",
        ]
        if report.peak_memory_mb is not None:
            words.append(f"Max Memory Used: {math.ceil(report.peak_memory_mb)} MB")
        if report.init_s is not None:
            words.append(f"Init Duration: {report.init_s * 1000:.2f} ms")
        if report.error_type == "Sandbox.Timedout":
            words.append("Status: timeout")
        elif report.error_type is not None:
            words.append(f"Status: error\tError Type: {report.error_type}")
        self.line("\t".join(words))
