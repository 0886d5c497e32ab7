"""How often a running penstock looks, reports, renews and saves: every clock that somebody may have to wait for."""

from dataclasses import dataclass
from typing import Final, Self

GC_DELETES_S: Final = 900
"""How long an index that penstock makes remembers the version of a deleted document (OpenSearch: 60 s). Anything sent
later than this after its reading could bring a deleted document back, so it outlives every request in flight and every
lease; what is read outside the stream is sent within half of it."""


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Times in seconds, handed down to whatever waits. The defaults are what penstock runs with."""

    generations_s: float = 2.0
    """Between two looks at which generations are to be fed."""

    failed_generation_s: float = 30.0
    """How long a generation rests that failed in a way that may pass."""

    collections_s: float = 2.0
    """Between two looks at whether a collection has to be loaded, such as a dropped one that is back."""

    disappeared_s: float = 10.0
    """Between two comparisons of names, for collections that disappeared without an event."""

    indexes_s: float = 5.0
    """Between two looks at whether the indexes and their aliases are as they were left."""

    fields_s: float = 60.0
    """Between two counts of an index's fields, and of the documents that cannot be searched by one."""

    shared_load_s: float = 1.0
    """Between two looks at how far the members that share a load are."""

    patterns_s: float = 5.0
    """Between two looks at which collections match a pattern."""

    report_s: float = 1.0
    """Between two reports of a pipeline to the metrics and the health."""

    export_s: float = 15.0
    """Between two exports of the metrics by OTLP; spans go three times as often."""

    idle_save_s: float = 10.0
    """Between two saves of the position of an idle source, so that it does not age out of the change log."""

    stream_wait_s: float = 1.0
    """How long the source waits for a change before it answers that there is none."""

    certificate_s: float = 60.0
    """Between two looks at the console's own certificate, which somebody may have renewed."""

    majority_s: float = 5.0
    """How long the majority of the source takes no writes until the lag counts from the newest one."""

    renewals_per_lease: float = 3
    """How often a lease is renewed, with the report for `status`, within its time."""

    pulse_s: float = 1.0
    """Between two signs of life of a worker process, in a document of its own."""

    silent_s: float = 3.0
    """How long a worker gives no sign of life before who keeps looking says so: within 5 s of its end, by looks each
    second."""

    worker_list_s: float = 60.0
    """Between two looks of a worker at the list of all; who is silent at ten of them is taken off it."""

    sample_s: float = 10.0
    """Between two samples of a pipeline's history."""

    sample_counts_s: float = 60.0
    """Between two counts of the documents on both sides for the history."""

    standby_s: float = 1.0
    """The longest time between two looks of a standby at the lease; a fifth of a short lease if that is less."""

    targets_s: float = 60.0
    """How long a process to which others bring the changes may not notice that an index was replaced, or that there is
    another generation."""

    in_step_s: float = 15.0
    """A position so close behind the source's time is in step; longer than `idle_save_s`."""

    reindex_s: float = 0.5
    """Between two looks of `reindex` at the workers and at its own progress."""

    target_pause_s: float = 60.0
    """The longest pause of a reaction between two tries at its target, unless that asks for a longer one."""

    process_pause_s: float = 1.0
    """Before a process of several that ended by itself is started again; twice as long each time, up to a minute."""

    console_counts_s: float = 4.0
    """Between two counts by the console of what takes a question for each collection, while somebody looks."""

    rate_s: float = 1.0
    """How long `status` counts writes for the rate it shows."""

    liveness_s: float = 0.2
    """Between two looks of a command at whether a lease is renewed."""

    explain_s: float = 0.3
    """Between two looks of `explain --wait` at a document that may still arrive."""

    queue_s: int = 4
    """How long an empty queue of parked keys is waited at before it counts as empty; the queue takes whole seconds."""

    gc_deletes_s: float = GC_DELETES_S
    """The `index.gc_deletes` that the indexes are taken to have."""

    @property
    def send_within_s(self) -> float:
        """How long after its read what was read outside the stream may still be sent."""
        return self.gc_deletes_s / 2

    @classmethod
    def fast(cls) -> Self:
        """For tests on servers of their own: nobody waits for long, and a busy machine of two cores keeps up.

        Each look costs processor time, here and in the servers, in every test with a worker. So what few tests wait
        for, the history, is as in production; these tests give intervals of their own.
        """
        return cls(
            generations_s=0.2,
            failed_generation_s=0.5,
            collections_s=0.2,
            disappeared_s=0.3,
            indexes_s=0.4,
            fields_s=0.5,
            shared_load_s=0.2,
            patterns_s=0.4,
            report_s=0.2,
            export_s=0.3,
            idle_save_s=0.3,
            stream_wait_s=0.2,
            certificate_s=0.2,
            majority_s=1.0,
            renewals_per_lease=4,
            pulse_s=0.5,
            silent_s=3.0,
            worker_list_s=1.0,
            standby_s=0.2,
            targets_s=1.0,
            in_step_s=5.0,
            reindex_s=0.1,
            target_pause_s=0.5,
            process_pause_s=0.1,
            console_counts_s=0.5,
            rate_s=0.2,
            liveness_s=0.05,
            explain_s=0.05,
            queue_s=1,
        )


INTERVALS: Final = Intervals()
