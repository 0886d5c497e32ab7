"""What tells one source from another, by what was seen of both."""

import pytest

from penstock.errors import SystemicFault
from penstock.mongo.identity import SourceIdentity


def seen(
    uuids: str = "", hosts: str = "a:1", addresses: str = "", *, name: str = "rs0", number: str = ""
) -> SourceIdentity:
    return SourceIdentity(
        name, number, frozenset(uuids.split()), frozenset(hosts.split()), frozenset(addresses.split())
    )


PROD = "prod-1.abc.eu-west-1.docdb.amazonaws.com:27017 prod-2.abc.eu-west-1.docdb.amazonaws.com:27017"
GROWN = "prod-2.abc.eu-west-1.docdb.amazonaws.com:27017 prod-3.abc.eu-west-1.docdb.amazonaws.com:27017"
NEW = "new-1.abc.eu-west-1.docdb.amazonaws.com:27017"
OTHER = "prod-1.xyz.eu-west-1.docdb.amazonaws.com:27017"
ENDPOINT = "prod.cluster-abc.eu-west-1.docdb.amazonaws.com:27017"
STAGING = "staging.cluster-abc.eu-west-1.docdb.amazonaws.com"

SAME = {
    "a collection is known again": (seen("1 2", "a:1", "x:1"), seen("2 3", "b:1", "y:1")),
    "all were made again": (seen("1", "a:1", "x:1"), seen("2", "a:1 b:1", "x:1 y:1")),
    "the collections are gone": (seen("1", "a:1", "x:1"), seen("", "a:1", "y:1")),
    "it tells its id": (seen("1", number="5"), seen("2", "b:1", "y:1", number="5")),
    "the right to see its id was taken": (seen("1", number="5"), seen("1")),
    "as earlier versions kept it": (seen(hosts=""), seen("1", "b:1", "y:1")),
    "an instance was replaced": (seen("", PROD, "localhost:1"), seen("", GROWN, "localhost:2")),
    "all instances were replaced": (seen("", PROD, ENDPOINT), seen("", NEW, ENDPOINT)),
    "the cluster was renamed": (seen("", PROD, ENDPOINT), seen("", PROD.upper(), STAGING)),
}
OTHERS = {
    "another name": (seen("1"), seen("1", name="rs1")),
    "another id": (seen("1", number="5"), seen("1", number="6")),
    "nothing is known again": (seen("1", "a:1", "x:1"), seen("2", "b:1", "y:1")),
    "the same host name on another network": (seen("1", "mongo:27017", "x:1"), seen("2", "mongo:27017", "y:1")),
    "a tunnel that leads elsewhere": (seen("1", "a:1", "localhost:1"), seen("2", "b:1", "localhost:1")),
    "nothing but the hosts can be seen": (seen("", "a:1", "x:1"), seen("", "b:1", "x:1")),
    "another cluster of one account": (seen("", PROD, ENDPOINT), seen("", NEW, STAGING)),
    "another account": (seen("", PROD, "localhost:1"), seen("", OTHER, "localhost:1")),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_the_same_source(pair: tuple[SourceIdentity, SourceIdentity]) -> None:
    one, other = pair
    assert one.is_same(other)
    assert other.is_same(one)
    assert one.is_same(one)


@pytest.mark.parametrize("pair", OTHERS.values(), ids=OTHERS)
def test_another_source(pair: tuple[SourceIdentity, SourceIdentity]) -> None:
    one, other = pair
    assert not one.is_same(other)
    assert not other.is_same(one)
    with pytest.raises(SystemicFault, match=r"^The index shop belongs to the source rs0.* but another one answers"):
        one.require_same(other, "The index shop")


@pytest.mark.parametrize("one", [seen("1 2", "b:1 a:1", "x:1"), seen("", PROD), seen(number="5")])
def test_what_is_kept_is_read(one: SourceIdentity) -> None:
    assert SourceIdentity.kept(one.stored()) == one


def test_what_earlier_versions_kept_is_read() -> None:
    assert SourceIdentity.kept({}) is None
    assert SourceIdentity.kept({"identity": ""}) is None
    assert SourceIdentity.kept({"identity": "rs0"}) == SourceIdentity("rs0")
    assert SourceIdentity.kept({"identity": "rs0/65f0"}) == SourceIdentity("rs0", "65f0")
