"""What goes to a collector by OTLP, and that a collector in trouble is never in the way."""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from penstock.cli.otlp import otlp_export
from penstock.errors import SettingsError
from penstock.model import Counts
from penstock.observe.metrics import Metrics, SettledBatch
from penstock.settings import ObserveSettings, Settings
from testkit.collector import attributes, collector
from testkit.workspace import until

ENDS_WITHIN_S = 6
"""The end waits 3 s at most; the rest is for a busy machine."""


@pytest.fixture
def there():
    with collector() as there:
        yield there


@contextmanager
def exporting(metrics, endpoint, *, every_s=0.1, **more):
    settings = Settings(observe=ObserveSettings(otlp_endpoint=endpoint, **more))
    with otlp_export(settings, metrics, every_s=every_s):
        yield


def batch(pipeline="shop", **counts):
    now = time.monotonic()
    return SettledBatch(pipeline, "stream", now - 2, [(now - 1.5, now - 1)], Counts(**counts), 4321)


def test_the_metrics_are_those_of_prometheus(there):
    metrics = Metrics()
    metrics.count("penstock_changes_total", 7, pipeline="shop", outcome="written")
    metrics.set("penstock_lag_seconds", 1.5, pipeline="shop")
    for seconds in (0.004, 0.02, 0.3, 100):
        metrics.observe("penstock_write_seconds", seconds, pipeline="shop")
    with exporting(metrics, there.url):
        until(lambda: there.exports, "an export")
    last = there.exports[-1]
    changes = last["penstock_changes_total"]
    assert (changes.sum.is_monotonic, changes.sum.aggregation_temporality) == (True, 2)
    assert there.values("penstock_changes_total") == {(("outcome", "written"), ("pipeline", "shop")): 7}
    assert there.values("penstock_lag_seconds") == {(("pipeline", "shop"),): 1.5}
    assert there.values("process_resident_memory_bytes")[()] > 1_000_000
    assert there.values("process_cpu_seconds_total")[()] > 0
    (point,) = last["penstock_write_seconds"].histogram.data_points
    assert (point.count, point.sum, attributes(point)) == (4, pytest.approx(100.324), {"pipeline": "shop"})
    assert (point.explicit_bounds[0], point.explicit_bounds[-1]) == (0.005, 60)
    assert list(point.bucket_counts) == [1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    assert not point.HasField("min")
    assert "penstock_waits_total" not in last
    assert {attributes["service.name"] for attributes in there.resources} == {"penstock"}


def test_the_last_values_are_sent_at_the_end(there):
    metrics = Metrics()
    with exporting(metrics, there.url, every_s=3600):
        metrics.count("penstock_bulk_bytes_total", 5)
        metrics.on_batch(batch(read=1, written=1))
    assert there.values("penstock_bulk_bytes_total") == {(): 5}
    assert len(there.batches()) == 1
    assert metrics.on_batch is None


def test_a_batch_is_a_span_with_its_counts_and_its_writes(there):
    metrics = Metrics()
    with exporting(metrics, there.url):
        metrics.on_batch(batch(read=6, written=3, folded=2, superseded=1))
    span, write = sorted(there.spans, key=lambda each: each.name)
    assert attributes(span) == {
        "penstock.pipeline": "shop",
        "penstock.kind": "stream",
        "penstock.bytes": 4321,
        "penstock.batches_left_out": 0,
        **{f"penstock.{name}": 0 for name in ("filtered", "dead_lettered", "control")},
        "penstock.read": 6,
        "penstock.written": 3,
        "penstock.folded": 2,
        "penstock.superseded": 1,
    }
    assert (span.name, write.name, write.parent_span_id) == ("penstock.batch", "penstock.write", span.span_id)
    assert (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9 == pytest.approx(2, abs=0.5)
    assert (write.end_time_unix_nano - write.start_time_unix_nano) / 1e9 == pytest.approx(0.5, abs=0.01)
    assert span.start_time_unix_nano < write.start_time_unix_nano < write.end_time_unix_nano
    assert span.start_time_unix_nano / 1e9 == pytest.approx(time.time(), abs=60)


def test_of_many_batches_a_few_become_spans_and_the_next_one_says_how_many_did_not(there):
    metrics, began = Metrics(), time.monotonic()
    with exporting(metrics, there.url):
        for _ in range(2000):
            metrics.on_batch(batch(read=1, written=1))
        most = (time.monotonic() - began) / 0.1 + 1
        time_of_last = time.monotonic()
        until(lambda: time.monotonic() > time_of_last + 0.1, "the next turn")
        metrics.on_batch(batch(read=1, written=1))
    found = there.batches()
    assert 2 <= len(found) <= most + 1
    assert sum(each["penstock.batches_left_out"] for each in found) + len(found) == 2001


def test_each_batch_with_dead_letters_is_a_span_and_none_without_changes(there):
    metrics = Metrics()
    with exporting(metrics, there.url):
        for _ in range(50):
            metrics.on_batch(batch(read=1, dead_lettered=1))
            metrics.on_batch(batch())
    assert len(there.batches()) == 50


def hanging(there, release):
    def answer():
        release.wait(60)
        return 200

    there.answer = answer


@pytest.mark.parametrize("trouble", ["away", "hanging", "500", "503"])
def test_a_collector_in_trouble_costs_one_line_and_delays_nothing(there, trouble):
    release, metrics = threading.Event(), Metrics()
    url = there.url
    if trouble == "away":
        url = "http://127.0.0.1:1"
    elif trouble == "hanging":
        hanging(there, release)
    else:
        there.answer = lambda: int(trouble)
    try:
        with capture_logs() as lines:
            with exporting(metrics, url, every_s=0.05):
                began = time.monotonic()
                for _ in range(10_000):
                    metrics.on_batch(batch(read=1, dead_lettered=1))
                assert time.monotonic() - began < 20, "spans are queued, nothing waits"
                if trouble == "hanging":
                    until(lambda: there.headers, "a request")
                else:
                    until(lambda: complaints(lines, url), "a line")
                ending = time.monotonic()
            assert time.monotonic() - ending < ENDS_WITHIN_S
    finally:
        release.set()
    assert len(complaints(lines, url)) <= 1


def complaints(lines, url):
    """Return the lines about this collector; what other threads of this process log meanwhile is not about it."""
    return [each for each in lines if each["log_level"] == "warning" and each.get("endpoint") == url]


def test_the_queue_of_spans_is_bounded(there):
    release, metrics = threading.Event(), Metrics()
    hanging(there, release)
    with exporting(metrics, there.url, every_s=3600):
        for _ in range(20_000):
            metrics.on_batch(batch(read=1, dead_lettered=1))
        release.set()
        there.answer = lambda: 200
    assert 0 < len(there.spans) <= 2048 + 2 * 512


def test_it_goes_on_once_the_collector_is_back(there):
    metrics = Metrics()
    there.answer = lambda: 500
    with exporting(metrics, there.url):
        until(lambda: len(there.headers) > 3, "refused requests")
        assert there.exports == []
        there.answer = lambda: 200
        until(lambda: there.exports, "an export")


def test_headers_are_read_again_for_each_request(there, tmp_path):
    file = tmp_path / "headers"
    file.write_text("# for the collector\nAuthorization: Bearer one\n\nx-scope: shop\n")
    with exporting(Metrics(), there.url, otlp_headers_file=file):
        until(lambda: there.headers, "a request")
        assert there.headers[0]["authorization"] == "Bearer one"
        assert there.headers[0]["x-scope"] == "shop"
        file.write_text("Authorization: Bearer two\n")
        until(lambda: there.headers[-1]["authorization"] == "Bearer two", there.headers)
        file.unlink()
        seen = len(there.headers)
        until(lambda: len(there.headers) > seen + 1, "more requests")
        assert there.headers[-1]["authorization"] == "Bearer two"


@pytest.mark.parametrize("content", ["hunter2\n", "two words: hunter2\n", "Authorization:\n", "x: hünter2\n"])
def test_a_file_that_holds_no_headers_is_named_without_its_content(tmp_path, content):
    file = tmp_path / "headers"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError) as raised, exporting(Metrics(), "http://127.0.0.1:1", otlp_headers_file=file):
        pass
    assert str(file) in str(raised.value)
    assert "nter2" not in str(raised.value)


def test_a_certificate_of_another_authority_is_refused(there, tmp_path):
    wrong = tmp_path / "ca.pem"
    wrong.write_text("no certificate\n")
    url = there.url.replace("http:", "https:")
    with capture_logs() as lines, exporting(Metrics(), url, otlp_tls_ca_file=wrong):
        until(lambda: complaints(lines, url), "a line")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"otlp_endpoint": "collector:4318"}, "must look like https://host:port"),
        ({"otlp_endpoint": "https://u:p@collector"}, "write a header into otlp_headers_file"),
        ({"otlp_endpoint": "https://collector/v1/traces"}, "must end before /v1/metrics or /v1/traces"),
        ({"otlp_headers_file": Path(__file__)}, "has no effect without otlp_endpoint"),
        ({"otlp_tls_ca_file": Path(__file__)}, "has no effect without otlp_endpoint"),
    ],
)
def test_settings_that_cannot_work_are_refused(values, problem):
    with pytest.raises(ValueError, match=problem):
        ObserveSettings(**values)


def test_an_endpoint_may_have_a_path():
    assert ObserveSettings(otlp_endpoint="https://host/otlp/").otlp_endpoint == "https://host/otlp"


def test_a_missing_package_is_named_with_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "penstock.observe.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(SettingsError, match=r"needs the package requests; .*pip install 'penstock\[otel\]'"):
        otlp_export(Settings(observe=ObserveSettings(otlp_endpoint="http://127.0.0.1:1")), Metrics(), every_s=1)


def test_without_the_setting_nothing_of_opentelemetry_is_imported():
    code = (
        "import sys; import penstock.cli.run, penstock.worker.worker; from penstock.cli.otlp import otlp_export;"
        " from penstock.observe.metrics import Metrics; from penstock.settings import Settings\n"
        "with otlp_export(Settings(), Metrics(), every_s=1): pass\n"
        "print([each for each in sys.modules if each.partition('.')[0] in ('opentelemetry', 'requests', 'google')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
