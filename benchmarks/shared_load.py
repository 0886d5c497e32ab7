"""The load of one collection that topics feed, by one process and by two.

    .venv/bin/python -m benchmarks.shared_load [--rounds 7] [--documents 500000] [--range 10000]

1 member    `penstock load` alone: it plans the ranges, and reads all of them
2 members   the same beside one `penstock apply`, which takes ranges too

Each process is a command in an interpreter of its own. In both ways a `penstock apply` has made the index, so both
loads compare it with the collection at their end. The time is that of the load, from its plan to its end, with the
time in which the members of the group find each other; the CPU is that of all processes, with their start. Source,
Kafka and OpenSearch are on the same machine.
"""

import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.ground import DB, Ground, generated, kafka
from benchmarks.item import Given, main
from benchmarks.processes import Beside, penstock
from benchmarks.results import Section
from benchmarks.rounds import Took, Way, measured

NAME = "generated"
TOPIC = f"cdc.{DB}.{NAME}"
_STARTS_WITHIN_S = 60


@dataclass
class Members:
    """Loads the collection with a `penstock apply` beside the command, or without one."""

    at: Ground
    folder: Path
    settings: str
    beside: list[Beside] = field(default_factory=list)

    def start(self, *, beside: bool) -> None:
        """Have an empty index made by a process that waits for a load, and that stays only `beside` the command."""
        self.at.clear()
        apply = penstock(self.folder, self.settings, ["apply"])
        until = time.monotonic() + _STARTS_WITHIN_S
        while not self.at.client.request("HEAD", f"/{NAME}-g1").ok:
            apply.require_running()
            if time.monotonic() > until:
                raise SystemExit("penstock apply made no index: no figures")
            time.sleep(0.1)
        if not beside:
            with apply:
                apply.stopped()
        self.beside = [apply] if beside else []

    def load(self) -> Took:
        """Load, and return the time of the load and the CPU of all processes."""
        with penstock(self.folder, self.settings, ["load"]) as command:
            notes = [command.ended()]
        for each in self.beside:
            with each:
                notes.append(each.stopped())
        return Took(notes[0]["loads"][0]["seconds"], sum(each["cpu_s"] for each in notes))


def make_topic(servers: str) -> None:
    """Make an empty topic of the collection."""
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(_STARTS_WITHIN_S)


def settings_of(at: Ground, servers: str, load_range: int) -> str:
    """Return the settings file of all processes."""
    return (
        f"{at.toml([NAME])}[pipeline]\nload_range = {load_range}\nlease_s = 5\n"
        f'[log]\nbootstrap_servers = "{servers}"\n'
        f'[[topics]]\ntopic = "{TOPIC}"\ncollection = "{DB}.{NAME}"\nform = "change-events"\n'
    )


def sections(at: Ground, given: Given) -> Iterable[Section]:
    count = at.fill(NAME, generated(given.documents))
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name, kafka() as servers:
        make_topic(servers)
        members = Members(at, Path(name), settings_of(at, servers, given.range))
        check = partial(at.require_count, NAME, count)
        found = measured(
            f"shared load of {count:,} documents",
            "documents",
            count,
            [
                Way("1 member", members.load, partial(members.start, beside=False), check),
                Way("2 members", members.load, partial(members.start, beside=True), check),
            ],
            {("2 members", "1 member"): None},
            rounds=given.rounds,
        )
        at.require_equal(NAME)
    yield found.section()


if __name__ == "__main__":
    main("shared_load", __doc__, sections, documents=500_000, range=10_000)
