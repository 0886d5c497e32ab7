"""How a source is reached, and what is said when it is not."""

import sys
import threading
import time
from pathlib import Path

import pymongo
import pytest
from pymongo.errors import AutoReconnect, InvalidOperation
from structlog.testing import capture_logs

from penstock.errors import SettingsError, SourceUnavailable
from penstock.model import Namespace
from penstock.mongo import collections
from penstock.mongo.connection import Connection, Login, cluster_time, connect, server
from penstock.mongo.error_table import Fault, connection_advice, fault_of
from penstock.mongo.retrying import ask
from penstock.settings import SourceSettings
from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.source_twins import RealSide, whole
from testkit.tcp_proxy import Proxy

QUICK = "serverSelectionTimeoutMS=3000"


@pytest.fixture
def connection(source_uri):
    with connect(SourceSettings(uri=source_uri)) as connection:
        yield connection


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server with a login and TLS: the options of its connection string, and its address."""
    flags = LocalSourceSettings(user="reader", password="the first secret", tls=True)
    with local_source(tmp_path_factory.mktemp("guarded"), flags) as source:
        found = pymongo.uri_parser.parse_uri(source.uri)
        yield Path(found["options"]["tlsCAFile"]), "{}:{}".format(*found["nodelist"][0])


def test_what_the_source_does_not_answer_ends_soon_after_a_stop(source_uri, source_client):
    if "@" in source_uri or "tls" in source_uri:
        pytest.skip("a server with a login or TLS cannot be reached through the proxy")
    source_client.admin.command("ping")
    stop = threading.Event()
    with Proxy(source_client.primary) as proxy:
        uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        with connect(SourceSettings(uri=uri), stop=stop) as connection:
            proxy.hang()
            threading.Timer(0.2, stop.set).start()
            began = time.monotonic()
            with pytest.raises(AutoReconnect):
                cluster_time(connection.client)
        assert time.monotonic() - began < 15


def refusal(settings: SourceSettings) -> str:
    with pytest.raises(SourceUnavailable) as raised:
        connect(settings)
    message = str(raised.value)
    assert "secret" not in message
    return message


def test_no_server_at_the_address():
    with Proxy(("127.0.0.1", 1)) as proxy:
        address = f"127.0.0.1:{proxy.port}"
        proxy.close()
    message = refusal(SourceSettings(uri=f"mongodb://u:secret@{address}/?{QUICK}"))
    assert message.startswith(f"No source answers at {address}: ")
    assert "Connection refused" in message
    assert "Check [source] uri" in message


def test_a_replica_set_of_another_name(source_client):
    source_client.admin.command("ping")
    host, port = source_client.primary
    message = refusal(SourceSettings(uri=f"mongodb://{host}:{port}/?replicaSet=other&{QUICK}"))
    assert "Check replicaSet in [source] uri" in message


def test_a_wrong_password(guarded):
    authority, address = guarded
    message = refusal(
        SourceSettings(
            uri=f"mongodb://{address}/?tls=true",
            username="reader",
            password="a wrong secret",
            tls_ca_file=authority,
        )
    )
    assert f"The source at {address} refuses the login" in message
    assert "(code 18)" in message
    assert "Check [source] username and password" in message


def test_a_wrong_password_over_a_slow_network(guarded):
    """The driver's time is over before the server has said hello, which is no reason to say that none answers."""
    authority, address = guarded
    with Proxy(address_of(f"mongodb://{address}")) as proxy:
        proxy.delay_s = 0.4
        message = refusal(
            SourceSettings(
                uri=f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true&serverSelectionTimeoutMS=1000",
                username="reader",
                password="a wrong secret",
                tls_ca_file=authority,
            )
        )
    assert "refuses the login" in message
    assert "(code 18)" in message


def test_a_server_that_wants_tls_while_the_settings_name_none(guarded):
    _, address = guarded
    message = refusal(SourceSettings(uri=f"mongodb://{address}/?{QUICK}"))
    assert "add tls=true to [source] uri" in message


def test_a_password_for_the_user_of_the_connection_string(guarded):
    authority, address = guarded
    settings = SourceSettings(uri=f"mongodb://reader@{address}/", password="the first secret", tls_ca_file=authority)
    with connect(settings) as connection:
        assert connection.client.list_database_names() is not None


def test_a_certificate_of_an_unknown_authority(guarded):
    _, address = guarded
    message = refusal(SourceSettings(uri=f"mongodb://{address}/?tls=true&{QUICK}"))
    assert "certificate verify failed" in message
    assert "Check [source] tls_ca_file" in message


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://user:se%zzcret@host",
        "mongodb://host:port",
        "mongodb://u:secret@host:99999/",
    ],
)
def test_an_address_that_is_none_is_a_problem_of_the_settings_and_shows_no_secret(uri, recwarn, capfd):
    with pytest.raises(SettingsError, match=r"\[source\] uri") as raised:
        connect(SourceSettings(uri=uri))
    shown = str(raised.value) + "".join(str(each.message) for each in recwarn) + "".join(capfd.readouterr())
    assert "cret" not in shown


def test_an_option_that_the_driver_ignores_is_named_without_its_value(source_uri, recwarn):
    with capture_logs() as logged, connect(SourceSettings(uri=f"{source_uri}&appNme=secret&maxPoolSize=secret")):
        pass
    assert [each["options"] for each in logged if "ignores options" in each["event"]] == [["appNme", "maxPoolSize"]]
    assert not recwarn.list
    assert "secret" not in str(logged)


def test_files_that_have_gone_or_are_no_certificates_are_problems_of_the_settings(tmp_path):
    gone = tmp_path / "gone"
    gone.touch()
    with_password = SourceSettings(username="u", password_file=gone)
    with_ca = SourceSettings(tls_ca_file=gone)
    with pytest.raises(SettingsError, match=r"\[source\] tls_ca_file: .*gone cannot be used"):
        connect(with_ca)
    gone.unlink()
    with pytest.raises(SettingsError, match=r"\[source\] password_file: .*gone cannot be read"):
        connect(with_password)
    with pytest.raises(SettingsError, match=r"\[source\] tls_ca_file: .*gone cannot be used"):
        connect(with_ca)


def test_a_rotated_password_is_picked_up_without_a_restart(tmp_path):
    """A load goes on although the server at the address has changed its password."""
    password = tmp_path / "password"
    password.write_text("first\n")
    with (
        local_source(tmp_path / "one", LocalSourceSettings(user="reader", password="first")) as one,
        local_source(tmp_path / "two", LocalSourceSettings(user="reader", password="second")) as two,
    ):
        for each in (one, two):
            with pymongo.MongoClient(each.uri) as client:
                client["shop"]["orders"].insert_many([{"_id": number} for number in range(6)])
        with Proxy(address_of(one.uri)) as proxy:
            uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true&{QUICK}"
            with connect(SourceSettings(uri=uri, username="reader", password_file=password)) as connection:
                side = RealSide(connection, connection.client["shop"])
                batches = side.load("orders", range_size=2).batches(None, whole)
                seen = [change.id for change in next(batches).changes]
                password.write_text("second\n")
                proxy.upstream = address_of(two.uri)
                proxy.cut()
                seen += [change.id for batch in batches for change in batch.changes]
    assert seen == list(range(6))


def address_of(uri: str) -> tuple[str, int]:
    (address,) = pymongo.uri_parser.parse_uri(uri)["nodelist"]
    return address


def test_a_server_says_what_it_is(connection):
    found = server(connection.client)
    assert found.product in ("MongoDB", "DocumentDB")
    assert found.version[0].isdigit()
    assert found.replica_set
    assert ":" in found.primary
    assert abs((found.time >> 32) - time.time()) < 3600


def test_the_cluster_time_is_not_before_a_write_that_was_acknowledged(connection, database):
    times = []
    for number in range(20):
        database.orders.insert_one({"_id": number})
        times.append(cluster_time(connection.client))
    assert times == sorted(times)
    assert len(set(times)) == 20


def test_collections_and_documents_are_found(connection, database):
    orders, gone = Namespace(database.name, "orders"), Namespace(database.name, "gone")
    database.orders.insert_many([{"_id": number} for number in range(2500)])
    client = connection.client
    assert database.name in collections.databases(client)
    assert collections.namespaces(client, database.name) == [orders]
    assert collections.exists(client, orders)
    assert not collections.exists(client, gone)
    assert collections.estimated_count(client, orders) == 2500
    assert sorted(collections.find_by_ids(client, orders, range(-100, 2400))) == list(range(2400))
    version, documents = collections.read_documents(client, orders, [5, 6, -1])
    assert documents == [{"_id": 5}, {"_id": 6}]
    assert version >= collections.committed_time(client, gone) > 0


def test_an_identity_changes_when_a_collection_is_made_again(connection, database):
    database.orders.insert_one({})
    before = collections.identities(connection.client, database.name, ["orders"])["orders"]
    if not before:
        pytest.skip("the server tells no identity of collections")
    assert collections.identities(connection.client, database.name, ["orders", "x"]) == {"orders": before}
    database.orders.drop()
    database.orders.insert_one({})
    assert collections.identities(connection.client, database.name, ["orders"])["orders"] != before


def test_options_that_choose_among_secondaries_are_dropped(source_uri, capfd):
    options = "readPreference=secondary&readPreferenceTags=dc:ny&readPreferenceTags=&maxStalenessSeconds=120"
    with connect(SourceSettings(uri=f"{source_uri}&{options}")) as connection:
        assert cluster_time(connection.client)
        assert connection.client.read_preference == pymongo.ReadPreference.PRIMARY
    logged = "".join(capfd.readouterr())
    assert "penstock reads from the primary; [source] stream_from is for streams" in logged
    assert "readPreferenceTags" in logged


def test_a_client_certificate_that_is_not_there_is_not_blamed_on_the_ca(guarded, tmp_path):
    authority, address = guarded
    uri = f"mongodb://{address}/?tlsCertificateKeyFile={tmp_path}/none.pem&{QUICK}"
    with pytest.raises(SettingsError, match="tlsCertificateKeyFile") as raised:
        connect(SourceSettings(uri=uri, tls_ca_file=authority))
    assert "tls_ca_file" not in str(raised.value)


def test_an_aws_login_without_its_package_names_it(source_uri, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymongo_auth_aws", None)
    with pytest.raises(SettingsError, match=r"pymongo-auth-aws.*penstock\[aws\]"):
        connect(SourceSettings(uri=f"{source_uri}&authMechanism=MONGODB-AWS"))


def test_a_client_is_closed_when_its_login_was_rotated_and_who_uses_it_goes_on(source_uri):
    logins = iter([Login(None, None), Login("somebody", "else"), Login(None, None)])
    with Connection(SourceSettings(uri=source_uri), lambda: next(logins)) as connection:
        first = connection.client
        assert cluster_time(first)
        connection.log_in_again(first)
        connection.log_in_again(connection.client)
        assert len(connection._clients) == 1
        with pytest.raises(InvalidOperation) as raised:
            cluster_time(first)
        assert fault_of(raised.value) is Fault.TRANSIENT
        assert ask(connection, threading.Event(), cluster_time)


def test_a_password_file_that_is_away_for_a_moment_keeps_the_login(source_uri, tmp_path):
    file = tmp_path / "password"
    file.write_text("first")
    uri = source_uri.replace("mongodb://", "mongodb://me@")
    with Connection(SourceSettings(uri=uri, password_file=file)) as connection:
        before = connection.client
        file.unlink()
        connection.log_in_again(before)
        assert connection.client is before
        file.write_text("second")
        connection.log_in_again(before)
        assert connection.client is not before


@pytest.mark.parametrize(
    ("text", "certificate", "words"),
    [
        ("SSL handshake failed: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED]", None, "The server requires a client cert"),
        ("SSL handshake failed: [SSL: SSLV3_ALERT_HANDSHAKE_FAILURE]", Path("me.pem"), "certificate in me.pem"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer certificate", None, "tls_ca_file"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] IP address mismatch", None, "Use a name in [source] uri"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", None, "has no TLS"),
        ("127.0.0.1:27017: connection closed", None, "tlsCertificateKeyFile"),
    ],
)
def test_the_advice_follows_the_error_of_tls(text, certificate, words):
    assert words in connection_advice(text, is_tls=True, certificate=certificate)
