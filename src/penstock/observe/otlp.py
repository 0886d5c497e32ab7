"""Sends the metrics, and a span for a batch, by OTLP (HTTP) to a collector; needs the extra `otel`.

    metrics     read from the registry that /metrics shows, so that there is one declaration and one set of numbers
    spans       go to the SDK's queue, which is bounded, and drop when it is full; its own thread sends them

Nothing of it waits for the collector: one that is away, slow or refuses costs a line in the log now and then.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import requests
import structlog
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, Tracer, set_span_in_context
from prometheus_client import Metric as Family
from prometheus_client.samples import Sample

import penstock
from penstock.errors import SettingsError
from penstock.observe.metrics import REPORTED, Metrics, SettledBatch
from penstock.settings import ObserveSettings

log = structlog.get_logger(__name__)

_TIMEOUT_S: Final = 10.0
"""How long the collector may take for one request, with all repetitions of it."""
_LAST_S: Final = 3.0
"""How long the end of the process waits for what is not sent yet."""
_QUEUE: Final = 2048
_SPANS_A_REQUEST: Final = 512
_SAMPLE_EVERY_S: Final = 0.1
"""Of each pipeline at most one batch in this time becomes a span; one with dead letters always does."""
_COMPLAIN_EVERY_S: Final = 600.0
_COUNTS: Final = ("read", "written", "folded", "superseded", "filtered", "dead_lettered", "control")


@contextmanager
def exporting(settings: ObserveSettings, metrics: Metrics, *, name: str | None, every_s: float) -> Iterator[None]:
    """Send metrics and spans for as long as the block runs, and what is left at its end.

    `name` is the deployment's. Raises SettingsError when the file with the headers cannot be used.
    """
    assert settings.otlp_endpoint is not None
    endpoint = settings.otlp_endpoint
    ca = str(settings.otlp_tls_ca_file) if settings.otlp_tls_ca_file else None
    headers = Headers(settings.otlp_headers_file)
    headers.read()
    resource = _resource(name)
    logger, complaints = logging.getLogger("opentelemetry"), _Complaints(endpoint)
    logger.addHandler(complaints)
    logger.propagate = False
    to_spans = OTLPSpanExporter(
        endpoint=f"{endpoint}/v1/traces",
        certificate_file=ca,
        timeout=_TIMEOUT_S,
        compression=Compression.Gzip,
        session=_session(headers),
    )
    to_metrics = OTLPMetricExporter(
        endpoint=f"{endpoint}/v1/metrics",
        certificate_file=ca,
        timeout=_TIMEOUT_S,
        compression=Compression.Gzip,
        session=_session(headers),
    )
    spans, regular = _Spans(resource, to_spans, every_s), _Regular(metrics, resource, to_metrics, every_s)
    metrics.on_batch = spans.add
    log.info("sending metrics and spans by OTLP", endpoint=endpoint)
    try:
        yield
    finally:
        metrics.on_batch = None
        if _within(_LAST_S, regular.end, spans.end):  # else threads may complain until the process is gone
            logger.removeHandler(complaints)
            logger.propagate = True


def _session(headers: "Headers") -> requests.Session:
    session = requests.Session()
    session.auth = headers
    return session


def _resource(name: str | None) -> Resource:
    """Return what the collector knows the process by; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come first."""
    given = Resource.create()
    named = {
        "service.name": name or "penstock",
        "service.version": penstock.__version__,
        "service.instance.id": f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}",
    }
    known = dict(given.attributes)
    if str(known.get("service.name", "")).startswith("unknown_service"):
        del known["service.name"]
    return Resource({**given.attributes, **named, **known})


def _within(seconds: float, *work: Callable[[], None]) -> bool:
    """Run all of `work` at once, and return whether it ended in time; if not, its threads end with the process."""
    threads = [threading.Thread(target=each, name="otlp end", daemon=True) for each in work]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


class Headers:
    """The headers of a file, one `Name: value` a line; read again for each request, so a new token needs no restart."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._last: Mapping[str, str] = {}

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add them to a request; those of before, while the file cannot be read."""
        try:
            self.read()
        except SettingsError as error:
            logging.getLogger("opentelemetry.headers").warning("%s", error)
        request.headers.update(self._last)
        return request

    def read(self) -> None:
        """Read the file, if there is one. Raises SettingsError, without a word of what is in it."""
        if self._file is None:
            return
        try:
            lines = [line.strip() for line in self._file.read_text(encoding="ascii").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not plain ASCII"
            raise SettingsError(f"[observe] otlp_headers_file: {self._file} cannot be read: {reason}") from None
        found = {}
        for number, line in enumerate(lines, 1):
            if not line or line.startswith("#"):
                continue
            header, colon, value = line.partition(":")
            if not (colon and header.strip() and value.strip()) or " " in header.strip():
                raise SettingsError(
                    f"[observe] otlp_headers_file: line {number} of {self._file} is not a header; write Name: value"
                )
            found[header.strip()] = value.strip()
        self._last = found


class _Regular:
    """Sends the metrics regularly, in a thread of its own."""

    def __init__(self, metrics: Metrics, resource: Resource, exporter: OTLPMetricExporter, every_s: float) -> None:
        self._metrics, self._resource, self._exporter = metrics, resource, exporter
        self._began_ns = time.time_ns()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep_on, args=(every_s,), name="otlp metrics", daemon=True)
        self._thread.start()

    def _keep_on(self, every_s: float) -> None:
        while not self._ending.wait(every_s):
            self._send()

    def _send(self) -> None:
        scope = ScopeMetrics(
            InstrumentationScope("penstock", penstock.__version__), list(points(self._metrics, self._began_ns)), ""
        )
        self._exporter.export(MetricsData([ResourceMetrics(self._resource, [scope], "")]))

    def end(self) -> None:
        """Send the last values."""
        self._ending.set()
        self._thread.join()
        self._send()
        self._exporter.shutdown()


def points(metrics: Metrics, began_ns: int) -> Iterator[Metric]:
    """Return all metrics that have a value, by their declared names."""
    now_ns = time.time_ns()
    families = {each.name: each for each in metrics.registry.collect()}
    for name, declared in REPORTED.items():
        family = families.get(name.removesuffix("_total") if declared.kind == "counter" else name)
        if family is None or not family.samples:
            continue
        cumulative = AggregationTemporality.CUMULATIVE
        if declared.kind == "histogram":
            data: Sum | Gauge | Histogram = Histogram(list(_histograms(family, began_ns, now_ns)), cumulative)
        else:
            values = [
                NumberDataPoint(dict(each.labels), began_ns if declared.kind == "counter" else 0, now_ns, each.value)
                for each in family.samples
                if each.name == name
            ]
            data = Sum(values, cumulative, is_monotonic=True) if declared.kind == "counter" else Gauge(values)
        yield Metric(name, declared.help, "", data)


def _histograms(family: Family, began_ns: int, now_ns: int) -> Iterator[HistogramDataPoint]:
    """Return one point for the labels of each series; Prometheus counts buckets up to a bound, OTLP within bounds."""
    series: dict[tuple[tuple[str, str], ...], dict[str, list[Sample]]] = {}
    for sample in family.samples:
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        kind = sample.name.removeprefix(f"{family.name}_")
        series.setdefault(labels, {}).setdefault(kind, []).append(sample)
    for labels, kinds in series.items():
        upto = [int(each.value) for each in kinds["bucket"]]
        yield HistogramDataPoint(
            attributes=dict(labels),
            start_time_unix_nano=began_ns,
            time_unix_nano=now_ns,
            count=upto[-1],
            sum=kinds["sum"][0].value,
            bucket_counts=[count - before for before, count in zip([0, *upto], upto, strict=False)],
            explicit_bounds=[float(each.labels["le"]) for each in kinds["bucket"][:-1]],
            min=None,  # type: ignore[arg-type]  # Prometheus keeps neither, and both are optional in OTLP
            max=None,  # type: ignore[arg-type]
        )


@dataclass
class _Sampled:
    """When the last batch of a pipeline became a span, and how many have not since then."""

    at: float = float("-inf")
    left_out: int = 0


class _Spans:
    """Makes spans of batches; called by the threads of all pipelines, so it never waits."""

    def __init__(self, resource: Resource, exporter: OTLPSpanExporter, every_s: float) -> None:
        provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._processor = BatchSpanProcessor(
            exporter,
            max_queue_size=_QUEUE,
            schedule_delay_millis=every_s * 1000 / 3,
            max_export_batch_size=_SPANS_A_REQUEST,
        )
        provider.add_span_processor(self._processor)
        self._tracer: Tracer = provider.get_tracer("penstock", penstock.__version__)
        self._lock = threading.Lock()
        self._sampled: dict[tuple[str, str], _Sampled] = {}

    def end(self) -> None:
        """Send what is in the queue."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]

    def add(self, batch: SettledBatch) -> None:
        """Make spans of a batch, if it is its turn: one from its read until it was settled, one for each write."""
        if not batch.counts.read:
            return
        left_out = self._turn(batch)
        if left_out is None:
            return
        clock = time.time_ns() - time.monotonic_ns()
        attributes: dict[str, str | int] = {f"penstock.{name}": getattr(batch.counts, name) for name in _COUNTS}
        attributes |= {"penstock.pipeline": batch.pipeline, "penstock.kind": batch.kind, "penstock.bytes": batch.size}
        attributes["penstock.batches_left_out"] = left_out
        span = self._tracer.start_span(
            "penstock.batch", attributes=attributes, start_time=clock + _ns(batch.read_at), kind=SpanKind.CONSUMER
        )
        within = set_span_in_context(span)
        for began, ended in batch.written:
            write = self._tracer.start_span(
                "penstock.write", context=within, start_time=clock + _ns(began), kind=SpanKind.CLIENT
            )
            write.end(clock + _ns(ended))
        span.end(clock + _ns(time.monotonic()))

    def _turn(self, batch: SettledBatch) -> int | None:
        """Return how many batches of its pipeline were left out before this one; None when this one is left out."""
        now = time.monotonic()
        with self._lock:
            sampled = self._sampled.setdefault((batch.pipeline, batch.kind), _Sampled())
            if not batch.counts.dead_lettered and now - sampled.at < _SAMPLE_EVERY_S:
                sampled.left_out += 1
                return None
            left_out = sampled.left_out
            sampled.at, sampled.left_out = now, 0
            return left_out


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)


class _Complaints(logging.Handler):
    """Passes on what the SDK complains about as one line now and then: a collector may be away for days."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(logging.WARNING)
        self._endpoint = endpoint
        self._at, self._left_out = float("-inf"), 0

    def emit(self, record: logging.LogRecord) -> None:
        """Log it, unless a line was logged recently."""
        now = time.monotonic()
        if now - self._at < _COMPLAIN_EVERY_S:
            self._left_out += 1
            return
        log.warning(
            "the OTLP collector does not take everything; penstock goes on, and what cannot be sent is dropped",
            endpoint=self._endpoint,
            reason=record.getMessage()[:300],
            more=self._left_out,
        )
        self._at, self._left_out = now, 0
