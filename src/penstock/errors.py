"""Every error penstock raises on purpose.

    PenstockError
      SettingsError          the operator must change something before a start          exit code 2
      PositionLost           the source no longer holds the position                    exit code 3
      SourceUnavailable      the source cannot be reached, or refuses what we need      exit code 4
      SinkUnavailable        the same for the index                                     exit code 5
        IndexUnreadable      one index is closed, or cannot be read by ids              exit code 5
      QueueUnavailable       the same for the queue of parked keys                      exit code 5
      SystemicFault          continuing would hide a loss: too many dead letters,
                             counters that do not balance, a restored source            exit code 6
        IndexTakenAway       an index or its write alias is gone                        exit code 6
      LeaseLost              another worker has taken this pipeline over                (the worker waits again)
        Outdated             the generations changed since it was planned               (the worker plans again)
      NotEqual               an index does not hold what its collection says            exit code 8
      ReadAgain              what was read is too old to be sent, or had to wait        (the pipeline reads it again)
      Stopped                the process is stopping, a wait was ended                  exit code 0
      DocumentError          one document can never be indexed: a dead letter           (the stream goes on)

Only `pipeline` catches DocumentError; it, the sweep and the repair catch ReadAgain. Only the worker catches LeaseLost,
and only the doors (command line, Lambda handlers) catch PenstockError. Anything else is a defect of ours: it ends the
process with a traceback.
"""


class PenstockError(Exception):
    """The message names the object, the cause and the next step; never a secret or a document's body."""

    exit_code = 1


class SettingsError(PenstockError):
    """The settings cannot be used; `problems` lists everything that is wrong, not only the first problem."""

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class PositionLost(PenstockError):
    """The source's change log no longer holds the saved position, or an index is not the one it was saved for."""

    exit_code = 3

    def __init__(self, cause: str, todo: str = "") -> None:
        self.cause = cause
        super().__init__(f"{cause} {todo}".strip())


class SourceUnavailable(PenstockError):
    """The source cannot be reached, or permanently refuses what a reader needs."""

    exit_code = 4

    def __init__(self, cause: str, todo: str = "") -> None:
        self.cause = cause
        self.todo = todo
        super().__init__(f"{cause} {todo}".strip())


class SinkUnavailable(PenstockError):
    """The index cannot be reached, or permanently refuses what a writer needs (credentials, a missing permission)."""

    exit_code = 5

    def __init__(self, cause: str, todo: str = "") -> None:
        self.cause = cause
        self.todo = todo
        super().__init__(f"{cause} {todo}".strip())


class IndexUnreadable(SinkUnavailable):
    """An index is closed, or answers no request for a document by its id; other indexes may."""


class QueueUnavailable(PenstockError):
    """The queue of parked keys cannot be reached, or refuses a request."""

    exit_code = 5


class SystemicFault(PenstockError):
    """Continuing would hide a loss; the pipeline stops with the reason."""

    exit_code = 6


class IndexTakenAway(SystemicFault):
    """Another tool deleted an index or removed its write alias."""


class LeaseLost(PenstockError):
    """Another worker holds the pipeline's lease: nothing more may be written or saved under ours."""

    exit_code = 7


class Outdated(LeaseLost):
    """The pipeline was planned for other generations: one was created or dropped since then."""


class NotEqual(PenstockError):
    """`verify` found documents in which source and index differ, and which were not repaired."""

    exit_code = 8


class ReadAgain(PenstockError):
    """Writes read outside the stream are too old to be sent, or had to wait: read them again."""


class Stopped(PenstockError):
    """A wait was ended because the process is stopping; nothing is lost, the position stays where it is."""

    exit_code = 0


class DocumentError(PenstockError):
    """One document can never be indexed as it is."""
