"""The source's part of `check`: what it is, its collections, change streams and rights, how long it remembers."""

from collections.abc import Generator, Iterator, Mapping

from pymongo.errors import PyMongoError

from penstock.connections import source_connection
from penstock.errors import SettingsError, SourceUnavailable
from penstock.model import Namespace, seconds_of
from penstock.mongo import collections as source
from penstock.mongo.connection import Connection, SourceClient, SourceServer, address, no_before_images, server
from penstock.mongo.cursor import ChangeCursor
from penstock.mongo.documentdb import WORKER_ONLY, enabling, enabling_rules
from penstock.mongo.error_table import in_words, unavailable
from penstock.mongo.heartbeat import may_beat
from penstock.mongo.members import secondaries
from penstock.mongo.obstacles import missing_rule, obstacle_to
from penstock.mongo.watch import Watch, watches
from penstock.observe.wording import counted
from penstock.operations.check.finding import CheckFinding, CheckVerdict, failure, ok, warning
from penstock.operations.check.pipelines import pipeline_findings
from penstock.operations.inspect.views import Inspection
from penstock.planner import present_names, reaction_watches
from penstock.settings import ReactionSettings, Settings
from penstock.worker.collections.admission import CAPPED, Unserved
from penstock.worker.collections.expansion import expand, matching, patterns_of

_SHORT_RETENTION_S = 3600


def source_findings(settings: Settings, seen: Inspection) -> Iterator[CheckFinding]:
    """Yield what can be said of the source; only the connection, when there is none.

    The settings are those with patterns.
    """
    where = address(settings.source)
    try:
        connection = source_connection(settings.source)
    except SettingsError as error:
        yield failure("source", "connection", str(error))
        return
    except SourceUnavailable as error:
        yield _refused("connection", error)
        return
    with connection:
        try:
            found = server(connection.client)
            yield from _server_findings(found, where)
            if settings.source.stream_from != "primary":
                yield _secondaries_finding(connection.client, found)
            there = yield from _pattern_findings(connection.client, found, settings)
            names = present_names(there, seen.records_where_known)
            yield from _rename_findings(connection.client, found, there, names)
            followed = yield from _collections_findings(connection.client, there, seen, names)
            for watch in watches(followed, settings.source.cursor_per):
                yield from _stream_findings(connection, found, watch)
            for reaction in settings.reactions:
                yield from _reaction_findings(connection, found, settings, reaction)
            yield from _heartbeat_findings(connection.client, found, settings.source.heartbeat)
            yield _retention_finding(connection.client, found, settings)
            yield from pipeline_findings(connection, seen)
        except PyMongoError as error:
            yield _refused("connection", unavailable(error, f"the connection at {where}"))


def _pattern_findings(
    client: SourceClient, found: SourceServer, settings: Settings
) -> Generator[CheckFinding, None, Settings]:
    """What each pattern stands for at present; answers the settings with that in its place."""
    dbs = {Namespace.named(each.namespace).db for each in patterns_of(settings)}
    matches = matching(settings, (each for db in dbs for each in source.namespaces(client, db)))
    for pattern, its in matches.items():
        yield ok("source", pattern, f"matches {counted(len(its), 'collection')} at present")
        if found.product == "DocumentDB":
            yield _enabled(client, Namespace(Namespace.named(pattern).db, ""))
    expanded = expand(settings, matches)
    for namespace, reason in expanded.left_out.items():
        todo = "give it a [[collections]] table of its own, with another `index`"
        yield warning("source", namespace, f"matches a pattern but cannot be indexed: {reason}", todo)
    return expanded.settings


def _rename_findings(
    client: SourceClient, found: SourceServer, settings: Settings, names: Mapping[Namespace, Namespace]
) -> Iterator[CheckFinding]:
    """Where renames are to be followed: whether the source tells of them, and what was followed."""
    for each in settings.collections:
        declared = Namespace.named(each.namespace)
        if each.follows and found.product == "DocumentDB":
            what = "DocumentDB emits no event for a rename, so it cannot be followed: the collection counts as dropped"
            yield warning("source", f"{declared}: on_rename", what, 'leave on_rename = "follow" out')
        if (present := names[declared]) == declared:
            continue
        yield ok("source", str(declared), f"was renamed; its index is fed from {present}")
        if source.exists(client, declared):
            todo = f"rename it and give it a table of its own; or drop {present} to have {declared} indexed"
            yield warning("source", str(declared), f"a new collection {declared} exists, which is not indexed", todo)


def _server_findings(found: SourceServer, where: str) -> Iterator[CheckFinding]:
    yield ok("source", "connection", f"{found.product} {found.version} at {where}, replica set {found.replica_set}")
    if found.product == "DocumentDB" and found.version.startswith("8."):
        yield ok("source", "engine", f"DocumentDB 8: {WORKER_ONLY}")


def _secondaries_finding(client: SourceClient, found: SourceServer) -> CheckFinding:
    """Whether the streams can be read from a secondary."""
    subject, otherwise = "stream_from", "the streams are read from the primary"
    if found.product == "DocumentDB" and found.version.startswith(("3.", "4.")):
        what = f"DocumentDB {found.version} streams from its primary alone: {otherwise}"
        return warning("source", subject, what, "leave [source] stream_from out")
    if not (there := secondaries(client)):
        return warning("source", subject, f"no secondary answers at present: {otherwise}", "look at the replica set")
    return ok("source", subject, f"the streams are read from {' or '.join(f'{host}:{port}' for host, port in there)}")


def _collections_findings(
    client: SourceClient, there: Settings, seen: Inspection, names: Mapping[Namespace, Namespace]
) -> Generator[CheckFinding, None, list[Namespace]]:
    """Whether each collection can be followed; return those that can, by their names at the source."""
    records, followed = seen.records_where_known, []
    for each in there.collections:
        name = names[Namespace.named(each.namespace)]
        try:
            obstacle = obstacle_to(client, name)
            if obstacle is None:
                followed.append(name)
                yield from _followed_findings(client, name)
                continue
        except PyMongoError as error:
            yield _refused(str(name), unavailable(error, f"a read of {name}"))
            continue
        if each.alias in records and obstacle.is_absence:
            yield warning("source", str(name), f"{obstacle.cause}: it counts as dropped", obstacle.todo)
        else:
            found = Unserved(each, obstacle, SourceUnavailable(obstacle.cause))
            verdict: CheckVerdict = "failure" if found.is_refused else "warning"
            yield failure("source", str(name), obstacle.cause, obstacle.todo)._replace(verdict=verdict)
    return followed


def _followed_findings(client: SourceClient, namespace: Namespace) -> Iterator[CheckFinding]:
    subject, count = str(namespace), source.estimated_count(client, namespace)
    yield ok("source", subject, f"can be read, about {counted(count, 'document')}")
    if source.is_capped(client, namespace):
        yield warning("source", subject, CAPPED, f"run `penstock verify --repair {namespace}` regularly")


def _refused(subject: str, error: SourceUnavailable) -> CheckFinding:
    return failure("source", subject, error.cause, error.todo)


def _stream_findings(connection: Connection, found: SourceServer, watch: Watch) -> Iterator[CheckFinding]:
    """Open a stream as `run` does, and let the server answer once."""
    subject = f"{watch}: change stream"
    cursor = ChangeCursor(connection.client, watch.db, watch.target(None), batch_size=1, wait_ms=100)
    try:
        cursor.open(watch.pipeline(None))
        cursor.next()
    except PyMongoError as error:
        yield _refused(subject, unavailable(error, f"the change stream of {watch}"))
        return
    finally:
        cursor.close()
    if found.product == "DocumentDB":
        yield from (_enabled(connection.client, Namespace(watch.db, coll)) for coll in watch.colls)
    else:
        yield ok("source", subject, "opens")


def _reaction_findings(
    connection: Connection, found: SourceServer, settings: Settings, reaction: ReactionSettings
) -> Iterator[CheckFinding]:
    """Whether the collections exist, and the reaction's own streams open; other pipelines go on without it."""
    subject = f"reaction {reaction.name}"
    for each in map(Namespace.named, reaction.collections):
        if not source.exists(connection.client, each):
            yield warning("source", subject, f"{each} does not exist yet", "create it, or correct the name")
    if reaction.before and (reason := no_before_images(found)):
        yield warning("source", subject, reason, "remove before = true")
        return
    for watch in reaction_watches(reaction, settings.source):
        for finding in _stream_findings(connection, found, watch):
            yield finding._replace(subject=f"{subject}: {finding.subject}")


def _heartbeat_findings(client: SourceClient, found: SourceServer, heartbeat: str | None) -> Iterator[CheckFinding]:
    """Whether the heartbeat may be written, and is seen."""
    if heartbeat is None:
        return
    namespace, subject = Namespace.named(heartbeat), f"{heartbeat}: heartbeat"
    try:
        may_beat(client, namespace)
    except PyMongoError as error:
        todo = f"give the user the right to insert and update in {heartbeat}"
        yield warning("source", subject, f"cannot be written: {in_words(error)}", todo)
        return
    yield ok("source", subject, "can be written")
    if found.product == "DocumentDB":
        yield _enabled(client, namespace)


def _enabled(client: SourceClient, namespace: Namespace) -> CheckFinding:
    """DocumentDB may open a stream that was never enabled and then yields nothing, so its own list is asked.

    Without a collection it is asked for all of the database, now and later: a pattern needs that.
    """
    subject = f"{namespace if namespace.coll else f'all of {namespace.db}'}: change stream"
    try:
        rules = enabling_rules(client)
    except PyMongoError as error:
        what = f"opens, but whether it is enabled could not be checked: {in_words(error)}"
        return warning("source", subject, what, enabling(namespace))
    if obstacle := missing_rule(rules, namespace):
        return failure("source", subject, obstacle.cause, obstacle.todo)
    return ok("source", subject, "opens, and is enabled")


def _retention_finding(client: SourceClient, found: SourceServer, settings: Settings) -> CheckFinding:
    """What the settings say, else how far a log that can be read reaches back."""
    known = settings.source.retention_s
    if known is not None and known < _SHORT_RETENTION_S:
        return warning(
            "source", "change log", f"is kept for {known:,} s", "keep it longer: a longer pause loses the position"
        )
    if known is not None:
        return ok("source", "change log", f"is kept for {known / 3600:,.1f} h, as [source] retention_s says")
    try:
        first = client.local["oplog.rs"].find_one({}, {"ts": 1}, sort=[("$natural", 1)])
    except PyMongoError:
        first = None
    if first is None or not found.time:
        return warning(
            "source",
            "change log",
            "its retention is unknown, so `status` cannot say when a position will be lost",
            "set [source] retention_s (DocumentDB: change_stream_log_retention_duration, 3 hours unless changed)",
        )
    return ok("source", "change log", f"reaches back {(seconds_of(found.time) - first['ts'].time) / 3600:,.1f} h")
