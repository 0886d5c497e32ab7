"""The part of `check` that looks at the log: its brokers, and the topics of penstock's own."""

import threading
from collections.abc import Iterator

from penstock.capture.collections import CursorSettings, cursors_of
from penstock.errors import ReadAgain, SettingsError, SourceUnavailable
from penstock.kafka.connection import require_brokers
from penstock.kafka.log import marks_topic_of
from penstock.kafka.own_topics import LEAST_MAX_BYTES, OwnTopics, Topic
from penstock.observe.wording import counted
from penstock.operations.check.finding import CheckFinding, failure, ok, warning
from penstock.settings import LogSettings, Settings

_ENOUGH_REPLICAS = 3
_FOR_EVER = -1


def log_findings(settings: Settings) -> Iterator[CheckFinding]:
    """Yield what can be said of the log. The settings have collections in the place of patterns."""
    try:
        require_brokers(settings.log, threading.Event())
        topics = OwnTopics(settings.log)
        brokers = topics.brokers
        yield ok("log", "connection", f"{counted(brokers, 'broker')} at {settings.log.bootstrap_servers}")
        if settings.log.own_topics:
            for cursor in cursors_of(settings):
                yield from _cursor_findings(cursor, topics, brokers)
    except SettingsError as error:
        for problem in error.problems:
            yield failure("log", "own topics", problem, exit_code=error.exit_code)
    except SourceUnavailable as error:
        yield failure("log", "connection", error.cause, error.todo)
    except ReadAgain as error:
        yield failure("log", "connection", str(error), "look at the brokers")


def _cursor_findings(cursor: CursorSettings, topics: OwnTopics, brokers: int) -> Iterator[CheckFinding]:
    captured = cursor.collections([], [], {})
    settings = cursor.settings
    marks = marks_topic_of(settings.log.prefix, cursor.db, cursor.own)
    found = topics.describe([marks, *captured.topics])
    missing = [each for each in (marks, *captured.topics) if each not in found]
    if missing:
        yield _missing_finding(settings.log, missing, brokers)
    if marks in found:
        yield from _marks_findings(found[marks])
    for name in captured.topics:
        if name in found:
            yield from _topic_findings(settings, found[name])


def _missing_finding(settings: LogSettings, missing: list[str], brokers: int) -> CheckFinding:
    subject = missing[0] if len(missing) == 1 else counted(len(missing), "topic")
    if brokers < settings.topic_replication:
        return failure(
            "log",
            subject,
            f"cannot be created with {settings.topic_replication} replicas on {counted(brokers, 'broker')}",
            f"set [log] topic_replication to {brokers} (1 keeps a single copy: for trying out), or add brokers",
            exit_code=SettingsError.exit_code,
        )
    return ok("log", subject, f"`penstock capture` will create {'it' if len(missing) == 1 else 'them'}")


def _marks_findings(topic: Topic) -> Iterator[CheckFinding]:
    if topic.partitions != 1:
        yield failure("log", topic.name, f"has {topic.partitions} partitions", "delete it: marks need exactly one")
    elif "compact" not in topic.config["cleanup.policy"]:
        todo = "set its cleanup.policy to compact"
        yield warning("log", topic.name, "is not compacted: its last mark may age out, and the position with it", todo)
    else:
        yield ok("log", topic.name, "keeps the marks")
    yield from _safety_findings(topic)


def _topic_findings(settings: Settings, topic: Topic) -> Iterator[CheckFinding]:
    name, asked, log = topic.name, settings.log.topic_partitions, settings.log
    if topic.max_bytes < LEAST_MAX_BYTES:
        todo = f"set it to {LEAST_MAX_BYTES} or more"
        yield failure("log", name, f"max.message.bytes is {topic.max_bytes}", todo, exit_code=SettingsError.exit_code)
    else:
        what = f"{counted(topic.partitions, 'partition')}; documents above {topic.max_bytes:,} bytes come by their keys"
        yield ok("log", name, what)
    if topic.partitions != asked:
        what = f"has {counted(topic.partitions, 'partition')}, [log] topic_partitions is {asked}"
        yield warning("log", name, what, "leave it as it is: partitions of a topic that has records must not change")
    if topic.config["cleanup.policy"] != "delete":
        what = f"cleanup.policy is {topic.config['cleanup.policy']}: what is compacted away cannot be counted"
        yield warning("log", name, what, "set it to delete")
    yield from _retention_findings(name, int(topic.config["retention.ms"]), settings.source.retention_s, log)
    yield from _safety_findings(topic)


def _retention_findings(name: str, kept_ms: int, source_s: int | None, log: LogSettings) -> Iterator[CheckFinding]:
    if kept_ms == _FOR_EVER:
        return
    kept_s = kept_ms / 1000
    if source_s and kept_s <= source_s:
        what = f"keeps its records for {kept_s:,.0f} s, no longer than the source its change log ({source_s:,} s)"
        yield warning("log", name, what, "make retention.ms longer than an index may be away")
    elif kept_s < log.topic_retention_s:
        what = f"keeps its records for {kept_s:,.0f} s, [log] topic_retention_s is {log.topic_retention_s:,.0f}"
        yield warning("log", name, what, "set its retention.ms, which capture only does when it creates a topic")


def _safety_findings(topic: Topic) -> Iterator[CheckFinding]:
    """Whether what was acknowledged survives the loss of a broker."""
    name, in_sync = topic.name, int(topic.config["min.insync.replicas"])
    if topic.replication < _ENOUGH_REPLICAS:
        what = f"has {counted(topic.replication, 'replica')}: a broker that is lost may take changes with it"
        yield warning("log", name, what, "use 3 replicas for what must not be lost")
    elif in_sync < 2:
        what = f"min.insync.replicas is {in_sync}: a change may be acknowledged that a single broker has"
        yield warning("log", name, what, "set it to 2")
    elif in_sync >= topic.replication:
        what = f"min.insync.replicas is {in_sync} of {topic.replication}: nothing is written while one broker is away"
        yield warning("log", name, what, f"set it to {topic.replication - 1}")
    if topic.config["unclean.leader.election.enable"] == "true":
        what = "unclean.leader.election.enable is true: a broker that has missed changes may become the leader"
        yield warning("log", name, what, "set it to false")
