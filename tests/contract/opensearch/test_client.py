"""The way to the cluster: passwords that rotate, TLS, AWS signatures checked as AWS would, no server at all."""

import base64
import hashlib
import hmac
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import orjson
import pytest
import trustme
from pydantic import SecretStr

from penstock.aws.sigv4 import Signer
from penstock.errors import SettingsError, SinkUnavailable
from penstock.model import WRITTEN, Write
from penstock.opensearch.http.client import Client, Unreachable
from penstock.opensearch.http.requests import require_server
from penstock.settings import SinkSettings
from testkit.client_certificates import Clients
from testkit.sink_access import Asked, Relay, Said, relay, side


def only_with(password: str) -> Callable[[Asked], Said | str]:
    """Let requests of one user and password through, as OpenSearch does."""
    right = "Basic " + base64.b64encode(f"penstock:{password}".encode()).decode()
    return lambda asked: "pass" if asked.headers.get("authorization") == right else Said(401, b"Unauthorized")


def cut_while_it_waits(between: Relay, client: Client) -> None:
    """A client that is cut ends the request that waits for its answer, and sends no other."""
    asked, answer = threading.Event(), threading.Event()

    def hang(_: Asked) -> str:
        asked.set()
        answer.wait(60)
        return "drop"

    between.plan = hang
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.request, "GET", "/")
        assert asked.wait(60)
        client.cut()
        assert isinstance(waiting.exception(timeout=20), Unreachable)
    with pytest.raises(Unreachable, match="stopping"):
        client.request("GET", "/")
    answer.set()
    client.close()


def test_a_request_that_nobody_answers_is_cut(between: Relay) -> None:
    cut_while_it_waits(between, Client(SinkSettings(url=between.url)))


class TestPasswords:
    def test_the_user_and_password_are_sent(self, between: Relay) -> None:
        between.plan = only_with("sécret:")
        settings = SinkSettings(url=between.url, auth="basic", username="penstock", password=SecretStr("sécret:"))
        assert require_server(Client(settings))

    def test_a_wrong_password_is_told_without_showing_it(self, between: Relay) -> None:
        between.plan = only_with("right")
        settings = SinkSettings(url=between.url, auth="basic", username="penstock", password=SecretStr("wrong"))
        with pytest.raises(SinkUnavailable, match="refused the credentials") as raised:
            require_server(Client(settings))
        assert "wrong" not in str(raised.value)
        assert len(between.asked) == 1

    def test_a_rotated_password_file_is_picked_up_without_a_restart(
        self, between: Relay, index_prefix: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "password"
        file.write_text("first\n")
        between.plan = only_with("first")
        with side(between.url, auth="basic", username="penstock", password_file=file) as way:
            alias = way.generation(f"{index_prefix}a").write_alias
            file.write_text("second\n")
            between.plan = only_with("second")
            assert way.sink.write([Write(alias, "a", 1, b"{}")]) == [WRITTEN]

    def test_a_rotated_password_file_is_picked_up_also_on_a_machine_that_has_just_booted(
        self, between: Relay, tmp_path: Path
    ) -> None:
        file = tmp_path / "password"
        file.write_text("first")
        settings = SinkSettings(url=between.url, auth="basic", username="penstock", password_file=file)
        client = Client(settings, now=lambda: 0.0)
        file.write_text("second")
        between.plan = only_with("second")
        assert client.request("GET", "/").status == 200

    def test_many_threads_that_are_refused_at_once_all_go_on(self, between: Relay, tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_text("first")
        between.plan = only_with("second")
        statuses: list[int] = []
        with side(between.url, auth="basic", username="penstock", password_file=file) as way:
            file.write_text("second")
            threads = [
                threading.Thread(target=lambda: statuses.append(way.client.request("GET", "/").status))
                for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert statuses == [200] * 8

    def test_a_password_that_stays_wrong_ends_after_one_more_try(self, between: Relay, tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_text("wrong")
        between.plan = only_with("right")
        settings = SinkSettings(url=between.url, auth="basic", username="penstock", password_file=file)
        with pytest.raises(SinkUnavailable):
            require_server(Client(settings))
        assert len(between.asked) == 2

    @pytest.mark.parametrize("emptied", [False, True])
    def test_a_password_file_that_is_away_is_waited_for_and_told_after_a_minute(
        self, between: Relay, tmp_path: Path, emptied: bool
    ) -> None:
        file, now = tmp_path / "password", [0.0]
        file.write_text("first")
        settings = SinkSettings(url=between.url, auth="basic", username="penstock", password_file=file)
        client = Client(settings, now=lambda: now[0])
        between.plan = only_with("second")
        file.write_text("") if emptied else file.unlink()
        for now[0] in (0.0, 59.0):
            with pytest.raises(Unreachable, match="password_file"):
                client.request("GET", "/")
        file.write_text("second")
        assert client.request("GET", "/").ok
        between.plan = only_with("third")
        file.unlink()
        for now[0] in (100.0, 159.0):
            with pytest.raises(Unreachable, match="password_file"):
                client.request("GET", "/")
        now[0] = 161.0
        with pytest.raises(SettingsError, match="password_file"):
            client.request("GET", "/")

    def test_a_block_is_not_taken_for_a_refused_password(self, between: Relay, tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_text("first")
        client = Client(SinkSettings(url=between.url, auth="basic", username="penstock", password_file=file))
        between.plan = lambda _: Said(403, b'{"error":{"type":"cluster_block_exception","reason":"blocked"}}')
        assert client.request("GET", "/").status == 403
        assert len(between.asked) == 1


def only_with_key(key: str) -> Callable[[Asked], Said | str]:
    """Let requests with one API key through; others get what OpenSearch's security plugin says to a stranger."""
    return lambda asked: "pass" if asked.headers.get("authorization") == f"ApiKey {key}" else Said(401, b"Unauthorized")


class TestApiKeys:
    def test_the_key_is_sent_with_every_request(self, between: Relay, index_prefix: str) -> None:
        between.plan = only_with_key("os_right-key")
        with side(between.url, auth="api-key", api_key=SecretStr("os_right-key")) as way:
            alias = way.generation(f"{index_prefix}a").write_alias
            assert way.sink.write([Write(alias, "a", 1, b"{}")]) == [WRITTEN]
        assert {each.headers["authorization"] for each in between.asked} == {"ApiKey os_right-key"}

    def test_a_refused_key_is_told_without_showing_it(self, between: Relay) -> None:
        between.plan = only_with_key("os_right-key")
        client = Client(SinkSettings(url=between.url, auth="api-key", api_key=SecretStr("os_revoked")))
        with pytest.raises(SinkUnavailable, match=r"refused the credentials.* the API key") as raised:
            require_server(client)
        assert "os_" not in str(raised.value)
        assert len(between.asked) == 1

    def test_a_new_key_in_the_file_is_picked_up_without_a_restart(self, between: Relay, tmp_path: Path) -> None:
        file, now = tmp_path / "key", [0.0]
        file.write_text("os_first\n")
        between.plan = only_with_key("os_first")
        settings = SinkSettings(url=between.url, auth="api-key", api_key_file=file)
        client = Client(settings, now=lambda: now[0])
        assert client.request("GET", "/").ok
        between.plan = only_with_key("os_second")
        for content in ("", "no key"):
            file.write_text(content)
            with pytest.raises(Unreachable, match=f"api_key_file {file}") as raised:
                client.request("GET", "/")
            assert "no key" not in str(raised.value)
        file.write_text("os_second\n")
        now[0] = 1.0
        assert client.request("GET", "/").ok

    @pytest.mark.parametrize("content", ["", "two words", "ключ"])
    def test_a_file_without_a_key_is_named_at_the_start(self, tmp_path: Path, content: str) -> None:
        file = tmp_path / "key"
        file.write_text(content)
        with pytest.raises(SettingsError, match=f"api_key_file {file} does not hold an API key") as raised:
            Client(SinkSettings(auth="api-key", api_key_file=file))
        assert not content or content not in str(raised.value)


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def trusted(self, authority: trustme.CA, tmp_path: Path) -> Path:
        path = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(path))
        return path

    def context(self, authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return context

    def test_a_server_of_a_known_authority_is_trusted(
        self, sink_url: str, authority: trustme.CA, trusted: Path
    ) -> None:
        with relay(sink_url, self.context(authority)) as between:
            settings = SinkSettings(url=between.url, tls_ca_file=trusted)
            client = Client(settings)
            assert require_server(client)
            client.close()

    def test_a_request_that_nobody_answers_is_cut(self, sink_url: str, authority: trustme.CA, trusted: Path) -> None:
        with relay(sink_url, self.context(authority)) as between:
            cut_while_it_waits(between, Client(SinkSettings(url=between.url, tls_ca_file=trusted)))

    @pytest.mark.parametrize(
        ("name", "todo"),
        [
            ("127.0.0.1", "Set [sink] tls_ca_file to the CA"),
            ("elsewhere.example", "Use a name in [sink] url that the server's certificate is for."),
        ],
    )
    def test_any_other_server_is_not(
        self, sink_url: str, authority: trustme.CA, trusted: Path, name: str, todo: str
    ) -> None:
        known = trusted if name != "127.0.0.1" else None
        with relay(sink_url, self.context(authority, name)) as between:
            client = Client(SinkSettings(url=between.url, tls_ca_file=known))
            with pytest.raises(SinkUnavailable, match=re.escape(todo)):
                require_server(client)
            client.close()

    @pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_a_server_that_asks_for_a_client_certificate_is_told_of(
        self, authority: trustme.CA, trusted: Path, newest: ssl.TLSVersion
    ) -> None:
        context = self.context(authority)
        context.maximum_version = newest
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
        with one_handshake(context) as port:
            client = Client(SinkSettings(url=f"https://127.0.0.1:{port}", tls_ca_file=trusted))
            with pytest.raises(SinkUnavailable, match="requires a client certificate"):
                require_server(client)
            client.close()

    def test_a_server_that_wants_tls_is_told_of(self, authority: trustme.CA) -> None:
        with one_handshake(self.context(authority)) as port:
            client = Client(SinkSettings(url=f"http://127.0.0.1:{port}"))
            with pytest.raises(SinkUnavailable, match="use https:// in"):
                require_server(client)
            client.close()

    def test_a_server_without_tls_is_told(self, sink_url: str) -> None:
        with pytest.raises(SinkUnavailable, match="the server has no TLS"):
            require_server(Client(SinkSettings(url=sink_url.replace("http:", "https:"))))

    def test_a_file_that_is_no_certificate_is_told(self, sink_url: str, authority: trustme.CA, tmp_path: Path) -> None:
        path = tmp_path / "ca.pem"
        path.write_text("no certificate")
        with relay(sink_url, self.context(authority)) as between:
            client = Client(SinkSettings(url=between.url, tls_ca_file=path))
            with pytest.raises(SinkUnavailable, match="tls_ca_file"):
                require_server(client)


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
class TestClientCertificates:
    """A server that speaks only to clients with a certificate of an authority that it knows; behind it OpenSearch."""

    @pytest.fixture
    def clients(self, tmp_path: Path) -> Clients:
        return Clients(tmp_path / "clients")

    @pytest.fixture
    def guarded(
        self, sink_url: str, clients: Clients, tmp_path: Path, newest: ssl.TLSVersion
    ) -> Iterator[dict[str, Any]]:
        """The address of the server, and its authority, as settings."""
        server, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.issue_cert("127.0.0.1").configure_cert(context)
        server.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        context.maximum_version, context.verify_mode = newest, ssl.CERT_REQUIRED
        context.load_verify_locations(clients.authority)
        with relay(sink_url, context) as between:
            yield {"url": between.url, "tls_ca_file": tmp_path / "ca.pem"}

    @pytest.mark.parametrize("in_one_file", [True, False])
    def test_a_known_client_writes(
        self, guarded: dict[str, Any], clients: Clients, index_prefix: str, in_one_file: bool
    ) -> None:
        certificate, key = (clients.certificate(), None) if in_one_file else clients.pair()
        with side(**guarded, client_certificate=certificate, client_key=key) as way:
            alias = way.generation(f"{index_prefix}a").write_alias
            assert way.sink.write([Write(alias, "a", 1, b"{}")]) == [WRITTEN]

    def test_a_client_without_one_is_told_the_setting(self, guarded: dict[str, Any]) -> None:
        with pytest.raises(SinkUnavailable, match=r"requires a client certificate: .*\[sink\] client_certificate"):
            require_server(Client(SinkSettings(**guarded)))

    def test_one_of_another_authority_is_named_and_a_renewed_one_is_used_without_a_restart(
        self, guarded: dict[str, Any], clients: Clients, tmp_path: Path
    ) -> None:
        file = Clients(tmp_path / "others").certificate()
        client = Client(SinkSettings(**guarded, client_certificate=file))
        with pytest.raises(SinkUnavailable, match=f"does not take the certificate .*{file}: use one of an authority"):
            require_server(client)
        file.write_bytes(clients.certificate().read_bytes())
        assert require_server(client)
        client.close()

    def test_one_that_expired_since_the_start_is_named(self, guarded: dict[str, Any], clients: Clients) -> None:
        file = clients.certificate()
        client = Client(SinkSettings(**guarded, client_certificate=file))
        clients.certificate(expired=True)
        with pytest.raises(SinkUnavailable, match=f"{file}: the certificate in {file} expired on 20"):
            require_server(client)
        client.close()


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            lambda clients: (clients.certificate(expired=True), None),
            r"the certificate in \S+penstock.pem expired on 20",
        ),
        (lambda clients: (clients.certificate(encrypted=True), None), "holds an encrypted key"),
        (lambda clients: clients.pair(encrypted=True), r"penstock-key.pem holds an encrypted key"),
        (lambda clients: (clients.pair()[0], None), r"penstock.pem holds no private key in PEM form"),
        (
            lambda clients: (clients.certificate(), clients.pair("other")[1]),
            r"other-key.pem holds another certificate's",
        ),
    ],
)
def test_a_client_certificate_that_cannot_be_used_is_named_before_anything_is_sent(
    tmp_path: Path, made: Callable[[Clients], tuple[Path, Path | None]], words: str
) -> None:
    certificate, key = made(Clients(tmp_path))
    settings = SinkSettings(url="https://127.0.0.1:9", client_certificate=certificate, client_key=key)
    with pytest.raises(SettingsError, match=r"\[sink\] client_certificate: .*" + words):
        Client(settings)


@contextmanager
def one_handshake(context: ssl.SSLContext) -> Iterator[int]:
    """A port that speaks TLS alone; it answers nothing after the handshake."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                accepted, _ = listening.accept()
                with suppress(OSError), context.wrap_socket(accepted, server_side=True) as wrapped:
                    wrapped.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


class TestVersions:
    @pytest.mark.parametrize(
        ("version", "name"),
        [
            ({"number": "7.17.9", "build_flavor": "default"}, "Elasticsearch 7.17.9"),
            ({"number": "8.11.0"}, "Elasticsearch 8.11.0"),
            ({"number": "1.3.14", "distribution": "opensearch"}, r"OpenSearch 1\.3\.14"),
        ],
    )
    def test_what_is_no_opensearch_2_or_3_is_refused(self, between: Relay, version: dict[str, str], name: str) -> None:
        between.plan = lambda _: Said(200, orjson.dumps({"version": version}))
        with pytest.raises(SinkUnavailable, match=f"{name} at .* is not supported. Use OpenSearch 2 or 3."):
            require_server(Client(SinkSettings(url=between.url)))

    @pytest.mark.parametrize("number", ["2.19.0", "3.3.2", "7.10.2"])
    def test_opensearch_2_and_3_are_taken_also_where_they_speak_as_an_older_one(
        self, between: Relay, number: str
    ) -> None:
        version = {"number": number, "distribution": "opensearch"}
        between.plan = lambda _: Said(200, orjson.dumps({"version": version}))
        assert require_server(Client(SinkSettings(url=between.url))) == number


class TestNoServer:
    @pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://no-such-host.invalid:9200"])
    def test_no_answer_is_told_at_once(self, url: str) -> None:
        with pytest.raises(SinkUnavailable, match=f"No response from OpenSearch at {url}"):
            require_server(Client(SinkSettings(url=url)))

    @pytest.mark.parametrize(
        "said", [Said(200, b"<html>hello</html>"), Said(404, b"nothing"), Said(302, b""), Said(503, b"later")]
    )
    def test_something_else_at_the_address_is_told(self, between: Relay, said: Said) -> None:
        between.plan = lambda _: said
        with pytest.raises(SinkUnavailable):
            require_server(Client(SinkSettings(url=between.url)))

    def test_a_connection_that_was_never_made_is_clear_and_a_cut_one_is_not(self, between: Relay) -> None:
        with pytest.raises(Unreachable) as never:
            Client(SinkSettings(url="http://127.0.0.1:9")).request("GET", "/")
        between.plan = lambda _: "drop"
        with pytest.raises(Unreachable) as cut:
            Client(SinkSettings(url=between.url)).request("GET", "/")
        assert (never.value.unclear, cut.value.unclear) == (False, True)

    def test_an_answer_that_takes_too_long_is_unclear(self, between: Relay) -> None:
        goes_on = threading.Event()

        def late_answer(_: Asked) -> str:
            goes_on.wait(10)
            return "drop"

        between.plan = late_answer
        with pytest.raises(Unreachable) as late:
            Client(SinkSettings(url=between.url, timeout_s=0.1)).request("GET", "/")
        goes_on.set()
        assert late.value.unclear


class Aws:
    """Checks a signature the way AWS does, written down from its documentation, without botocore."""

    def __init__(self, key: str, secret: str, token: str | None) -> None:
        self.key, self.secret, self.token = key, secret, token

    def __call__(self, asked: Asked) -> Said | str:
        given = asked.headers.get("authorization", "")
        return "pass" if given == self.expected(asked, given) else Said(403, b'{"message":"The signature is wrong"}')

    def expected(self, asked: Asked, given: str) -> str:
        assert asked.headers["x-amz-content-sha256"] == hashlib.sha256(asked.body).hexdigest()
        assert asked.headers.get("x-amz-security-token") == self.token
        names = given.partition("SignedHeaders=")[2].partition(",")[0]
        assert {"host", "x-amz-content-sha256", "x-amz-date"} <= set(names.split(";"))
        path, _, query = asked.path.partition("?")
        canonical = "\n".join(
            [
                asked.method,
                quote(path, safe="/-_.~"),
                "&".join(sorted(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in parse_qsl(query))),
                *(f"{name}:{asked.headers[name]}" for name in names.split(";")),
                "",
                names,
                asked.headers["x-amz-content-sha256"],
            ]
        )
        when = asked.headers["x-amz-date"]
        scope = f"{when[:8]}/eu-central-1/es/aws4_request"
        told = f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{self.secret}".encode()
        for part in (*scope.split("/"), told):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"


class TestSigV4:
    @pytest.fixture(autouse=True)
    def aws(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """A profile in a file, and nothing else that AWS's tools would look at."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        file = tmp_path / "credentials"
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        return file

    def profile(self, file: Path, key: str, secret: str, token: str | None = None) -> Aws:
        session = f"aws_session_token = {token}\n" if token else ""
        file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n{session}")
        return Aws(key, secret, token)

    def settings(self, between: Relay, **more: object) -> SinkSettings:
        given = {"url": between.url, "auth": "sigv4", "region": "eu-central-1", **more}
        return SinkSettings.model_validate(given)

    @pytest.mark.parametrize("gzip", [False, True])
    @pytest.mark.parametrize("token", [None, "session+token/="])
    def test_every_request_is_signed_as_aws_checks_it(
        self, between: Relay, index_prefix: str, aws: Path, token: str | None, gzip: bool
    ) -> None:
        between.plan = self.profile(aws, "AKIDEXAMPLE", "secret/+key", token)
        settings = self.settings(between, gzip=gzip)
        client = Client(settings, signer=Signer(settings))
        assert client.request("PUT", f"/{index_prefix}a", {"aliases": {f"{index_prefix}ä+b": {}}}).ok
        lines = b'{"index":{"_id":"1"}}\n{"text":"%b"}\n' % (b"x" * 4000)
        path = f"/{quote(index_prefix + 'ä+b', safe='')}/_bulk?timeout=30s&filter_path=errors,items.*.status"
        assert client.request("POST", path, lines).json() == {"errors": False, "items": [{"index": {"status": 201}}]}
        assert client.request("GET", f"/{index_prefix}a").ok
        assert urlsplit(between.url).netloc == between.asked[0].headers["host"]

    def test_a_rotated_key_is_picked_up_without_a_restart(self, between: Relay, aws: Path) -> None:
        between.plan = self.profile(aws, "OLD", "old")
        settings = self.settings(between)
        client = Client(settings, signer=Signer(settings))
        assert client.request("GET", "/").ok
        between.plan = self.profile(aws, "NEW", "new")
        assert client.request("GET", "/").ok

    def test_a_refused_signature_says_what_to_do(self, between: Relay, aws: Path) -> None:
        between.plan = self.profile(aws, "KEY", "right")
        self.profile(aws, "KEY", "wrong")
        settings = self.settings(between)
        with pytest.raises(SinkUnavailable, match="access policy") as raised:
            require_server(Client(settings, signer=Signer(settings)))
        assert "wrong" not in str(raised.value).replace("signature is wrong", "")

    def test_without_credentials_or_a_region_there_is_no_start(self, between: Relay, aws: Path) -> None:
        with pytest.raises(SettingsError, match="no AWS credentials"):
            Signer(self.settings(between))
        self.profile(aws, "KEY", "secret")
        with pytest.raises(SettingsError, match="no AWS region"):
            Signer(self.settings(between, region=None))

    def test_a_client_without_its_signer_is_refused(self, between: Relay) -> None:
        with pytest.raises(SettingsError, match="sigv4"):
            Client(self.settings(between))
