"""The login by a client's certificate (MONGODB-X509), at a server that demands one; and what is said of each fault."""

import os

import pymongo
import pytest

from penstock.errors import SettingsError, SourceUnavailable
from penstock.mongo.connection import cluster_time, connect
from penstock.settings import SourceSettings
from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.client_certificates import PASSWORD, Clients, subject_of

QUICK = "serverSelectionTimeoutMS=5000"


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    return Clients(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module")
def mine(clients):
    return clients.certificate("mine")


@pytest.fixture(scope="module")
def server(tmp_path_factory, clients, mine):
    """Demands a certificate of `clients`; the subject of `mine` is its user."""
    settings = LocalSourceSettings(tls=True, tls_client_ca=clients.authority, user=subject_of(mine))
    with local_source(tmp_path_factory.mktemp("source"), settings) as source:
        yield source


@pytest.fixture
def settings(server):
    """Settings with the certificate in this file, if there is one."""

    def settings(file=None, *, mechanism="MONGODB-X509", more=""):
        uri = f"mongodb://127.0.0.1:{server.child.port}/?replicaSet=rs0&tls=true&{QUICK}{more}"
        uri += f"&authMechanism={mechanism}" if mechanism else ""
        return SourceSettings(
            uri=uri + (f"&tlsCertificateKeyFile={file}" if file else ""), tls_ca_file=server.authority
        )

    return settings


def refusal(settings, error=SourceUnavailable):
    with pytest.raises(error) as raised:
        connect(settings)
    return str(raised.value)


def test_the_certificate_logs_in(settings, mine):
    with connect(settings(mine)) as connection:
        assert cluster_time(connection.client)
        assert connection.client.list_database_names() is not None


def test_the_key_may_be_encrypted_where_its_password_is_given(settings, server, clients, mine):
    file = clients.certificate("mine", encrypted=True)
    assert subject_of(file) == subject_of(mine)
    with connect(settings(file, more=f"&tlsCertificateKeyFilePassword={PASSWORD.replace(' ', '%20')}")) as connection:
        assert cluster_time(connection.client)


def test_a_certificate_that_is_nobodys_is_told_how_to_become_a_user(settings, clients):
    other = clients.certificate("other")
    message = refusal(settings(other))
    assert "refuses the login" in message
    assert "(code 18)" in message
    assert f"-in {other}` prints it" in message
    assert "$external" in message
    assert "password" not in message


def test_the_certificate_alone_lets_nobody_in_where_a_login_is_asked_for(settings, mine):
    with connect(settings(mine, mechanism="")) as connection, pytest.raises(pymongo.errors.OperationFailure) as raised:
        connection.client.list_database_names()
    assert raised.value.code == 13


def test_a_server_that_demands_a_certificate_says_so(settings):
    message = refusal(settings(mechanism=""))
    assert "requires a client certificate" in message
    assert "tlsCertificateKeyFile in [source] uri" in message


def test_a_certificate_of_an_authority_that_the_server_does_not_know(settings, tmp_path):
    foreign = Clients(tmp_path).certificate("mine")
    message = refusal(settings(foreign))
    assert f"does not take the client's certificate in {foreign}" in message


def test_a_login_by_certificate_without_one(settings):
    assert "MONGODB-X509 needs tlsCertificateKeyFile" in refusal(settings(), SettingsError)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda clients: clients.certificate(expired=True), r"the certificate in \S+penstock.pem expired on 20\d\d-"),
        (lambda clients: clients.certificate(encrypted=True), "encrypted key, and its password is not given"),
        (lambda clients: clients.pair()[0], "holds no private key in PEM form"),
        (lambda clients: clients.pair()[1], "holds no certificate in PEM form"),
        (lambda clients: clients.authority.with_name("none.pem"), r"none.pem cannot be read \(No such file"),
        (lambda clients: clients.authority.parent, r"cannot be read \(Is a directory\)"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(settings, tmp_path, made, words):
    """A driver would ask for a password at the terminal, and name no file for the rest."""
    used = settings(made(Clients(tmp_path)))
    with pytest.raises(SettingsError, match=r"\[source\] uri: tlsCertificateKeyFile: .*" + words):
        connect(used)


def test_a_wrong_password_of_the_key_is_not_shown(settings, tmp_path):
    file = Clients(tmp_path).certificate(encrypted=True)
    message = refusal(settings(file, more="&tlsCertificateKeyFilePassword=hush"), SettingsError)
    assert f"{file} holds an encrypted key, and its password is another one" in message
    assert "hush" not in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_this_user_may_not_read(settings, tmp_path):
    file = Clients(tmp_path).certificate()
    file.chmod(0)
    assert "Permission denied" in refusal(settings(file), SettingsError)
