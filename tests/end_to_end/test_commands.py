"""The commands as people run them: processes, exit codes, messages."""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import bson
import pytest
import urllib3

from penstock.local.source import SourceSettings, local_source

PENSTOCK = [sys.executable, "-c", "from penstock.cli import main; main()"]
NOWHERE = "127.0.0.1:9"
WITHIN_S = 60


@pytest.fixture
def environ(tmp_path):
    """An environment without settings, whose current folder is empty."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}


@pytest.fixture
def run(tmp_path, environ):
    """Run a command to its end."""

    def run(*arguments, **more):
        done = subprocess.run(
            [*PENSTOCK, *arguments],
            cwd=tmp_path,
            env={**environ, **more},
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def started(tmp_path, environ):
    """Start a command; what still runs at the end of the test is killed."""
    processes = []

    def start(*arguments, **more):
        process = subprocess.Popen(
            [*PENSTOCK, *arguments],
            cwd=tmp_path,
            env={**environ, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate(timeout=WITHIN_S)


@pytest.fixture
def settings(tmp_path, source_uri, sink_url, database, index_prefix):
    """A settings file for one collection of 300 documents."""
    database.items.insert_many([{"_id": number, "text": "x" * 100} for number in range(300)])
    (tmp_path / "penstock.toml").write_text(
        f'[source]\nuri = "{source_uri}"\nretention_s = 7200\n[sink]\nurl = "{sink_url}"\n'
        f'[pipeline]\nlease_s = 3\n[observe]\nlisten = "127.0.0.1:0"\nlog_format = "json"\n'
        f'[[collections]]\nnamespace = "{database.name}.items"\nindex = "{index_prefix}items"\nreplicas = 0\n'
    )
    return f"{database.name}.items"


def until(condition, what):
    """Wait for the condition and answer what it gave."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {WITHIN_S} s: {what}")


def count(sink_url, index):
    http = urllib3.PoolManager()
    answer = http.request("GET", f"{sink_url}/{index}/_count", retries=False)
    return answer.json().get("count") if answer.status == 200 else None


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def health_of(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            return json.load(answer)
    except (urllib.error.URLError, ConnectionError):
        return {"healthy": False}


# what can be told without a server


def test_help_and_version_do_not_load_the_drivers():
    script = (
        "import sys, penstock.cli; print([m for m in ('pymongo', 'urllib3', 'bson', 'botocore') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"


def test_the_version_is_told(run):
    done = run("--version")
    assert re.fullmatch(r"penstock \d+\.\d+\.\d+\n", done.stdout)


def test_all_problems_of_the_settings_come_at_once_without_secrets(run, tmp_path):
    (tmp_path / "penstock.toml").write_text(
        '[source]\nuri = "http://me:hunter2@h"\n[sink]\nauth = "basic"\nretries = 3\n'
        '[[collections]]\nnamespace = "shop"\n'
    )
    done = run("run", "--sink-timeout-s", "soon", PENSTOCK_SINK_GZIP="maybe")
    assert done.returncode == 2
    assert done.stdout == ""
    assert sorted(done.stderr.splitlines()) == [
        "error: --sink-timeout-s must be a number, not 'soon'",
        "error: PENSTOCK_SINK_GZIP must be true or false, not 'maybe'",
        "error: [[collections]] shop: namespace must look like database.collection",
        'error: [sink] password_file or password is needed for auth = "basic"',
        "error: [sink] retries is not a setting",
        'error: [sink] username is needed for auth = "basic"',
        "error: [source] uri must look like mongodb://host:port/?replicaSet=name",
    ]


@pytest.mark.parametrize("command", ["run", "load", "check", "status"])
def test_a_command_without_collections_says_how_to_name_one(run, command):
    done = run(command)
    assert done.returncode == 2
    assert "no collection is named" in done.stderr


def test_an_unknown_command_is_a_usage_error(run):
    assert run("strat").returncode == 2


def test_load_refuses_a_collection_that_is_not_declared(run):
    done = run("load", "shop.order", "--collection", "shop.orders")
    assert done.returncode == 2
    assert done.stderr == "error: shop.order is not among the declared collections; there is shop.orders\n"


# servers that are not there, or not what they should be


@pytest.mark.parametrize("command", ["run", "check", "status"])
def test_no_source_at_the_address(run, sink_url, command):
    uri = f"mongodb://{NOWHERE}/?serverSelectionTimeoutMS=500"
    done = run(command, "--collection", "shop.orders", "--source-uri", uri, "--sink-url", sink_url)
    assert done.returncode == 4, done.stderr
    assert f"No source answers at {NOWHERE}" in done.stderr + done.stdout
    assert "Check [source] uri" in done.stderr + done.stdout


@pytest.mark.parametrize("command", ["check", "status"])
def test_no_index_at_the_address(run, source_uri, command):
    done = run(command, "--collection", "shop.orders", "--source-uri", source_uri, "--sink-url", f"http://{NOWHERE}")
    assert done.returncode == (4 if command == "check" else 5)  # check: there is no collection shop.orders either
    assert f"answer from http://{NOWHERE}" in done.stderr + done.stdout
    assert "refused" in done.stderr + done.stdout


@pytest.mark.parametrize("command", ["run", "load"])
def test_no_index_at_the_address_is_said_at_once(run, settings, command):
    done = run(command, "--sink-url", f"http://{NOWHERE}")
    assert done.returncode == 5
    assert f"No answer from OpenSearch at http://{NOWHERE}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_password_of_the_source(run, sink_url, tmp_path):
    name, password = "me", secrets.token_hex(8)
    with local_source(tmp_path, SourceSettings(user=name, password=password)) as source:
        address = source.uri.rpartition("@")[2]
        uri = f"mongodb://{address}"
        arguments = ["--source-uri", uri, "--source-username", name, "--sink-url", sink_url, "--collection", "a.b"]
        for command in ("run", "status"):
            done = run(command, *arguments, PENSTOCK_SOURCE_PASSWORD="hunter2")
            assert done.returncode == 4, done.stderr
            assert "refuses the login" in done.stderr
            assert "hunter2" not in done.stderr
        (tmp_path / "secret").write_text(password + "\n")
        done = run("check", *arguments, "--source-password-file", "secret")
        assert "can be read" not in done.stdout  # no such collection
        assert re.search(r"ok +source +connection", done.stdout)


class Refusing(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401)
        self.end_headers()
        self.wfile.write(b"Unauthorized")

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815 (the names that http.server looks for)

    def log_message(self, *_):
        pass


@contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("command", ["run", "check", "status"])
def test_a_wrong_password_of_the_index(run, settings, command):
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Refusing)) as port:
        done = run(
            command,
            "--sink-url",
            f"http://127.0.0.1:{port}",
            "--sink-auth",
            "basic",
            "--sink-username",
            "me",
            PENSTOCK_SINK_PASSWORD="hunter2",
        )
    assert done.returncode == 5, done.stderr
    assert "401" in done.stderr + done.stdout
    assert "hunter2" not in done.stderr + done.stdout


class Standalone(threading.Thread):
    """Speaks just enough of the protocol to be a server that is no replica set."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        hello = {
            "ok": 1.0,
            "isWritablePrimary": True,
            "ismaster": True,
            "helloOk": True,
            "maxWireVersion": 17,
            "minWireVersion": 0,
            "maxBsonObjectSize": 16 << 20,
            "maxMessageSizeBytes": 48000000,
            "maxWriteBatchSize": 100000,
            "version": "6.0.0",
        }
        with connection:
            while header := connection.recv(16):
                length, request, _, opcode = (int.from_bytes(header[at : at + 4], "little") for at in (0, 4, 8, 12))
                rest = length - 16
                while rest:
                    rest -= len(connection.recv(rest))
                document = bson.encode(hello)
                if opcode == 2013:
                    body = b"\0\0\0\0\0" + document
                    answer = 2013
                else:
                    body = b"\x08\0\0\0" + b"\0" * 12 + b"\x01\0\0\0" + document
                    answer = 1
                head = b"".join(each.to_bytes(4, "little") for each in (16 + len(body), 1, request, answer))
                connection.sendall(head + body)


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_server_that_is_no_replica_set(run, sink_url, command):
    server = Standalone()
    server.start()
    with server.socket:
        uri = f"mongodb://127.0.0.1:{server.port}/?directConnection=true"
        done = run(command, "--source-uri", uri, "--sink-url", sink_url, "--collection", "a.b")
    assert done.returncode == 4, done.stderr
    assert f"The server at 127.0.0.1:{server.port} is not a replica set" in done.stderr + done.stdout
    assert "rs.initiate()" in done.stderr + done.stdout


# the commands at work


def test_init_writes_what_the_server_has_and_check_is_content_with_it(run, tmp_path, source_uri, sink_url, database):
    database.items.insert_one({"a": 1})
    database["My Items"].insert_one({"a": 1})
    database.command("create", "seen", viewOn="items", pipeline=[])
    done = run("init", "--source-uri", source_uri, "--sink-url", sink_url)
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "penstock.toml").read_text()
    assert f'namespace = "{database.name}.items"\n' in written
    assert f'namespace = "{database.name}.My Items"\nindex = "{database.name}.my-items"\n' in written
    assert f"{database.name}.seen" not in written
    assert (tmp_path / "penstock.toml").stat().st_mode & 0o077 == 0
    done = run("check", "--collection", f"{database.name}.items")
    assert done.returncode == 0, done.stdout
    again = run("init")
    assert again.returncode == 2
    assert again.stderr == "error: penstock.toml is there already; give --force to replace it, or name another file\n"
    assert (tmp_path / "penstock.toml").read_text() == written
    assert run("init", "--force").returncode == 0


def test_check_names_what_is_wrong_and_what_to_do(run, settings, tmp_path, database, index_prefix, sink_url):
    http = urllib3.PoolManager()
    http.request("PUT", f"{sink_url}/{index_prefix}taken", json={"settings": {"number_of_replicas": 0}})
    (tmp_path / "mapping.json").write_text('{"properties": {}}')
    (tmp_path / "broken.py").write_text("def order(document):\n    return document\nraise RuntimeError('no')\n")
    with (tmp_path / "penstock.toml").open("a") as file:
        file.write(
            f'[[collections]]\nnamespace = "{database.name}.itms"\nindex = "{index_prefix}taken"\nreplicas = 1\n'
            f'mapping_file = "mapping.json"\nfunction = "broken:order"\n'
        )
    done = run("check", "--json")
    found = {(each["area"], each["subject"]): each for each in json.loads(done.stdout)}
    assert done.returncode == 2
    assert found["source", f"{database.name}.itms"]["todo"] == f"did you mean {database.name}.items?"
    assert found["source", f"{database.name}.items"]["verdict"] == "ok"
    assert found["sink", f"{index_prefix}items"]["verdict"] == "ok"
    assert found["sink", f"{index_prefix}taken"]["verdict"] == "failure"
    wrong = [each["detail"] for each in json.loads(done.stdout) if each["area"] == "settings"]
    assert any("broken" in detail for detail in wrong)
    assert any("Put `properties` under `mappings`" in detail for detail in wrong)


def test_check_leaves_nothing_behind(run, settings, sink_url):
    assert run("check").returncode == 0
    http = urllib3.PoolManager()
    assert http.request("GET", f"{sink_url}/_cat/indices/penstock-check-*?h=index").data == b""


def test_check_sees_a_block_settings_that_forget_and_too_many_replicas(run, settings, sink_url, index_prefix):
    assert run("load").returncode == 0
    http = urllib3.PoolManager()
    forgets = {"translog.durability": "async", "gc_deletes": "14m"}
    changed = {"index": {**forgets, "number_of_replicas": 3, "blocks.read_only_allow_delete": True}}
    assert http.request("PUT", f"{sink_url}/{index_prefix}items/_settings", json=changed).status == 200
    done = run("check", "--json")
    verdicts = {each["subject"]: each["verdict"] for each in json.loads(done.stdout)}
    assert done.returncode == 5
    assert verdicts[f"{index_prefix}items-g1: translog"] == "warning"
    assert verdicts[f"{index_prefix}items-g1: gc_deletes"] == "warning"
    assert verdicts[f"{index_prefix}items-g1: blocks"] == "failure"
    assert verdicts[f"{index_prefix}items: replicas"] == "warning"


def test_check_tells_the_replicas_of_all_indexes_at_once(run, source_uri, sink_url):
    arguments = ["--source-uri", source_uri, "--sink-url", sink_url, "--collection", "a.b", "--collection", "a.c"]
    told = [each for each in json.loads(run("check", "--json", *arguments).stdout) if "replicas" in each["subject"]]
    assert [(each["subject"], each["verdict"]) for each in told] == [("a.b, a.c: replicas", "warning")]


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
    assert errors.endswith("stopped; the next load goes on from there\n")
    done = run("load")
    assert done.returncode == 0
    loaded = int(re.search(r": (\d+) documents", done.stdout)[1])
    assert 0 < loaded < 300
    until(lambda: count(sink_url, f"{index_prefix}items") == 300, "all documents")
    assert run("load").stdout == f"{settings}: loaded already; --again loads it anew\n"


def test_run_serves_health_and_ends_cleanly_while_a_standby_takes_over(started, run, settings, database):
    ports = [free_port(), free_port()]
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
    until(lambda: health_of(ports[1])["pipelines"][database.name]["state"] == "live", "the standby has taken over")
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
