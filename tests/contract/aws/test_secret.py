"""The login of a cluster from Secrets Manager, also after the password was rotated; and the queue."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest

from penstock.aws import ca_bundle, session
from penstock.aws.queue import Queue
from penstock.aws.secret import read_secret
from penstock.connections import parking_queue, source_connection
from penstock.errors import QueueUnavailable, SettingsError, SourceUnavailable
from penstock.mongo.collections import databases
from penstock.mongo.retrying import ask
from penstock.settings import Settings, SourceSettings
from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.tcp_proxy import Proxy


@pytest.fixture(autouse=True)
def aws(aws_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": aws_url,
    }.items():
        monkeypatch.setenv(name, value)
    session.session.cache_clear()
    yield
    session.session.cache_clear()


def stored(name: str, value: str) -> str:
    manager = session.service("secretsmanager")
    return str(manager.create_secret(Name=name, SecretString=value)["ARN"])


def login(password: str) -> str:
    return json.dumps({"username": "reader", "password": password, "engine": "mongo", "port": 27017})


def test_the_login_is_read_from_the_secret_and_again_when_it_was_rotated(
    tmp_path: Path,
) -> None:
    stop = threading.Event()
    arn = stored("rotated", login("first"))
    with (
        local_source(tmp_path / "one", LocalSourceSettings(user="reader", password="first")) as one,
        local_source(tmp_path / "two", LocalSourceSettings(user="reader", password="second")) as two,
        Proxy(address_of(one.uri)) as proxy,
    ):
        with pymongo.MongoClient(two.uri) as client:
            client["of_two"]["orders"].insert_one({})
        uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true&serverSelectionTimeoutMS=2000"
        with source_connection(SourceSettings(uri=uri, secret=arn)) as connection:
            assert ask(connection, stop, databases) == []
            session.service("secretsmanager").put_secret_value(SecretId=arn, SecretString=login("second"))
            proxy.upstream = address_of(two.uri)
            proxy.cut()
            assert ask(connection, stop, databases) == ["of_two"]


def test_a_lazy_connection_reads_nothing_before_it_is_used() -> None:
    connection = source_connection(SourceSettings(uri="mongodb://127.0.0.1:1/", secret="missing"), lazily=True)
    with pytest.raises(SettingsError, match=r"\[source\] secret: The secret missing cannot be read: ResourceNotFound"):
        _ = connection.client


@pytest.mark.parametrize("value", ["hidden", "[]", "{}", '{"username": "hidden"}', "null"])
def test_a_secret_of_another_form_is_refused_without_showing_it(value: str) -> None:
    arn = stored(f"form-{value.encode().hex()}", value)
    with pytest.raises(SettingsError, match='must contain JSON with "username" and "password"') as refused:
        read_secret(arn)
    assert "hidden" not in str(refused.value)


def test_secrets_manager_away_is_a_source_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    session.session.cache_clear()
    with pytest.raises(SourceUnavailable, match="reaches Secrets Manager"):
        read_secret("any")


def test_the_region_of_an_arn_is_the_regions_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    arn = stored("here", login("x"))
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    session.session.cache_clear()
    assert read_secret(arn).username == "reader"


def test_an_amazon_endpoint_is_trusted_by_amazons_own_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[SourceSettings] = []

    def remember(settings: SourceSettings, *_others: object) -> str:
        seen.append(settings)
        return "connection"

    monkeypatch.setattr("penstock.connections.connect", remember)
    source_connection(SourceSettings(uri="mongodb://c.cluster-x.eu-west-1.docdb.amazonaws.com:27017/?tls=true"))
    source_connection(SourceSettings(uri="mongodb://elsewhere:27017/?tls=true"))
    assert [each.tls_ca_file for each in seen] == [ca_bundle.path(), None]


def test_a_queue_gives_each_text_until_it_is_deleted() -> None:
    queue = made("texts")
    queue.send(["a", "b", "ü" * 1000])
    messages = queue.receive(hidden_s=0)
    assert sorted(each.text for each in messages) == ["a", "b", "ü" * 1000]
    for message in messages[1:]:
        queue.delete(message)
    assert (queue.waiting(), [each.text for each in queue.receive()]) == (1, [messages[0].text])


def test_a_message_that_is_given_back_can_be_received_at_once() -> None:
    queue = made("back")
    queue.send(["a"])
    (message,) = queue.receive(hidden_s=600)
    assert (queue.receive(), queue.waiting()) == ([], 1)
    queue.give_back(message)
    assert [each.text for each in queue.receive()] == ["a"]


def test_a_queue_that_is_not_there_says_so(aws_url: str) -> None:
    settings = Settings.model_validate({"pipeline": {"parking_queue": f"{aws_url}/123456789012/nowhere"}})
    with pytest.raises(
        QueueUnavailable, match=r"nowhere refused a request: (AWS\.SimpleQueueService\.NonExistentQueue|QueueDoesNotEx)"
    ):
        parking_queue(settings).receive()
    with pytest.raises(SettingsError, match="parking_queue is not set"):
        parking_queue(Settings())


def made(name: str) -> Queue:
    return Queue(session.service("sqs").create_queue(QueueName=name)["QueueUrl"])


def address_of(uri: str) -> tuple[str, int]:
    (address,) = pymongo.uri_parser.parse_uri(uri)["nodelist"]
    return address
