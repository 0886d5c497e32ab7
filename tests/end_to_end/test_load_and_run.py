"""`penstock load`, `run` and `status` as people see them: what they print, how they end."""

import json
import re
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import urllib3

from penstock_tools.servers.ports import free_ports
from testkit.workspace import WITHIN_S, until


def count(sink_url, index):
    http = urllib3.PoolManager()
    answer = http.request("GET", f"{sink_url}/{index}/_count", retries=False)
    return answer.json().get("count") if answer.status == 200 else None


def health_of(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            return json.load(answer)
    except (urllib.error.URLError, ConnectionError):
        return {"healthy": False}


def state_of(port, name):
    """The state of a pipeline; nothing while its worker does not answer."""
    return health_of(port).get("pipelines", {}).get(name, {}).get("state")


def test_load_prints_what_it_did_and_status_shows_it(run, settings, sink_url, index_prefix):
    waiting = json.loads(run("status", "--json").stdout)[0]
    assert (waiting["state"], waiting["documents_source"], waiting["documents_index"]) == ("waiting", 300, None)
    done = run("load", settings)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        rf"{settings}: 300 documents in [\d.]+ s, [\d,]+ a second, [\d.]+ us of CPU each, peak memory [\d,]+ MiB\n",
        done.stdout,
    )
    assert f"{settings}: loaded" in done.stderr
    shown = until(lambda: (line := json.loads(run("status", "--json").stdout)[0])["documents_index"] and line, "status")
    assert (shown["namespace"], shown["index"], shown["state"]) == (settings, f"{index_prefix}items", "stopped")
    assert (shown["documents_source"], shown["documents_index"], shown["dead_letters"]) == (300, 300, 0)
    assert 0 <= shown["lag_s"] < 60
    assert 7100 < shown["position_left_s"] <= 7200


def test_a_load_that_is_stopped_goes_on_where_it_was(started, run, settings, sink_url, index_prefix):
    slow = started("load", "--pipeline-load-rate", "15", "--pipeline-load-range", "100", "--pipeline-lease-s", "9")
    until(lambda: count(sink_url, f"{index_prefix}items"), "the first documents")
    shown = json.loads(run("status", "--json").stdout)[0]
    assert (shown["state"], shown["loaded"] < 1) == ("loading", True)  # a third of the lease before it reports itself
    slow.send_signal(signal.SIGTERM)
    _, errors = slow.communicate(timeout=WITHIN_S)
    assert slow.returncode == 143
    assert errors.endswith("stopped; the next `penstock load` resumes from here\n")
    done = run("load")
    assert done.returncode == 0
    loaded = int(re.search(r": (\d+) documents", done.stdout)[1])
    assert 0 < loaded < 300
    until(lambda: count(sink_url, f"{index_prefix}items") == 300, "all documents")
    assert run("load").stdout == f"{settings}: already loaded; load it again with --again\n"


def test_run_serves_health_and_ends_cleanly_while_a_standby_takes_over(started, run, settings, database):
    ports = free_ports(2)
    first = started("run", "--observe-listen", f"127.0.0.1:{ports[0]}")
    until(lambda: health_of(ports[0])["healthy"], "the first worker is healthy")
    second = started("run", "--observe-listen", f"127.0.0.1:{ports[1]}")
    standby = until(lambda: health_of(ports[1])["healthy"] and health_of(ports[1]), "the second worker is healthy")
    assert standby["pipelines"][database.name]["state"] == "standby"
    shown = until(
        lambda: (line := json.loads(run("status", "--json").stdout)[0])["state"] == "live" and line, "the state is live"
    )
    assert shown["lag_s"] < 60
    with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/metrics", timeout=10) as answer:
        assert f'penstock_lease_held{{pipeline="{database.name}"}} 1.0' in answer.read().decode()
    first.send_signal(signal.SIGTERM)
    _, told = first.communicate(timeout=WITHIN_S)
    assert first.returncode == 0
    assert ("run begins" in told, "run ends" in told, "SIGTERM" in told) == (True, True, True)
    until(lambda: state_of(ports[1], database.name) == "live", "the standby has taken over")
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=WITHIN_S)
    assert second.returncode == 130
    assert json.loads(run("status", "--json").stdout)[0]["state"] == "stopped"


def test_a_second_ctrl_c_ends_at_once_what_cannot_be_stopped(started, settings):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"mongodb://127.0.0.1:{silent.getsockname()[1]}/?connectTimeoutMS=60000&serverSelectionTimeoutMS=60000"
        process = started("run", "--source-uri", uri)
        silent.settimeout(WITHIN_S)
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            until(lambda: "set" if _blocks_sigint_no_more(process.pid) else "", "the first signal was taken")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT


def _blocks_sigint_no_more(pid):
    """Whether the process would be ended by SIGINT: it is no longer among the signals that it catches."""
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return not int(caught.split()[1], 16) >> (signal.SIGINT - 1) & 1


def test_documents_that_are_nobodys_end_no_sweep(site, database, penstock):
    database.items.insert_many([{"_id": number} for number in range(3)])
    namespace = f"{database.name}.items"
    site.settings(namespace)
    assert penstock("load").returncode == 0
    foreign = ["n:abc", "h:abc", "doc:5", "n:99999999999999999999", "bin:a", "date:x", "regex::.", "stranger"]
    index = site.index(namespace)
    site.bulk(f"{index}-g1", [line for each in foreign for line in (json.dumps({"index": {"_id": each}}), "{}")])
    database.items.delete_one({"_id": 2})
    done = penstock("load", "--again")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert set(site.indexed(namespace)) == {"n:0", "n:1"}
