"""How mappings behave where Lambda's behaviour is not documented, and the counters of a mapping."""

from dataclasses import dataclass, field
from typing import Literal

from penstock_tools.aws.mapping.envelope import EventForm


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Switches for cases in which Lambda's behaviour is unknown, or two accounts of it differ.

    scope          `documented`: a rule for the collection, the database or the cluster is enough, at any time.
                   `strict`: a mapping works if a rule for exactly its own database and collection existed when it was
                   created, and never works otherwise. `none` needs no rule: the source is a MongoDB.
    retry          `forever`: a batch that fails is sent again until it succeeds or the change log has lost it.
                   `six`: it is skipped after six attempts.
    on_invalidate  `disable`: the event is delivered and the mapping disabled. `reopen`: the event is dropped.
    form           how events are written.
    retention_s    how far back TRIM_HORIZON begins.
    first_wait_s, most_wait_s   the waits between attempts.
    """

    scope: Literal["strict", "documented", "none"] = "documented"
    retry: Literal["forever", "six"] = "forever"
    on_invalidate: Literal["disable", "reopen"] = "disable"
    form: EventForm = field(default_factory=EventForm)
    retention_s: int = 10_800
    first_wait_s: float = 0.05
    most_wait_s: float = 1.0


@dataclass
class Counters:
    """Lambda's metrics of a mapping since this process started; the age is the last batch's, in milliseconds."""

    invocations: int = 0
    errors: int = 0
    oversized: int = 0
    delivered: int = 0
    skipped: int = 0
    iterator_age_ms: int | None = None

    def shown(self) -> dict[str, int | None]:
        """Return them under Lambda's names, and what only an emulation knows: events delivered and skipped."""
        return {
            "Invocations": self.invocations,
            "Errors": self.errors,
            "OversizedRecordCount": self.oversized,
            "IteratorAge": self.iterator_age_ms,
            "DeliveredEvents": self.delivered,
            "SkippedEvents": self.skipped,
        }
