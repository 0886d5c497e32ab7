"""Finds the collections that match a pattern: at the start, and from time to time afterwards.

The names of a database's collections are asked for and compared, since not every source says in its stream that a
collection was made. Nothing is missed by that: a collection is noted, a term of its pipeline begins with it, from a
position that was saved before its first document is read, and it is loaded like any other.
"""

import threading
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field

import structlog

from penstock.connections import sink_client, source_connection
from penstock.errors import SourceUnavailable
from penstock.model import Namespace
from penstock.mongo.collections import namespaces
from penstock.mongo.connection import Connection
from penstock.mongo.obstacles import not_enabled
from penstock.mongo.retrying import ask
from penstock.observe.metrics import Metrics
from penstock.opensearch.http.requests import require_server
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.state.pattern_state import PatternState
from penstock.opensearch.state.store import StateStore
from penstock.settings import Settings
from penstock.worker.collections.expansion import Expanded, expand, matching, patterns_of

log = structlog.get_logger(__name__)


@dataclass
class Patterns:
    """The patterns of the settings."""

    settings: Settings
    connection: Connection
    found: PatternState
    _reported: set[str] = field(default_factory=set)

    def require_enabled(self, stop: threading.Event) -> None:
        """Make sure that a collection which is made later has a stream. Raises SourceUnavailable, Stopped."""
        for each in patterns_of(self.settings):
            all_of_it = Namespace(Namespace.named(each.namespace).db, "")
            if obstacle := ask(self.connection, stop, not_enabled, all_of_it):
                raise SourceUnavailable(f"{each.namespace}: {obstacle.cause}.", f"To enable them, {obstacle.todo}.")

    def look(self, stop: threading.Event, *, note: bool = True) -> Expanded:
        """Return the settings with what matches in the place of the patterns; `note` keeps it on record."""
        dbs = {Namespace.named(each.namespace).db for each in patterns_of(self.settings)}
        there = [each for db in sorted(dbs) for each in ask(self.connection, stop, namespaces, db)]
        found = {pattern: list(map(str, its)) for pattern, its in matching(self.settings, there).items()}
        noted = self.found.read(found)
        new = {pattern: [each for each in its if each not in noted[pattern]] for pattern, its in found.items()}
        for each in (each for its in new.values() for each in its if note):
            log.info("collection found by a pattern", collection=each)
        if note:
            noted = {pattern: self.found.note(pattern, its) if its else noted[pattern] for pattern, its in new.items()}
        return self._expanded({pattern: dict.fromkeys([*noted[pattern], *its]) for pattern, its in new.items()})

    def known(self) -> Expanded:
        """Return the same without asking the source: what was found before."""
        return self._expanded(self.found.read(each.namespace for each in patterns_of(self.settings)))

    def _expanded(self, found: Mapping[str, Iterable[str]]) -> Expanded:
        """What was noted under a pattern is its own as long as the settings say so."""
        names = {pattern: list(map(Namespace.named, its)) for pattern, its in found.items()}
        still = matching(self.settings, (each for its in names.values() for each in its))
        expanded = expand(
            self.settings, {pattern: [each for each in its if each in still[pattern]] for pattern, its in names.items()}
        )
        for namespace in expanded.left_out.keys() - self._reported:
            self._reported.add(namespace)
            reason = expanded.left_out[namespace]
            log.error("collection matches a pattern but cannot be indexed", collection=namespace, reason=reason)
        return expanded


def expanded(settings: Settings, *, note: bool = True) -> Settings:
    """Return the settings for a command that looks once: with collections in the place of patterns.

    Raises SettingsError, SourceUnavailable, SinkUnavailable.
    """
    if not patterns_of(settings):
        return settings
    with closing(sink_client(settings)) as client:
        require_server(client)
        found = PatternState(StateStore(client, RetryForever(Metrics(), threading.Event())), settings.pipeline.name)
        try:
            with source_connection(settings.source) as connection:
                return Patterns(settings, connection, found).look(threading.Event(), note=note).settings
        except SourceUnavailable as error:
            log.warning(
                "cannot list the collections that match a pattern; keeping those found before", reason=str(error)
            )
            with source_connection(settings.source, lazily=True) as unused:
                return Patterns(settings, unused, found).known().settings
