"""Health is honest: what does not move is not healthy."""

import http.client
import json
import socket
import urllib.error
import urllib.request

import pytest

from penstock.errors import SettingsError
from penstock.observe.health import GROWING_WITHIN_S, STALLED_AFTER_S, UNFED_AFTER_S, WAITING_AFTER_S, Health, serving
from penstock.observe.metrics import Metrics


class Clock:
    """Begins at 0, as the monotonic clock of a machine does that has just booted."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return Health(unhealthy_lag_s=300, now=clock)


def problems(health):
    return [problem for each in health.report()["pipelines"].values() for problem in each["problems"]]


def test_a_worker_that_has_not_begun_is_not_healthy(health):
    assert health.report() == {"healthy": False, "pipelines": {}, "unserved": {}, "reactions": {}}


def test_a_worker_that_has_nothing_to_serve_yet_is_healthy_and_says_why(health):
    health.unserved({"shop.orders": "does not exist yet"}, idle=True)
    assert health.report() == {
        "healthy": True,
        "pipelines": {},
        "unserved": {"shop.orders": "does not exist yet"},
        "reactions": {},
    }


def test_a_live_pipeline_that_answers_is_healthy(health):
    health.beat("shop", lag_s=0.2)
    report = health.report()
    assert report["healthy"]
    assert report["pipelines"]["shop"] == {
        "state": "live",
        "collections": {},
        "lag_s": 0.2,
        "silent_s": 0.0,
        "waiting": "",
        "position_lost": "",
        "reason": "",
        "problems": [],
    }


def test_a_pipeline_that_says_nothing_is_stalled(health, clock):
    health.beat("shop")
    clock.now += STALLED_AFTER_S + 1
    assert not health.report()["healthy"]
    assert problems(health) == ["stalled: no report for 61 s"]


def test_one_stalled_pipeline_among_others_is_enough(health, clock):
    health.beat("shop")
    clock.now += STALLED_AFTER_S + 1
    health.beat("blog")
    assert not health.report()["healthy"]


def test_a_standby_is_healthy_and_says_so(health):
    health.standby("shop")
    assert health.report()["healthy"]
    assert health.report()["pipelines"]["shop"]["state"] == "standby"


def test_a_standby_is_not_healthy_while_nobody_feeds_a_collection_for_longer_than_a_rollout(health, clock):
    while clock.now <= UNFED_AFTER_S:
        health.standby("shop", collections={"shop.a": "standby", "shop.b": "not fed"})
        assert problems(health) == []
        clock.now += STALLED_AFTER_S / 2
    health.standby("shop", collections={"shop.a": "standby", "shop.b": "not fed"})
    assert problems(health) == ["shop.b: not fed, another worker holds the lease for other collections"]
    health.standby("shop", collections={"shop.a": "standby", "shop.b": "standby"})
    assert health.report()["healthy"]
    assert health.report()["pipelines"]["shop"]["collections"] == {"shop.a": "standby", "shop.b": "standby"}


def test_a_standby_that_no_longer_looks_at_the_lease_is_stalled(health, clock):
    health.standby("shop")
    clock.now += STALLED_AFTER_S + 1
    assert not health.report()["healthy"]


def test_an_index_that_accepts_nothing_is_unhealthy_after_a_while_although_the_pipeline_beats(health, clock):
    for _ in range(int(WAITING_AFTER_S) + 1):
        health.beat("shop", waiting_reason="blocked")
        assert health.report()["healthy"]
        clock.now += 1
    health.beat("shop", waiting_reason="blocked")
    assert problems(health) == ["the index has accepted no writes for 61 s: blocked"]
    health.beat("shop")
    assert health.report()["healthy"]


def test_a_second_wait_is_counted_from_its_own_begin(health, clock):
    health.beat("shop", waiting_reason="blocked")
    clock.now += 50
    health.beat("shop")
    health.beat("shop", waiting_reason="overloaded")
    clock.now += 50
    health.beat("shop", waiting_reason="overloaded")
    assert health.report()["healthy"]


def test_a_large_lag_that_grows_is_unhealthy(health, clock):
    for step in range(20):
        health.beat("shop", lag_s=295 + step)
        clock.now += 1
    assert problems(health) == ["lag of 314 s, above 300 s and not falling"]


def test_a_large_lag_that_stays_is_unhealthy(health, clock):
    health.beat("shop", lag_s=400)
    clock.now += 1
    health.beat("shop", lag_s=400)
    assert not health.report()["healthy"]


def test_a_large_lag_that_falls_is_healthy(health, clock):
    for step in range(int(GROWING_WITHIN_S) * 2):
        health.beat("shop", lag_s=5000 - step * 10)
        clock.now += 1
    assert health.report()["healthy"]


def test_a_lag_that_fell_long_ago_and_grows_now_is_unhealthy(health, clock):
    health.beat("shop", lag_s=9000)
    for step in range(int(GROWING_WITHIN_S) * 2):
        clock.now += 1
        health.beat("shop", lag_s=1000 + step)
    assert not health.report()["healthy"]


def test_a_long_load_is_healthy_as_long_as_it_moves(health, clock):
    health.beat("shop", lag_s=90_000, loading=True)
    assert health.report()["healthy"]
    assert health.report()["pipelines"]["shop"]["state"] == "loading"
    clock.now += STALLED_AFTER_S + 1
    assert not health.report()["healthy"]


def test_a_pipeline_that_stopped_says_why(health):
    health.beat("shop")
    health.stopped("shop", "position lost")
    assert problems(health) == ["stopped: position lost"]


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_the_port_serves_health_and_metrics(health):
    metrics = Metrics()
    metrics.set("penstock_lag_seconds", 1.5, pipeline="shop")
    with serving("127.0.0.1:0", exposition=metrics.exposition, report=health.report) as address:
        status, kind, body = get(f"{address}/healthz")
        assert (status, kind, json.loads(body)["healthy"]) == (503, "application/json", False)
        health.beat("shop")
        assert get(f"{address}/healthz")[0] == 200
        status, kind, body = get(f"{address}/metrics")
        assert status == 200
        assert kind.startswith("text/plain")
        assert 'penstock_lag_seconds{pipeline="shop"} 1.5' in body
        assert get(f"{address}/")[0] == 404
        port = int(address.rpartition(":")[2])
    with pytest.raises(OSError):
        http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()


def test_nothing_is_served_unless_asked_for(health):
    with serving(None, exposition=Metrics().exposition, report=health.report) as address:
        assert address is None


def test_a_port_that_is_taken_is_told_with_the_setting(health):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(SettingsError, match=r"cannot listen on .*\[observe\] listen"),
            serving(listen, exposition=Metrics().exposition, report=health.report),
        ):
            pass


def test_it_is_served_on_ipv6(health):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving("[::1]:0", exposition=Metrics().exposition, report=health.report) as address:
        assert address.startswith("http://[::1]:")
        assert get(f"{address}/metrics")[0] == 200
