"""An OpenTelemetry collector on this machine: takes OTLP over HTTP, decoded by the protocol's own definitions."""

import gzip
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from testkit.http_server import serving


@dataclass
class Collector:
    """`answer` gives the status for a request; it may wait. All else is what came."""

    url: str
    answer: Callable[[], int] = lambda: 200
    raw: list[bytes] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    spans: list[Any] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    exports: list[dict[str, Any]] = field(default_factory=list)
    """Of each request with metrics: metrics by their names."""

    def batches(self) -> list[dict[str, Any]]:
        """The attributes of each span of a batch."""
        return [attributes(each) for each in list(self.spans) if each.name == "penstock.batch"]

    def values(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The values of a counter or gauge in the last export, by their labels."""
        if not self.exports or name not in self.exports[-1]:
            return {}
        metric = self.exports[-1][name]
        points = metric.sum.data_points if metric.HasField("sum") else metric.gauge.data_points
        return {tuple(sorted(attributes(each).items())): each.as_double for each in points}

    def take(self, path: str, body: bytes) -> None:
        self.raw.append(body)
        if path == "/v1/traces":
            for traced in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(attributes(traced.resource))
                self.spans += [span for scope in traced.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            for measured in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.resources.append(attributes(measured.resource))
                self.exports.append({each.name: each for scope in measured.scope_metrics for each in scope.metrics})
        else:
            raise AssertionError(path)


def attributes(of: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


@contextmanager
def collector() -> Iterator[Collector]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            there.headers.append({name.lower(): value for name, value in self.headers.items()})
            status = there.answer()
            if status == 200:
                there.take(self.path, gzip.decompress(body))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except (BrokenPipeError, ConnectionResetError):
                """The client gave up meanwhile."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    there = Collector(f"http://127.0.0.1:{server.server_port}")
    with serving(server, poll_s=0.05):
        yield there
