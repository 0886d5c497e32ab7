"""The local source's own settings reach it: user and password, TLS, mode, log size."""

import pymongo
import pytest
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

from penstock_tools.servers.errors import LocalServerError
from penstock_tools.servers.source import LocalSourceSettings, local_source

PASSWORD = "sesame & open/up"


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """A source that asks for a user, a password and TLS."""
    settings = LocalSourceSettings(user="reader", password=PASSWORD, tls=True)
    with local_source(tmp_path_factory.mktemp("locked"), settings) as source:
        yield source


def connect(uri, **options):
    return pymongo.MongoClient(uri, serverSelectionTimeoutMS=2000, **options)


def test_the_connection_string_opens_a_locked_source(locked):
    with connect(locked.uri) as client:
        client.a.b.insert_one({"_id": 1})
        assert client.a.b.count_documents({}) == 1


def test_a_wrong_password_is_refused(locked):
    with connect(locked.uri, password="guess") as client, pytest.raises(OperationFailure) as refused:
        client.a.b.find_one()
    assert refused.value.code == 18


def test_without_the_authority_the_certificate_is_not_trusted(locked):
    uri = locked.uri.partition("&tlsCAFile")[0]
    with connect(uri) as client, pytest.raises(ServerSelectionTimeoutError, match="CERTIFICATE_VERIFY_FAILED"):
        client.a.b.find_one()


def test_what_is_shown_holds_no_password(locked):
    assert "sesame" in locked.uri
    assert "sesame" not in locked.shown_uri
    assert PASSWORD not in repr(LocalSourceSettings(user="reader", password=PASSWORD))


def test_the_key_is_readable_by_its_owner_only(locked):
    key = locked.child.log.parent.parent / "certificates" / "source-key.pem"
    assert key.stat().st_mode & 0o077 == 0


def test_the_mode_decides_what_the_source_says_it_is(tmp_path):
    with local_source(tmp_path, LocalSourceSettings(mode="mongodb-4.0")) as source, connect(source.uri) as client:
        assert client.server_info()["version"].startswith("4.0")


def test_an_unknown_mode_is_told_in_the_servers_own_words(tmp_path):
    with (
        pytest.raises(LocalServerError, match=r"(?s)ended while starting.*mysql"),
        local_source(tmp_path, LocalSourceSettings(mode="mysql")),
    ):
        pass
