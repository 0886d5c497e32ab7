"""Mappings on a source that behaves as DocumentDB: user, TLS, enabled change streams, a log that forgets."""

import secrets
import time

import pymongo
import pytest

from penstock_tools.aws.mapping.reader import Cluster
from penstock_tools.aws.runtime.invocation import Invocation
from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.mapping_site import RAISED, MappingSite, wait_until

PASSWORD = "sesame & open/up"
LOG_SIZE = 200
NOT_RUN = "modifyChangeStreams has not been run"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    settings = LocalSourceSettings(mode="documentdb-5.0", user="reader", password=PASSWORD, tls=True, log_size=LOG_SIZE)
    with local_source(tmp_path_factory.mktemp("documentdb"), settings) as source:
        yield source


@pytest.fixture(scope="module")
def client(source):
    with pymongo.MongoClient(source.uri, retryWrites=False, serverSelectionTimeoutMS=10_000) as client:
        yield client


@pytest.fixture
def database(client):
    name = f"test_{secrets.token_hex(6)}"
    yield client[name]
    client.drop_database(name)


@pytest.fixture
def begin(tmp_path, source, database):
    sites = []

    def begin(password=PASSWORD, **behaviour):
        folder = source.child.log.parent.parent / "certificates"
        cluster = Cluster(f"127.0.0.1:{source.child.port}", folder / "authority.pem")
        site = MappingSite(tmp_path, cluster, database.name, **({"scope": "strict"} | behaviour))
        site.password.update(username="reader", password=password)
        sites.append(site)
        return site

    yield begin
    for site in sites:
        site.mappings.close()


@pytest.fixture
def enable(client, database):
    enabled = []

    def enable(db=database.name, coll="c", on=True):
        client.admin.command({"modifyChangeStreams": 1, "database": db, "collection": coll, "enable": on})
        enabled.append((db, coll))

    yield enable
    for db, coll in set(enabled):
        enable(db, coll, False)


def forget(database, enable):
    """Make the log run over; it holds the changes of enabled collections only."""
    enable(coll="other")
    database.other.insert_many([{} for _ in range(2 * LOG_SIZE)])


def test_a_mapping_reads_with_the_user_of_its_secret_over_tls(begin, enable, database):
    enable()
    site = begin()
    site.create(full_document="UpdateLookup")
    database.c.insert_one({"_id": 1})
    database.c.update_one({"_id": 1}, {"$set": {"a": 1}})
    database.c.drop()
    database.c.insert_one({"_id": 2})
    wait_until(lambda: len(site.function.events) == 4)
    events = site.function.events
    assert [event["operationType"] for event in events] == ["insert", "update", "drop", "insert"]
    assert all(event["_id"].keys() == {"_data"} for event in events)


@pytest.mark.parametrize("position", ["TRIM_HORIZON", "AT_TIMESTAMP"])
def test_nothing_is_missed_between_the_enabling_and_the_mapping(begin, enable, database, position):
    at = {"StartingPositionTimestamp": int(time.time())} if position == "AT_TIMESTAMP" else {}
    enable()
    database.c.insert_one({"_id": 1})
    site = begin()
    site.create(StartingPosition=position, **at)
    wait_until(lambda: site.function.ids == [1])


def test_a_wrong_password_is_shown_until_the_secret_is_changed(begin, enable, database):
    enable()
    site = begin(password="guess")
    name = site.create()
    assert "guess" not in site.wait_result(name, "Authentication failed")
    site.password["password"] = PASSWORD
    site.wait_result(name, "No records processed")
    database.c.insert_one({"_id": 1})
    wait_until(lambda: site.function.ids == [1])


def test_an_unknown_authority_is_shown(begin, enable, tmp_path):
    enable()
    site = begin()
    for arn, cluster in site._clusters.items():
        site._clusters[arn] = Cluster(cluster.uri_host, tmp_path / "missing.pem")
    site.wait_result(site.create(), "missing.pem cannot be used")


def test_strict_without_a_rule_a_mapping_stays_broken_until_it_is_replaced(begin, enable, database):
    site = begin()
    name = site.create(Enabled=False)  # the order of the sample: the rule comes after the mapping
    enable()
    site.update(name, Enabled=True)
    result = site.wait_result(name, NOT_RUN)
    assert result.startswith("PROBLEM: ")
    assert 'collection: "c", enable: true' in result
    site.update(name, BatchSize=5)
    site.begin_again()
    site.wait_state(name, "Enabled")
    site.wait_result(name, NOT_RUN)
    site.mappings.delete(name)
    wait_until(lambda: site.mappings.metrics() == {})
    site.create()
    database.c.insert_one({"_id": 1})
    wait_until(lambda: site.function.ids == [1])


@pytest.mark.parametrize("wider", [{"coll": ""}, {"db": "", "coll": ""}], ids=["database", "cluster"])
def test_a_wider_rule_does_in_documented_scope_only(begin, enable, database, wider):
    enable(**wider)
    strict = begin()
    strict.wait_result(strict.create(), NOT_RUN)
    strict.mappings.close()
    documented = begin(scope="documented")
    documented.mappings.delete(next(iter(documented.mappings.metrics())))
    wait_until(lambda: documented.mappings.metrics() == {})
    documented.create()
    database.c.insert_one({"_id": 1})
    wait_until(lambda: documented.function.ids == [1])


def test_a_mapping_of_a_database_needs_the_databases_rule(begin, enable, database):
    enable()
    site = begin()
    broken = site.create(coll=None)
    site.wait_result(broken, f"{NOT_RUN} for {database.name}:")
    enable(coll="")
    site.mappings.delete(broken)
    wait_until(lambda: site.mappings.metrics() == {})
    site.create(coll=None)
    database.a.insert_one({"_id": 1})
    wait_until(lambda: site.function.ids == [1])


def test_documented_a_rule_that_comes_later_heals_the_mapping(begin, enable, database):
    site = begin(scope="documented")
    name = site.create()
    site.wait_result(name, NOT_RUN)
    enable()
    site.wait_result(name, "No records processed")
    database.c.insert_one({"_id": 1})
    wait_until(lambda: site.function.ids == [1])


def test_strict_the_rule_is_looked_for_at_the_creation_only(begin, enable, database):
    enable()
    site = begin()
    name = site.create(Enabled=False)
    enable(on=False)
    site.update(name, Enabled=True)
    site.wait_result(name, NOT_RUN)  # in the words of the server: the mapping itself does not look again
    enable()
    site.wait_result(name, "No records processed")
    database.c.insert_one({"_id": 1})
    wait_until(lambda: site.function.ids == [1])


def test_a_lost_position_disables_for_good(begin, enable, database):
    enable()
    site = begin()
    name = site.create()
    database.c.insert_one({"_id": 1})
    site.wait_metric(name, "DeliveredEvents", 1)
    site.update(name, Enabled=False)
    forget(database, enable)
    for _ in range(2):
        site.mappings.update(name, {"Enabled": True})
        wait_until(lambda: "no longer holds the position" in site.mappings.get(name)["StateTransitionReason"])
        shown = site.wait_state(name, "Disabled")
        assert "CappedPositionLost" in shown["StateTransitionReason"]
    site.begin_again()
    assert site.mappings.get(name)["State"] == "Disabled"
    assert site.function.ids == [1]


def test_forever_ends_when_the_failing_batch_has_expired(begin, enable, database):
    enable()
    site = begin(retry="forever")
    name = site.create(BatchSize=1)
    site.function.answer = lambda _call: RAISED
    database.c.insert_one({"_id": 1})
    site.wait_metric(name, "Errors", 3)
    forget(database, enable)
    shown = site.wait_state(name, "Disabled")
    assert "events have expired" in shown["StateTransitionReason"]
    assert site.metric(name, "DeliveredEvents") == 0


def test_six_passes_a_batch_whether_it_has_expired_or_not(begin, enable, database):
    enable()
    site = begin(retry="six")
    name = site.create(BatchSize=1)
    site.function.answer = lambda call: RAISED if call <= 6 else Invocation(b"null")
    with site.function.held() as held:
        database.c.insert_one({"_id": 1})
        held.wait()
        database.c.insert_one({"_id": 2})
    site.wait_metric(name, "DeliveredEvents", 1)
    assert site.function.ids == [1] * 6 + [2]
