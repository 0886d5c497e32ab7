"""The local domain's front door: penstock's own client and botocore's signer, in front of a real OpenSearch."""

import json
import socket
import ssl
import struct
import threading
import time
import traceback
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import botocore.auth
import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from penstock.aws.sigv4 import Signer
from penstock.errors import SinkUnavailable
from penstock.lambdas.permissions import allows, reader_requests, sync_requests
from penstock.opensearch.http.client import Client, Unreachable
from penstock.settings import SinkSettings
from penstock_tools.aws.domain.signature_proxy import SignatureProxy
from penstock_tools.servers.certificate import new_certificate
from penstock_tools.servers.errors import LocalServerError
from testkit.workspace import until

REGION = "eu-west-1"
KEYS = {"AKIDALL": "secret of all", "AKIDREADER": "secret of reader", "AKIDSYNC": "secret of sync", "ASIATEMP": "tmp"}
MISMATCH = "The request signature we calculated does not match"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return new_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def new_proxy(sink_url, certificate):
    return partial(SignatureProxy, sink_url, credentials=KEYS, region=REGION, certificate=certificate)


@pytest.fixture(scope="module")
def proxy(new_proxy):
    with new_proxy(session_tokens={"ASIATEMP": "the token"}) as proxy:
        yield proxy


@pytest.fixture
def new_client(proxy, certificate, monkeypatch, tmp_path):
    """Make a client as penstock makes it, with these credentials in its environment."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    made = []

    def new_client(key="AKIDALL", secret=None, *, token=None, to=proxy, authority=certificate.authority, **settings):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret or KEYS[key])
        if token is None:
            monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
        else:
            monkeypatch.setenv("AWS_SESSION_TOKEN", token)
        options = {"url": to.url, "auth": "sigv4", "region": REGION, "tls_ca_file": authority, **settings}
        settings = SinkSettings(**options)
        made.append(Client(settings, signer=Signer(settings)))
        return made[-1]

    yield new_client
    for client in made:
        client.close()


@pytest.fixture
def client(new_client):
    return new_client()


@pytest.fixture
def index(index_prefix):
    return f"{index_prefix}orders"


def connected(proxy, certificate):
    """A connection that sends targets and headers exactly as they are given."""
    tls = ssl.create_default_context(cafile=str(certificate.authority))
    return closing(HTTPSConnection(proxy.endpoint, context=tls, timeout=60))


@pytest.fixture
def connection(proxy, certificate):
    with connected(proxy, certificate) as connection:
        yield connection


@pytest.fixture
def send(connection):
    def send(method, target, headers, body=b""):
        connection.request(method, target, body=body or None, headers=headers)
        answer = connection.getresponse()
        raw = answer.read()
        return answer.status, json.loads(raw) if raw else None

    return send


def signed(proxy, method, target, body=b"", headers=None, *, key="AKIDALL", service="es"):
    """Headers with a signature by botocore itself: penstock's signer takes no part."""
    request = AWSRequest(method=method, url=proxy.url + target, data=body, headers=headers or {})
    SigV4Auth(Credentials(key, KEYS[key]), service, REGION).add_auth(request)
    return dict(request.headers.items())


def bulk(index, ids, text="x"):
    lines = ({"index": {"_index": index, "_id": each}} for each in ids)
    return b"".join(json.dumps(line).encode() + b"\n" + json.dumps({"text": text}).encode() + b"\n" for line in lines)


def reason(answer):
    """Why the service refused; its own messages are in lower case, those of rights are not."""
    assert answer.status == 403, answer
    (message,) = answer.json().values()
    return message


class TestAccepted:
    def test_penstocks_client_reaches_opensearch(self, client):
        assert client.request("GET", "/").json()["version"]["distribution"] == "opensearch"
        assert client.request("HEAD", "/").status == 200
        assert client.request("GET", "/no-such-index").json()["error"]["type"] == "index_not_found_exception"

    @pytest.mark.parametrize("gzip", [False, True])
    def test_bulk_requests_arrive_whole(self, new_client, index, gzip):
        client = new_client(gzip=gzip)
        text = "Zoë " * 1000
        answer = client.request("POST", "/_bulk?refresh=true", bulk(index, ["1", "2"], text))
        assert not answer.json()["errors"]
        found = client.request("POST", f"/{index}/_search", {"query": {"match_all": {}}}).json()["hits"]["hits"]
        assert [hit["_source"]["text"] for hit in found] == [text, text]

    @pytest.mark.parametrize(
        "document_id",
        ["a/b", "/a//b/", "a b", "käse 🧀", "100%", "a%2Fb", "a+b", "a%2Bb", ".. ", "a/../b", "?a=b#c", "(a)'*!~,;@&$"],
    )
    def test_documents_of_any_id_are_written_and_read(self, client, sink_url, index, document_id):
        path = f"/{index}/_doc/{quote(document_id, safe='')}"
        assert client.request("PUT", f"{path}?refresh=true", {"n": 1}).status == 201
        assert client.request("GET", path).json()["_id"] == document_id
        with urllib3.PoolManager() as http:
            hits = http.request("GET", f"{sink_url}/{index}/_search").json()["hits"]["hits"]
        assert [hit["_id"] for hit in hits] == [document_id]

    def test_a_plus_sign_is_itself_in_a_path_and_a_space_in_a_query(self, client, index):
        for written, meant in (("a+b", "a b"), ("a%20b", "a b"), ("a%2Bb", "a+b"), ("%E2%82%AC%25", "€%")):
            path = f"/{index}/_doc/1+{quote(written, safe='')}"
            assert client.request("PUT", f"{path}?routing={written}", {}).status == 201
            found = client.request("GET", f"{path}?routing={written}").json()
            assert (found["_id"], found["_routing"]) == (f"1+{written}", meant)

    @pytest.mark.parametrize(
        "query", ["pretty", "pretty=", "v=&h=index&h=health", "s=index:desc&h=index", "h=index%2Chealth&bytes=b"]
    )
    def test_parameters_may_be_empty_repeated_and_in_any_order(self, client, query):
        assert client.request("GET", f"/_cat/indices?{query}").ok

    def test_a_request_signed_by_botocore_alone(self, proxy, send):
        status, body = send("GET", "/", signed(proxy, "GET", "/"))
        assert (status, body["version"]["distribution"]) == (200, "opensearch")

    def test_a_body_signed_by_botocore_alone_with_and_without_its_hash(self, proxy, send, index):
        target = f"/{index}/_bulk?refresh=true&timeout=1m"
        body = bulk(index, ["1"])
        given = {"content-type": "application/x-ndjson"}
        without = signed(proxy, "POST", target, body, given)
        assert "x-amz-content-sha256" not in {name.lower() for name in without}
        assert send("POST", target, without, body)[1]["errors"] is False
        status, answer = send("PUT", f"/{index}/_doc/a%2Fb%20%2B", signed(proxy, "PUT", f"/{index}/_doc/a%2Fb%20%2B"))
        assert status == 400, answer  # let through: OpenSearch itself misses the body
        assert "body is required" in json.dumps(answer)

    @pytest.mark.parametrize("target", ["//_cluster//health/", "/_cluster/x/../health", "/./_cluster/health"])
    def test_paths_are_normalised_before_they_are_compared(self, proxy, send, target):
        status, answer = send("GET", target, signed(proxy, "GET", target))
        assert status != 403, answer
        assert send("GET", f"{target}x", signed(proxy, "GET", target))[0] == 403

    def test_a_folded_header_is_read_as_one_line(self, proxy, connection):
        headers = signed(proxy, "GET", "/", headers={"x-amz-meta": "a b"})
        del headers["x-amz-meta"]
        connection.putrequest("GET", "/")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.putheader("X-Amz-Meta", "  a", "b ")  # on two lines
        connection.endheaders()
        assert connection.getresponse().status == 200

    def test_temporary_credentials_with_their_token(self, new_client):
        assert new_client("ASIATEMP", token="the token").request("GET", "/").status == 200


class TestRefused:
    def test_a_wrong_secret(self, new_client):
        message = reason(new_client(secret="wrong").request("GET", "/"))
        assert message.startswith(MISMATCH)
        assert KEYS["AKIDALL"] not in message

    def test_an_unknown_key(self, new_client):
        answer = new_client("AKIDNOBODY", "any").request("GET", "/")
        assert answer.json() == {"message": "The security token included in the request is invalid."}

    def test_a_wrong_region(self, new_client):
        answer = new_client(region="us-east-1").request("GET", "/")
        assert "valid region, not 'us-east-1'" in reason(answer)

    def test_a_wrong_service(self, new_client):
        answer = new_client(service="aoss").request("GET", "/")
        assert "correct service: 'es'" in reason(answer)

    @pytest.mark.parametrize("token", [None, "another token", ""])
    def test_temporary_credentials_without_their_token(self, new_client, token):
        assert "security token" in reason(new_client("ASIATEMP", token=token).request("GET", "/"))

    def test_a_token_that_does_not_belong_to_the_key(self, new_client):
        assert "security token" in reason(new_client(token="the token").request("GET", "/"))

    @pytest.mark.parametrize(("minutes", "message"), [(-6, "Signature expired"), (6, "Signature not yet current")])
    def test_a_clock_that_is_wrong(self, client, monkeypatch, minutes, message):
        then = datetime.now(UTC) + timedelta(minutes=minutes)
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: then)
        assert reason(client.request("GET", "/")).startswith(message)

    def test_a_request_without_a_signature(self, proxy, certificate, index, sink_url):
        with closing(Client(SinkSettings(url=proxy.url, tls_ca_file=certificate.authority))) as client:
            message = reason(client.request("POST", "/_bulk", bulk(index, ["1"])))
        assert message.startswith("User: anonymous is not authorized to perform: es:ESHttpPost because no resource-")
        assert not exists(sink_url, index)

    def test_a_body_that_was_changed(self, new_client, proxy, send, index, sink_url):
        body, changed = bulk(index, ["1"]), bulk(index, ["2"])
        new_client()  # its credentials are in the environment
        signer = Signer(SinkSettings(auth="sigv4", region=REGION))
        headers = signer.headers("POST", f"{proxy.url}/_bulk", body, {"content-type": "application/x-ndjson"})
        assert send("POST", "/_bulk", headers, changed)[0] == 403
        other = signer.headers("POST", f"{proxy.url}/_bulk", changed, {})
        name = next(name for name in headers if name.lower() == "x-amz-content-sha256")
        status, answer = send("POST", "/_bulk", {**headers, name: other[name]}, changed)
        assert (status, answer["message"].startswith(MISMATCH)) == (403, True)
        assert not exists(sink_url, index)
        assert send("POST", "/_bulk", headers, body)[1]["errors"] is False

    @pytest.mark.parametrize("said", ["0" * 64, "UNSIGNED-PAYLOAD", ""])
    def test_a_hash_that_is_not_the_bodys(self, proxy, send, said):
        headers = signed(proxy, "GET", "/", headers={"x-amz-content-sha256": said})
        status, answer = send("GET", "/", headers)
        assert (status, answer["message"].startswith(MISMATCH)) == (403, True)

    def test_a_hash_that_was_taken_away(self, proxy, send):
        headers = signed(proxy, "GET", "/", headers={"x-amz-content-sha256": "e3b0c442" * 8})
        del headers["x-amz-content-sha256"]
        assert send("GET", "/", headers)[0] == 403

    @pytest.mark.parametrize(
        ("method", "target"), [("HEAD", "/_cat?a=1&b=2"), ("GET", "/_Cat?a=1&b=2"), ("GET", "/_cat?a=1&b=%202")]
    )
    def test_another_method_path_or_query(self, proxy, send, method, target):
        headers = signed(proxy, "GET", "/_cat?b=2&a=1")
        assert send("GET", "/_cat?a=1&b=2", headers)[0] != 403
        assert send(method, target, headers)[0] == 403

    def test_a_signature_for_another_host(self, proxy, send):
        headers = signed(proxy, "GET", "/")
        assert send("GET", "/", {**headers, "Host": "other.example"})[0] == 403

    def test_a_key_is_judged_by_what_is_known_now(self, new_proxy, new_client):
        keys = dict(KEYS)
        with new_proxy(credentials=keys) as proxy:
            client = new_client(to=proxy)
            assert client.request("GET", "/").status == 200
            keys["AKIDALL"] = "rotated"
            assert client.request("GET", "/").status == 403
            del keys["AKIDALL"]
            assert "security token" in reason(client.request("GET", "/"))

    def test_a_client_that_does_not_trust_the_authority(self, new_client, tmp_path):
        other = new_certificate(tmp_path / "other").authority
        with pytest.raises(SinkUnavailable, match="tls_ca_file"):
            new_client(authority=other).request("GET", "/")


def exists(sink_url, index):
    with urllib3.PoolManager() as http:
        return http.request("HEAD", f"{sink_url}/{index}").status == 200


class TestRights:
    @pytest.fixture
    def domain(self, new_proxy, index):
        roles = {"AKIDREADER": reader_requests(index), "AKIDSYNC": sync_requests(index)}
        with new_proxy(allow={key: partial(allows, requests) for key, requests in roles.items()}) as domain:
            yield domain

    def test_the_reader_may_only_search(self, domain, new_client, index, sink_url):
        assert not new_client(to=domain).request("POST", "/_bulk?refresh=true", bulk(index, ["1"])).json()["errors"]
        reader = new_client("AKIDREADER", to=domain)
        found = reader.request("POST", f"/{index}/_search?routing=a", {"query": {"match_all": {}}}).json()
        assert [hit["_id"] for hit in found["hits"]["hits"]] == ["1"]
        for method, path, body in (
            ("POST", "/_bulk", bulk(index, ["2"])),
            ("POST", f"/{index}/_bulk", bulk(index, ["2"])),
            ("PUT", f"/{index}/_doc/2", {}),
            ("POST", f"/{index}-other/_search", {}),
            ("POST", f"/{index}/../{index}/_bulk", bulk(index, ["2"])),
        ):
            message = reason(reader.request(method, path, body))
            action = f"es:ESHttp{method.capitalize()}"
            assert message.startswith(f"User: AKIDREADER is not authorized to perform: {action} because no identity-")
        assert new_client(to=domain).request("HEAD", f"/{index}/_doc/2").status == 404

    def test_the_sync_function_may_write_its_generations_only(self, domain, new_client, index, sink_url):
        sync = new_client("AKIDSYNC", to=domain)
        generation = f"{index}-g1"
        assert sync.request("PUT", f"/{generation}", {"aliases": {f"{generation}-write": {}}}).status == 200
        written = sync.request("POST", f"/{generation}-write/_bulk?refresh=true", bulk(f"{generation}-write", ["1"]))
        assert not written.json()["errors"]
        assert sync.request("POST", "/_bulk", bulk(f"{generation}-write", ["1"])).status == 403
        assert sync.request("DELETE", f"/{generation}").status == 403
        assert exists(sink_url, generation)

    def test_rights_do_not_help_who_cannot_sign(self, domain, new_client, index):
        message = reason(new_client("AKIDREADER", "wrong", to=domain).request("POST", f"/{index}/_search", {}))
        assert message.startswith(MISMATCH)


class TestAway:
    def test_everything_is_answered_with_503(self, proxy, client, connection):
        with proxy.away():
            assert client.request("GET", "/").status == 503
            connection.request("GET", "/")
            assert connection.getresponse().status == 503
        assert client.request("GET", "/").status == 200

    def test_connections_are_cut_and_refused_and_taken_again_at_the_same_port(self, new_proxy, new_client, certificate):
        with new_proxy() as proxy, connected(proxy, certificate) as old:
            url = proxy.url
            client, fresh = new_client(to=proxy), new_client(to=proxy)
            assert client.request("GET", "/").status == 200
            old.connect()
            with proxy.away(refuse=True):
                assert ended(old.sock)
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30)
                for each in (client, fresh):
                    with pytest.raises(Unreachable):
                        each.request("GET", "/")
                with pytest.raises(Unreachable) as refused:
                    fresh.request("GET", "/")
                assert not refused.value.unclear
            assert proxy.url == url
            assert [each.request("GET", "/").status for each in (client, fresh)] == [200, 200]

    def test_a_connection_that_has_not_said_hello_is_cut_too(self, new_proxy, new_client):
        with new_proxy() as proxy:
            address = ("127.0.0.1", int(proxy.url.rpartition(":")[2]))
            with closing(socket.create_connection(address, timeout=30)) as silent:
                assert new_client(to=proxy).request("GET", "/").status == 200  # accepted after the silent one
                with proxy.away(refuse=True):
                    assert ended(silent)

    def test_it_comes_back_after_an_error_within(self, proxy, client):
        for refuse in (False, True):
            with pytest.raises(LookupError), proxy.away(refuse=refuse):
                raise LookupError
            assert client.request("GET", "/").status == 200

    def test_it_ends_for_good(self, new_proxy, new_client):
        with new_proxy() as proxy:
            client = new_client(to=proxy)
            assert client.request("GET", "/").status == 200
        with pytest.raises(Unreachable):
            client.request("GET", "/")

    def test_a_port_in_use_is_told(self, new_proxy, proxy):
        port = int(proxy.url.rpartition(":")[2])
        with pytest.raises(LocalServerError, match=f"OpenSearch domain cannot use port {port}"):
            new_proxy(port=port).__enter__()


def ended(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


class TestServing:
    def test_a_connection_lives_on_whatever_is_answered(self, new_proxy, certificate, index):
        with new_proxy(max_body=10_000) as proxy, connected(proxy, certificate) as connection:
            statuses, sockets = [], set()
            for method, target, body in (
                ("GET", "/", b""),
                ("HEAD", "/", b""),
                ("GET", "/no-such-index", b""),
                ("POST", "/_bulk", b"x" * 10_001),
                ("POST", "/_bulk", bulk(index, ["1"])),
            ):
                headers = signed(proxy, method, target, body, {"content-type": "application/x-ndjson"})
                for each in (headers, {}):
                    connection.request(method, target, body=body or None, headers=each)
                    sockets.add(connection.sock)
                    answer = connection.getresponse()
                    answer.read()
                    statuses.append(answer.status)
            assert statuses == [200, 403, 200, 403, 404, 403, 413, 413, 200, 403]
            assert len(sockets) == 1

    def test_a_body_above_the_limit_is_refused_however_large(self, new_proxy, new_client, index):
        with new_proxy(max_body=10_000) as proxy:
            client = new_client(to=proxy)
            line = bulk(index, ["1"], "")
            fits = bulk(index, ["1"], "x" * (10_000 - len(line)))
            assert not client.request("POST", "/_bulk", fits).json()["errors"]
            for size in (1, 5_000_000):
                answer = client.request("POST", "/_bulk", fits + b"\n" * size)
                assert answer.status == 413
                assert answer.json() == {"Message": "Request size exceeded 10000 bytes"}

    @pytest.mark.parametrize(
        "headers", [{"transfer-encoding": "chunked"}, {"content-length": "-1"}, {"content-length": "x"}], ids=str
    )
    def test_a_body_of_unknown_length_is_refused(self, connection, headers):
        connection.putrequest("POST", "/_bulk")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, answer.headers["connection"]) == (411, "close")

    def test_a_mistake_of_ours_is_seen_and_a_client_that_goes_away_is_not(self, new_proxy, new_client, capfd):
        with new_proxy(allow={"AKIDALL": {}.__getitem__}) as proxy:  # no function of two arguments
            with socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2]))) as stranger:
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
                while not ended(stranger):
                    pass
            with pytest.raises(Unreachable):
                new_client(to=proxy).request("GET", "/")
            assert new_client("AKIDSYNC", to=proxy).request("GET", "/").status == 200
            told, deadline = "", time.monotonic() + 60
            while "TypeError" not in told:
                assert time.monotonic() < deadline, told
                told += capfd.readouterr().err
        assert "SSLError" not in told

    def test_a_client_that_goes_away_before_its_answer_leaves_nothing_open(self, new_proxy, certificate):
        kept, gone = [], threading.Event()

        def hold(*_):
            try:
                raise ValueError
            except ValueError as error:  # whose frames keep the connection for as long as they are kept themselves
                kept.append(error)
            return gone.wait(60)

        with new_proxy(allow={"AKIDALL": hold}) as proxy, connected(proxy, certificate) as connection:
            connection.request("GET", "/", headers=signed(proxy, "GET", "/"))
            until(lambda: kept, "the request has come")
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            gone.set()
            frames = traceback.walk_stack(kept[0].__traceback__.tb_frame)
            handler = next(
                frame.f_locals["self"] for frame, _ in frames if hasattr(frame.f_locals.get("self"), "rfile")
            )
            until(lambda: handler.rfile.closed, "what the server reads from is closed")

    def test_many_threads_write_at_once(self, client, index):
        failed = []

        def write(thread):
            for number in range(10):
                answer = client.request("POST", "/_bulk", bulk(index, [f"{thread}-{number}"]))
                if not answer.ok or answer.json()["errors"]:
                    failed.append(answer)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert client.request("POST", f"/{index}/_refresh").ok
        assert client.request("GET", f"/{index}/_count").json()["count"] == 80

    def test_an_opensearch_that_is_gone_is_a_503(self, new_client, certificate):
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            gone = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with SignatureProxy(gone, credentials=KEYS, region=REGION, certificate=certificate) as proxy:
            answer = new_client(to=proxy).request("GET", "/")
        assert answer.status == 503
        assert answer.json()["message"].startswith("Service Unavailable")


class _Upstream(BaseHTTPRequestHandler):
    """Tells the path and the headers it was asked with."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.connections.add(self.client_address)
        told = json.dumps({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format, *args):  # noqa: A002
        pass


@pytest.fixture
def upstream():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Upstream) as server:
        server.daemon_threads, server.block_on_close = True, False
        server.connections = set()
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_opensearch_is_asked_for_the_same_path_over_one_connection_and_sees_no_signature(
    upstream, certificate, new_client
):
    url = f"http://127.0.0.1:{upstream.server_port}"
    with SignatureProxy(url, credentials=KEYS, region=REGION, certificate=certificate) as proxy:
        client = new_client(to=proxy)
        for path in ("/", "/a%2Fb%20c/_search?q=%C3%A9+%2B&pretty", "/a%252Fb/*,-c/", "/a%2E%2E/x"):
            told = client.request("GET", path).json()
            assert told.pop("path") == path
            assert set(told) == {"host", "accept", "accept-encoding", "user-agent"}
            assert told["host"] == url.removeprefix("http://")
    assert len(upstream.connections) == 1
