"""Checks whether `modifyChangeStreams` has enabled change streams for what a mapping reads."""

from collections.abc import Set
from typing import Literal

from penstock_tools.aws.mapping.record import MappingRecord

StreamRules = Set[tuple[str, str]]
"""Pairs of database and collection; an empty name means all."""


def has_own_rule(record: MappingRecord, rules: StreamRules) -> bool:
    """Whether there is a rule for exactly the mapping's own scope."""
    return (record.db, record.coll or "") in rules


def has_rule(record: MappingRecord, rules: StreamRules) -> bool:
    """Whether the collection, its database or the cluster is enabled."""
    return has_own_rule(record, rules) or not rules.isdisjoint({(record.db, ""), ("", "")})


def not_enabled(record: MappingRecord, scope: Literal["strict", "documented", "none"]) -> str:
    """Return what is wrong and what to do about it."""
    names = f"{record.db}.{record.coll}" if record.coll else record.db
    command = f'{{modifyChangeStreams: 1, database: "{record.db}", collection: "{record.coll or ""}", enable: true}}'
    late = " and create the mapping again" if scope == "strict" else ""
    return f"modifyChangeStreams has not been run for {names}: run db.adminCommand({command}){late}"
