"""The commands on servers that are not there, or not what they should be."""

import re
import secrets
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import bson
import pytest

from penstock_tools.servers.source import LocalSourceSettings, local_source

NOWHERE = "127.0.0.1:9"


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
    assert done.returncode == 5
    assert re.search(rf"No (usable )?response from .*http://{NOWHERE}", done.stderr + done.stdout)
    assert "refused" in done.stderr + done.stdout


@pytest.mark.parametrize("command", ["run", "load"])
def test_no_index_at_the_address_is_said_at_once(run, settings, command):
    done = run(command, "--sink-url", f"http://{NOWHERE}")
    assert done.returncode == 5
    assert f"No response from OpenSearch at http://{NOWHERE}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_password_of_the_source(run, sink_url, tmp_path):
    name, password = "me", secrets.token_hex(8)
    with local_source(tmp_path, LocalSourceSettings(user=name, password=password)) as source:
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

    def __init__(self, **says):
        super().__init__(daemon=True)
        self.says = says
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
            **self.says,
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


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("says", "words"),
    [
        ({"msg": "isdbgrid"}, "is a mongos, the router of a sharded cluster"),
        ({"setName": "rs0", "version": "3.6.23"}, "version 3.6.23 of the server"),
    ],
)
def test_a_server_that_cannot_be_followed(run, sink_url, command, says, words):
    server = Standalone(**says)
    server.start()
    with server.socket:
        uri = f"mongodb://127.0.0.1:{server.port}/?directConnection=true"
        done = run(command, "--source-uri", uri, "--sink-url", sink_url, "--collection", "a.b")
    assert done.returncode == 4, done.stderr
    told = " ".join((done.stderr + done.stdout).split())
    assert words in told
    assert "rs.initiate()" not in told
