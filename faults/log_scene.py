"""The scene of a fault between `penstock capture` and `penstock apply`: a log, who captures, several who apply."""

from contextlib import closing
from dataclasses import replace
from functools import cached_property
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from faults.scene import ITEMS, Scene
from faults.wire import Slow
from penstock.kafka.log import marks_topic_of
from penstock.kafka.mark_reader import MarkReader
from penstock.kafka.member import committed_of
from penstock.kafka.positions import Partition
from penstock.runtime.intervals import GC_DELETES_S, INTERVALS
from penstock.settings import LogSettings
from testkit.captured import CapturedLog
from testkit.connect import Topics
from testkit.workspace import Worker, until

SESSION_S = 6
PARTITIONS = 4
_RETENTION_S = 3600
_ANSWER_S = 60


class LogScene(Scene):
    """`worker` is the first of `appliers`, the processes that apply."""

    capture: Worker
    appliers: list[Worker]
    servers: str
    """Where the processes find the broker: at its proxy, if the fault says so."""
    some_are_lost = False
    """Whether the fault takes changes out of the log."""

    def __enter__(self) -> "LogScene":
        super().__enter__()
        assert self.ground.kafka is not None
        self.servers = self.ground.kafka.servers
        return self

    def settings(self, **pipeline: Any) -> None:
        """Write the settings file; what is dropped is emptied."""
        self.site.source_uri, self.site.sink_url = self.source_uri, self.sink_url
        log = {
            "bootstrap_servers": self.servers,
            "group": self.database.name,
            "own_topics": True,
            "prefix": self.database.name,
            "session_timeout_s": SESSION_S,
            "topic_partitions": PARTITIONS,
            "topic_replication": 1,
            "topic_retention_s": _RETENTION_S,
        }
        self.site.settings(self._namespace, pipeline={"lease_s": 3, **pipeline}, log=log, on_drop="empty")
        self.site.sink_url = self.ground.sink_url

    def begin_by_log(self, *, appliers: int = 2, **pipeline: Any) -> None:
        """Load the writer's documents, capture and apply the changes, and let the writer write."""
        self.writer.fill()
        self.settings(**pipeline)
        self.capture = self.capturing()
        self.appliers = [self.apply() for _ in range(appliers)]
        self.worker = self.appliers[0]
        for each in self.appliers:
            each.until_live()
        self.writer.start()

    def by_proxy(self) -> Slow:
        """Let the processes find the broker behind its proxy only."""
        assert self.ground.kafka is not None
        self.servers = self.ground.kafka.servers_by_proxy
        return self.ground.kafka.proxy

    def capturing(self) -> Worker:
        """Start one more process that captures, or stands by."""
        return self.site.start("capture", intervals=INTERVALS)

    def until_one_captures(self, of: list[Worker]) -> Worker:
        """Wait until exactly one of these captures, and return it."""

        def leading() -> list[Worker]:
            return [each for each in of if each.metric("penstock_capture_leading")]

        until(lambda: len(leading()) == 1, lambda: "\n".join(each.errors[-2000:] for each in of))
        return leading()[0]

    def apply(self) -> Worker:
        """Start one more process that applies."""
        self.workers += 1
        return self.site.start("apply", intervals=replace(INTERVALS, gc_deletes_s=GC_DELETES_S))

    @property
    def index(self) -> str:
        """The name of the index, without its generation."""
        return self.site.index(self._namespace)

    def load(self) -> dict[str, Any]:
        """What is saved of the load."""
        return self.site.load_state(self._namespace)

    def load_shares(self) -> list[dict[str, Any]]:
        """What the processes say of the partitions of the present plan of a load."""
        plan = self.load().get("plan") or {"partitions": {}, "id": ""}
        ids = [f"load/{self._namespace}/{self.index}-g1/{number}" for number in plan["partitions"]]
        found = self.site.ask("POST", "penstock-state/_mget", {"ids": ids})["docs"] if ids else []
        return [each["_source"] for each in found if each.get("found") and each["_source"]["load"] == plan["id"]]

    @property
    def _namespace(self) -> str:
        return f"{self.database.name}.{ITEMS}"

    def is_in_transaction(self) -> bool:
        """Whether the log holds changes, or marks, whose transaction is neither committed nor aborted."""
        return self._ends(IsolationLevel.READ_COMMITTED) != self._ends(IsolationLevel.READ_UNCOMMITTED)

    def _ends(self, level: IsolationLevel) -> dict[TopicPartition, int]:
        marks = TopicPartition(marks_topic_of(self.database.name, self.database.name), 0)
        changes = [TopicPartition(self.log.topic(ITEMS), number) for number in range(PARTITIONS)]
        wanted = {each: OffsetSpec.latest() for each in (marks, *changes)}
        found = self.log.admin.list_offsets(wanted, isolation_level=level)
        return {partition: each.result(_ANSWER_S).offset for partition, each in found.items()}

    @cached_property
    def log(self) -> CapturedLog:
        """What capture has written."""
        assert self.ground.kafka is not None
        return CapturedLog(self.ground.kafka.servers, self.database.name, self.database.name)

    @property
    def topics(self) -> Topics:
        """The topics, to do something to them."""
        assert self.ground.kafka is not None
        return Topics(self.ground.kafka.servers)

    def _balances(self, changes: int) -> bool:
        """Whether every change of the writer has a number, and the group has committed the last one of each partition.

        Members refuse numbers that leave some out, so all of them were applied. After a loss only the end is compared.
        """

        def balance() -> bool:
            last = self.last_numbers()
            self.more["captured"] = sum(last.values())
            whole = self.more["captured"] == changes or self.some_are_lost
            return whole and self._committed() == {each: number for each, number in last.items() if number}

        try:
            until(balance, "the group has committed all", within_s=60)
        except AssertionError:
            return False
        return True

    def last_numbers(self) -> dict[int, int]:
        """By partition the number of the last change that was captured."""
        assert self.ground.kafka is not None
        log = LogSettings(bootstrap_servers=self.ground.kafka.servers)
        marks = marks_topic_of(self.database.name, self.database.name)
        with MarkReader.opened(log, marks, "faults") as reader:
            found = until(reader.newest, "there is a mark")
        return {each.number: end.number for each, end in found.mark.ends.items()}

    def _committed(self) -> dict[int, int]:
        assert self.ground.kafka is not None
        group = f"{self.database.name}.{self.index}-g1"
        partitions = [Partition(self.log.topic(ITEMS), number) for number in range(PARTITIONS)]
        with closing(Consumer({"bootstrap.servers": self.ground.kafka.servers, "group.id": group})) as consumer:
            found = committed_of(consumer, partitions)
        return {each.number: its.place.number for each, its in found.items() if its}
