"""Secrets Manager and SQS on this machine: what people do with them, and that nothing of them stays behind."""

import json
import signal
import socket
import subprocess
import sys
import time

import pytest

from penstock.aws import session
from penstock.aws.queue import Queue
from penstock.aws.secret import read_secret
from penstock.errors import SettingsError
from penstock_tools.aws.moto_server import moto_server

PARENT = """
    import sys
    from pathlib import Path
    from penstock_tools.aws.moto_server import moto_server

    with moto_server(Path(sys.argv[1])) as server:
        print(server.url, flush=True)
        sys.stdin.read()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with moto_server(tmp_path_factory.mktemp("logs")) as server:
        yield server


@pytest.fixture
def as_function(server, monkeypatch):
    """penstock's own adapters as a function uses them: credentials and endpoints from the environment."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": server.url,
        "AWS_ENDPOINT_URL_SQS": server.url,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    session.session.cache_clear()
    yield
    session.session.cache_clear()


def test_a_secret_is_read_by_its_arn_and_its_name_and_again_after_a_rotation(server):
    arn = server.create_secret("login", "first")
    assert arn.startswith("arn:aws:secretsmanager:us-east-1:")
    assert (server.secret(arn), server.secret("login")) == ("first", "first")
    server.rotate(arn, "second")
    assert (server.secret(arn), server.secret("login")) == ("second", "second")
    server.rotate("login", "third")
    assert server.secret(arn) == "third"


def test_an_unknown_secret_is_told(server):
    with pytest.raises(LookupError, match="no-such-secret"):
        server.secret("no-such-secret")


def test_penstock_reads_the_login_from_it(server, as_function):
    arn = server.create_secret("documentdb", json.dumps({"username": "reader", "password": "one"}))
    assert read_secret(arn) == ("reader", "one")
    server.rotate(arn, json.dumps({"username": "reader", "password": "two"}))
    assert read_secret(arn) == ("reader", "two")
    with pytest.raises(SettingsError, match="ResourceNotFoundException"):
        read_secret(arn.replace("documentdb", "other"))


def test_a_queue_is_used_by_its_url(server, as_function):
    url, other = server.create_queue("parked"), server.create_queue("others")
    assert url.startswith(f"{server.url}/")
    queue = Queue(url)
    queue.send(["one", "two"])
    assert (server.messages(url), server.messages(other)) == (2, 0)
    received = queue.receive()
    while len(received) < 2:  # SQS may answer fewer than there are
        received += queue.receive()
    assert sorted(message.text for message in received) == ["one", "two"]
    assert server.messages(url) == 2  # someone works on them
    queue.delete(received[0])
    assert server.messages(url) == 1


def test_two_servers_side_by_side_share_nothing(server, tmp_path):
    server.create_secret("shared", "here")
    queue = server.create_queue("shared")
    with moto_server(tmp_path, region="eu-west-1") as second:
        assert second.url != server.url
        with pytest.raises(LookupError):
            second.secret("shared")
        assert second.create_secret("shared", "there").startswith("arn:aws:secretsmanager:eu-west-1:")
        assert second.create_queue("shared").startswith(second.url)
        assert server.secret("shared") == "here"
    assert refuses(second.url)
    assert server.secret("shared") == "here"
    assert server.messages(queue) == 0


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        gone = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, gone)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with moto_server(tmp_path) as server:
        server.create_secret("login", "value")
        assert server.secret("login") == "value"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_the_process_that_started_it(tmp_path, end):
    code = "\n".join(line[4:] for line in PARENT.splitlines())
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        try:
            url = parent.stdout.readline().strip()
            assert not refuses(url)
        finally:
            parent.send_signal(end)
    assert parent.returncode == -end
    deadline = time.monotonic() + 60
    while not refuses(url):
        assert time.monotonic() < deadline, "the server outlives the process that started it"
        time.sleep(0.01)


def refuses(url):
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=30).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it is about to end
        return False
    return False
