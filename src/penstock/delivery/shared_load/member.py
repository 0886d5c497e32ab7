"""One process's share of a load: it takes ranges as a member of the load's group, one pipeline for each term."""

import os
import socket
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import NamedTuple

import structlog

from penstock.delivery.databases import generations_of
from penstock.delivery.shared_load.stream import RangeStream
from penstock.delivery.shared_load.task import Task, group_of
from penstock.errors import IndexTakenAway, LeaseLost, PositionLost, SinkUnavailable, Stopped, SystemicFault
from penstock.kafka.member import Member, Term
from penstock.kafka.positions import Partition, places_of
from penstock.model import Counts, Position
from penstock.opensearch.http.waiting import FailFast
from penstock.opensearch.state.shared_load import LoadPlan, LoadShare, LoadShares
from penstock.opensearch.state.store import StateStore
from penstock.pipeline.pipeline import Pipeline, Ports
from penstock.pipeline.transform import Route
from penstock.planner import FedGeneration, Plan
from penstock.runtime.backoff import Backoff
from penstock.runtime.threads import side_by_side
from penstock.wiring import Wiring
from penstock.worker.recovery.source_rewind import RewindGuard, require_same_source

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class LoadMember:
    """The part of this process in one load. `plan` is of the pipeline by which it goes in log and metrics."""

    plan: Plan
    collection: FedGeneration
    load: LoadPlan
    wiring: Wiring

    def take_part(self, stop: threading.Event) -> None:
        """Read ranges until `stop` is set. Raises SourceUnavailable, SinkUnavailable, SystemicFault, Stopped.

        Where ranges or the index are gone, who conducts the load sees it too; a member that was wrong about it, as an
        answer may be that comes in the middle of a change, takes part again.
        """
        pause = Backoff(stop, first_s=1.0)
        while not stop.is_set():
            self._read_ranges(stop)
            pause.wait()

    def _read_ranges(self, stop: threading.Event) -> None:
        settings = self.wiring.settings.log
        with Member(settings, group_of(settings.group, self.collection.index), [self.load.topic], stop=stop) as member:
            while not stop.is_set():
                try:
                    self._serve(member.next_term())
                except LeaseLost as lost:
                    log.warning("ranges of a load lost", collection=str(self.collection.namespace), reason=str(lost))
                except PositionLost as lost:
                    log.warning("ranges of a load are gone", topic=self.load.topic, reason=str(lost))
                    return
                except IndexTakenAway as loss:
                    if not self._is_healed:
                        raise
                    log.warning("waiting until the index is healed", pipeline=self.plan.name, cause=str(loss))
                    return
                except Stopped:
                    continue

    @property
    def _is_healed(self) -> bool:
        """Whether the index has a keeper, who makes it again and plans another load."""
        settings = self.wiring.settings
        keeps = settings.has_own_topic(str(self.collection.namespace))
        return keeps and settings.pipeline.on_position_lost == "reload"

    def _serve(self, term: Term) -> None:
        shares = _Shares(self, term.committed)
        done = threading.Event()  # later than the end of the term: what was in flight counts too

        def read() -> None:
            try:
                self._read(term, shares)
            finally:
                done.set()

        try:
            side_by_side(done, read, lambda: shares.keep_writing(done))
        finally:
            term.ending.set()
            term.done.set()

    def _read(self, term: Term, shares: "_Shares") -> None:
        adapters = self.wiring.adapters(self.plan, term.ending, may_send=term.assert_held)
        require_same_source(adapters)
        name = self.collection.namespace
        only = replace(self.plan, collections=(self.collection,))
        generation = generations_of(only, adapters)[name]
        shares.begin(LoadShares(adapters.store, str(name), generation.index, self.load))

        def ranges() -> RangeStream:
            shares.read_again()
            return RangeStream(term, self.load, partial(adapters.load, self.collection), shares.reads)

        Pipeline(
            name=self.plan.name,
            ports=Ports(
                ranges,
                RewindGuard(adapters.load_sink, adapters, [generation]),
                adapters.dead_letters,
                term,
            ),
            routes={name: Route(generation.write_alias, self.collection.transform.bodies)},
            rules=adapters.rules(of_load=True),
            metrics=self.wiring.metrics,
            on_settled=shares.settled,
        ).run(term.ending)


class _Range(NamedTuple):
    """A range that was begun, and the place of its task."""

    partition: int
    offset: int
    number: int


class _Shares:
    """How far this member is with the partitions of a term, written for who looks; used by several threads.

    What cannot be written is not repeated: the next time says more.
    """

    def __init__(self, member: LoadMember, partitions: Iterable[Partition]) -> None:
        self._member = member
        self._owner = f"{socket.gethostname()}/{os.getpid()}"
        self._shares = {each.number: LoadShare(each.number, owner=self._owner) for each in partitions}
        self._changed: set[int] = set()
        self._begun: deque[_Range] = deque()
        self._under_way = Counts()
        self._lock = threading.Lock()

    def begin(self, before: LoadShares) -> None:
        """Go on from what others have said of these partitions."""
        said = {each.partition: each for each in before.read()}
        with self._lock:
            for number, share in self._shares.items():
                if number in said:
                    self._shares[number] = replace(share, done=said[number].done, counts=said[number].counts)
            self._changed = set(self._shares)

    def reads(self, partition: Partition, offset: int, task: Task) -> None:
        """Note that a range is read from now on, after those that were begun before."""
        with self._lock:
            self._begun.append(_Range(partition.number, offset, task.number))
            self._show_oldest()

    def read_again(self) -> None:
        """Forget the ranges that were begun; they are read from their start."""
        with self._lock:
            self._begun.clear()
            self._under_way = Counts()

    def settled(self, position: Position, counts: Counts) -> None:
        """Note what is safe. A range counts once all of it is, for another member may have to read it again."""
        with self._lock:
            self._under_way.add(counts)
            places = {partition.number: place for partition, place in places_of(position.token).items()}
            for number, place in places.items():
                first, end = self._member.load.partitions.get(number, (0, 0))
                share = self._shares[number]
                self._change(replace(share, done=max(share.done, min(place.offset, end) - first)))
            while self._begun and places[self._begun[0].partition].offset > self._begun[0].offset:
                share = self._shares[self._begun.popleft().partition]
                self._under_way.add(Counts(**share.counts))
                self._change(replace(share, counts=asdict(self._under_way), under_way=0, range=None))
                self._under_way = Counts()
            self._show_oldest()

    def _show_oldest(self) -> None:
        if self._begun:
            oldest = self._begun[0]
            share = self._shares[oldest.partition]
            self._change(replace(share, range=oldest.number, under_way=self._under_way.read))

    def keep_writing(self, stop: threading.Event) -> None:
        """Write from time to time what has changed, until `stop` is set, and that nobody reads any more."""
        client = self._member.wiring.client
        index = self._member.collection.index
        store = StateStore(client, FailFast(client.url))
        kept = LoadShares(store, str(self._member.collection.namespace), index, self._member.load)
        while not stop.wait(self._member.wiring.intervals.report_s):
            self._write(kept)
        with self._lock:
            for share in self._shares.values():
                self._change(replace(share, owner="", range=None, under_way=0))
        self._write(kept)

    def _change(self, share: LoadShare) -> None:
        if self._shares[share.partition] != share:
            self._shares[share.partition] = share
            self._changed.add(share.partition)

    def _write(self, kept: LoadShares) -> None:
        with self._lock:
            changed = [self._shares[number] for number in sorted(self._changed)]
            self._changed.clear()
        try:
            kept.write(changed)
        except (SinkUnavailable, SystemicFault) as error:
            log.debug("the progress of a load could not be written", reason=str(error))
