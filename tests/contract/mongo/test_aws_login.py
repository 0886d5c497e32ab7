"""The login by AWS credentials (MONGODB-AWS), at a server that takes one access key."""

import pytest
from pymongo.errors import AutoReconnect, OperationFailure

from penstock.errors import SourceUnavailable
from penstock.mongo.connection import cluster_time, connect
from penstock.mongo.error_table import Fault, fault_of
from penstock.settings import SourceSettings
from penstock_tools.servers.source import LocalSourceSettings, local_source

RIGHT = "AKIAPENSTOCKRIGHT000"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with local_source(tmp_path_factory.mktemp("source"), LocalSourceSettings(aws_key=RIGHT)) as source:
        yield source


@pytest.fixture
def settings(server):
    return SourceSettings(uri=f"{server.uri}&authMechanism=MONGODB-AWS&authSource=$external")


@pytest.fixture
def credentials(monkeypatch, tmp_path):
    """The credentials of the process; before the first call it has none."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def credentials(key):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")

    return credentials


def refusal(settings):
    with pytest.raises(SourceUnavailable) as raised:
        connect(settings)
    assert "hush" not in str(raised.value)
    return str(raised.value)


def test_the_credentials_of_the_process_log_in(settings, credentials):
    credentials(RIGHT)
    with connect(settings) as connection:
        assert connection.client.list_database_names() is not None


def test_a_role_that_is_no_user_is_told_how_to_become_one(settings, credentials):
    credentials("AKIAPENSTOCKWRONG000")
    message = refusal(settings)
    assert "refuses the login" in message
    assert "under the ARN of the AWS role" in message
    assert "username and password" not in message


def test_a_process_without_credentials_is_told_so(settings, credentials):
    message = refusal(settings)
    assert "finds no AWS credentials here" in message
    assert "pymongo" not in message


def test_the_credentials_are_read_again_for_each_new_connection(settings, credentials, monkeypatch):
    """Those of a role last some hours."""
    credentials(RIGHT)
    with connect(settings) as connection:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        fault = {"failCommands": ["ping"], "closeConnection": True}
        connection.client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": fault})
        with pytest.raises(AutoReconnect):
            cluster_time(connection.client)
        with pytest.raises(OperationFailure) as refused:
            cluster_time(connection.client)
        assert fault_of(refused.value) is Fault.LOGIN
        credentials(RIGHT)
        assert cluster_time(connection.client)
