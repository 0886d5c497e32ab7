"""Which source answers: what tells one from another, as far as any user of it may see.

The name of a replica set says little: every DocumentDB cluster is `rs0`. Its id takes a right that few users have. But
MongoDB shows the UUIDs of collections, and DocumentDB's host names exist once in the world.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.errors import OperationFailure

from penstock.errors import SystemicFault
from penstock.mongo.collections import identities
from penstock.mongo.connection import SourceClient, hello

_DOCUMENTDB = ".docdb"
"""A part of the host names of DocumentDB's instances, and of its cluster endpoints."""


@dataclass(frozen=True)
class SourceIdentity:
    """What was seen of a source; what could not be seen is empty.

    `collections` are the UUIDs of those that are followed, `hosts` the members by the names that they have for each
    other, `addresses` the names that the settings have for them.
    """

    replica_set: str
    id: str = ""
    collections: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()

    def __str__(self) -> str:
        places = self.hosts | self.addresses
        return f"{self.name} ({', '.join(sorted(places))})" if places else self.name

    @property
    def name(self) -> str:
        """The name of the replica set, with its id if that could be seen."""
        return f"{self.replica_set}/{self.id}" if self.id else self.replica_set

    def is_same(self, other: "SourceIdentity") -> bool:
        """Whether both are one source, unless what is known of both tells them apart.

        Hosts may all have been replaced where a collection is known again; collections may all have been dropped and
        made again where hosts and address are as before.
        """
        if self.replica_set != other.replica_set:
            return False
        if self.id and other.id:
            return self.id == other.id
        if self.collections & other.collections:
            return True
        if self._in_documentdb and other._in_documentdb:
            return bool(self._in_documentdb & other._in_documentdb)
        if not (self.hosts and other.hosts):
            return True
        at_their_place = bool(self.addresses & other.addresses) or not (self.collections and other.collections)
        return at_their_place and bool(self.hosts & other.hosts)

    def require_same(self, now: "SourceIdentity", what: str) -> None:
        """Raise SystemicFault when `what` is of this source, and another one answers now."""
        if not self.is_same(now):
            raise SystemicFault(
                f"{what} belongs to the source {self}, but another one answers at the address: {now}. Correct [source]"
                " uri; or, if the data was moved there, load all of it again with `penstock load --again`. If both are"
                " to be indexed, give each deployment a [pipeline] name and indexes of its own."
            )

    @property
    def _in_documentdb(self) -> frozenset[str]:
        """The names that DocumentDB has given to instances and cluster, without ports."""
        names = (each.rpartition(":")[0] or each for each in self.hosts | self.addresses)
        return frozenset(each.lower() for each in names if _DOCUMENTDB in each.lower())

    def stored(self) -> dict[str, Any]:
        """Return the form in which it is kept."""
        seen = {"collections": self.collections, "hosts": self.hosts, "addresses": self.addresses}
        return {"identity": self.name, **{each: sorted(values) for each, values in seen.items()}}

    @classmethod
    def kept(cls, stored: Mapping[str, Any]) -> "SourceIdentity | None":
        """Return what was kept, None for nothing. Up to 0.1 it was the name, with the id if that could be seen."""
        if not stored.get("identity"):
            return None
        name, _, number = stored["identity"].partition("/")
        collections, hosts, addresses = (
            frozenset(stored.get(each, ())) for each in ("collections", "hosts", "addresses")
        )
        return cls(name, number, collections, hosts, addresses)


def identity_of(client: SourceClient, db: str, colls: Sequence[str], addresses: str) -> SourceIdentity:
    """Look at a source, of which these collections are followed; the settings name its hosts as `addresses`."""
    return identity_with(client, identities(client, db, colls), addresses)


def identity_with(client: SourceClient, uuids: Mapping[str, str], addresses: str) -> SourceIdentity:
    """Do the same where the `collections.identities` of the followed ones are known."""
    seen = hello(client)
    return SourceIdentity(
        str(seen.get("setName", "")),
        _replica_set_id(client),
        frozenset(uuids.values()) - {""},
        frozenset(map(str, seen.get("hosts", ()))),
        frozenset(addresses.split(",")),
    )


def _replica_set_id(client: SourceClient) -> str:
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure:  # needs the role clusterMonitor, and DocumentDB has none
        return ""
    return str(config.get("settings", {}).get("replicaSetId", ""))
